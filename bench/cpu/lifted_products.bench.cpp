// SPDX-License-Identifier: Apache-2.0
// Products freed of the rules that ql's own keep (docs/numerics.md): few rows are dot products along rows of the
// weights, with as many partial sums as the units like; many rows are summed in two halves of the depth. What the rules
// cost is gemm_lifted/... against gemm/... in one run; `bench/compare.py` puts them side by side as ql_rules_lifted.
#include "cpu/support.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // false in GCC's own intrinsics, PR 105593
#endif
#include <immintrin.h>

#include <algorithm>
#include <utility>

namespace {

using namespace ql;
using bench::values, bench::weight;

#define QL_AVX512 __attribute__((target("avx512f,avx512bw")))

bool can_run() { return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0; }

// y[r][n] = sum over k of x[r][k] w[n][k], R rows at a time. Each of the sums is kept in `chains` vectors.
template <int R, int Chains>
QL_AVX512 void dots(const float* x, const float* w, std::int64_t n, std::int64_t k, float* y, std::int64_t ldy) {
  for (std::int64_t j = 0; j < n; ++j, w += k) {
    __m512 sum[R][Chains];
    for (int r = 0; r < R; ++r)
      for (int c = 0; c < Chains; ++c) sum[r][c] = _mm512_setzero_ps();
    for (std::int64_t i = 0; i < k; i += 16 * Chains)
      for (int c = 0; c < Chains; ++c) {
        const __m512 v = _mm512_loadu_ps(w + i + 16 * c);
        for (int r = 0; r < R; ++r) sum[r][c] = _mm512_fmadd_ps(_mm512_loadu_ps(x + r * k + i + 16 * c), v, sum[r][c]);
      }
    for (int r = 0; r < R; ++r) {
      for (int c = 1; c < Chains; ++c) sum[r][0] = _mm512_add_ps(sum[r][0], sum[r][c]);
      y[r * ldy + j] = _mm512_reduce_add_ps(sum[r][0]);
    }
  }
}

// The same for bf16 weights; x is float, even elements of each 32 first.
template <int R, int Chains>
QL_AVX512 void dots(const float* x, const bf16* w, std::int64_t n, std::int64_t k, float* y, std::int64_t ldy) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
  for (std::int64_t j = 0; j < n; ++j, w += k) {
    __m512 sum[R][Chains];
    for (int r = 0; r < R; ++r)
      for (int c = 0; c < Chains; ++c) sum[r][c] = _mm512_setzero_ps();
    for (std::int64_t i = 0; i < k; i += 16 * Chains)
      for (int c = 0; c < Chains; c += 2) {
        const __m512i v = _mm512_loadu_si512(w + i + 16 * c);
        const __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
        const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(v, high));
        for (int r = 0; r < R; ++r) {
          sum[r][c] = _mm512_fmadd_ps(_mm512_loadu_ps(x + r * k + i + 16 * c), even, sum[r][c]);
          sum[r][c + 1] = _mm512_fmadd_ps(_mm512_loadu_ps(x + r * k + i + 16 * c + 16), odd, sum[r][c + 1]);
        }
      }
    for (int r = 0; r < R; ++r) {
      for (int c = 1; c < Chains; ++c) sum[r][0] = _mm512_add_ps(sum[r][0], sum[r][c]);
      y[r * ldy + j] = _mm512_reduce_add_ps(sum[r][0]);
    }
  }
}

template <class T>
void few_rows(benchmark::State& state, std::int64_t m, std::int64_t n, std::int64_t k) {
  if (!can_run()) return state.SkipWithError("needs AVX-512");
  const auto bytes = n * k * static_cast<std::int64_t>(sizeof(T));
  const auto pool = std::clamp<std::int64_t>((std::int64_t{256} << 20) / bytes, 2, 256);
  const auto w = values<T>(pool * n * k);
  auto x = values<float>(m * k);
  std::vector<float> y(static_cast<std::size_t>(m * n));
  std::int64_t at = 0;
  for (auto _ : state) {
    const T* mine = w.data() + at * n * k;
    if (m == 1) {
      dots<1, 8>(x.data(), mine, n, k, y.data(), n);
    } else {
      dots<8, 2>(x.data(), mine, n, k, y.data(), n);
    }
    at = (at + 1) % pool;
    benchmark::ClobberMemory();
  }
  bench::rate(state, "gflops", 2e-9 * static_cast<double>(m * n * k));
  bench::rate(state, "weight_GB/s", 1e-9 * static_cast<double>(bytes));
}

// Two products of half the depth, the second added to the first.
template <class T>
void halves(benchmark::State& state, std::int64_t m, std::int64_t n, std::int64_t k) {
  using A = accumulate_t<T>;
  cpu::context ctx({.threads = bench::threads()});
  const auto half = k / 2;
  const weight<T> w(ctx, n, half);
  const auto x = values<T>(m * k);
  std::vector<A> y(static_cast<std::size_t>(m * n));
  const view<A, 2> out(y.data(), {m, n});
  for (auto _ : state) {
    linear_sum(ctx, view<const T, 2>(x.data(), {m, half}, {k, 1}), w.m, static_cast<const A*>(nullptr), out);
    linear_add(ctx, view<const T, 2>(x.data() + half, {m, half}, {k, 1}), w.m, out);
    benchmark::ClobberMemory();
  }
  bench::rate(state, "gflops", 2e-9 * static_cast<double>(m * n * k));
}

template <class T>
void register_type(const std::string& type) {
  const std::pair<std::int64_t, std::int64_t> shapes[] = {
      {256, 256}, {1024, 256}, {896, 896}, {4864, 896}, {896, 4864}};
  for (auto [n, k] : shapes)
    for (std::int64_t m : {1, 8, 64, 512, 2048}) {
      const auto name =
          "gemm_lifted/" + type + "/" + std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
      benchmark::RegisterBenchmark(
          name.c_str(), [=](benchmark::State& s) { m <= 8 ? few_rows<T>(s, m, n, k) : halves<T>(s, m, n, k); })
          ->Unit(benchmark::kMicrosecond)
          ->UseRealTime();
    }
}
[[maybe_unused]] const bool registered = (register_type<float>("float"), register_type<bf16>("bf16"), true);

}  // namespace
#endif
