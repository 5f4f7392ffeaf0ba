// SPDX-License-Identifier: Apache-2.0
#pragma once

// Supervised fine-tuning: one optimizer step on a tree whose loss tokens are targets.

#include <ql/model/decoder.hpp>
#include <ql/policy_update.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace ql {

struct sft_options {
  double max_norm = 1.0;                      // of the gradient; 0: not clipped
  std::int64_t micro_batch_tokens = 1 << 15;  // bounds memory; changes no bit
  model::keep keep = model::keep::everything;
};

struct sft_report {
  step_report step;
  double loss = 0;          // weighted mean of -log p over loss tokens
  std::int64_t tokens = 0;  // loss tokens
  std::int64_t rows = 0;    // tokens through the layers
  std::vector<float> logp;  // (tokens of the tree): under the weights before the step
};

// loss = -sum w logp / sum w over the tree's loss tokens (w = 1 unless given, one a token of the tree).
template <class Policy, class Optimizer>
sft_report sft_step(typename Policy::context_type& ctx, Policy& policy, const token_tree& tree,
                    std::span<const typename Policy::value_type> weight, const Optimizer& optimizer,
                    policy_optimizer_state<Policy, Optimizer>& state, double lr, const sft_options& o = {}) {
  using A = typename Policy::value_type;
  const auto n = static_cast<std::size_t>(tree.tokens());
  std::vector<A> logp(n, A(0)), dlogp(n, A(0));
  // The gradient of a weighted mean of log-probs does not depend on the log-probs: it is known before the forward.
  token_likelihood<A>(tree, logp, weight, dlogp);
  policy.zero_gradients(ctx);
  const auto plan = plan_lanes(tree, policy.lanes());
  typename Policy::score_options scoring;
  scoring.keep = o.keep;
  for (const auto range : plan.split(o.micro_batch_tokens)) {
    auto tape = policy.score(ctx, tree, plan, range, scoring, {logp, {}});
    policy.backward(ctx, tape, {dlogp, {}});
  }
  policy.finish_gradients(ctx);
  sft_report r;
  r.loss = token_likelihood<A>(tree, logp, weight, dlogp);
  r.tokens = tree.loss_tokens();
  r.rows = tree.tokens();
  r.logp.assign(logp.begin(), logp.end());
  r.step = update_policy(ctx, policy, optimizer, state, lr, o.max_norm);
  return r;
}

}  // namespace ql
