// SPDX-License-Identifier: Apache-2.0
// What this shows: a backend of a third party in some 30 lines. It has a tag and a context of its own, implements one
// operation (SwiGLU, as a plain loop) and takes all others from the CPU backend. A decoder trains on it unchanged;
// since the loop rounds where docs/numerics.md says, every log-prob and gradient has the bits of the CPU backend.

#include <ql/backend/cpu/kernels.hpp>
#include <ql/model/decoder.hpp>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace workshop {

struct backend {};

class context : public ql::cpu::context {
 public:
  using backend = workshop::backend;
  using ql::cpu::context::context;
  long calls = 0;  // of the operation below
};

}  // namespace workshop

// What is not named below is the CPU's.
template <class Operation>
struct ql::kernel<Operation, workshop::backend> : ql::kernel<Operation, ql::cpu::backend> {};

template <>
struct ql::kernel<ql::swiglu_op, workshop::backend> {
  template <class T>
  static void run(workshop::context& ctx, view<const T, 2> gate, view<const T, 2> up, view<T, 2> y) {
    using A = accumulate_t<T>;
    ++ctx.calls;
    ctx.parallel_for(gate.extent(0), [&](std::int64_t r) {
      for (std::int64_t c = 0; c < gate.extent(1); ++c) {
        const A g = static_cast<A>(gate(r, c));
        const A sigmoid = A(1) / (A(1) + math::exp(A(0) - g));
        y(r, c) = static_cast<T>(g * sigmoid * static_cast<A>(up(r, c)));
      }
    });
  }
};
static_assert(ql::execution_context<workshop::context>);
static_assert(ql::has_kernel<ql::linear_op, workshop::backend> && ql::has_kernel<ql::swiglu_op, workshop::backend>);

namespace {

// Log-probs, entropies and all gradients of a small policy on a prompt with three answers.
template <class T, class Context>
std::vector<float> pass(Context& ctx) {
  ql::model::decoder_config shape;
  shape.vocabulary = 96, shape.hidden = 48, shape.layers = 3, shape.heads = 4, shape.kv_heads = 2, shape.ffn = 80;
  shape.qkv_bias = true;
  ql::model::decoder<T, Context> policy(ctx, shape);
  policy.initialise(ctx, 42, 0.2);
  ql::token_tree tree;
  const std::vector<ql::token> prompt{5, 6, 7, 8, 9, 10, 11};
  const auto root = tree.add_root(prompt);
  for (ql::token g = 0; g < 3; ++g) tree.add(root, std::vector<ql::token>{20 + g, 30, 40 + g, 50}, ql::role::action);
  std::vector<float> logp(static_cast<std::size_t>(tree.tokens())), entropy(logp.size()), dlogp(logp.size(), -0.1f);
  policy.zero_gradients(ctx);
  auto tape = policy.score(ctx, tree, {}, {logp, entropy});
  policy.backward(ctx, tape, {dlogp, {}});
  policy.finish_gradients(ctx);
  auto out = logp;
  out.insert(out.end(), entropy.begin(), entropy.end());
  for (const auto& p : policy.parameters()) out.insert(out.end(), p.gradient.data(), p.gradient.data() + p.size());
  return out;
}

template <class T>
bool same_bits(const char* name) {
  ql::cpu::context theirs;
  workshop::context ours({.threads = 2});
  const auto expected = pass<T>(theirs), got = pass<T>(ours);
  long differing = 0;
  for (std::size_t i = 0; i < expected.size(); ++i)
    differing += std::memcmp(&expected[i], &got[i], sizeof(float)) != 0 ? 1 : 0;
  std::printf("%-5s  %zu numbers, %ld differ from the CPU backend's; own kernel called %ld times\n", name,
              expected.size(), differing, ours.calls);
  return differing == 0 && expected.size() == got.size() && ours.calls > 0;
}

}  // namespace

int main() {
  const bool floats = same_bits<float>("float"), halves = same_bits<ql::bf16>("bf16");
  return floats && halves ? 0 : 1;
}
