// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ql::io {

using sha256_digest = std::array<std::uint8_t, 32>;

// SHA-256 (FIPS 180-4) of the texts that it is fed, for keys of texts whose authors may wish for a collision; damage of
// files is found by hash.hpp, which is faster.
//   hex(sha256{}.add("abc").finish())   is "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
class sha256 {
 public:
  sha256& add(std::string_view bytes);
  // A field of a record: its length, then its bytes, so that ("ab", "c") and ("a", "bc") differ.
  sha256& add_field(std::string_view bytes);
  // The digest of all that was added; the object must not be used again.
  sha256_digest finish();

 private:
  void block(const std::uint8_t* bytes);
  std::array<std::uint32_t, 8> state_{0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                                      0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
  std::array<std::uint8_t, 64> pending_{};
  std::size_t used_ = 0;
  std::uint64_t bytes_ = 0;
};

// Lower-case hexadecimal digits.
std::string hex(const sha256_digest& d);
// The digest that 64 hexadecimal digits say; false where the text is not that.
bool from_hex(std::string_view text, sha256_digest& d);

}  // namespace ql::io
