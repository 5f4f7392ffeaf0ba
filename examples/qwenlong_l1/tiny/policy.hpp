// SPDX-License-Identifier: Apache-2.0
#pragma once

// The demonstration's policy: an ordinary Qwen2 shape of 115 thousand parameters, started so that it can learn to look
// things up within a minute. Two things help it: layer 0 begins with a head that attends to the token before, and
// layer 1 with a head that asks for what that head brought (an induction circuit). Both are plain weights; the
// checkpoint is an ordinary Qwen2 one.

#include <ql/backend/cpu/kernels.hpp>
#include <ql/model/decoder.hpp>

#include <cstdint>
#include <vector>

namespace ql::tiny {

inline model::decoder_config policy_shape(std::int64_t vocabulary) {
  model::decoder_config c;
  c.vocabulary = vocabulary;
  c.hidden = 64, c.layers = 2, c.heads = 2, c.kv_heads = 1, c.head_dim = 32, c.ffn = 192;
  c.qkv_bias = true, c.tied_head = true, c.norm_eps = 1e-6, c.rope.theta = 1e4;
  c.max_context = 4096;
  return c;
}

template <class T>
using policy_of = model::decoder<T, cpu::context>;

// Weights N(0, 1 / fan_in), what writes to the residual stream smaller by 0.3 / sqrt(2 layers), embeddings N(0, 0.1^2).
template <class T>
void initialise(cpu::context& ctx, policy_of<T>& policy, std::uint64_t seed) {
  using A = typename policy_of<T>::value_type;
  const auto& c = policy.config();
  policy.initialise(ctx, seed, 1.0);
  const double residual = 0.3 / math::sqrt(2.0 * static_cast<double>(c.layers));
  const auto scale = [](auto& p, double by) {
    for (std::int64_t i = 0; i < p.size(); ++i)
      p.master.data()[i] = static_cast<A>(static_cast<double>(p.master.data()[i]) * by);
  };
  for (auto& p : policy.parameters()) {
    if (p.vector()) continue;
    if (p.name == "model.embed_tokens.weight") {
      scale(p, 0.1);
      continue;
    }
    const bool writes = p.name.ends_with("o_proj.weight") || p.name.ends_with("down_proj.weight");
    scale(p, (writes ? residual : 1.0) / math::sqrt(static_cast<double>(p.columns)));
  }

  const auto at = [&](const char* name) -> A* { return policy.parameter(name).master.data(); };
  const auto d = c.head_dim, half = d / 2;
  {  // layer 0: a key (beta, 0) and a query (beta cos f, -beta sin f) of every fast pair meet best one token apart
    const auto f = model::rope_frequencies(c.rope, d);
    double turned = 0;
    for (double x : f)
      if (x >= 0.01) turned += 1.0 - math::cos(x);
    const double beta = math::sqrt(math::sqrt(static_cast<double>(d)) * 3.0 / turned);
    A* key = at("model.layers.0.self_attn.k_proj.bias");
    A* query = at("model.layers.0.self_attn.q_proj.bias");
    for (std::int64_t i = 0; i < half; ++i) {
      const double x = f[static_cast<std::size_t>(i)];
      if (x < 0.01) continue;
      key[i] = static_cast<A>(beta);
      query[i] = static_cast<A>(beta * math::cos(x));
      query[half + i] = static_cast<A>(-beta * math::sin(x));
    }
  }
  {  // layer 1, head 0: W_q = 2 |W_k| N with N = W_k W_o W_v (of layer 0, head 0), normalised
    const auto hidden = c.hidden;
    const A* k = at("model.layers.1.self_attn.k_proj.weight");  // (d, hidden)
    const A* o = at("model.layers.0.self_attn.o_proj.weight");  // (hidden, heads d)
    const A* v = at("model.layers.0.self_attn.v_proj.weight");  // (d, hidden)
    A* q = at("model.layers.1.self_attn.q_proj.weight");        // (heads d, hidden)
    const auto columns = c.heads * d;
    std::vector<double> ov(static_cast<std::size_t>(hidden * hidden), 0), n(static_cast<std::size_t>(d * hidden), 0);
    for (std::int64_t i = 0; i < hidden; ++i)
      for (std::int64_t j = 0; j < d; ++j)
        for (std::int64_t m = 0; m < hidden; ++m)
          ov[static_cast<std::size_t>(i * hidden + m)] +=
              static_cast<double>(o[i * columns + j]) * static_cast<double>(v[j * hidden + m]);
    double squares = 0, key_squares = 0;
    for (std::int64_t i = 0; i < d; ++i)
      for (std::int64_t m = 0; m < hidden; ++m) {
        double sum = 0;
        for (std::int64_t j = 0; j < hidden; ++j)
          sum += static_cast<double>(k[i * hidden + j]) * ov[static_cast<std::size_t>(j * hidden + m)];
        n[static_cast<std::size_t>(i * hidden + m)] = sum;
        squares += sum * sum;
        const double kim = static_cast<double>(k[i * hidden + m]);
        key_squares += kim * kim;
      }
    const double by = 2.0 * math::sqrt(key_squares) / math::sqrt(squares);
    for (std::int64_t i = 0; i < d * hidden; ++i) q[i] = static_cast<A>(by * n[static_cast<std::size_t>(i)]);
  }
  policy.publish(ctx);
}

// The same weights under another rotary embedding: how a policy is stretched to longer documents.
template <class T>
policy_of<T> with_rope(cpu::context& ctx, const policy_of<T>& from, const model::rope_config& rope) {
  auto c = from.config();
  c.rope = rope;
  policy_of<T> to(ctx, c, from.lanes());
  for (std::size_t i = 0; i < to.parameters().size(); ++i)
    std::copy_n(from.parameters()[i].master.data(), from.parameters()[i].size(), to.parameters()[i].master.data());
  to.publish(ctx);
  return to;
}

// YaRN by `factor` from the 128 tokens that warm-up reached.
inline model::rope_config stretched(double factor) {
  model::rope_config r;
  r.kind = model::rope_kind::yarn;
  r.theta = 1e4;
  r.factor = factor;
  r.original_context = 128;
  r.beta_fast = 8, r.beta_slow = 1;
  return r;
}

}  // namespace ql::tiny
