// SPDX-License-Identifier: Apache-2.0
// Single operations, each against its limit: products in GF/s, everything else in GB/s of the bytes it must touch.
#include "cpu/support.hpp"

#include <algorithm>
#include <utility>

namespace {

using namespace ql;
using bench::values, bench::weight;

// y = x W^T; for few rows the weights rotate through a pool that no cache holds, as they do in decode.
template <class T>
void gemm(benchmark::State& state, std::int64_t m, std::int64_t n, std::int64_t k) {
  using A = accumulate_t<T>;
  cpu::context ctx({.threads = bench::threads()});
  const auto bytes = n * k * static_cast<std::int64_t>(sizeof(T));
  const auto pool = m <= 8 ? std::clamp<std::int64_t>((std::int64_t{256} << 20) / bytes, 2, 256) : 1;
  std::vector<weight<T>> weights;
  for (std::int64_t i = 0; i < pool; ++i) weights.emplace_back(ctx, n, k);
  for (auto& w : weights) w.m.master = w.master.data(), w.m.packed = w.packed.data();
  const auto x = values<T>(m * k);
  std::vector<A> y(static_cast<std::size_t>(m * n));
  std::size_t at = 0;
  for (auto _ : state) {
    linear_sum(ctx, view<const T, 2>(x.data(), {m, k}), weights[at].m, static_cast<const A*>(nullptr),
               view<A, 2>(y.data(), {m, n}));
    at = (at + 1) % weights.size();
    benchmark::ClobberMemory();
  }
  bench::rate(state, "gflops", 2e-9 * static_cast<double>(m * n * k));
  bench::rate(state, "weight_GB/s", 1e-9 * static_cast<double>(bytes));
}

template <class T>
void gemm_dx(benchmark::State& state, std::int64_t m, std::int64_t n, std::int64_t k) {
  using A = accumulate_t<T>;
  cpu::context ctx({.threads = bench::threads()});
  weight<T> w(ctx, n, k);
  const auto dy = values<A>(m * n);
  std::vector<A> dx(static_cast<std::size_t>(m * k));
  for (auto _ : state) linear_dx(ctx, view<const A, 2>(dy.data(), {m, n}), w.m, view<A, 2>(dx.data(), {m, k}), false);
  bench::rate(state, "gflops", 2e-9 * static_cast<double>(m * n * k));
}

template <class T>
void gemm_dw(benchmark::State& state, std::int64_t m, std::int64_t n, std::int64_t k) {
  using A = accumulate_t<T>;
  cpu::context ctx({.threads = bench::threads()});
  const auto dy = values<A>(m * n);
  const auto x = values<T>(m * k);
  std::vector<A> dw(static_cast<std::size_t>(n * k));
  for (auto _ : state)
    linear_dw(ctx, view<const A, 2>(dy.data(), {m, n}), view<const T, 2>(x.data(), {m, k}),
              view<A, 2>(dw.data(), {n, k}));
  bench::rate(state, "gflops", 2e-9 * static_cast<double>(m * n * k));
}

template <class T>
void norm(benchmark::State& state, std::int64_t m, std::int64_t n) {
  using A = accumulate_t<T>;
  cpu::context ctx({.threads = bench::threads()});
  const auto x = values<A>(m * n), w = values<A>(n);
  std::vector<T> y(static_cast<std::size_t>(m * n));
  std::vector<A> rstd(static_cast<std::size_t>(m));
  for (auto _ : state)
    rms_norm(ctx, view<const A, 2>(x.data(), {m, n}), w.data(), A(1e-6), view<T, 2>(y.data(), {m, n}), rstd.data());
  bench::rate(state, "GB/s", 1e-9 * static_cast<double>(m * n) * (sizeof(A) + sizeof(T)));
}

template <class T>
void gated(benchmark::State& state, std::int64_t m, std::int64_t n) {
  cpu::context ctx({.threads = bench::threads()});
  const auto g = values<T>(m * n), u = values<T>(m * n);
  std::vector<T> y(static_cast<std::size_t>(m * n));
  for (auto _ : state)
    swiglu(ctx, view<const T, 2>(g.data(), {m, n}), view<const T, 2>(u.data(), {m, n}), view<T, 2>(y.data(), {m, n}));
  bench::rate(state, "GB/s", 3e-9 * static_cast<double>(m * n) * sizeof(T));
}

// AdamW with the packed copy: 16 bytes read, 12 written and the copy.
template <class T>
void adamw(benchmark::State& state, std::int64_t n, std::int64_t k) {
  using A = accumulate_t<T>;
  cpu::context ctx({.threads = bench::threads()});
  weight<T> w(ctx, n, k);
  const auto g = values<A>(n * k);
  std::vector<A> m(g.size()), v(g.size());
  const adamw_args a{.lr = 1e-3,
                     .beta1 = .9,
                     .beta2 = .999,
                     .eps = 1e-8,
                     .weight_decay = 0.01,
                     .correction1 = .1,
                     .correction2 = .001};
  for (auto _ : state) adamw_step(ctx, a, w.m, w.master.data(), g.data(), m.data(), v.data(), w.packed.data());
  bench::rate(state, "GB/s", 1e-9 * static_cast<double>(n * k) * (28 + sizeof(T)));
  state.counters["ns_per_param"] = benchmark::Counter(
      static_cast<double>(n * k) * 1e-9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

template <class T>
void log_probs(benchmark::State& state, std::int64_t rows, std::int64_t vocabulary, std::int64_t k, bool back) {
  using A = accumulate_t<T>;
  cpu::context ctx({.threads = bench::threads()});
  weight<T> w(ctx, vocabulary, k);
  const auto h = values<T>(rows * k);
  const auto targets = bench::tokens(rows, vocabulary, 0);
  std::vector<A> logp(static_cast<std::size_t>(rows)), entropy(logp.size()), lse(logp.size()), dlogp(logp.size(), A(1));
  std::vector<A> dh(static_cast<std::size_t>(rows * k)), dw(static_cast<std::size_t>(vocabulary * k));
  vocabulary_dx_args<T> a;
  a.forward = {.head = w.m,
               .inverse_temperature = 1,
               .hidden = {h.data(), {rows, k}},
               .targets = targets,
               .support = {},
               .support_first = {},
               .logp = logp,
               .entropy = entropy,
               .lse = lse};
  a.dlogp = dlogp;
  a.dhidden = dh.data();
  a.dhead = dw.data();
  ql::vocabulary(ctx, a.forward);
  for (auto _ : state) {
    if (back) {
      vocabulary_dx(ctx, a);
    } else {
      ql::vocabulary(ctx, a.forward);
    }
  }
  bench::rate(state, "gflops", (back ? 6e-9 : 2e-9) * static_cast<double>(rows * vocabulary * k));
}

void register_all() {
  const std::pair<std::int64_t, std::int64_t> shapes[] = {
      {256, 256}, {1024, 256}, {896, 896}, {4864, 896}, {896, 4864}};
  const auto put = [](const std::string& name, auto f) {
    benchmark::RegisterBenchmark(name.c_str(), f)->Unit(benchmark::kMicrosecond)->UseRealTime();
  };
  for (auto [n, k] : shapes) {
    for (std::int64_t m : {1, 8, 64, 512, 2048}) {
      const auto tail = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
      put("gemm/float/" + tail, [=](benchmark::State& s) { gemm<float>(s, m, n, k); });
      put("gemm/bf16/" + tail, [=](benchmark::State& s) { gemm<bf16>(s, m, n, k); });
    }
    const auto tail = "512x" + std::to_string(n) + "x" + std::to_string(k);
    put("gemm_dx/float/" + tail, [=](benchmark::State& s) { gemm_dx<float>(s, 512, n, k); });
    put("gemm_dx/bf16/" + tail, [=](benchmark::State& s) { gemm_dx<bf16>(s, 512, n, k); });
    put("gemm_dw/float/" + tail, [=](benchmark::State& s) { gemm_dw<float>(s, 512, n, k); });
    put("gemm_dw/bf16/" + tail, [=](benchmark::State& s) { gemm_dw<bf16>(s, 512, n, k); });
  }
  put("rms_norm/float/1024x896", [](benchmark::State& s) { norm<float>(s, 1024, 896); });
  put("rms_norm/bf16/1024x896", [](benchmark::State& s) { norm<bf16>(s, 1024, 896); });
  put("swiglu/float/1024x4864", [](benchmark::State& s) { gated<float>(s, 1024, 4864); });
  put("swiglu/bf16/1024x4864", [](benchmark::State& s) { gated<bf16>(s, 1024, 4864); });
  put("adamw/float/8192x4864", [](benchmark::State& s) { adamw<float>(s, 8192, 4864); });
  put("adamw/bf16/8192x4864", [](benchmark::State& s) { adamw<bf16>(s, 8192, 4864); });
  put("log_probs/float/512x8192x896", [](benchmark::State& s) { log_probs<float>(s, 512, 8192, 896, false); });
  put("log_probs/bf16/512x8192x896", [](benchmark::State& s) { log_probs<bf16>(s, 512, 8192, 896, false); });
  put("log_probs_dx/float/512x8192x896", [](benchmark::State& s) { log_probs<float>(s, 512, 8192, 896, true); });
  put("log_probs_dx/bf16/512x8192x896", [](benchmark::State& s) { log_probs<bf16>(s, 512, 8192, 896, true); });
}
[[maybe_unused]] const bool registered = (register_all(), true);

}  // namespace
