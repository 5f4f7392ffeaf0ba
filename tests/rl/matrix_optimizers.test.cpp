// SPDX-License-Identifier: Apache-2.0
// Optimizers against ten steps of PyTorch's, transformers' and bitsandbytes' own (tests/golden/optimizers.py).
#include <ql/backend/cpu/context.hpp>
#include <ql/rl/adamw_8bit.hpp>
#include <ql/rl/matrix_optimizers.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/testing/rl_laws.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "rl/support/optimizer_goldens.hpp"

namespace {
using namespace ql::rl;
namespace goldens = ql::test::goldens;
namespace laws = ql::testing::laws;

static_assert(optimizer<muon, ql::cpu::context, float, 2> && !optimizer<muon, ql::cpu::context, float>);
static_assert(optimizer<adafactor, ql::cpu::context, double, 2> && optimizer<adafactor, ql::cpu::context, float>);
static_assert(optimizer<adamw_8bit, ql::cpu::context, float> && !optimizer<adamw, ql::cpu::context, float, 2>);

template <class T, std::size_t Rank, class O>
std::vector<T> ten_steps(const O& opt, double lr, std::array<std::int64_t, Rank> shape) {
  ql::cpu::context ctx;
  std::size_t n = 1;
  for (auto e : shape) n *= static_cast<std::size_t>(e);
  std::vector<T> w(n), g(n);
  for (std::size_t i = 0; i < n; ++i) w[i] = static_cast<T>(std::cos(static_cast<double>(i)));
  const ql::view<T, Rank> weights(w.data(), shape);
  auto s = opt.template init<T>(ctx, weights);
  for (int k = 1; k <= 10; ++k) {
    for (std::size_t i = 0; i < n; ++i) g[i] = static_cast<T>(std::sin(1 + k + 1.7 * static_cast<double>(i)) / k);
    opt.template step<T>(ctx, weights, ql::view<const T, Rank>(g.data(), shape), s, lr);
  }
  EXPECT_EQ(s.steps, 10);
  return w;
}
template <class T>
void expect_near(const std::vector<T>& got, std::span<const double> want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(static_cast<double>(got[i]), want[i], tolerance) << i;
}

TEST(OptimizerGoldens, AdamwAndSgd) {
  const adamw a{.beta2 = 0.95, .weight_decay = 0.1};
  expect_near(ten_steps<double, 1>(a, 0.003, {7}), goldens::adamw, 1e-14);
  expect_near(ten_steps<float, 1>(a, 0.003, {7}), goldens::adamw, 1e-6);
  const sgd s{.momentum = 0.9, .weight_decay = 0.1, .nesterov = true};
  expect_near(ten_steps<double, 1>(s, 0.003, {7}), goldens::sgd, 1e-14);
}
TEST(OptimizerGoldens, Muon) {
  expect_near(ten_steps<double, 2>(muon{}, 0.02, {3, 5}), goldens::muon_wide, 1e-12);
  expect_near(ten_steps<float, 2>(muon{}, 0.02, {3, 5}), goldens::muon_wide, 2e-5);
  const muon plain{.weight_decay = 0, .nesterov = false, .scale = muon_scale::match_rms_adamw};
  expect_near(ten_steps<double, 2>(plain, 0.02, {5, 3}), goldens::muon_tall_plain, 1e-12);
  const muon spectral{.scale = muon_scale::spectral, .iterations = 3};
  expect_near(ten_steps<double, 2>(spectral, 0.02, {4, 6}), goldens::muon_spectral, 1e-12);
  // PyTorch as it is orthogonalises in bfloat16: ten steps of 0.02 end within 0.02 of these
  expect_near(ten_steps<double, 2>(muon{}, 0.02, {3, 5}), goldens::muon_wide_bfloat16, 0.02);
}
TEST(OptimizerGoldens, Adafactor) {
  expect_near(ten_steps<double, 2>(adafactor{}, 0.01, {3, 5}), goldens::adafactor_matrix, 1e-12);
  expect_near(ten_steps<float, 2>(adafactor{}, 0.01, {3, 5}), goldens::adafactor_matrix, 2e-6);
  expect_near(ten_steps<double, 2>(adafactor{.scale_by_weights = false}, 0.01, {5, 3}), goldens::adafactor_plain,
              1e-12);
  const adafactor moment{.decay = 0.5, .clip = 0.5, .beta1 = 0.9, .weight_decay = 0.1};
  expect_near(ten_steps<double, 2>(moment, 0.01, {3, 5}), goldens::adafactor_moment, 1e-12);
  expect_near(ten_steps<double, 1>(adafactor{.weight_decay = 0.01}, 0.01, {7}), goldens::adafactor_vector, 1e-12);
}

TEST(Muon, OrthogonalisesToSingularValuesNearOne) {
  ql::testing::numbers r(5);
  const std::int64_t rows = 70, columns = 41;
  std::vector<double> u(static_cast<std::size_t>(rows * columns)), o(u.size());
  for (auto& v : u) v = r.uniform(-1, 1);
  muon{.iterations = 10}.orthogonalise<double>(ql::view<double, 2>(u.data(), {rows, columns}),
                                               ql::view<double, 2>(o.data(), {rows, columns}));
  // x^T (O^T O) x of unit vectors lies between the squares of the singular values
  for (int k = 0; k < 20; ++k) {
    std::vector<double> x(static_cast<std::size_t>(columns));
    double norm = 0, image = 0;
    for (auto& v : x) v = r.uniform(-1, 1), norm += v * v;
    for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
      double y = 0;
      for (std::size_t j = 0; j < x.size(); ++j) y += o[i * x.size() + j] * x[j];
      image += y * y;
    }
    EXPECT_GT(image / norm, 0.6 * 0.6);
    EXPECT_LT(image / norm, 1.3 * 1.3);
  }
}

TEST(MatrixOptimizers, KeepTheLaws) {
  ql::cpu::context ctx;
  EXPECT_EQ(laws::optimizer<2>(muon{}, ctx), "");
  EXPECT_EQ(laws::optimizer<2>(adafactor{}, ctx), "");
  EXPECT_EQ(laws::optimizer<2>(adafactor{.beta1 = 0.9}, ctx, 1, false), "");
  EXPECT_EQ(laws::optimizer(adafactor{.weight_decay = 0.1}, ctx), "");
}
TEST(MatrixOptimizers, RejectWhatDoesNotFit) {
  ql::cpu::context ctx;
  std::vector<float> w(12), g(12);
  const ql::view<float, 2> three(w.data(), {3, 4});
  const ql::view<const float, 2> turned(g.data(), {4, 3}), same(g.data(), {3, 4});
  auto s = muon{}.init<float>(ctx, three);
  EXPECT_THROW(muon{}.step<float>(ctx, three, turned, s, 0.1), ql::shape_error);
  EXPECT_THROW((muon{.momentum = 1}.step<float>(ctx, three, same, s, 0.1)), ql::argument_error);
  auto a = adafactor{}.init<float>(ctx, three);
  EXPECT_THROW(adafactor{}.step<float>(ctx, three, turned, a, 0.1), ql::shape_error);
  auto other = adafactor{}.init<float>(ctx, ql::view<float, 2>(w.data(), {4, 3}));
  EXPECT_THROW(adafactor{}.step<float>(ctx, three, same, other, 0.1), ql::shape_error);
  EXPECT_THROW((adafactor{.beta1 = 0.9}.step<float>(ctx, three, same, a, 0.1)), ql::shape_error);
  auto e = adamw_8bit{}.init<float>(ctx, w);
  const std::vector<float> few(5);
  EXPECT_THROW(adamw_8bit{}.step<float>(ctx, w, few, e, 0.1), ql::shape_error);
  static_assert(!valid(muon{.iterations = 0}) && !valid(adafactor{.eps1 = 0}) && !valid(adamw_8bit{{.eps = 0}}));
  // a gradient of zeros is no trouble
  for (auto& x : g) x = 0;
  for (auto& x : w) x = 1;
  muon{}.step<float>(ctx, three, same, s, 0.1);
  adafactor{}.step<float>(ctx, three, same, a, 0.1);
  adamw_8bit{}.step<float>(ctx, w, g, e, 0.1);
  for (float x : w) EXPECT_TRUE(std::isfinite(x));
}
}  // namespace
