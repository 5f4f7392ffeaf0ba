// SPDX-License-Identifier: Apache-2.0
// A program that links cuBLASLt starts where there is no driver, and says so in words. Where there is a device its
// products are held against ql's own. Usage: fast
#include <ql/backend/cuda/fast.hpp>
#include <ql/backend/cuda/kernels.hpp>
#include <ql/random.hpp>

#include <cmath>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace ql;

std::vector<float> some(std::int64_t n, std::uint32_t which) {
  std::vector<float> x(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i)
    x[static_cast<std::size_t>(i)] = static_cast<float>(
        uniform({.seed = 3, .what = purpose::test, .sample = which}, static_cast<std::uint64_t>(i)) - 0.5);
  return x;
}

// All products of a layer: forward with and without bias, both gradients; their results one after the other.
template <class T, class Context>
std::vector<float> products(Context& ctx, std::int64_t rows, std::int64_t depth, std::int64_t columns) {
  using cuda::device_view;
  auto scope = ctx.scratch();
  const auto on_device = [&](std::int64_t n, std::uint32_t which) {
    return scope.copy(std::span<const float>(some(n, which)));
  };
  const float *master = on_device(columns * depth, 0), *bias = on_device(columns, 1);
  T *packed = scope.template take<T>(columns * depth), *x = scope.template take<T>(rows * depth),
    *rounded = scope.template take<T>(rows * columns);
  const matrix<T> w{columns, depth, master, packed};
  pack(ctx, w, packed);
  pack(ctx, matrix<T>{rows, depth, on_device(rows * depth, 2), x}, x);
  const device_view<const T, 2> in(x, {rows, depth});
  const device_view<const float, 2> dy(on_device(rows * columns, 3), {rows, columns});
  const device_view<float, 2> y(on_device(rows * columns, 4), {rows, columns}),
      dx(on_device(rows * depth, 5), {rows, depth}), dw(on_device(columns * depth, 6), {columns, depth});
  std::vector<float> all;
  const auto keep = [&](const float* from, std::int64_t n) {
    const auto at = all.size();
    all.resize(at + static_cast<std::size_t>(n));
    ctx.copy_out(from, n, all.data() + at);
  };
  linear_sum(ctx, in, w, bias, y);
  keep(y.data_handle(), y.size());
  linear_add(ctx, in, w, y);
  keep(y.data_handle(), y.size());
  linear_dx(ctx, dy, w, dx, true);
  keep(dx.data_handle(), dx.size());
  linear_dw(ctx, dy, in, dw);
  keep(dw.data_handle(), dw.size());
  for (const float* b : {static_cast<const float*>(nullptr), bias}) {
    linear(ctx, in, w, b, device_view<T, 2>(rounded, {rows, columns}));
    std::vector<T> host(static_cast<std::size_t>(rows * columns));
    ctx.copy_out(static_cast<const T*>(rounded), rows * columns, host.data());
    for (T v : host) all.push_back(static_cast<float>(v));
  }
  return all;
}

template <class T>
bool near(std::int64_t rows, std::int64_t depth, std::int64_t columns, double bound) {
  cuda::context exact;
  cuda::fast_context fast;
  const auto a = products<T>(exact, rows, depth, columns), b = products<T>(fast, rows, depth, columns);
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double e = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(e <= worst)) worst = e;
  }
  const bool ok = worst <= bound;
  std::printf("%-4s %s %lld x %lld x %lld: %.3g apart (at most %.3g)\n", ok ? "ok" : "FAIL",
              std::string(scalar_name<T>).c_str(), static_cast<long long>(rows), static_cast<long long>(depth),
              static_cast<long long>(columns), worst, bound);
  return ok;
}

}  // namespace

int main() {
  std::printf("cuBLASLt %lld\n", static_cast<long long>(cuda::cublaslt::version()));
  if (cuda::cublaslt::version() < 120000) return 1;
  const auto have = cuda::available();
  if (!have) {
    try {
      cuda::fast_context ctx;
    } catch (const backend_error& e) {
      std::printf("%s\n", e.what());
      return std::string(e.what()).find(have.why) == std::string::npos ? 1 : 0;
    }
    return 1;  // a context of no device
  }
  bool ok = true;
  for (const std::int64_t rows : {1, 7, 64, 300}) {
    ok = near<float>(rows, 896, 520, 1e-3) && ok;  // sums of 896 products of up to 1/4
    ok = near<bf16>(rows, 896, 520, 0.07) && ok;   // rounded results of about 10 have steps of 1/16
  }
  return ok ? 0 : 1;
}
