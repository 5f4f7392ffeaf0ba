// SPDX-License-Identifier: Apache-2.0
#pragma once

// Advantages from one reward per sequence: group-relative estimators. Where systems differ (baseline, scale, divisor,
// epsilon, a group of one) there is a named choice; presets.hpp holds each system's set. All sums run in double, in
// index order. Token-level estimators (GAE, REINFORCE++) are in token_advantage.hpp.

#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/view.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ql::rl {

// One entry per sequence; the sequences of a prompt are adjacent: group g owns [groups[g], groups[g + 1]).
template <class T>
struct outcome_batch {
  view<const T, 1> reward;
  view<const std::int64_t, 1> groups;  // (groups + 1)
  view<const std::int64_t, 1> length;  // (sequences) loss tokens; OPO reads it
  view<const std::int32_t, 1> task;    // (sequences) any ids; task_std reads it
  view<const T, 1> greedy;             // (groups) reward of the greedy answer; ReMax reads it
  view<const T, 2> rewards;            // (kinds, sequences); GDPO reads it instead of reward

  std::int64_t sequences() const { return reward.empty() ? rewards.extent(1) : reward.size(); }
};

// `a(outcomes, out)` writes one advantage per sequence.
template <class A, class T>
concept advantage_estimator = std::copyable<A> && requires(const A& a, const outcome_batch<T>& in, view<T, 1> out) {
  { a(in, out) } -> std::same_as<void>;
};

// A group of one sequence has no baseline.
enum class single_group {
  reject,      // an error (TRL)
  raw_reward,  // mean 0, std 1: the advantage is the reward (verl)
  zero         // no gradient (NeMo-RL ignores the sample)
};
enum class divisor { sample, population };  // n - 1, n

namespace detail {

struct moments {
  double mean = 0, std = 0;
};
// Two passes in index order over value(i), i in [first, last), skipping `except`.
template <class F>
moments moments_of(std::int64_t first, std::int64_t last, divisor d, F&& value, std::int64_t except = -1) {
  double sum = 0;
  std::int64_t n = 0;
  for (std::int64_t i = first; i < last; ++i)
    if (i != except) sum += value(i), ++n;
  moments m;
  if (n == 0) return m;
  m.mean = sum / static_cast<double>(n);
  double squares = 0;
  for (std::int64_t i = first; i < last; ++i) {
    if (i == except) continue;
    const double x = value(i) - m.mean;
    squares = math::fma(x, x, squares);
  }
  const std::int64_t free = d == divisor::sample ? n - 1 : n;
  m.std = free > 0 ? math::sqrt(squares / static_cast<double>(free)) : 0.0;
  return m;
}

template <class T>
void expects_outcomes(std::string_view who, const outcome_batch<T>& in, view<T, 1> out) {
  const std::int64_t n = in.reward.size();
  expects<shape_error>(out.size() == n, who, "out", n, out.size());
  expects<shape_error>(in.groups.size() >= 1 && in.groups[0] == 0, who, "groups", "offsets that begin with 0",
                       in.groups.size());
  for (std::int64_t g = 0; g + 1 < in.groups.size(); ++g)
    expects<shape_error>(in.groups[g] <= in.groups[g + 1], who, "groups", "ascending offsets", in.groups[g + 1]);
  expects<shape_error>(in.groups[in.groups.size() - 1] == n, who, "groups", n, in.groups[in.groups.size() - 1]);
}

// Calls f(first, last) for each group of two or more, and deals with groups of one as told.
template <class T, class F>
void for_each_group(std::string_view who, const outcome_batch<T>& in, view<T, 1> out, single_group single, F&& f) {
  expects_outcomes(who, in, out);
  for (std::int64_t g = 0; g + 1 < in.groups.size(); ++g) {
    const std::int64_t first = in.groups[g], last = in.groups[g + 1];
    if (last - first == 1) {
      expects(single != single_group::reject, who, "groups",
              "at least 2 sequences in each group (or a single_group rule)", "group " + std::to_string(g) + " with 1");
      out[first] = single == single_group::raw_reward ? in.reward[first] : T(0);
    } else if (first < last) {
      f(first, last);
    }
  }
}

}  // namespace detail

// (R_i - mean_G) / (std_G + eps), arXiv 2402.03300. A group of equal rewards gives 0.
//   rewards 1, 0, 0, 1: 0.866024, -0.866024, -0.866024, 0.866024
struct grpo_advantage {
  double eps = 1e-6;  // verl, NeMo-RL, slime, SkyRL 1e-6; TRL 1e-4; OpenRLHF 1e-9
  divisor spread = divisor::sample;
  bool leave_one_out = false;  // mean and std over the others (NeMo-RL's default); an undivided value where std is 0
  single_group single = single_group::reject;

  constexpr void validate(rule_book& b) const { b.require(eps > 0, "grpo_advantage.eps", eps, "above 0", "use 1e-6"); }
  template <class T>
  void operator()(const outcome_batch<T>& in, view<T, 1> out) const {
    expects_valid(*this);
    detail::for_each_group(me, in, out, single, [&](std::int64_t first, std::int64_t last) {
      const auto value = [&](std::int64_t i) { return static_cast<double>(in.reward[i]); };
      auto m = detail::moments_of(first, last, spread, value);
      for (std::int64_t i = first; i < last; ++i) {
        if (leave_one_out) m = detail::moments_of(first, last, spread, value, i);
        const double centred = value(i) - m.mean;
        out[i] = static_cast<T>(leave_one_out && m.std == 0 ? centred : centred / (m.std + eps));
      }
    });
  }

 private:
  static constexpr std::string_view me = "grpo_advantage";
};

// R_i - mean_G, to be used with sequence_mean_token_sum_norm: Dr.GRPO, arXiv 2503.20783.
struct dr_grpo_advantage {
  single_group single = single_group::reject;
  template <class T>
  void operator()(const outcome_batch<T>& in, view<T, 1> out) const {
    detail::for_each_group("dr_grpo_advantage", in, out, single, [&](std::int64_t first, std::int64_t last) {
      const auto value = [&](std::int64_t i) { return static_cast<double>(in.reward[i]); };
      const double mean = detail::moments_of(first, last, divisor::sample, value).mean;
      for (std::int64_t i = first; i < last; ++i) out[i] = static_cast<T>(value(i) - mean);
    });
  }
};

// R_i minus the mean of the others, G / (G - 1) (R_i - mean_G): RLOO, arXiv 2402.14740.
struct rloo_advantage {
  single_group single = single_group::reject;
  template <class T>
  void operator()(const outcome_batch<T>& in, view<T, 1> out) const {
    detail::for_each_group("rloo_advantage", in, out, single, [&](std::int64_t first, std::int64_t last) {
      const auto value = [&](std::int64_t i) { return static_cast<double>(in.reward[i]); };
      const double mean = detail::moments_of(first, last, divisor::sample, value).mean;
      const double n = static_cast<double>(last - first), up = n / (n - 1.0);
      for (std::int64_t i = first; i < last; ++i) out[i] = static_cast<T>(up * (value(i) - mean));
    });
  }
};

// (R_i - mean_G) / (std over the whole batch + eps): LitePPO (arXiv 2508.08221), TRL's scale_rewards="batch".
struct batch_std_advantage {
  double eps = 1e-6;
  divisor spread = divisor::sample;
  single_group single = single_group::reject;
  constexpr void validate(rule_book& b) const {
    b.require(eps > 0, "batch_std_advantage.eps", eps, "above 0", "use 1e-6");
  }
  template <class T>
  void operator()(const outcome_batch<T>& in, view<T, 1> out) const {
    expects_valid(*this);
    const auto value = [&](std::int64_t i) { return static_cast<double>(in.reward[i]); };
    const double std = detail::moments_of(0, in.reward.size(), spread, value).std;
    detail::for_each_group("batch_std_advantage", in, out, single, [&](std::int64_t first, std::int64_t last) {
      const double mean = detail::moments_of(first, last, spread, value).mean;
      for (std::int64_t i = first; i < last; ++i) out[i] = static_cast<T>((value(i) - mean) / (std + eps));
    });
  }
};

// (R_i - mean_G) / (std of the rewards of the same task in the batch + eps): QwenLong-L1.5, arXiv 2512.12967.
// The released snippet divides by eps alone when a task has one sample; here such a task's std is 1.
struct task_std_advantage {
  double eps = 1e-6;
  divisor spread = divisor::sample;
  single_group single = single_group::reject;
  constexpr void validate(rule_book& b) const {
    b.require(eps > 0, "task_std_advantage.eps", eps, "above 0", "use 1e-6");
  }
  template <class T>
  void operator()(const outcome_batch<T>& in, view<T, 1> out) const {
    expects_valid(*this);
    const std::int64_t n = in.reward.size();
    detail::expects<shape_error>(in.task.size() == n, "task_std_advantage", "task", n, in.task.size());
    const auto value = [&](std::int64_t i) { return static_cast<double>(in.reward[i]); };
    std::vector<std::int64_t> by_task(static_cast<std::size_t>(n));  // samples of a task in index order
    for (std::int64_t i = 0; i < n; ++i) by_task[static_cast<std::size_t>(i)] = i;
    std::sort(by_task.begin(), by_task.end(), [&](std::int64_t a, std::int64_t b) {
      return in.task[a] != in.task[b] ? in.task[a] < in.task[b] : a < b;
    });
    std::vector<double> std(static_cast<std::size_t>(n));
    for (std::int64_t first = 0, last = 0; first < n; first = last) {
      const auto at = [&](std::int64_t k) { return by_task[static_cast<std::size_t>(k)]; };
      while (last < n && in.task[at(last)] == in.task[at(first)]) ++last;
      const double s = last - first == 1
                           ? 1.0
                           : detail::moments_of(first, last, spread, [&](std::int64_t k) { return value(at(k)); }).std;
      for (std::int64_t k = first; k < last; ++k) std[static_cast<std::size_t>(at(k))] = s;
    }
    detail::for_each_group("task_std_advantage", in, out, single, [&](std::int64_t first, std::int64_t last) {
      const double mean = detail::moments_of(first, last, spread, value).mean;
      for (std::int64_t i = first; i < last; ++i)
        out[i] = static_cast<T>((value(i) - mean) / (std[static_cast<std::size_t>(i)] + eps));
    });
  }
};

// R_i - R(greedy answer of the same prompt): ReMax, arXiv 2310.10505.
struct remax_advantage {
  template <class T>
  void operator()(const outcome_batch<T>& in, view<T, 1> out) const {
    detail::expects_outcomes("remax_advantage", in, out);
    detail::expects<shape_error>(in.greedy.size() == in.groups.size() - 1, "remax_advantage", "greedy",
                                 in.groups.size() - 1, in.greedy.size());
    for (std::int64_t g = 0; g + 1 < in.groups.size(); ++g)
      for (std::int64_t i = in.groups[g]; i < in.groups[g + 1]; ++i) out[i] = in.reward[i] - in.greedy[g];
  }
};

// R_i - sum L R / sum L: OPO, arXiv 2505.23585. Meant for exact on-policy updates without KL or entropy terms.
struct opo_advantage {
  single_group single = single_group::reject;
  static constexpr bool on_policy_only = true;
  template <class T>
  void operator()(const outcome_batch<T>& in, view<T, 1> out) const {
    const std::int64_t n = in.reward.size();
    detail::expects<shape_error>(in.length.size() == n, "opo_advantage", "length", n, in.length.size());
    detail::for_each_group("opo_advantage", in, out, single, [&](std::int64_t first, std::int64_t last) {
      double weighted = 0, total = 0;
      for (std::int64_t i = first; i < last; ++i) {
        const double length = static_cast<double>(in.length[i]);
        detail::expects(length >= 0, "opo_advantage", "length", "at least 0", in.length[i]);
        weighted = math::fma(length, static_cast<double>(in.reward[i]), weighted);
        total += length;
      }
      const double baseline = total > 0 ? weighted / total : 0.0;
      for (std::int64_t i = first; i < last; ++i) out[i] = static_cast<T>(static_cast<double>(in.reward[i]) - baseline);
    });
  }
};

// alpha (R_i - mean_G) / scale, alpha = samples / samples with a reward that is not 0: GPG, arXiv 2504.02546.
struct gpg_advantage {
  double scale = 1.0;
  single_group single = single_group::reject;
  constexpr void validate(rule_book& b) const {
    b.require(scale > 0, "gpg_advantage.scale", scale, "above 0", "use 1");
  }
  template <class T>
  void operator()(const outcome_batch<T>& in, view<T, 1> out) const {
    expects_valid(*this);
    const std::int64_t n = in.reward.size();
    std::int64_t rewarded = 0;
    for (std::int64_t i = 0; i < n; ++i) rewarded += in.reward[i] != T(0) ? 1 : 0;
    const double alpha = static_cast<double>(n) / static_cast<double>(rewarded > 0 ? rewarded : 1);
    dr_grpo_advantage{single}(in, out);
    for (std::int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(alpha * static_cast<double>(out[i]) / scale);
  }
};

// (R_max - R_second) / (std_G + eps) for the best member, 0 for the others: Pass@k GRPO, arXiv 2503.19595.
struct pass_at_k_advantage {
  double eps = 1e-6;
  bool normalise = true;
  constexpr void validate(rule_book& b) const {
    b.require(eps > 0, "pass_at_k_advantage.eps", eps, "above 0", "use 1e-6");
  }
  template <class T>
  void operator()(const outcome_batch<T>& in, view<T, 1> out) const {
    expects_valid(*this);
    detail::for_each_group("pass_at_k_advantage", in, out, single_group::reject,
                           [&](std::int64_t first, std::int64_t last) {
                             const auto value = [&](std::int64_t i) { return static_cast<double>(in.reward[i]); };
                             std::int64_t best = first;
                             for (std::int64_t i = first + 1; i < last; ++i)
                               if (value(i) > value(best)) best = i;
                             std::int64_t second = best == first ? first + 1 : first;
                             for (std::int64_t i = first; i < last; ++i)
                               if (i != best && value(i) > value(second)) second = i;
                             const double std = detail::moments_of(first, last, divisor::sample, value).std;
                             const double gap = value(best) - value(second);
                             for (std::int64_t i = first; i < last; ++i) out[i] = T(0);
                             out[best] = static_cast<T>(normalise ? gap / (std + eps) : gap);
                           });
  }
};

// (R_i - mean_G) / (mean_G + eps): MaxRL, arXiv 2602.02710. Rewards in [0, 1].
struct max_rl_advantage {
  double eps = 1e-6;
  single_group single = single_group::reject;
  constexpr void validate(rule_book& b) const {
    b.require(eps > 0, "max_rl_advantage.eps", eps, "above 0", "use 1e-6");
  }
  template <class T>
  void operator()(const outcome_batch<T>& in, view<T, 1> out) const {
    expects_valid(*this);
    detail::for_each_group("max_rl_advantage", in, out, single, [&](std::int64_t first, std::int64_t last) {
      const auto value = [&](std::int64_t i) { return static_cast<double>(in.reward[i]); };
      const double mean = detail::moments_of(first, last, divisor::sample, value).mean;
      for (std::int64_t i = first; i < last; ++i) out[i] = static_cast<T>((value(i) - mean) / (mean + eps));
    });
  }
};

// Each kind of reward normalised as GRPO does, summed with its weight, then whitened over the batch's sequences:
// GDPO, arXiv 2601.05242. No weights: all 1.
struct gdpo_advantage {
  std::span<const double> weights{};
  double eps = 1e-6;
  bool whiten = true;
  template <class T>
  void operator()(const outcome_batch<T>& in, view<T, 1> out) const {
    constexpr std::string_view me = "gdpo_advantage";
    const std::int64_t kinds = in.rewards.extent(0), n = in.rewards.extent(1);
    detail::expects<shape_error>(weights.empty() || static_cast<std::int64_t>(weights.size()) == kinds, me, "weights",
                                 kinds, weights.size());
    detail::expects<shape_error>(out.size() == n, me, "out", n, out.size());
    std::vector<double> total(static_cast<std::size_t>(n));
    std::vector<T> one(static_cast<std::size_t>(n));
    for (std::int64_t k = 0; k < kinds; ++k) {
      auto kind = in;
      kind.reward = in.rewards.row(k);
      grpo_advantage{.eps = eps}(kind, view<T, 1>(one));
      const double w = weights.empty() ? 1.0 : weights[static_cast<std::size_t>(k)];
      for (std::size_t i = 0; i < total.size(); ++i) total[i] = math::fma(w, static_cast<double>(one[i]), total[i]);
    }
    const auto m =
        detail::moments_of(0, n, divisor::sample, [&](std::int64_t i) { return total[static_cast<std::size_t>(i)]; });
    for (std::int64_t i = 0; i < n; ++i) {
      const double a = total[static_cast<std::size_t>(i)];
      out[i] = static_cast<T>(whiten ? (a - m.mean) / (m.std + eps) : a);
    }
  }
};

}  // namespace ql::rl
