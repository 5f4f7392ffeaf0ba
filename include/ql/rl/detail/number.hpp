// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace ql::rl::detail {

// A decimal literal of digits with at most one dot and an optional minus, correctly rounded where it has at most 19
// significant digits and a small exponent, else within an ulp or two.
inline double parse_decimal(std::string_view s) {
  const bool negative = !s.empty() && s.front() == '-';
  if (negative) s.remove_prefix(1);
  std::uint64_t digits = 0;
  int exponent = 0;
  bool dot = false;
  for (char c : s) {
    if (c == '.') {
      dot = true;
      continue;
    }
    if (digits < 100000000000000000u) {
      digits = digits * 10 + static_cast<std::uint64_t>(c - '0');
      exponent -= dot ? 1 : 0;
    } else {
      exponent += dot ? 0 : 1;  // beyond 17 digits: dropped
    }
  }
  double v = static_cast<double>(digits), p = 1.0;
  while (exponent < -22 && digits != 0 && digits % 10 == 0) digits /= 10, ++exponent, v = static_cast<double>(digits);
  int n = exponent < 0 ? -exponent : exponent;
  if (n > 400) return exponent < 0 ? 0.0 : v == 0 ? 0.0 : (negative ? -1.0 : 1.0) * 1e308 * 10;
  while (n > 22) {
    v = exponent < 0 ? v / 1e22 : v * 1e22;
    n -= 22;
  }
  for (; n > 0; --n) p *= 10.0;
  v = exponent < 0 ? v / p : v * p;
  return negative ? -v : v;
}

}  // namespace ql::rl::detail
