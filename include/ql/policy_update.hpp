// SPDX-License-Identifier: Apache-2.0
#pragma once

// One optimizer step of a whole policy: norm, clip, fused update, publish. And the two losses a step starts from.

#include <ql/math.hpp>
#include <ql/rl/aggregation.hpp>
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/tensor/operations.hpp>
#include <ql/tensor/tensor.hpp>
#include <ql/tensor/token_tree.hpp>

#include <concepts>
#include <cstdint>
#include <vector>

namespace ql {

// What a step did. With a non-finite gradient nothing is changed and `applied` is false: the trainer decides.
struct step_report {
  bool finite = true;
  bool applied = false;
  double gradient_norm = 0;  // before clipping
  double scale = 1;          // what gradients were multiplied with
};

// The optimizer's memory for each trainable parameter of a policy, in the order of policy.parameters().
template <class Policy, class Optimizer>
struct policy_optimizer_state {
  using A = typename Policy::value_type;
  using Context = typename Policy::context_type;
  std::int64_t steps = 0;
  std::vector<tensor<A, 1, Context>> first, second;  // AdamW: m and v; SGD: momentum and nothing

  // f(parameter name, slot name, buffer) for every buffer, to save and restore.
  template <class F>
  void visit(Policy& policy, F&& f) {
    for (std::size_t i = 0; i < first.size(); ++i) {
      const std::string_view name = policy.parameters()[i].name;
      if (!first[i].empty()) f(name, std::string_view("first"), first[i].view());
      if (!second[i].empty()) f(name, std::string_view("second"), second[i].view());
    }
  }
};

template <class Policy, class Optimizer>
policy_optimizer_state<Policy, Optimizer> make_optimizer_state(typename Policy::context_type& ctx, Policy& policy,
                                                               const Optimizer& opt) {
  policy_optimizer_state<Policy, Optimizer> s;
  const auto n = policy.parameters().size();
  s.first.resize(n);
  s.second.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto& p = policy.parameters()[i];
    if (!p.trainable) continue;
    bool one = true, two = true;
    if constexpr (std::same_as<Optimizer, rl::sgd>) one = opt.momentum != 0, two = false;
    if (one) s.first[i] = {ctx, {p.size()}}, clear(ctx, s.first[i].data(), p.size());
    if (two) s.second[i] = {ctx, {p.size()}}, clear(ctx, s.second[i].data(), p.size());
  }
  return s;
}

// The Euclidean norm of all gradients: fixed blocks, in parameter order.
template <class Policy>
double gradient_norm(typename Policy::context_type& ctx, const Policy& policy) {
  using A = typename Policy::value_type;
  double squares = 0;
  for (const auto& p : policy.parameters())
    if (p.trainable && !p.gradient.empty())
      squares += sum_of_squares(ctx, static_cast<const A*>(p.gradient.data()), p.size());
  return math::sqrt(squares);
}

namespace detail {
// Step number `steps` (from 1) of some weights, element by element; packs them where `packed` is given.
template <class T, class Context, class Optimizer, class A>
void update_elements(Context& ctx, const Optimizer& opt, std::int64_t steps, double lr, double scale,
                     const matrix<T>& shape, A* w, const A* g, A* first, A* second, T* packed) {
  if constexpr (std::same_as<Optimizer, rl::adamw>) {
    const adamw_args a{.lr = lr,
                       .beta1 = opt.beta1,
                       .beta2 = opt.beta2,
                       .eps = opt.eps,
                       .weight_decay = opt.weight_decay,
                       .correction1 = 1.0 - rl::detail::integer_power(opt.beta1, steps),
                       .correction2 = 1.0 - rl::detail::integer_power(opt.beta2, steps),
                       .gradient_scale = scale};
    adamw_step(ctx, a, shape, w, g, first, second, packed);
  } else {
    static_assert(std::same_as<Optimizer, rl::sgd>, "ql: update_policy knows rl::adamw and rl::sgd");
    const sgd_args a{.lr = lr,
                     .momentum = opt.momentum,
                     .weight_decay = opt.weight_decay,
                     .nesterov = opt.nesterov,
                     .gradient_scale = scale};
    sgd_step(ctx, a, shape, w, g, first, packed);
  }
}
}  // namespace detail

// w moves against the gradients that finish_gradients() completed, clipped to the norm `max_norm` (0 = not clipped);
// kernels see the new weights, and tapes and keys of the old ones become stale.
// One pass over memory a parameter: gradient, moments, master weight, packed copy.
template <class Policy, class Optimizer>
step_report update_policy(typename Policy::context_type& ctx, Policy& policy, const Optimizer& opt,
                          policy_optimizer_state<Policy, Optimizer>& state, double lr, double max_norm = 0) {
  using A = typename Policy::value_type;
  using T = typename Policy::scalar_type;
  detail::expects(max_norm >= 0, "update_policy", "max_norm", "0 (off) or more", max_norm);
  detail::expects<state_error>(state.first.size() == policy.parameters().size(), "update_policy", "state",
                               "a state made for this policy", state.first.size());
  step_report r;
  r.gradient_norm = gradient_norm(ctx, policy);
  r.finite = math::isfinite(r.gradient_norm) && math::isfinite(lr);
  if (!r.finite) return r;
  if (max_norm > 0) r.scale = math::min(1.0, max_norm / (r.gradient_norm + 1e-6));
  ++state.steps;
  for (std::size_t i = 0; i < policy.parameters().size(); ++i) {
    auto& p = policy.parameters()[i];
    if (!p.trainable) continue;
    T* packed = p.packed.empty() ? nullptr : p.packed.data();
    const A* g = p.gradient.data();
    A* first = state.first[i].empty() ? nullptr : state.first[i].data();
    A* second = state.second[i].empty() ? nullptr : state.second[i].data();
    detail::update_elements<T>(ctx, opt, state.steps, lr, r.scale, p.as_matrix(), p.master.data(), g, first, second,
                               packed);
    if (p.vector()) policy.publish(ctx, p);
  }
  policy.published();
  r.applied = true;
  return r;
}

// A tree as the losses see it: one sequence a segment, loss tokens by mask. Prompts are sequences without loss tokens.
struct tree_sequences {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::uint8_t> mask;

  explicit tree_sequences(const token_tree& t) {
    for (std::int32_t s = 0; s < static_cast<std::int32_t>(t.segments().size()); ++s) {
      const auto& g = t[s];
      detail::expects<state_error>(g.first == offsets.back(), "tree_sequences", "tree", "a closed tree",
                                   "one that still grows");
      for (auto i = g.first; i < g.first + g.count; ++i)
        mask.push_back(t.has_loss(i) && t.predecessor(s, i) >= 0 ? 1 : 0);
      offsets.push_back(g.first + g.count);
    }
  }
};

// Supervised fine-tuning: loss = -sum w logp / sum w over loss tokens (w = 1 unless given). Writes dlogp; returns the
// loss.
template <class A>
double token_likelihood(const token_tree& tree, std::span<const A> logp, std::span<const A> weight,
                        std::span<A> dlogp) {
  detail::expects<shape_error>(static_cast<std::int64_t>(logp.size()) == tree.tokens() && dlogp.size() == logp.size() &&
                                   (weight.empty() || weight.size() == logp.size()),
                               "token_likelihood", "logp, weight, dlogp", std::to_string(tree.tokens()) + " values",
                               logp.size());
  const tree_sequences seq(tree);
  double total = 0, sum = 0;
  for (std::size_t i = 0; i < logp.size(); ++i)
    if (seq.mask[i] != 0) total += weight.empty() ? 1.0 : static_cast<double>(weight[i]);
  detail::expects(total > 0, "token_likelihood", "loss tokens", "at least one with a weight above 0", total);
  for (std::size_t i = 0; i < logp.size(); ++i) {
    const double w = seq.mask[i] == 0 ? 0.0 : weight.empty() ? 1.0 : static_cast<double>(weight[i]);
    dlogp[i] = static_cast<A>(-(w / total));
    if (w != 0) sum = math::fma(w, static_cast<double>(logp[i]), sum);
  }
  return -(sum / total);
}

}  // namespace ql
