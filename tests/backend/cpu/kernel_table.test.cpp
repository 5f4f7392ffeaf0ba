// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernel_table.hpp>
#include <ql/error.hpp>

#include <gtest/gtest.h>

#include <string>

namespace {

using ql::bf16;
using ql::cpu::kernels;

TEST(KernelTables, NamesAndChoice) {
  const auto names = ql::cpu::kernel_names();
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(names.front(), "portable");
  EXPECT_EQ(kernels<float>().name, names.back()) << "the best is chosen";
  for (auto n : names) {
    EXPECT_EQ(kernels<bf16>(n).name, n);
    if (n == "amx-model") continue;  // differs in products of bf16 alone
    EXPECT_EQ(kernels<float>(n).name, n);
    EXPECT_EQ(kernels<double>(n).name, n);
  }
  ql::cpu::use_kernels("portable");
  EXPECT_EQ(kernels<bf16>().name, "portable");
  ql::cpu::use_kernels("");
  EXPECT_EQ(kernels<bf16>().name, names.back());
  try {
    (void)kernels<float>("sse9");
    FAIL();
  } catch (const ql::backend_error& e) {
    const std::string text = e.what();
    EXPECT_EQ(text.find("cpu::kernels: name: expected one of portable"), 0u) << text;
    EXPECT_NE(text.find(", got sse9"), std::string::npos) << text;
  }
  EXPECT_THROW(ql::cpu::use_kernels("sse9"), ql::backend_error);
  EXPECT_EQ(kernels<float>().name, names.back()) << "a refused choice changes nothing";
}

}  // namespace
