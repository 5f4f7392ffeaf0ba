// SPDX-License-Identifier: Apache-2.0
#include "tensorboard.hpp"

#include <array>
#include <cstring>

namespace ql::io::tensorboard {
namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = (c & 1u) != 0 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
    t[i] = c;
  }
  return t;
}
constexpr auto table = make_table();

template <class T>
void put(std::string& s, T value) {
  char b[sizeof value];
  std::memcpy(b, &value, sizeof value);  // little-endian, as the format
  s.append(b, sizeof value);
}

void varint(std::string& s, std::uint64_t v) {
  for (; v >= 128; v >>= 7) s += static_cast<char>(v | 128);
  s += static_cast<char>(v);
}

void bytes_field(std::string& s, int number, std::string_view bytes) {
  varint(s, static_cast<std::uint64_t>(number) << 3 | 2);
  varint(s, bytes.size());
  s += bytes;
}

std::uint32_t masked(std::string_view bytes) {
  const std::uint32_t c = crc32c(bytes);
  return ((c >> 15) | (c << 17)) + 0xa282ead8u;
}

std::string framed(std::string_view data) {
  std::string s;
  put(s, std::uint64_t{data.size()});
  put(s, masked(s));
  s += data;
  put(s, masked(data));
  return s;
}

std::string event(double wall) {
  std::string s;
  s += '\x09';
  put(s, wall);
  return s;
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t c = ~0u;
  for (const char b : bytes) c = table[(c ^ static_cast<unsigned char>(b)) & 255u] ^ (c >> 8);
  return ~c;
}

std::string version_record(double wall) {
  std::string e = event(wall);
  bytes_field(e, 3, "brain.Event:2");
  return framed(e);
}

std::string scalars_record(double wall, std::int64_t step, const std::vector<std::pair<std::string, float>>& scalars) {
  std::string summary;
  for (const auto& [tag, x] : scalars) {
    std::string v;
    bytes_field(v, 1, tag);
    v += '\x15';
    put(v, x);
    bytes_field(summary, 1, v);
  }
  std::string e = event(wall);
  e += '\x10';
  varint(e, static_cast<std::uint64_t>(step));
  bytes_field(e, 5, summary);
  return framed(e);
}

}  // namespace ql::io::tensorboard
