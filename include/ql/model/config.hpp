// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/error.hpp>
#include <ql/math.hpp>

#include <concepts>
#include <cstdint>
#include <string>
#include <vector>

namespace ql::model {

enum class rope_kind : std::uint8_t { plain, linear, yarn, llama3 };

// Rotary position embedding, with the names and defaults of Hugging Face's rope_parameters.
struct rope_config {
  rope_kind kind = rope_kind::plain;
  double theta = 10000;
  double factor = 1;                     // how far the context is stretched (linear, yarn, llama3)
  std::int64_t original_context = 0;     // original_max_position_embeddings (yarn, llama3)
  double beta_fast = 32, beta_slow = 1;  // yarn
  double attention_factor = 0;           // yarn: scales cosine and sine; 0 = 0.1 ln(factor) + 1
  double low_frequency_factor = 1, high_frequency_factor = 4;  // llama3

  friend bool operator==(const rope_config&, const rope_config&) = default;
};

// The shape of a decoder: one definition for Qwen2 (qkv_bias), Qwen3 (qk_norm, its own head_dim) and Llama.
struct decoder_config {
  std::int64_t vocabulary = 0;
  std::int64_t hidden = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;  // 0 = hidden / heads
  std::int64_t ffn = 0;
  std::int64_t max_context = 32768;
  double norm_eps = 1e-6;
  bool qkv_bias = false;
  bool qk_norm = false;
  bool tied_head = false;
  rope_config rope;

  friend bool operator==(const decoder_config&, const decoder_config&) = default;
};

// The functions are templates so that their bodies cost a compiler nothing where nobody calls them.

// Throws argument_error naming the first field that cannot be; returns the config with head_dim filled in.
template <std::same_as<decoder_config> Config>
Config checked(Config c) {
  using ql::detail::expects;
  constexpr auto where = "decoder_config";
  const auto positive = [&](const char* name, std::int64_t v, std::int64_t most) {
    expects(v >= 1 && v <= most, where, name, "1 to " + std::to_string(most), v);
  };
  positive("vocabulary", c.vocabulary, 1 << 24);
  positive("hidden", c.hidden, 1 << 20);
  positive("layers", c.layers, 1 << 12);
  positive("heads", c.heads, 1 << 12);
  positive("kv_heads", c.kv_heads, 1 << 12);
  positive("ffn", c.ffn, 1 << 22);
  positive("max_context", c.max_context, std::int64_t{1} << 32);
  expects(c.heads % c.kv_heads == 0, where, "kv_heads", "a divisor of heads (" + std::to_string(c.heads) + ")",
          c.kv_heads);
  if (c.head_dim == 0) {
    expects(c.hidden % c.heads == 0, where, "heads", "a divisor of hidden, or an explicit head_dim", c.heads);
    c.head_dim = c.hidden / c.heads;
  }
  expects(c.head_dim >= 2 && c.head_dim % 2 == 0 && c.head_dim <= 1024, where, "head_dim", "an even number up to 1024",
          c.head_dim);
  expects(c.norm_eps > 0 && c.norm_eps < 1, where, "norm_eps", "between 0 and 1", c.norm_eps);
  expects(c.rope.theta > 1, where, "rope.theta", "more than 1", c.rope.theta);
  if (c.rope.kind != rope_kind::plain) expects(c.rope.factor >= 1, where, "rope.factor", "1 or more", c.rope.factor);
  if (c.rope.kind == rope_kind::yarn || c.rope.kind == rope_kind::llama3)
    expects(c.rope.original_context >= 1, where, "rope.original_context", "the context the model was trained with",
            c.rope.original_context);
  if (c.rope.kind == rope_kind::llama3)
    expects(c.rope.high_frequency_factor > c.rope.low_frequency_factor, where, "rope.high_frequency_factor",
            "more than low_frequency_factor", c.rope.high_frequency_factor);
  return c;
}

// Radians a position, for each of head_dim / 2 pairs.
// Sources: linear: arXiv 2306.15595; yarn: arXiv 2309.00071 (static, as transformers does it); llama3: Llama 3.1.
template <std::same_as<rope_config> Rope>
std::vector<double> rope_frequencies(const Rope& r, std::int64_t head_dim) {
  constexpr double two_pi = 6.283185307179586;
  const auto half = head_dim / 2;
  const double dim = static_cast<double>(head_dim), original = static_cast<double>(r.original_context);
  std::vector<double> f(static_cast<std::size_t>(half));
  // where a pair turns `turns` times over the original context
  const auto pair_of = [&](double turns) {
    return dim * math::log(original / (turns * two_pi)) / (2.0 * math::log(r.theta));
  };
  const auto whole = [](double x, bool up) {
    const auto n = static_cast<double>(static_cast<std::int64_t>(x));
    return up ? (n < x ? n + 1 : n) : (n > x ? n - 1 : n);
  };
  double low = 0, high = 0;
  if (r.kind == rope_kind::yarn) {
    low = math::max(whole(pair_of(r.beta_fast), false), 0.0);
    high = math::min(whole(pair_of(r.beta_slow), true), dim - 1.0);
    if (low == high) high += 0.001;
  }
  for (std::int64_t i = 0; i < half; ++i) {
    const double plain = 1.0 / math::pow(r.theta, 2.0 * static_cast<double>(i) / dim);
    double v = plain;
    switch (r.kind) {
      case rope_kind::plain: break;
      case rope_kind::linear: v = plain / r.factor; break;
      case rope_kind::yarn: {
        const double ramp = math::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
        v = math::fma(plain / r.factor, ramp, plain * (1.0 - ramp));
        break;
      }
      case rope_kind::llama3: {
        const double wave = two_pi / plain;
        if (wave > original / r.low_frequency_factor) {
          v = plain / r.factor;
        } else if (wave >= original / r.high_frequency_factor) {
          const double smooth =
              (original / wave - r.low_frequency_factor) / (r.high_frequency_factor - r.low_frequency_factor);
          v = math::fma(1.0 - smooth, plain / r.factor, smooth * plain);
        }
        break;
      }
    }
    f[static_cast<std::size_t>(i)] = v;
  }
  return f;
}

// What cosine and sine are multiplied by.
template <std::same_as<rope_config> Rope>
double rope_scale(const Rope& r) {
  if (r.kind != rope_kind::yarn || r.factor <= 1) return 1.0;
  return r.attention_factor > 0 ? r.attention_factor : math::fma(0.1, math::log(r.factor), 1.0);
}

}  // namespace ql::model
