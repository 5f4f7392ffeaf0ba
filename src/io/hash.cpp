// SPDX-License-Identifier: Apache-2.0
#include <ql/io/hash.hpp>

#include <algorithm>
#include <cstring>

namespace ql::io {
namespace {

constexpr std::uint64_t prime = (std::uint64_t{1} << 61) - 1;
// Two points without a pattern: the fractional parts of the golden ratio and of the square root of two.
constexpr std::uint64_t point_a = 0x9e3779b97f4a7c15u % prime;
constexpr std::uint64_t point_b = 0x6a09e667f3bcc908u % prime;

__extension__ using wide = unsigned __int128;

// (h + word) * point, reduced below 2^61 but not always below the prime.
std::uint64_t step(std::uint64_t h, std::uint64_t word, std::uint64_t point) {
  const wide product = static_cast<wide>(h + word) * point;
  const std::uint64_t folded = static_cast<std::uint64_t>(product & prime) + static_cast<std::uint64_t>(product >> 61);
  return (folded & prime) + (folded >> 61);
}

std::uint64_t canonical(std::uint64_t h) { return h >= prime ? h - prime : h; }

std::uint64_t word_of(const std::byte* p, std::size_t n) {
  std::uint64_t w = 0;
  std::memcpy(&w, p, n);
  return w;
}

}  // namespace

std::string digest::text() const {
  static constexpr char digits[] = "0123456789abcdef";
  std::string s(32, '0');
  for (std::size_t i = 0; i < 16; ++i) {
    s[i] = digits[(first >> (60 - 4 * i)) & 15];
    s[16 + i] = digits[(second >> (60 - 4 * i)) & 15];
  }
  return s;
}

void hasher::update(std::span<const std::byte> bytes) {
  const std::byte* p = bytes.data();
  std::size_t n = bytes.size();
  if (n == 0) return;
  std::size_t held = bytes_ % 7;
  bytes_ += n;
  if (held > 0) {
    const std::size_t take = std::min(n, 7 - held);
    std::memcpy(pending_.data() + held, p, take);
    p += take, n -= take, held += take;
    if (held < 7) return;
    const std::uint64_t w = word_of(pending_.data(), 7);
    a_ = step(a_, w, point_a), b_ = step(b_, w, point_b);
  }
  std::uint64_t a = a_, b = b_;
  for (; n >= 8; p += 7, n -= 7) {  // one eight-byte load that looks a byte ahead
    const std::uint64_t w = word_of(p, 8) & ((std::uint64_t{1} << 56) - 1);
    a = step(a, w, point_a), b = step(b, w, point_b);
  }
  if (n == 7) {
    const std::uint64_t w = word_of(p, 7);
    a = step(a, w, point_a), b = step(b, w, point_b);
    n = 0;
  }
  a_ = a, b_ = b;
  if (n > 0) std::memcpy(pending_.data(), p, n);
}

digest hasher::finish() const {
  std::uint64_t a = a_, b = b_;
  if (bytes_ % 7 > 0) {
    const std::uint64_t w = word_of(pending_.data(), bytes_ % 7);
    a = step(a, w, point_a), b = step(b, w, point_b);
  }
  return {canonical(step(a, bytes_, point_a)), canonical(step(b, bytes_, point_b))};
}

digest hash(std::span<const std::byte> bytes) {
  hasher h;
  h.update(bytes);
  return h.finish();
}
digest hash(std::string_view text) { return hash(std::as_bytes(std::span(text))); }

}  // namespace ql::io
