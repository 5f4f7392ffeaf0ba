// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace ql::test {

// SHA-256 (FIPS 180-4) in hexadecimal.
inline std::string sha256(std::vector<std::uint8_t> m) {
  const auto root_bits = [](double r) { return static_cast<std::uint32_t>((r - std::floor(r)) * 4294967296.0); };
  std::array<std::uint32_t, 64> k{};
  std::array<std::uint32_t, 8> h{};
  int found = 0;
  for (int p = 2; found < 64; ++p) {
    bool prime = true;
    for (int d = 2; d * d <= p; ++d) prime = prime && p % d != 0;
    if (!prime) continue;
    if (found < 8) h[static_cast<std::size_t>(found)] = root_bits(std::sqrt(static_cast<double>(p)));
    k[static_cast<std::size_t>(found++)] = root_bits(std::cbrt(static_cast<double>(p)));
  }
  const std::uint64_t bits = m.size() * 8;
  m.push_back(0x80);
  while (m.size() % 64 != 56) m.push_back(0);
  for (int i = 7; i >= 0; --i) m.push_back(static_cast<std::uint8_t>(bits >> (8 * i)));
  for (std::size_t at = 0; at < m.size(); at += 64) {
    std::array<std::uint32_t, 64> w{};
    for (std::size_t i = 0; i < 16; ++i)
      for (std::size_t b = 0; b < 4; ++b) w[i] = (w[i] << 8) | m[at + 4 * i + b];
    for (std::size_t i = 16; i < 64; ++i)
      w[i] = w[i - 16] + w[i - 7] + (std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3)) +
             (std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10));
    auto s = h;
    for (std::size_t i = 0; i < 64; ++i) {
      const std::uint32_t a = s[0], e = s[4];
      const std::uint32_t t1 =
          s[7] + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + k[i] + w[i];
      const std::uint32_t t2 =
          (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
      s = {t1 + t2, s[0], s[1], s[2], s[3] + t1, s[4], s[5], s[6]};
    }
    for (std::size_t i = 0; i < 8; ++i) h[i] += s[i];
  }
  std::string hex;
  for (std::uint32_t x : h)
    for (int shift = 28; shift >= 0; shift -= 4) hex += "0123456789abcdef"[(x >> shift) & 15];
  return hex;
}

}  // namespace ql::test
