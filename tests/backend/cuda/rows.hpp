// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backend/cuda/operations.hpp"

namespace ql::test::device {

template <class T>
class CudaRows : public testing::Test {};
TYPED_TEST_SUITE_P(CudaRows);

inline constexpr std::int64_t count = 39, wide_row = 301, words = 50;

template <class E>
view<E, 2> host_view(std::vector<E>& v, std::int64_t rows) {
  return {v.data(), {rows, static_cast<std::int64_t>(v.size()) / rows}};
}
template <class E>
view<const E, 2> host_view(const std::vector<E>& v, std::int64_t rows) {
  return {v.data(), {rows, static_cast<std::int64_t>(v.size()) / rows}};
}

// Moved values are the same; so are those whose order both backends share.
TYPED_TEST_P(CudaRows, EmbeddingGatheringAndColumns) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  numbers r(1);
  const auto table = normals<A>(r, words * wide_row), dx = normals<A>(r, count * wide_row),
             start = normals<A>(r, words * wide_row);
  std::vector<token> ids;
  for (int i = 0; i < count; ++i) ids.push_back(static_cast<token>(r.below(words)));
  cpu::context host;
  auto ctx = device_context();
  matrix<T> w{words, wide_row, table.data(), nullptr};
  std::vector<A> x(dx.size()), dw = start, gathered(dx.size()), sums(start.begin(), start.begin() + wide_row),
                               rounded(table.size()), folded = start;
  ql::embed(host, std::span<const token>(ids), w, host_view(x, count));
  ql::embed_dw(host, std::span<const token>(ids), host_view(dx, count), host_view(dw, words));
  ql::gather_rows(host, table.data(), std::span<const token>(ids), wide_row, gathered.data());
  ql::column_sum(host, host_view(dx, count), view<A, 1>(sums));
  ql::round_to(host, T{}, table.data(), static_cast<std::int64_t>(table.size()), rounded.data());
  ql::fold(host, table.data(), static_cast<std::int64_t>(table.size()), folded.data());

  mirror<A> dtable(ctx, table), ddx(ctx, dx), ddw(ctx, start), dgathered(ctx, gathered), dsums(ctx, sums), out(ctx, x),
      drounded(ctx, start), dfolded(ctx, start);
  std::vector<A> first(start.begin(), start.begin() + wide_row);
  ctx.copy_in(first.data(), wide_row, dsums.data());
  ql::embed(ctx, std::span<const token>(ids), matrix<T>{words, wide_row, dtable.data(), nullptr}, out.as(count));
  ql::embed_dw(ctx, std::span<const token>(ids), ddx.in(count), ddw.as(words));
  ql::gather_rows(ctx, static_cast<const A*>(dtable.data()), std::span<const token>(ids), wide_row, dgathered.data());
  ql::column_sum(ctx, ddx.in(count), view<A, 1, device_space>(dsums.data(), wide_row));
  ql::round_to(ctx, T{}, static_cast<const A*>(dtable.data()), words * wide_row, drounded.data());
  ql::fold(ctx, static_cast<const A*>(dtable.data()), words * wide_row, dfolded.data());
  EXPECT_EQ(difference(out.host(), x), "");
  EXPECT_EQ(difference(ddw.host(), dw), "");
  EXPECT_EQ(difference(dgathered.host(), gathered), "");
  EXPECT_EQ(difference(dsums.host(), sums), "");
  EXPECT_EQ(difference(drounded.host(), rounded), "");
  EXPECT_EQ(difference(dfolded.host(), folded), "");
  ids[3] = words;
  EXPECT_THROW(
      ql::embed(ctx, std::span<const token>(ids), matrix<T>{words, wide_row, dtable.data(), nullptr}, out.as(count)),
      ql::argument_error);
  EXPECT_THROW(ql::embed_dw(ctx, std::span<const token>(ids), ddx.in(count), ddw.as(words)), ql::argument_error);
  EXPECT_THROW(ql::embed(ctx, std::span<const token>(ids).first(3), matrix<T>{words, wide_row, dtable.data(), nullptr},
                         out.as(count)),
               ql::shape_error);
}

TYPED_TEST_P(CudaRows, NormsAndSwiglu) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  numbers r(2);
  const auto x = normals<A>(r, count * wide_row, 3), w = normals<A>(r, wide_row), dy = normals<A>(r, count * wide_row);
  const auto gate = normals<T>(r, count * wide_row), up = normals<T>(r, count * wide_row);
  cpu::context host;
  auto ctx = device_context();
  std::vector<T> y(gate.size()), act(gate.size());
  std::vector<A> rstd(count), dx = dy, dw = w, dgate(dy.size()), dup(dy.size());
  mirror<A> mx(ctx, x), mw(ctx, w), mdy(ctx, dy), mrstd(ctx, rstd), mdx(ctx, dx), mdw(ctx, dw), mdgate(ctx, dgate),
      mdup(ctx, dup);
  mirror<T> my(ctx, y), mgate(ctx, gate), mup(ctx, up), mact(ctx, act);
  ql::rms_norm(host, host_view(x, count), w.data(), A(1e-5), host_view(y, count), rstd.data());
  ql::rms_norm_dx(host, host_view(dy, count), host_view(x, count), w.data(), static_cast<const A*>(rstd.data()),
                  host_view(dx, count));
  ql::rms_norm_dw(host, host_view(dy, count), host_view(x, count), static_cast<const A*>(rstd.data()), dw.data());
  ql::swiglu(host, host_view(gate, count), host_view(up, count), host_view(act, count));
  ql::swiglu_dx(host, host_view(gate, count), host_view(up, count), host_view(dy, count), host_view(dgate, count),
                host_view(dup, count));
  ql::rms_norm(ctx, mx.in(count), static_cast<const A*>(mw.data()), A(1e-5), my.as(count), mrstd.data());
  ql::rms_norm_dx(ctx, mdy.in(count), mx.in(count), static_cast<const A*>(mw.data()),
                  static_cast<const A*>(mrstd.data()), mdx.as(count));
  ql::rms_norm_dw(ctx, mdy.in(count), mx.in(count), static_cast<const A*>(mrstd.data()), mdw.data());
  ql::swiglu(ctx, mgate.in(count), mup.in(count), mact.as(count));
  ql::swiglu_dx(ctx, mgate.in(count), mup.in(count), mdy.in(count), mdgate.as(count), mdup.as(count));
  EXPECT_LT(distance(my.host(), y, 8), tolerance<T>("rms_norm"));
  EXPECT_LT(distance(mrstd.host(), rstd), 1e-6);
  EXPECT_LT(distance(mdx.host(), dx, 4), tolerance<T>("rms_norm gradient"));
  EXPECT_LT(distance(mdw.host(), dw, 16), tolerance<T>("rms_norm gradient"));
  EXPECT_EQ(difference(mact.host(), act), "");  // element by element, by the same functions
  EXPECT_EQ(difference(mdgate.host(), dgate), "");
  EXPECT_EQ(difference(mdup.host(), dup), "");
  // a row alone
  mirror<T> one(ctx, std::vector<T>(wide_row));
  ql::rms_norm(ctx, mx.in(count).rows(17, 1), static_cast<const A*>(mw.data()), A(1e-5), one.as(1),
               static_cast<A*>(nullptr));
  const auto all = my.host();
  EXPECT_EQ(difference(std::span<const T>(one.host()), std::span<const T>(all).subspan(17 * wide_row, wide_row)), "");
}

TYPED_TEST_P(CudaRows, UpdatesAndNorms) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  numbers r(3);
  const std::int64_t n = norm_block + 4321;
  const auto start = normals<A>(r, n), g = normals<A>(r, n), m0 = normals<A>(r, n, 0.1);
  auto v0 = m0;
  for (auto& v : v0) v = v * v;
  cpu::context host;
  auto ctx = device_context();
  const adamw_args adam{.lr = 1e-2,
                        .beta1 = 0.9,
                        .beta2 = 0.98,
                        .eps = 1e-8,
                        .weight_decay = 0.1,
                        .correction1 = 0.1,
                        .correction2 = 0.02,
                        .gradient_scale = 0.7};
  const sgd_args sgd{.lr = 1e-2, .momentum = 0.9, .weight_decay = 0.1, .nesterov = true, .gradient_scale = 0.7};
  auto w = start, m = m0, v = v0, momentum = m0;
  mirror<A> dw(ctx, w), dg(ctx, g), dm(ctx, m), dv(ctx, v), dmomentum(ctx, momentum);
  mirror<T> packed(ctx, std::vector<T>(start.size()));
  T* const none = nullptr;
  const matrix<T> shape{1, n, w.data(), nullptr}, dshape{1, n, dw.data(), nullptr};
  ql::adamw_step(host, adam, shape, w.data(), g.data(), m.data(), v.data(), none);
  ql::sgd_step(host, sgd, shape, w.data(), g.data(), momentum.data(), none);
  const A* dgp = dg.data();
  ql::adamw_step(ctx, adam, dshape, dw.data(), dgp, dm.data(), dv.data(), none);
  ql::sgd_step(ctx, sgd, dshape, dw.data(), dgp, dmomentum.data(), packed.data());
  EXPECT_EQ(difference(dw.host(), w), "");  // element by element: the same roundings
  EXPECT_EQ(difference(dm.host(), m), "");
  EXPECT_EQ(difference(dv.host(), v), "");
  EXPECT_EQ(difference(dmomentum.host(), momentum), "");
  std::vector<T> rounded;
  for (A x : w) rounded.push_back(to<T>(x));
  EXPECT_EQ(difference(packed.host(), rounded), "");
  const double expected = ql::sum_of_squares(host, g.data(), n), got = ql::sum_of_squares(ctx, dgp, n);
  EXPECT_NEAR(got / expected, 1, 1e-14);
  // a value that is not finite shows in the norm, which is what a step asks
  const A infinity = std::numeric_limits<A>::infinity();
  ctx.copy_in(&infinity, 1, dg.data() + n - 1);
  EXPECT_FALSE(std::isfinite(ql::sum_of_squares(ctx, dgp, n)));
}

REGISTER_TYPED_TEST_SUITE_P(CudaRows, EmbeddingGatheringAndColumns, NormsAndSwiglu, UpdatesAndNorms);

}  // namespace ql::test::device
