// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which samples or tasks come next, by what is known of their scores. Draws depend on a key alone.

#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/random.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/view.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ql::rl {

// PF-PPO (arXiv 2409.06957): the samples of a batch are drawn again, with replacement, by the size of their scores.
struct pf_ppo {
  enum class rule {
    power,       // |score|^power
    extremes,    // 1 for the largest and the least score, 0 for the others
    best_random  // 0.4 for the largest score, 0.1 for the others
  };
  rule by = rule::power;
  double power = 2.0;
  double floor = 1e-8;  // added to every weight, so that a batch of zeros can be drawn from

  constexpr void validate(rule_book& b) const {
    b.require(power > 0, "pf_ppo.power", power, "above 0", "use 2");
    b.require(floor > 0, "pf_ppo.floor", floor, "above 0", "use 1e-8");
  }
  // score (samples) -> weight (samples), not normalised.
  template <class T>
  void weights(view<const T, 1> score, view<double, 1> weight) const {
    expects_valid(*this);
    detail::expects<shape_error>(weight.size() == score.size(), "pf_ppo", "weight", score.size(), weight.size());
    double most = 0, least = 0;
    for (std::int64_t i = 0; i < score.size(); ++i) {
      const double s = static_cast<double>(score[i]);
      detail::expects(math::isfinite(s), "pf_ppo", "score", "finite scores", s);
      if (i == 0 || s > most) most = s;
      if (i == 0 || s < least) least = s;
    }
    for (std::int64_t i = 0; i < score.size(); ++i) {
      const double s = static_cast<double>(score[i]);
      double w = 0;
      switch (by) {
        case rule::power: w = s == 0 ? 0.0 : power == 2.0 ? s * s : math::pow(math::abs(s), power); break;
        case rule::extremes: w = s == most || s == least ? 1.0 : 0.0; break;
        case rule::best_random: w = s == most ? 0.4 : 0.1; break;
      }
      weight[i] = w + floor;
    }
  }
  // chosen[k] = the index of the sample that takes place k: the first whose cumulative weight exceeds u_k of the total.
  template <class T>
  void operator()(view<const T, 1> score, const random_key& key, view<std::int64_t, 1> chosen) const {
    std::vector<double> sum(static_cast<std::size_t>(score.size()));
    weights<T>(score, sum);
    detail::expects<shape_error>(chosen.empty() || !sum.empty(), "pf_ppo", "score", "at least one", 0);
    for (std::size_t i = 1; i < sum.size(); ++i) sum[i] += sum[i - 1];
    for (std::int64_t k = 0; k < chosen.size(); ++k) {
      const double target = uniform(key, static_cast<std::uint64_t>(k)) * sum.back();
      const auto at = std::upper_bound(sum.begin(), sum.end(), target);
      chosen[k] = std::min<std::int64_t>(at - sum.begin(), score.size() - 1);
    }
  }
};

// Tasks weighed by the pool that holds the mean score of their last group (prime-rl). The means are the caller's state:
// one a task, NaN before the first group, and belong into the checkpoint.
//   difficulty_pools{{{0, 0.2, 0.5}, {0.2, 0.8, 1.0}, {0.8, 1.0, 0.1}}}: mostly tasks that are solved now and then
struct difficulty_pools {
  struct pool {
    double low, high;  // low <= mean < high; the last pool holds its high too
    double weight;
  };
  std::vector<pool> pools;
  double unseen = 1.0;  // the weight of a task without a mean, or with one that no pool holds

  void validate(rule_book& b) const {
    b.require(unseen >= 0, "difficulty_pools.unseen", unseen, "at least 0", "use 1");
    for (std::size_t i = 0; i < pools.size(); ++i) {
      b.require(pools[i].low < pools[i].high, "difficulty_pools.high", pools[i].high, "above low", "order the bounds");
      b.require(pools[i].weight >= 0, "difficulty_pools.weight", pools[i].weight, "at least 0",
                "use 0 to leave it out");
      b.require(i == 0 || pools[i - 1].high <= pools[i].low, "difficulty_pools.low", pools[i].low,
                "at or above the high of the pool before", "pools must not overlap");
    }
  }
  double weight(double mean) const {
    for (std::size_t i = 0; i < pools.size(); ++i)
      if (mean >= pools[i].low && (mean < pools[i].high || (i + 1 == pools.size() && mean == pools[i].high)))
        return pools[i].weight;
    return unseen;
  }
  // Draws chosen.size() different tasks, each next one by weight among those left: the least of -log(u_i) / weight_i
  // (Efraimidis and Spirakis, 2006). Tasks of weight 0 are never drawn.
  void operator()(view<const double, 1> last_mean, const random_key& key, view<std::int64_t, 1> chosen) const {
    expects_valid(*this);
    std::vector<std::pair<double, std::int64_t>> order;
    for (std::int64_t i = 0; i < last_mean.size(); ++i)
      if (const double w = weight(last_mean[i]); w > 0)
        order.emplace_back(-(math::log(uniform(key, static_cast<std::uint64_t>(i))) / w), i);
    detail::expects<shape_error>(chosen.size() <= static_cast<std::int64_t>(order.size()), "difficulty_pools", "chosen",
                                 "at most the number of tasks with a weight, " + std::to_string(order.size()),
                                 chosen.size());
    std::partial_sort(order.begin(), order.begin() + chosen.size(), order.end());
    for (std::int64_t k = 0; k < chosen.size(); ++k) chosen[k] = order[static_cast<std::size_t>(k)].second;
  }
};

}  // namespace ql::rl
