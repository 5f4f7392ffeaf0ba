// SPDX-License-Identifier: Apache-2.0
#pragma once

// Every instruction set gives the bits of the portable kernels; and the comparison that says so is not blind. One
// program text for the three scalars, each instantiated in a file of its own to keep compilation short.

#include "backend/cpu/kernel_cases.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string_view>
#include <vector>

namespace ql::test {

using cpu::kernels;

// All kernels that this machine can run but the portable ones.
inline std::vector<std::string_view> others() {
  const auto names = cpu::kernel_names();
  return {names.begin() + 1, names.end()};
}

template <class T>
class SameBits : public testing::Test {};
TYPED_TEST_SUITE_P(SameBits);

TYPED_TEST_P(SameBits, OfEveryEntryOnEveryInstructionSet) {
  using T = TypeParam;
  for (const auto& name : others()) EXPECT_EQ(difference(kernels<T>(name), kernels<T>("portable")), "") << name;
}

// kernel_table has no entry that the cases leave out: a new one makes the table larger than this sum.
TYPED_TEST_P(SameBits, CasesCoverTheTable) {
  using T = TypeParam;
  constexpr auto entries = (sizeof(kernel_table<T>) - sizeof(std::string_view)) / sizeof(void (*)());
  // six entries (packed_rows_bytes, two pack_rows, two pack_panels, pack_weights) are run by the case "product"
  EXPECT_EQ(entries, std::size(cases<T>::all) + 6);
}

// The canary: a table whose product is damaged in one mantissa bit of one element, once in a hundred calls.
template <class T>
struct damaged {
  static inline const kernel_table<T>* whole = nullptr;
  static inline int calls = 0;
  static void product(const cpu::product_args<T>& p) {
    whole->product(p);
    if (++calls % 100 != 0 || p.rows == 0) return;
    void* element = p.what == cpu::epilogue::round ? static_cast<void*>(p.t) : static_cast<void*>(p.c);
    unsigned char first = 0;
    std::memcpy(&first, element, 1);
    first = static_cast<unsigned char>(first ^ 1u);
    std::memcpy(element, &first, 1);
  }
};
TYPED_TEST_P(SameBits, ACanaryIsCaught) {
  using T = TypeParam;
  damaged<T>::whole = &kernels<T>();
  damaged<T>::calls = 0;
  auto table = kernels<T>();
  table.product = damaged<T>::product;
  EXPECT_EQ(difference(kernels<T>(), kernels<T>(), "product"), "");
  const auto found = difference(table, kernels<T>(), "product");
  EXPECT_NE(found.find("product, seed 100: "), std::string::npos) << found;
  EXPECT_NE(found.find("1 of "), std::string::npos) << found;
}

// A kernel that writes past its end is caught too.
template <class T>
void writes_too_far(const ql::accumulate_t<T>* x, std::int64_t n, ql::accumulate_t<T>* y) {
  kernels<T>().add(x, n, y);
  y[n] = 0;
}
TYPED_TEST_P(SameBits, AWriteBeyondTheEndIsCaught) {
  using T = TypeParam;
  auto table = kernels<T>();
  table.add = writes_too_far<T>;
  EXPECT_NE(difference(table, kernels<T>(), "add").find("memory around the results"), std::string::npos);
}

REGISTER_TYPED_TEST_SUITE_P(SameBits, OfEveryEntryOnEveryInstructionSet, CasesCoverTheTable, ACanaryIsCaught,
                            AWriteBeyondTheEndIsCaught);

}  // namespace ql::test
