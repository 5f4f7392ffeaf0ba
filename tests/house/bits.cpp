// SPDX-License-Identifier: Apache-2.0
// Prints one hash of a tiny forward, backward and sample for each scalar type. bits.py builds and runs it in many ways.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/model/session.hpp>
#include <ql/rl/sampler.hpp>

#include <cstdio>
#include <cstring>
#include <string_view>

namespace {

using namespace ql;

struct fnv {
  std::uint64_t value = 0xcbf29ce484222325u;
  template <class V>
  void add(const V* values, std::size_t n) {
    unsigned char bytes[sizeof(V)];
    for (std::size_t i = 0; i < n; ++i) {
      std::memcpy(bytes, values + i, sizeof(V));
      for (unsigned char b : bytes) value = (value ^ b) * 0x100000001b3u;
    }
  }
  template <class V>
  void add(const V& values) {
    add(values.data(), values.size());
  }
};

template <class T>
std::uint64_t hash() {
  using A = accumulate_t<T>;
  cpu::context ctx;
  model::decoder_config config;
  config.vocabulary = 70;
  config.hidden = 36;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 10;
  config.ffn = 50;
  config.qk_norm = config.qkv_bias = config.tied_head = true;
  config.rope.kind = model::rope_kind::yarn;
  config.rope.factor = 4;
  config.rope.original_context = 64;
  model::decoder<T, cpu::context> policy(ctx, config, {.lanes = 2, .unit_tokens = 60});
  policy.initialise(ctx, 5, 0.2);

  const random_key key{.seed = 2, .what = purpose::test};
  std::uint64_t position = 0;
  const auto ids = [&](std::size_t n) {
    std::vector<token> v(n);
    for (auto& id : v) id = static_cast<token>(uniform(key, position++) * 70);
    return v;
  };
  fnv h;
  for (const auto& d :
       {distribution{}, distribution{.temperature = 0.7, .top_k = 9, .top_p = 0.9, .rule = support_rule::frozen}}) {
    model::session<T, cpu::context> s(ctx, policy, {.prefill_chunk = 50});
    const auto root = s.add_root(ids(67));
    const auto question = s.add_segment(root, ids(5));
    const auto other = s.add_root(ids(9));
    for (std::uint32_t g = 0; g < 4; ++g) s.add_leaf(g % 2 == 0 ? question : other, 6 + g, {.seed = 1, .sample = g});
    rl::stochastic sampler(d);
    while (s.step(sampler, model::stop_tokens{{3}}) > 0) {
    }
    const auto r = s.finish();
    h.add(r.tree.ids());
    h.add(r.logp);
    h.add(r.entropy);
    std::vector<A> logp(r.logp.size()), entropy(r.logp.size()), dlogp, dentropy;
    typename model::decoder<T, cpu::context>::score_options o;
    o.distribution = d;
    o.support = &r.support;
    policy.zero_gradients(ctx);
    auto tape = policy.score(ctx, r.tree, o, {logp, entropy});
    for (std::size_t i = 0; i < logp.size(); ++i) {
      dlogp.push_back(static_cast<A>(uniform(key, position++) - 0.5));
      dentropy.push_back(static_cast<A>(uniform(key, position++) - 0.5));
    }
    policy.backward(ctx, tape, {dlogp, dentropy});
    policy.finish_gradients(ctx);
    h.add(logp);
    h.add(entropy);
    for (const auto& p : policy.parameters()) h.add(p.gradient.data(), static_cast<std::size_t>(p.size()));
  }
  return h.value;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) ql::cpu::use_kernels(std::string_view(argv[1]) == "best" ? "" : argv[1]);
  std::printf("float %016llx\n", static_cast<unsigned long long>(hash<float>()));
  std::printf("bf16 %016llx\n", static_cast<unsigned long long>(hash<ql::bf16>()));
}
