// SPDX-License-Identifier: Apache-2.0
#pragma once

// One optimizer step on groups of answers: score, loss, backward, update.

#include <ql/comm/any.hpp>
#include <ql/data_parallel.hpp>
#include <ql/policy_update.hpp>
#include <ql/rl/aggregation.hpp>
#include <ql/rl/apply_loss.hpp>
#include <ql/rollout.hpp>

#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace ql {

struct group_update_options {
  double max_norm = 1.0;                      // of the gradient; 0: not clipped
  std::int64_t micro_batch_tokens = 1 << 15;  // bounds memory; changes no bit, unless the aggregation says so
  model::keep keep = model::keep::everything;
  // Ranks that share the update; all call with the same arguments. Lanes: each computes its own. Rows: the policy has
  // been told (split_rows), and ranks share the optimizer's memory alone.
  std::optional<comm::any> ranks = {};
  update_split split = update_split::lanes;
  bool compare = false;  // the weights are those the answers were sampled with: log-probs must be the same bits
};

// What one update did. Means are over its loss tokens.
struct group_update_report {
  step_report step;
  double loss = 0, entropy = 0;
  double clip_fraction = 0;                  // of tokens with an advantage: those without gradient
  double log_ratio_max = 0;                  // largest |logp - old|
  double kl_to_old = 0;                      // k3 of logp against old
  std::int64_t tokens = 0, rows = 0;         // loss tokens; tokens through the layers
  std::int64_t compared = 0, differing = 0;  // log-probs held against the recorded ones
};

namespace detail {

// Loss tokens of the segments in units [range) of a plan.
inline std::vector<std::uint8_t> mask_of(const token_tree& t, const std::vector<std::uint8_t>& mask,
                                         const lane_plan& plan, unit_range range) {
  std::vector<std::uint8_t> m(mask.size(), 0);
  for (std::int32_t u = range.first; u < range.first + range.count; ++u)
    for (auto s : plan.units[static_cast<std::size_t>(u)].segments) {
      const auto& g = t[s];
      for (auto i = g.first; i < g.first + g.count; ++i)
        m[static_cast<std::size_t>(i)] = mask[static_cast<std::size_t>(i)];
    }
  return m;
}

template <class A>
bool same_bits(A a, A b) {
  return std::memcmp(&a, &b, sizeof(A)) == 0;
}

}  // namespace detail

// Log-probs and entropies of a tree's loss tokens, micro-batch by micro-batch; nothing is kept for backward. Ranks, if
// any, compute lanes of their own and give each other the results.
template <class Policy>
void score_tree(typename Policy::context_type& ctx, Policy& policy, const token_tree& tree, const distribution& d,
                const frozen_support* support, std::int64_t micro_batch_tokens,
                model::scores<typename Policy::value_type> out, std::optional<comm::any> ranks = {}) {
  const auto plan = plan_lanes(tree, policy.lanes());
  typename Policy::score_options o;
  o.distribution = d;
  o.support = support;
  o.backward = false;
  const auto ranges = plan.split(micro_batch_tokens);
  if (!ranks) {
    for (const auto range : ranges) policy.score(ctx, tree, plan, range, o, out);
    return;
  }
  for (const auto lane : lanes_of(plan, ranks->rank(), ranks->size()))
    for (const auto range : detail::within(lane, ranges)) policy.score(ctx, tree, plan, range, o, out);
  detail::share_tree_scores<typename Policy::value_type>(*ranks, tree, plan, out.logp, out.entropy);
}

// A loss under an aggregation, opened once a call: so that a choice of either is compiled once, not with all of an
// update around it.
template <class A>
struct group_loss {
  bool reads_reference = false, reads_entropy = false, split_invariant = true;
  std::function<void(const rl::token_batch<A>&, const rl::batch_counts& whole, const rl::loss_gradient<A>&,
                     rl::loss_report&)>
      apply;
};

template <class A, class Context, class Loss, class Aggregation>
group_loss<A> make_group_loss(Context& ctx, const Loss& loss, const Aggregation& how) {
  return {rl::has(Loss::reads, rl::input::ref), rl::has(Loss::reads, rl::input::entropy), Aggregation::split_invariant,
          [&ctx, loss, how](const rl::token_batch<A>& batch, const rl::batch_counts& whole,
                            const rl::loss_gradient<A>& gradient, rl::loss_report& report) {
            auto part = how;
            if constexpr (requires { part.micro; }) part.micro = rl::count(batch);
            rl::apply_loss(ctx, loss, batch, part, whole, gradient, report);
          }};
}

// The update of a loss on a training tree. `old` are the log-probs ratios are taken against; empty: the recorded ones
// (exact policies). `reference` scores for losses that read the reference's log-probs.
// The gradient's bits depend on the data, not on micro_batch_tokens, threads or the number of ranks. `state` is
// policy_optimizer_state, or sharded_optimizer_state of the ranks.
template <class Policy, class Optimizer, class State>
group_update_report update_on_groups(typename Policy::context_type& ctx, Policy& policy,
                                     const training_tree<typename Policy::value_type>& t, const distribution& d,
                                     const group_loss<typename Policy::value_type>& loss, const Optimizer& optimizer,
                                     State& state, double lr, const group_update_options& o = {},
                                     std::span<const typename Policy::value_type> old = {},
                                     Policy* reference = nullptr) {
  using A = typename Policy::value_type;
  const auto n = static_cast<std::size_t>(t.tree.tokens());
  const auto lane_ranks = o.split == update_split::lanes ? o.ranks : std::optional<comm::any>();
  group_update_report r;
  r.tokens = t.loss_tokens;
  r.rows = t.tree.tokens();
  detail::expects(t.loss_tokens > 0, "update_on_groups", "groups", "at least one answer with a token", "none");
  const frozen_support* support = t.support.empty() ? nullptr : &t.support;
  std::vector<A> logp(n, A(0)), entropy(n, A(0)), dlogp(n, A(0)), dentropy(n, A(0)), ref;
  if (loss.reads_reference) {
    detail::expects(reference != nullptr, "update_on_groups", "reference",
                    "a reference policy, since the loss reads its log-probs", "none");
    ref.assign(n, A(0));
    score_tree(ctx, *reference, t.tree, d, support, o.micro_batch_tokens, {ref, {}}, lane_ranks);
  }
  detail::expects<state_error>(!lane_ranks || loss.split_invariant, "update_on_groups", "aggregation",
                               "one that does not depend on how a batch is split, where ranks share the work",
                               "one that does");
  rl::token_batch<A> batch;
  batch.offsets = t.offsets;
  batch.prompts = t.prompts;
  batch.sequence_advantage = t.advantage;
  batch.logp = logp;
  batch.old = old.empty() ? std::span<const A>(t.old) : old;
  batch.rollout = t.old;
  batch.ref = ref;
  batch.entropy = entropy;
  rl::loss_gradient<A> gradient;
  gradient.dlogp = dlogp;
  gradient.dentropy = dentropy;
  const auto whole = rl::count(batch.offsets, view<const std::uint8_t, 1>(t.mask), batch.prompts);

  const auto plan = plan_lanes(t.tree, policy.lanes());
  const auto ranges = plan.split(o.micro_batch_tokens);
  typename Policy::score_options scoring;
  scoring.distribution = d;
  scoring.support = support;
  scoring.keep = o.keep;
  rl::loss_report in_parts;
  std::int64_t with_advantage = 0, without_gradient = 0;
  const auto one_part = [&](unit_range range) {
    auto tape = policy.score(ctx, t.tree, plan, range, scoring, {logp, entropy});
    const auto mask = detail::mask_of(t.tree, t.mask, plan, range);
    batch.mask = mask;
    loss.apply(batch, whole, gradient, in_parts);
    for (std::size_t s = 0; s + 1 < t.offsets.size(); ++s) {
      if (t.advantage[s] == A(0)) continue;
      for (auto i = static_cast<std::size_t>(t.offsets[s]); i < static_cast<std::size_t>(t.offsets[s + 1]); ++i) {
        if (mask[i] == 0) continue;
        ++with_advantage;
        without_gradient += dlogp[i] == A(0) ? 1 : 0;
      }
    }
    policy.backward(ctx, tape, {dlogp, loss.reads_entropy ? std::span<const A>(dentropy) : std::span<const A>{}});
  };
  gradients_in_parts(ctx, policy, lane_ranks, plan, ranges, one_part);
  bool finite = in_parts.finite();
  if (lane_ranks) {
    auto ranks = *lane_ranks;
    const std::int64_t counts[] = {with_advantage, without_gradient, finite ? 0 : 1};
    std::vector<std::int64_t> sums(std::begin(counts), std::end(counts));
    comm::all_reduce_sum<comm::any, std::int64_t>(ranks, sums);
    with_advantage = sums[0], without_gradient = sums[1], finite = sums[2] == 0;
    detail::share_tree_scores<A>(ranks, t.tree, plan, logp, entropy);
  }
  r.loss = in_parts.value;
  if ((ranges.size() > 1 || lane_ranks) && loss.split_invariant) {  // one order of summation, however the batch was cut
    rl::loss_report once;
    std::vector<A> unused(n), unused_too(n);
    batch.mask = t.mask;
    loss.apply(batch, whole, {unused, unused_too}, once);
    r.loss = once.value;
  }
  double entropies = 0, kl = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (t.mask[i] == 0) continue;
    entropies += static_cast<double>(entropy[i]);
    const double log_ratio =
        static_cast<double>(logp[i]) - static_cast<double>(batch.old[static_cast<std::int64_t>(i)]);
    r.log_ratio_max = math::max(r.log_ratio_max, math::abs(log_ratio));
    kl += math::exp(-log_ratio) - 1 + log_ratio;
    if (o.compare) {
      ++r.compared;
      r.differing += detail::same_bits(logp[i], t.old[i]) ? 0 : 1;
    }
  }
  r.entropy = entropies / static_cast<double>(t.loss_tokens);
  r.kl_to_old = kl / static_cast<double>(t.loss_tokens);
  r.clip_fraction =
      with_advantage > 0 ? static_cast<double>(without_gradient) / static_cast<double>(with_advantage) : 0;
  if (!finite) {
    r.step.finite = false;
    return r;
  }
  r.step = detail::move_policy(ctx, policy, o.ranks, optimizer, state, lr, o.max_norm);
  return r;
}

// The same for a loss under an aggregation.
template <class Policy, class Loss, class Aggregation, class Optimizer, class State>
group_update_report update_on_groups(typename Policy::context_type& ctx, Policy& policy,
                                     const training_tree<typename Policy::value_type>& t, const distribution& d,
                                     const Loss& loss, const Aggregation& how, const Optimizer& optimizer, State& state,
                                     double lr, const group_update_options& o = {},
                                     std::span<const typename Policy::value_type> old = {},
                                     Policy* reference = nullptr) {
  return update_on_groups(ctx, policy, t, d, make_group_loss<typename Policy::value_type>(ctx, loss, how), optimizer,
                          state, lr, o, old, reference);
}

}  // namespace ql
