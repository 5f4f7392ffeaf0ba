// SPDX-License-Identifier: Apache-2.0
#pragma once

// The law of a policy that is trained, for policies of your own in float or double on the host. It returns an empty
// string, or the first thing that is wrong:
//   EXPECT_EQ(ql::testing::laws::policy(ctx, policy, vocabulary), "");

#include <ql/math.hpp>
#include <ql/model/policy.hpp>
#include <ql/random.hpp>
#include <ql/tensor/lanes.hpp>
#include <ql/tensor/token_tree.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace ql::testing {

namespace detail {

// Two prompts with two answers and one, 9 and 6 tokens; answers alone carry loss.
inline token_tree tree_of_two_prompts(std::int64_t vocabulary) {
  std::uint64_t drawn = 0;
  const auto some = [&](std::int64_t n) {
    std::vector<token> ids;
    for (; n > 0; --n)
      ids.push_back(
          static_cast<token>(uniform({.seed = 4, .what = purpose::test}, drawn++) * static_cast<double>(vocabulary)));
    return ids;
  };
  token_tree t;
  const auto one = t.add_root(some(5));
  t.add(one, some(3));
  t.add(one, some(1));
  t.add(t.add_root(some(2)), some(4));
  return t;
}

template <class P>
class policy_law {
  using A = typename P::value_type;
  using Context = typename P::context_type;
  Context& ctx_;
  P& p_;
  token_tree tree_;
  lane_plan plan_;
  std::vector<A> weight_;  // of each token's log-prob in the function that is differentiated

 public:
  policy_law(Context& ctx, P& p, std::int64_t vocabulary)
      : ctx_(ctx),
        p_(p),
        tree_(tree_of_two_prompts(vocabulary)),
        plan_(plan_lanes(tree_, {.lanes = p.lanes().lanes, .unit_tokens = 9})) {
    for (std::int64_t i = 0; i < tree_.tokens(); ++i)
      weight_.push_back(
          !tree_.has_loss(i)
              ? A(0)
              : static_cast<A>(uniform({.seed = 5, .what = purpose::test}, static_cast<std::uint64_t>(i)) - 0.5));
  }

  static constexpr A untouched = A(77);
  std::vector<A> log_probs(bool in_parts) {
    std::vector<A> logp(weight_.size(), untouched);
    typename P::score_options o;
    o.backward = false;
    for (const auto range : plan_.split(in_parts ? 1 : tree_.tokens()))
      p_.score(ctx_, tree_, plan_, range, o, {logp, {}});
    return logp;
  }
  double value() {
    const auto logp = log_probs(false);
    double sum = 0;
    for (std::size_t i = 0; i < logp.size(); ++i) sum += static_cast<double>(weight_[i]) * static_cast<double>(logp[i]);
    return sum;
  }
  std::string scores(double tolerance) {
    const auto whole = log_probs(false), parts = log_probs(true);
    for (std::int64_t i = 0; i < tree_.tokens(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::string where = " of token " + std::to_string(i);
      if (!tree_.has_loss(i)) {
        if (whole[at] != untouched) return "score() writes the log-prob" + where + ", which carries no loss";
        continue;
      }
      if (!(whole[at] <= A(1e-5))) return "the log-prob" + where + " is not that of a distribution";
      const bool same = P::exactness == exactness::exact
                            ? whole[at] == parts[at]
                            : math::abs(static_cast<double>(whole[at] - parts[at])) <= tolerance;
      if (!same) return "the log-prob" + where + " depends on what else is scored with it";
    }
    return "";
  }
  std::string gradients(double tolerance) {
    p_.zero_gradients(ctx_);
    std::vector<A> logp(weight_.size()), entropy(weight_.size());
    auto tape = p_.score(ctx_, tree_, plan_, plan_.all(), {}, {logp, entropy});
    p_.backward(ctx_, tape, {weight_, {}});
    p_.finish_gradients(ctx_);
    double squares = 0;
    for (auto& w : p_.parameters())
      for (std::int64_t k = 0; w.trainable && k < w.size(); ++k)
        squares += static_cast<double>(w.gradient.data()[k]) * static_cast<double>(w.gradient.data()[k]);
    if (!(squares > 0)) return "backward() leaves no gradient";
    const double norm = math::sqrt(squares), step = 1e-2;
    // each parameter along its gradient and a random direction at once
    std::uint32_t number = 0;
    for (auto& w : p_.parameters()) {
      const random_key key{.seed = 6, .what = purpose::test, .example = number++};
      if (!w.trainable) continue;
      const auto n = static_cast<std::size_t>(w.size());
      std::vector<double> v(n), start(n);
      double own = 0, random = 0, expected = 0;
      for (std::size_t k = 0; k < n; ++k) {
        start[k] = static_cast<double>(w.master.data()[k]);
        v[k] = uniform(key, k) - 0.5;
        random += v[k] * v[k];
        own += static_cast<double>(w.gradient.data()[k]) * static_cast<double>(w.gradient.data()[k]);
      }
      for (std::size_t k = 0; k < n; ++k) {
        const auto g = static_cast<double>(w.gradient.data()[k]);
        v[k] = v[k] / math::sqrt(random) + (own > 0 ? g / math::sqrt(own) : 0.0);
        expected += g * v[k];
      }
      double at[2];
      for (int side = 0; side < 2; ++side) {
        for (std::size_t k = 0; k < n; ++k)
          w.master.data()[k] = static_cast<A>(start[k] + (side == 0 ? -step : step) * v[k]);
        p_.publish(ctx_, w), p_.published();
        at[side] = value();
      }
      for (std::size_t k = 0; k < n; ++k) w.master.data()[k] = static_cast<A>(start[k]);
      p_.publish(ctx_, w), p_.published();
      const double got = (at[1] - at[0]) / (2 * step);
      if (!(math::abs(got - expected) <= tolerance * norm))
        return "the gradient of " + std::string(w.name) + " says " + std::to_string(expected) + ", differences say " +
               std::to_string(got);
    }
    return "";
  }
};

}  // namespace detail

namespace laws {

// score() writes the log-probs of the loss tokens and no others, the same however a batch is cut (exact policies: bit
// for bit); backward() leaves the gradient of sum c logp, as central differences find it through parameters() and
// publish(), within `tolerance` of its norm. The policy is left as it was but for its gradients.
template <trainable_policy P>
std::string policy(typename P::context_type& ctx, P& p, std::int64_t vocabulary, double tolerance = 2e-2) {
  ql::testing::detail::policy_law<P> law(ctx, p, vocabulary);
  const auto wrong = law.scores(1e-4);
  return wrong.empty() ? law.gradients(tolerance) : wrong;
}

}  // namespace laws
}  // namespace ql::testing
