// SPDX-License-Identifier: Apache-2.0
// Prefill, decode and group rollouts through sessions.
#include "cpu/support.hpp"

#include <chrono>

namespace {

using namespace ql;

struct never {
  bool operator()(std::span<const token>) const { return false; }
};

template <class T>
bench::policy<T> make(cpu::context& ctx, const model::decoder_config& config) {
  bench::policy<T> policy(ctx, config);
  bench::fill(ctx, policy);
  return policy;
}

template <class T>
void prefill(benchmark::State& state, const std::string& shape, std::int64_t length) {
  cpu::context ctx({.threads = bench::threads()});
  const auto config = bench::shape(shape);
  auto policy = make<T>(ctx, config);
  const auto ids = bench::tokens(length, config.vocabulary, 0);
  for (auto _ : state) {
    model::session<T, cpu::context> s(ctx, policy);
    benchmark::DoNotOptimize(s.add_root(ids));
  }
  bench::rate(state, "tok_per_s", static_cast<double>(length));
}

// `batch` prompts of 128 tokens, 64 tokens each; the clock runs for the decoding alone.
template <class T>
void decode(benchmark::State& state, const std::string& shape, std::int64_t batch) {
  cpu::context ctx({.threads = bench::threads()});
  const auto config = bench::shape(shape);
  auto policy = make<T>(ctx, config);
  for (auto _ : state) {
    model::session<T, cpu::context> s(ctx, policy);
    for (std::int64_t b = 0; b < batch; ++b) {
      const auto root = s.add_root(bench::tokens(128, config.vocabulary, static_cast<std::uint32_t>(b)));
      s.add_leaf(root, 65, {.seed = 1, .example = static_cast<std::uint32_t>(b)});
    }
    rl::greedy greedy;
    s.step(greedy, never{});
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 64; ++i) s.step(greedy, never{});
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  bench::rate(state, "tok_per_s", static_cast<double>(64 * batch));
}

template <class T>
void group_rollout(benchmark::State& state, std::int64_t prompt, std::int64_t answer, std::uint32_t group) {
  cpu::context ctx({.threads = bench::threads()});
  const auto config = bench::shape("small");
  auto policy = make<T>(ctx, config);
  const auto ids = bench::tokens(prompt, config.vocabulary, 0);
  for (auto _ : state) {
    model::session<T, cpu::context> s(ctx, policy);
    const auto root = s.add_root(ids);
    for (std::uint32_t g = 0; g < group; ++g) s.add_leaf(root, answer, {.seed = 1, .sample = g});
    rl::stochastic draw;
    while (s.step(draw, never{}) > 0) {
    }
    benchmark::DoNotOptimize(s.finish());
  }
  bench::rate(state, "tok_per_s", static_cast<double>(answer * group));
}

void put(const char* name, void (*f)(benchmark::State&), bool manual_time = false) {
  auto* b = benchmark::RegisterBenchmark(name, f)->Unit(benchmark::kMillisecond);
  if (manual_time) {
    b->UseManualTime();
  } else {
    b->UseRealTime();
  }
}

[[maybe_unused]] const bool registered = [] {
  put("decode/small/float/b1", [](benchmark::State& s) { decode<float>(s, "small", 1); }, true);
  put("decode/small/float/b8", [](benchmark::State& s) { decode<float>(s, "small", 8); }, true);
  put("decode/small/float/b16", [](benchmark::State& s) { decode<float>(s, "small", 16); }, true);
  put("decode/small/float/b64", [](benchmark::State& s) { decode<float>(s, "small", 64); }, true);
  put("decode/small/bf16/b1", [](benchmark::State& s) { decode<bf16>(s, "small", 1); }, true);
  put("decode/small/bf16/b8", [](benchmark::State& s) { decode<bf16>(s, "small", 8); }, true);
  put("decode/small/bf16/b16", [](benchmark::State& s) { decode<bf16>(s, "small", 16); }, true);
  put("decode/small/bf16/b64", [](benchmark::State& s) { decode<bf16>(s, "small", 64); }, true);
  put("decode/half/float/b1", [](benchmark::State& s) { decode<float>(s, "half", 1); }, true);
  put("decode/half/float/b8", [](benchmark::State& s) { decode<float>(s, "half", 8); }, true);
  put("decode/half/float/b16", [](benchmark::State& s) { decode<float>(s, "half", 16); }, true);
  put("decode/half/float/b64", [](benchmark::State& s) { decode<float>(s, "half", 64); }, true);
  put("decode/half/bf16/b1", [](benchmark::State& s) { decode<bf16>(s, "half", 1); }, true);
  put("decode/half/bf16/b8", [](benchmark::State& s) { decode<bf16>(s, "half", 8); }, true);
  put("decode/half/bf16/b16", [](benchmark::State& s) { decode<bf16>(s, "half", 16); }, true);
  put("decode/half/bf16/b64", [](benchmark::State& s) { decode<bf16>(s, "half", 64); }, true);
  put("prefill/small/float/512", [](benchmark::State& s) { prefill<float>(s, "small", 512); });
  put("prefill/small/bf16/512", [](benchmark::State& s) { prefill<bf16>(s, "small", 512); });
  put("prefill/half/float/512", [](benchmark::State& s) { prefill<float>(s, "half", 512); });
  put("prefill/half/bf16/512", [](benchmark::State& s) { prefill<bf16>(s, "half", 512); });
  put("group_rollout/small/float/p4096_a128_g8", [](benchmark::State& s) { group_rollout<float>(s, 4096, 128, 8); });
  put("group_rollout/small/bf16/p4096_a128_g8", [](benchmark::State& s) { group_rollout<bf16>(s, 4096, 128, 8); });
  return true;
}();

}  // namespace
