// SPDX-License-Identifier: Apache-2.0
#pragma once

// Advantages with one value per token: returns, REINFORCE++, generalised advantage estimation, whitening.

#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/view.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace ql::rl {

// Packed tokens: sequence i owns [offsets[i], offsets[i + 1]). `reward` is per token. Masked tokens are passed over:
// the tokens on both sides are neighbours.
template <class T>
struct reward_batch {
  view<const std::int64_t, 1> offsets;
  view<const std::uint8_t, 1> mask;
  view<const T, 1> reward;
};

namespace detail {
template <class T>
void expects_rewards(std::string_view who, const reward_batch<T>& b, view<T, 1> out) {
  const std::int64_t n = b.reward.size();
  expects<shape_error>(out.size() == n, who, "out", n, out.size());
  expects<shape_error>(b.mask.empty() || b.mask.size() == n, who, "mask", n, b.mask.size());
  expects<shape_error>(b.offsets.size() >= 1 && b.offsets[0] == 0, who, "offsets", "offsets that begin with 0",
                       b.offsets.size());
  for (std::int64_t i = 0; i + 1 < b.offsets.size(); ++i)
    expects<shape_error>(b.offsets[i] <= b.offsets[i + 1], who, "offsets", "ascending offsets", b.offsets[i + 1]);
  expects<shape_error>(b.offsets[b.offsets.size() - 1] == n, who, "offsets", n, b.offsets[b.offsets.size() - 1]);
}
}  // namespace detail

// rho_t = -beta kl_t, plus the sequence's reward on its last loss token. `kl` may be empty (beta is then not used).
template <class T>
void token_rewards(view<const std::int64_t, 1> offsets, view<const std::uint8_t, 1> mask,
                   view<const T, 1> sequence_reward, view<const T, 1> kl, double beta, view<T, 1> out) {
  constexpr std::string_view me = "token_rewards";
  detail::expects_rewards<T>(me, {offsets, mask, out}, out);
  detail::expects<shape_error>(sequence_reward.size() == offsets.size() - 1, me, "sequence_reward", offsets.size() - 1,
                               sequence_reward.size());
  detail::expects<shape_error>(kl.empty() || kl.size() == out.size(), me, "kl", out.size(), kl.size());
  const T minus_beta = static_cast<T>(-beta);
  for (std::int64_t i = 0; i + 1 < offsets.size(); ++i) {
    bool last = true;
    for (std::int64_t t = offsets[i + 1]; t-- > offsets[i];) {
      if (!mask.empty() && mask[t] == 0) {
        out[t] = T(0);
        continue;
      }
      const T end = last ? sequence_reward[i] : T(0);
      out[t] = kl.empty() ? end : math::fma(minus_beta, kl[t], end);
      last = false;
    }
  }
}

// out_t = sum over s >= t of gamma^(s - t) reward_s; 0 on masked tokens.
template <class T>
void discounted_returns(const reward_batch<T>& b, double gamma, view<T, 1> out) {
  detail::expects_rewards("discounted_returns", b, out);
  for (std::int64_t i = 0; i + 1 < b.offsets.size(); ++i) {
    double sum = 0;
    for (std::int64_t t = b.offsets[i + 1]; t-- > b.offsets[i];) {
      if (!b.mask.empty() && b.mask[t] == 0) {
        out[t] = T(0);
        continue;
      }
      sum = math::fma(gamma, sum, static_cast<double>(b.reward[t]));
      out[t] = static_cast<T>(sum);
    }
  }
}

// (a - mean) / sqrt(var + eps) over loss tokens, in place; masked tokens stay as they are.
struct whiten {
  divisor spread = divisor::sample;  // verl, SkyRL: sample; OpenRLHF, NeMo-RL: population
  double eps = 1e-8;
  bool floor = false;  // sqrt(max(var, eps)) instead of sqrt(var + eps) (OpenRLHF, NeMo-RL)
  bool centre = true;

  constexpr void validate(rule_book& b) const { b.require(eps > 0, "whiten.eps", eps, "above 0", "use 1e-8"); }
  template <class T>
  void operator()(view<T, 1> a, view<const std::uint8_t, 1> mask = {}) const {
    expects_valid(*this);
    detail::expects<shape_error>(mask.empty() || mask.size() == a.size(), "whiten", "mask", a.size(), mask.size());
    std::vector<std::int64_t> kept;
    kept.reserve(static_cast<std::size_t>(a.size()));
    for (std::int64_t t = 0; t < a.size(); ++t)
      if (mask.empty() || mask[t] != 0) kept.push_back(t);
    const auto n = static_cast<std::int64_t>(kept.size());
    const auto m = detail::moments_of(
        0, n, spread, [&](std::int64_t k) { return static_cast<double>(a[kept[static_cast<std::size_t>(k)]]); });
    const double var = m.std * m.std;
    const double scale = math::sqrt(floor ? math::max(var, eps) : math::fma(m.std, m.std, eps));
    for (std::int64_t t : kept) a[t] = static_cast<T>((static_cast<double>(a[t]) - (centre ? m.mean : 0.0)) / scale);
  }
};

// out_t = value_i for the loss tokens of sequence i, 0 for the others.
template <class T>
void broadcast_to_tokens(view<const std::int64_t, 1> offsets, view<const std::uint8_t, 1> mask,
                         view<const T, 1> sequence_value, view<T, 1> out) {
  constexpr std::string_view me = "broadcast_to_tokens";
  detail::expects_rewards<T>(me, {offsets, mask, out}, out);
  detail::expects<shape_error>(sequence_value.size() == offsets.size() - 1, me, "sequence_value", offsets.size() - 1,
                               sequence_value.size());
  for (std::int64_t i = 0; i + 1 < offsets.size(); ++i)
    for (std::int64_t t = offsets[i]; t < offsets[i + 1]; ++t)
      out[t] = mask.empty() || mask[t] != 0 ? sequence_value[i] : T(0);
}

// Whitened returns of token rewards (with the KL inside): REINFORCE++, arXiv 2501.03262.
struct reinforce_pp {
  double gamma = 1.0;
  whiten normalise{};
  constexpr void validate(rule_book& b) const {
    b.require(gamma > 0 && gamma <= 1, "reinforce_pp.gamma", gamma, "in (0, 1]", "use 1");
    normalise.validate(b);
  }
  template <class T>
  void operator()(const reward_batch<T>& b, view<T, 1> out) const {
    expects_valid(*this);
    discounted_returns(b, gamma, out);
    normalise(out, b.mask);
  }
};

// (R_i - mean_G) on every loss token, whitened over the batch's loss tokens: REINFORCE++-baseline.
struct reinforce_pp_baseline {
  whiten normalise{};
  single_group single = single_group::reject;
  constexpr void validate(rule_book& b) const { normalise.validate(b); }
  template <class T>
  void operator()(const outcome_batch<T>& in, view<const std::int64_t, 1> offsets, view<const std::uint8_t, 1> mask,
                  view<T, 1> out) const {
    expects_valid(*this);
    std::vector<T> centred(static_cast<std::size_t>(in.reward.size()));
    dr_grpo_advantage{single}(in, view<T, 1>(centred));
    broadcast_to_tokens<T>(offsets, mask, centred, out);
    normalise(out, mask);
  }
};

// delta_t = rho_t + gamma V_{t+1} - V_t;  A_t = delta_t + gamma lambda A_{t+1};  V = A = 0 beyond the end.
// arXiv 1506.02438. Masked tokens carry both through. `returns` = A + V may be empty. Not whitened.
struct gae {
  double gamma = 1.0, lambda = 1.0;  // lambda 1: verl, OpenRLHF; 0.95: TRL
  constexpr void validate(rule_book& b) const {
    b.require(gamma >= 0 && gamma <= 1, "gae.gamma", gamma, "in [0, 1]", "use 1");
    b.require(lambda >= 0 && lambda <= 1, "gae.lambda", lambda, "in [0, 1]", "use 1 or 0.95");
  }
  template <class T>
  void operator()(const reward_batch<T>& b, view<const T, 1> values, view<T, 1> advantage,
                  view<T, 1> returns = {}) const {
    expects_valid(*this);
    detail::expects_rewards("gae", b, advantage);
    const std::int64_t n = b.reward.size();
    detail::expects<shape_error>(values.size() == n, "gae", "values", n, values.size());
    detail::expects<shape_error>(returns.empty() || returns.size() == n, "gae", "returns", n, returns.size());
    for (std::int64_t i = 0; i + 1 < b.offsets.size(); ++i) sequence(b, values, i, lambda, advantage, returns);
  }

  template <class T>
  void sequence(const reward_batch<T>& b, view<const T, 1> values, std::int64_t i, double lam, view<T, 1> advantage,
                view<T, 1> returns) const {
    double next_value = 0, next_advantage = 0;
    for (std::int64_t t = b.offsets[i + 1]; t-- > b.offsets[i];) {
      if (!b.mask.empty() && b.mask[t] == 0) {
        advantage[t] = T(0);
        if (!returns.empty()) returns[t] = T(0);
        continue;
      }
      const double v = static_cast<double>(values[t]);
      const double delta = math::fma(gamma, next_value, static_cast<double>(b.reward[t])) - v;
      next_advantage = math::fma(gamma * lam, next_advantage, delta);
      next_value = v;
      advantage[t] = static_cast<T>(next_advantage);
      if (!returns.empty()) returns[t] = static_cast<T>(next_advantage + v);
    }
  }
};

// VAPO (arXiv 2504.05118): the policy's lambda grows with the length of the sequence, 1 - 1 / (alpha L), never below 0;
// value targets use a lambda of their own.
struct vapo_gae {
  double gamma = 1.0, alpha = 0.05, value_lambda = 1.0;
  constexpr void validate(rule_book& b) const {
    b.require(gamma >= 0 && gamma <= 1, "vapo_gae.gamma", gamma, "in [0, 1]", "use 1");
    b.require(alpha > 0, "vapo_gae.alpha", alpha, "above 0", "use 0.05");
    b.require(value_lambda >= 0 && value_lambda <= 1, "vapo_gae.value_lambda", value_lambda, "in [0, 1]", "use 1");
  }
  constexpr double lambda(std::int64_t length) const {
    const double l = 1.0 - 1.0 / (alpha * static_cast<double>(length));
    return length > 0 && l > 0 ? l : 0.0;
  }
  template <class T>
  void operator()(const reward_batch<T>& b, view<const T, 1> values, view<T, 1> advantage, view<T, 1> returns) const {
    expects_valid(*this);
    gae{gamma, value_lambda}(b, values, advantage, returns);
    for (std::int64_t i = 0; i + 1 < b.offsets.size(); ++i) {
      std::int64_t length = 0;
      for (std::int64_t t = b.offsets[i]; t < b.offsets[i + 1]; ++t) length += b.mask.empty() || b.mask[t] != 0;
      gae{gamma, 1.0}.sequence(b, values, i, lambda(length), advantage, view<T, 1>{});
    }
  }
};

// G_t - B_t with B_t = sum_i G_{i,t} W_{i,t} / sum_i W_{i,t} over the sequences of a group that reach position t, and
// W_t = sum_{s <= t} (1 - 2 pi_s + sum_v pi_v^2); `squares` is sum_v pi_v^2 at each token. No baseline on the tail that
// only the longest member reaches. The optimal token baseline of verl.
struct optimal_token_baseline {
  double gamma = 1.0, eps = 1e-8;
  template <class T>
  void operator()(const reward_batch<T>& b, view<const std::int64_t, 1> groups, view<const T, 1> logp,
                  view<const T, 1> squares, view<T, 1> out) const {
    constexpr std::string_view me = "optimal_token_baseline";
    detail::expects_rewards(me, b, out);
    const std::int64_t n = b.reward.size();
    detail::expects<shape_error>(logp.size() == n, me, "logp", n, logp.size());
    detail::expects<shape_error>(squares.size() == n, me, "squares", n, squares.size());
    detail::expects<shape_error>(groups.size() >= 1 && groups[groups.size() - 1] == b.offsets.size() - 1, me, "groups",
                                 b.offsets.size() - 1, groups.empty() ? 0 : groups[groups.size() - 1]);
    discounted_returns(b, gamma, out);
    std::vector<double> weighted, weights;
    std::vector<std::int64_t> reached;
    const auto walk = [&](std::int64_t i, auto&& f) {  // f(token, position, W)
      double w = 0;
      std::int64_t position = 0;
      for (std::int64_t t = b.offsets[i]; t < b.offsets[i + 1]; ++t) {
        if (!b.mask.empty() && b.mask[t] == 0) continue;
        const double pi = math::exp(static_cast<double>(logp[t]));
        w += math::fma(-2.0, pi, 1.0) + static_cast<double>(squares[t]);
        f(t, static_cast<std::size_t>(position++), w);
      }
    };
    for (std::int64_t g = 0; g + 1 < groups.size(); ++g) {
      weighted.clear(), weights.clear(), reached.clear();
      for (std::int64_t i = groups[g]; i < groups[g + 1]; ++i)
        walk(i, [&](std::int64_t t, std::size_t p, double w) {
          if (p == weighted.size()) weighted.push_back(0), weights.push_back(0), reached.push_back(0);
          weighted[p] = math::fma(static_cast<double>(out[t]), w, weighted[p]);
          weights[p] += w;
          ++reached[p];
        });
      for (std::int64_t i = groups[g]; i < groups[g + 1]; ++i)
        walk(i, [&](std::int64_t t, std::size_t p, double) {
          if (reached[p] > 1) out[t] = static_cast<T>(static_cast<double>(out[t]) - weighted[p] / (weights[p] + eps));
        });
    }
  }
};

}  // namespace ql::rl
