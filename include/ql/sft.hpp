// SPDX-License-Identifier: Apache-2.0
#pragma once

// Supervised fine-tuning: one optimizer step on a tree whose loss tokens are targets.

#include <ql/comm/any.hpp>
#include <ql/data_parallel.hpp>
#include <ql/model/decoder.hpp>
#include <ql/policy_update.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ql {

struct sft_options {
  double max_norm = 1.0;                      // of the gradient; 0: not clipped
  std::int64_t micro_batch_tokens = 1 << 15;  // bounds memory; changes no bit
  model::keep keep = model::keep::everything;
  // Ranks that share the step, as in group_update_options; all call with the same arguments.
  std::optional<comm::any> ranks = {};
  update_split split = update_split::lanes;
};

struct sft_report {
  step_report step;
  double loss = 0;          // weighted mean of -log p over loss tokens
  std::int64_t tokens = 0;  // loss tokens
  std::int64_t rows = 0;    // tokens through the layers
  std::vector<float> logp;  // (tokens of the tree): under the weights before the step
};

// loss = -sum w logp / sum w over the tree's loss tokens (w = 1 unless given, one a token of the tree). `state` is
// policy_optimizer_state, or sharded_optimizer_state of the ranks.
template <class Policy, class Optimizer, class State>
sft_report sft_step(typename Policy::context_type& ctx, Policy& policy, const token_tree& tree,
                    std::span<const typename Policy::value_type> weight, const Optimizer& optimizer, State& state,
                    double lr, const sft_options& o = {}) {
  using A = typename Policy::value_type;
  const auto n = static_cast<std::size_t>(tree.tokens());
  std::vector<A> logp(n, A(0)), dlogp(n, A(0));
  // The gradient of a weighted mean of log-probs does not depend on the log-probs: it is known before the forward.
  token_likelihood<A>(tree, logp, weight, dlogp);
  const auto plan = plan_lanes(tree, policy.lanes());
  const auto lane_ranks = o.split == update_split::lanes ? o.ranks : std::optional<comm::any>();
  typename Policy::score_options scoring;
  scoring.keep = o.keep;
  gradients_in_parts(ctx, policy, lane_ranks, plan, plan.split(o.micro_batch_tokens), [&](unit_range range) {
    auto tape = policy.score(ctx, tree, plan, range, scoring, {logp, {}});
    policy.backward(ctx, tape, {dlogp, {}});
  });
  if (lane_ranks) detail::share_tree_scores<A>(*lane_ranks, tree, plan, logp);
  sft_report r;
  r.loss = token_likelihood<A>(tree, logp, weight, dlogp);
  r.tokens = tree.loss_tokens();
  r.rows = tree.tokens();
  r.logp.assign(logp.begin(), logp.end());
  r.step = detail::move_policy(ctx, policy, o.ranks, optimizer, state, lr, o.max_norm);
  return r;
}

}  // namespace ql
