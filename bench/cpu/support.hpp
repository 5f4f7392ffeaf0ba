// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cpu/kernels.hpp>
#include <ql/model/decoder.hpp>
#include <ql/model/session.hpp>
#include <ql/policy_update.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/sampler.hpp>

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace ql::bench {

// The shapes of the peers: Qwen2-like, tied head, QKV bias.
inline model::decoder_config shape(const std::string& name) {
  model::decoder_config c;
  const bool small = name == "small";
  c.vocabulary = small ? 4096 : 8192;
  c.hidden = small ? 256 : 896;
  c.layers = small ? 4 : 24;
  c.heads = small ? 4 : 14;
  c.kv_heads = 2;
  c.ffn = small ? 1024 : 4864;
  c.qkv_bias = true;
  c.tied_head = true;
  return c;
}

// QL_BENCH_THREADS and QL_BENCH_KERNELS choose how the benchmarks run.
inline int threads() {
  if (const char* k = std::getenv("QL_BENCH_KERNELS")) cpu::use_kernels(k);
  const char* n = std::getenv("QL_BENCH_THREADS");
  return n == nullptr ? 1 : std::max(1, std::atoi(n));
}

inline std::vector<token> tokens(std::int64_t n, std::int64_t vocabulary, std::uint32_t stream) {
  std::vector<token> ids(static_cast<std::size_t>(n));
  const random_key key{.seed = 1, .what = purpose::test, .example = stream};
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<token>(random_bits(key, i)[0] % static_cast<std::uint64_t>(vocabulary));
  return ids;
}

template <class T>
using policy = model::decoder<T, cpu::context>;

// Weights of about the usual size, cheaply: a benchmark should not wait for normal deviates.
template <class T>
void fill(cpu::context& ctx, policy<T>& p) {
  std::uint32_t state = 1;
  for (auto& w : p.parameters())
    for (std::int64_t i = 0; i < w.size(); ++i) {
      state = state * 1664525u + 1013904223u;
      const auto unit = static_cast<float>(static_cast<std::int32_t>(state >> 8) - (1 << 23)) * 0x1p-23f;
      w.master.data()[i] = w.vector() && !w.name.ends_with(".bias") ? 1.0f : 0.035f * unit;
    }
  p.publish(ctx);
}

template <class T>
struct weight {  // a matrix, packed
  using A = accumulate_t<T>;
  std::vector<A> master;
  std::vector<T> packed;
  matrix<T> m;
  weight(cpu::context& ctx, std::int64_t n, std::int64_t k)
      : master(static_cast<std::size_t>(n * k)), packed(static_cast<std::size_t>(cpu::packed_size<T>(n, k))) {
    for (std::size_t i = 0; i < master.size(); ++i)
      master[i] = static_cast<A>(static_cast<int>(i * 2654435761u % 2001) - 1000) / 1000;
    m = {n, k, master.data(), packed.data()};
    pack(ctx, m, packed.data());
  }
};

template <class T>
std::vector<T> values(std::int64_t n) {
  std::vector<T> x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = T(static_cast<float>(static_cast<int>(i * 40503u % 1001) - 500) / 500);
  return x;
}

// Forward, backward and AdamW over a tree, again and again.
template <class T>
class trainer {
 public:
  using A = accumulate_t<T>;
  trainer(cpu::context& ctx, const model::decoder_config& c, token_tree tree)
      : ctx_(ctx), policy_(ctx, c), tree_(std::move(tree)), state_(make_optimizer_state(ctx, policy_, rl::adamw{})) {
    fill(ctx, policy_);
    logp_.resize(static_cast<std::size_t>(tree_.tokens()));
    dlogp_.resize(logp_.size());
    step();
  }
  void step() {
    policy_.zero_gradients(ctx_);
    auto tape = policy_.score(ctx_, tree_, {}, {logp_, {}});
    benchmark::DoNotOptimize(token_likelihood<A>(tree_, logp_, {}, dlogp_));
    policy_.backward(ctx_, tape, {dlogp_, {}});
    policy_.finish_gradients(ctx_);
    update_policy(ctx_, policy_, rl::adamw{}, state_, 1e-4);
  }
  const token_tree& tree() const { return tree_; }
  policy<T>& model() { return policy_; }

 private:
  cpu::context& ctx_;
  policy<T> policy_;
  token_tree tree_;
  policy_optimizer_state<policy<T>, rl::adamw> state_;
  std::vector<A> logp_, dlogp_;
};

inline void rate(benchmark::State& state, const char* name, double per_iteration) {
  state.counters[name] = benchmark::Counter(per_iteration, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace ql::bench
