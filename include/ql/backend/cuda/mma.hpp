// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/config.hpp>
#include <ql/scalar.hpp>

#include <cstdint>

namespace ql::cuda {

// What a lane holds of the operands of mma.sync m16n8k16 (bf16 in, float out): two values a register.
struct fragment_a {
  std::uint32_t x[4];
};
struct fragment_b {
  std::uint32_t x[2];
};

// Which element of the operands is value i of a lane, as the PTX manual lays them out ("Matrix fragments for
// mma.m16n8k16 with floating point type"): a is 16 x 16, b 16 x 8, c 16 x 8.
namespace mma_layout {
QL_HD constexpr int a_row(int lane, int i) { return lane / 4 + (i / 2 % 2) * 8; }
QL_HD constexpr int a_k(int lane, int i) { return lane % 4 * 2 + i % 2 + (i / 4) * 8; }
QL_HD constexpr int b_k(int lane, int i) { return lane % 4 * 2 + i % 2 + (i / 2) * 8; }
QL_HD constexpr int b_column(int lane, int) { return lane / 4; }
QL_HD constexpr int c_row(int lane, int i) { return lane / 4 + (i / 2) * 8; }
QL_HD constexpr int c_column(int lane, int i) { return lane % 4 * 2 + i % 2; }
// The lower (0) or upper (1) value of a register.
QL_HD constexpr float half(std::uint32_t x, int which) {
  return static_cast<float>(bf16::from_bits(static_cast<std::uint16_t>(x >> (16 * which))));
}
}  // namespace mma_layout

}  // namespace ql::cuda
