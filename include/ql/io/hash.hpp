// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ql::io {

// 128 bits that stand for a sequence of bytes.
struct digest {
  std::uint64_t first = 0, second = 0;

  std::string text() const;  // 32 hexadecimal digits
  friend constexpr bool operator==(const digest&, const digest&) = default;
};

// Finds damage, not forgery: the polynomial whose coefficients are the bytes, seven at a time, and then their number,
// at two points of the field of 2^61 - 1 elements. A change within one group of seven bytes is always found, any other
// change of n groups with a probability above 1 - (n / 2^60)^2.
//   hash("").text()   is "00000000000000000000000000000000"
class hasher {
 public:
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  digest finish() const;

 private:
  std::uint64_t a_ = 0, b_ = 0, bytes_ = 0;
  std::array<std::byte, 7> pending_{};
};

digest hash(std::span<const std::byte> bytes);
digest hash(std::string_view text);

}  // namespace ql::io
