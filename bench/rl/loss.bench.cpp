// SPDX-License-Identifier: Apache-2.0
// Losses with their gradients over a million tokens, beside what one core copies from and to memory. The batches take
// turns, so that everything comes from DRAM. `GB_per_s` counts each stream that is read or written once, as the triad's
// does; `of_triad` is their ratio.
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/kl.hpp>
#include <ql/rl/policy_loss.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace {
using namespace ql::rl;

constexpr std::int64_t tokens = 1 << 20, length = 1024, batches = 8;

struct streams {
  std::vector<float> logp, old, ref, advantage, dlogp, dentropy, entropy, each;
  std::vector<std::uint8_t> mask;
};

struct work {
  std::vector<std::int64_t> offsets;
  std::vector<streams> batch;

  work() : batch(batches) {
    for (std::int64_t i = 0; i <= tokens / length; ++i) offsets.push_back(i * length);
    std::uint32_t state = 1;
    const auto draw = [&](float low, float high) {
      state = state * 1664525u + 1013904223u;
      return low + (high - low) * static_cast<float>(state >> 8) * 0x1p-24f;
    };
    for (auto& b : batch) {
      for (std::int64_t t = 0; t < tokens; ++t) {
        b.old.push_back(draw(-3, -0.01f));
        b.logp.push_back(b.old.back() + draw(-0.3f, 0.3f));
        b.ref.push_back(b.old.back() + draw(-0.3f, 0.3f));
        b.entropy.push_back(draw(0, 2));
        b.mask.push_back(draw(0, 1) < 0.9f);
        b.each.push_back(draw(-1, 1));
      }
      for (std::int64_t i = 0; i < tokens / length; ++i) b.advantage.push_back(draw(-1, 1));
      b.dlogp.resize(static_cast<std::size_t>(tokens));
      b.dentropy.resize(static_cast<std::size_t>(tokens));
    }
  }
};
work& all() {
  static work w;
  return w;
}

// Bytes a second of a[i] = b[i] + 3 c[i] over the same memory, the best of some rounds.
double triad() {
  static const double best = [] {
    double most = 0;
    auto& w = all();
    for (int round = 0; round < 5; ++round) {
      const auto begin = std::chrono::steady_clock::now();
      for (auto& b : w.batch) {
        float* QL_RESTRICT to = b.dlogp.data();
        const float *QL_RESTRICT x = b.logp.data(), *QL_RESTRICT y = b.old.data();
        for (std::int64_t t = 0; t < tokens; ++t) to[t] = x[t] + 3.0f * y[t];
        benchmark::ClobberMemory();
      }
      const std::chrono::duration<double> s = std::chrono::steady_clock::now() - begin;
      most = std::max(most, 12.0 * static_cast<double>(tokens * batches) / s.count());
    }
    return most;
  }();
  return best;
}

template <class Loss>
using aggregation_of =
    std::conditional_t<std::is_void_v<required_aggregation_t<Loss>>, token_mean, required_aggregation_t<Loss>>;

enum class shape { sequence, token_masked };

template <class Loss>
void run(benchmark::State& state, const Loss& loss, shape how, double bytes_per_token) {
  auto& w = all();
  std::size_t turn = 0;
  double value = 0;
  for (auto _ : state) {
    auto& s = w.batch[turn++ % batches];
    token_batch<float> b;
    b.offsets = w.offsets, b.logp = s.logp, b.old = s.old, b.ref = s.ref, b.entropy = s.entropy;
    if (how == shape::sequence) {
      b.sequence_advantage = s.advantage;
    } else {
      b.advantage = s.each, b.mask = s.mask;
    }
    loss_gradient<float> out{s.dlogp, {}};
    if (has(Loss::reads, input::entropy)) out.dentropy = s.dentropy;
    const auto r = apply_loss(loss, b, aggregation_of<Loss>{}, out);
    value += r.value;
  }
  benchmark::DoNotOptimize(value);
  const double bytes = bytes_per_token * static_cast<double>(tokens);
  state.counters["tok_per_s"] =
      benchmark::Counter(static_cast<double>(tokens), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GB_per_s"] = benchmark::Counter(bytes / 1e9, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["of_triad"] = benchmark::Counter(bytes / triad(), benchmark::Counter::kIsIterationInvariantRate);
}

void memory(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(triad());
  state.counters["GB_per_s"] = triad() / 1e9;
}

template <class F>
void put(const char* name, F f) {
  benchmark::RegisterBenchmark(name, f)->Unit(benchmark::kMillisecond)->UseRealTime();
}

[[maybe_unused]] const bool registered = [] {
  put("loss/memory_triad", memory);
  // logp and old read, dlogp written
  put("loss/float/clip", [](benchmark::State& s) { run(s, clip{}, shape::sequence, 12); });
  // and an advantage and a byte of mask for each token
  put("loss/float/clip_token_masked", [](benchmark::State& s) { run(s, clip{}, shape::token_masked, 17); });
  put("loss/float/gspo", [](benchmark::State& s) { run(s, gspo{}, shape::sequence, 12); });
  // and ref
  put("loss/float/clip_kl", [](benchmark::State& s) { run(s, kl_penalized{clip{}, k3{}, 0.01}, shape::sequence, 16); });
  // and entropy read, dentropy written
  put("loss/float/clip_kl_entropy",
      [](benchmark::State& s) { run(s, entropy_bonus{kl_penalized{clip{}, k3{}, 0.01}, 0.001}, shape::sequence, 24); });
  return true;
}();

}  // namespace
