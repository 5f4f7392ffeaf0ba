// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/linear.hpp>
#include <ql/backend/cpu/parameters.hpp>
#include <ql/random.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace {

using namespace ql;

struct with_kernels {
  explicit with_kernels(std::string_view name) { cpu::use_kernels(name); }
  ~with_kernels() { cpu::use_kernels(""); }
};

bool available() {
  try {
    cpu::kernels<bf16>("avx512-bf16");
    return true;
  } catch (const backend_error&) {
    return false;
  }
}

// y = x W^T with the kernels in force
std::vector<float> product(const std::vector<bf16>& x, std::int64_t rows, std::int64_t n, std::int64_t k,
                           const std::vector<float>& w) {
  cpu::context ctx;
  std::vector<bf16> packed(static_cast<std::size_t>(cpu::packed_size<bf16>(n, k)));
  const matrix<bf16> m{n, k, w.data(), packed.data()};
  pack(ctx, m, packed.data());
  std::vector<float> y(static_cast<std::size_t>(rows * n));
  linear_sum(ctx, view<const bf16, 2>(x.data(), {rows, k}), m, static_cast<const float*>(nullptr),
             view<float, 2>(y.data(), {rows, n}));
  return y;
}

TEST(Bf16Dot, IsNeverChosenUnasked) {
  for (auto name : cpu::kernel_names()) EXPECT_NE(name, "avx512-bf16");
  EXPECT_NE(cpu::kernels<bf16>().name, "avx512-bf16");
}

TEST(Bf16Dot, RowsDoNotDependOnTheirNumberAndValuesAgree) {
  if (!available()) GTEST_SKIP() << "this processor has no AVX512_BF16: the kernels cannot run here";
  constexpr std::int64_t rows = 77, n = 70, k = 300;
  const random_key key{.seed = 5, .what = purpose::test};
  std::vector<bf16> x(rows * k);
  std::vector<float> w(n * k);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = bf16(static_cast<float>(uniform(key, i) - 0.5));
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(uniform(key, 1000000 + i) - 0.5);
  const auto shared = product(x, rows, n, k, w);
  const with_kernels scope("avx512-bf16");
  const auto own = product(x, rows, n, k, w);
  for (std::size_t i = 0; i < own.size(); ++i) ASSERT_NEAR(own[i], shared[i], 2e-5) << i;
  for (std::int64_t count : {1, 2, 3, 11, 12, 13, 64, 65}) {
    const auto part = product(x, count, n, k, w);
    ASSERT_TRUE(std::equal(part.begin(), part.end(), own.begin())) << count << " rows";
  }
}

}  // namespace
