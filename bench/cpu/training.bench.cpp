// SPDX-License-Identifier: Apache-2.0
// Training steps: forward, backward, AdamW with float master weights and moments.
#include "cpu/support.hpp"

namespace {

using namespace ql;

template <class T>
void train(benchmark::State& state, const std::string& shape, std::int64_t sequences, std::int64_t length) {
  cpu::context ctx({.threads = bench::threads()});
  const auto config = bench::shape(shape);
  token_tree tree;
  for (std::int64_t s = 0; s < sequences; ++s)
    tree.add_root(bench::tokens(length, config.vocabulary, static_cast<std::uint32_t>(s)), role::action, true);
  bench::trainer<T> trainer(ctx, config, std::move(tree));
  for (auto _ : state) trainer.step();
  bench::rate(state, "tok_per_s", static_cast<double>(sequences * length));
  state.counters["peak_mb"] = static_cast<double>(ctx.peak_bytes() + ctx.scratch_bytes()) / 1e6;
}

// One prompt, G answers, loss on the answers: the prompt's forward and backward are shared.
template <class T>
void group_train(benchmark::State& state, std::int64_t prompt, std::int64_t answer, std::int64_t group) {
  cpu::context ctx({.threads = bench::threads()});
  const auto config = bench::shape("small");
  token_tree tree;
  const auto root = tree.add_root(bench::tokens(prompt, config.vocabulary, 0));
  for (std::int64_t g = 0; g < group; ++g)
    tree.add(root, bench::tokens(answer, config.vocabulary, static_cast<std::uint32_t>(g + 1)));
  bench::trainer<T> trainer(ctx, config, std::move(tree));
  for (auto _ : state) trainer.step();
  bench::rate(state, "tok_per_s", static_cast<double>(prompt + group * answer));
  state.counters["peak_mb"] = static_cast<double>(ctx.peak_bytes() + ctx.scratch_bytes()) / 1e6;
}

// What lanes cost: the same batch in 1 lane and in 8.
template <class T>
void lanes(benchmark::State& state, std::int32_t count) {
  cpu::context ctx({.threads = bench::threads()});
  const auto config = bench::shape("small");
  token_tree tree;
  for (std::uint32_t s = 0; s < 8; ++s) tree.add_root(bench::tokens(512, config.vocabulary, s), role::action, true);
  bench::policy<T> policy(ctx, config, {.lanes = count});
  bench::fill(ctx, policy);
  std::vector<float> logp(static_cast<std::size_t>(tree.tokens())), dlogp(logp.size(), -1e-3f);
  for (auto _ : state) {
    policy.zero_gradients(ctx);
    auto tape = policy.score(ctx, tree, {}, {logp, {}});
    policy.backward(ctx, tape, {dlogp, {}});
    policy.finish_gradients(ctx);
  }
  bench::rate(state, "tok_per_s", static_cast<double>(tree.tokens()));
  state.counters["peak_mb"] = static_cast<double>(ctx.peak_bytes() + ctx.scratch_bytes()) / 1e6;
}

void put(const char* name, void (*f)(benchmark::State&)) {
  benchmark::RegisterBenchmark(name, f)->Unit(benchmark::kMillisecond)->UseRealTime();
}

[[maybe_unused]] const bool registered = [] {
  put("train/small/float/4x1024", [](benchmark::State& s) { train<float>(s, "small", 4, 1024); });
  put("train/small/bf16/4x1024", [](benchmark::State& s) { train<bf16>(s, "small", 4, 1024); });
  put("train/half/float/1x256", [](benchmark::State& s) { train<float>(s, "half", 1, 256); });
  put("train/half/bf16/1x256", [](benchmark::State& s) { train<bf16>(s, "half", 1, 256); });
  put("train/half/bf16/4x512", [](benchmark::State& s) { train<bf16>(s, "half", 4, 512); });
  put("group_train/small/float/p4096_a128_g8", [](benchmark::State& s) { group_train<float>(s, 4096, 128, 8); });
  put("group_train/small/bf16/p4096_a128_g8", [](benchmark::State& s) { group_train<bf16>(s, 4096, 128, 8); });
  put("lanes/small/float/1", [](benchmark::State& s) { lanes<float>(s, 1); });
  put("lanes/small/float/8", [](benchmark::State& s) { lanes<float>(s, 8); });
  return true;
}();

}  // namespace
