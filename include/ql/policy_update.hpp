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

#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ql {

// What a step did. With a non-finite gradient nothing is changed and `applied` is false: the trainer decides.
struct step_report {
  bool finite = true;
  bool applied = false;
  double gradient_norm = 0;  // before clipping
  double scale = 1;          // what gradients were multiplied with
};

namespace detail {
// Optimizers that have a kernel which reads gradient and state, and writes weights and their packed copy, in one pass.
template <class Optimizer>
concept fused_optimizer = std::same_as<Optimizer, rl::adamw> || std::same_as<Optimizer, rl::sgd>;

// A weight of a hidden layer that is used as a matrix: no embedding, no head, no vector.
template <class Parameter>
bool hidden_matrix(const Parameter& p) {
  return p.product && p.name.find("embed_tokens") == std::string::npos && p.name.find("lm_head") == std::string::npos;
}
}  // namespace detail

// The optimizer's memory for each trainable parameter of a policy, in the order of policy.parameters(): for any
// optimizer of ql/rl. One that knows vectors and matrices sees the weights of hidden layers as matrices and all else as
// vectors; one that knows vectors alone sees vectors. A checkpoint holds `steps` and all that visit() shows.
template <class Policy, class Optimizer>
struct policy_optimizer_state {
  using A = typename Policy::value_type;
  using Context = typename Policy::context_type;
  static_assert(rl::optimizer<Optimizer, Context, A>,
                "ql: update_policy: what fills the optimizer's place is none for vectors (see rl::optimizer); one for "
                "matrices alone needs another for the rest: rl::by_shape{rl::muon{}, rl::adamw{}}");
  std::int64_t steps = 0;
  std::vector<std::optional<typename Optimizer::template state<A, Context>>> parts;  // none: not trainable

  // f(parameter name, slot name, buffer) for every buffer, to save and restore.
  template <class F>
  void visit(Policy& policy, F&& f) {
    for (std::size_t i = 0; i < parts.size(); ++i)
      if (parts[i])
        parts[i]->visit([&](std::string_view slot, auto buffer) {
          f(std::string_view(policy.parameters()[i].name), slot, buffer);
        });
  }
};

template <class Policy, detail::fused_optimizer Optimizer>
struct policy_optimizer_state<Policy, Optimizer> {
  using A = typename Policy::value_type;
  using Context = typename Policy::context_type;
  std::int64_t steps = 0;
  std::vector<tensor<A, 1, Context>> first, second;  // AdamW: m and v; SGD: momentum and nothing

  template <class F>
  void visit(Policy& policy, F&& f) {
    for (std::size_t i = 0; i < first.size(); ++i) {
      const std::string_view name = policy.parameters()[i].name;
      if (!first[i].empty()) f(name, std::string_view("first"), first[i].view());
      if (!second[i].empty()) f(name, std::string_view("second"), second[i].view());
    }
  }
};

namespace detail {
// f(weights, gradient) as the optimizer sees a parameter: of rank 2 or 1.
template <class Policy, class Optimizer, class Parameter, class F>
void with_weights(Parameter& p, F&& f) {
  using A = typename Policy::value_type;
  using Context = typename Policy::context_type;
  using space = typename Context::memory_space;
  if constexpr (rl::optimizer<Optimizer, Context, A, 2>) {
    if (hidden_matrix(p)) {
      const std::array<std::int64_t, 2> shape{p.rows, p.columns};
      f(view<A, 2, space>(p.master.data(), shape), view<const A, 2, space>(p.gradient.data(), shape));
      return;
    }
  }
  const std::array<std::int64_t, 1> size{p.size()};
  f(view<A, 1, space>(p.master.data(), size), view<const A, 1, space>(p.gradient.data(), size));
}
}  // namespace detail

template <class Policy, class Optimizer>
policy_optimizer_state<Policy, Optimizer> make_optimizer_state(typename Policy::context_type& ctx, Policy& policy,
                                                               const Optimizer& opt) {
  using A = typename Policy::value_type;
  policy_optimizer_state<Policy, Optimizer> s;
  const auto n = policy.parameters().size();
  if constexpr (detail::fused_optimizer<Optimizer>) {
    s.first.resize(n);
    s.second.resize(n);
  } else {
    s.parts.resize(n);
  }
  for (std::size_t i = 0; i < n; ++i) {
    auto& p = policy.parameters()[i];
    if (!p.trainable) continue;
    if constexpr (detail::fused_optimizer<Optimizer>) {
      bool one = true, two = true;
      if constexpr (std::same_as<Optimizer, rl::sgd>) one = opt.momentum != 0, two = false;
      if (one) s.first[i] = {ctx, {p.size()}}, clear(ctx, s.first[i].data(), p.size());
      if (two) s.second[i] = {ctx, {p.size()}}, clear(ctx, s.second[i].data(), p.size());
    } else {
      detail::with_weights<Policy, Optimizer>(p, [&](auto w, auto) { s.parts[i] = opt.template init<A>(ctx, w); });
    }
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
    static_assert(std::same_as<Optimizer, rl::sgd>, "ql: element by element, rl::adamw and rl::sgd are known");
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
// kernels see the new weights, and tapes and keys of the old ones become stale. AdamW and SGD take one pass over memory
// a parameter: gradient, moments, master weight, packed copy. Other optimizers step on host memory, and clipping scales
// the gradients where they lie.
template <class Policy, class Optimizer>
step_report update_policy(typename Policy::context_type& ctx, Policy& policy, const Optimizer& opt,
                          policy_optimizer_state<Policy, Optimizer>& state, double lr, double max_norm = 0) {
  using A = typename Policy::value_type;
  using T = typename Policy::scalar_type;
  detail::expects(max_norm >= 0, "update_policy", "max_norm", "0 (off) or more", max_norm);
  const auto expects_states = [&](std::size_t n) {
    detail::expects<state_error>(n == policy.parameters().size(), "update_policy", "state",
                                 "a state made for this policy", n);
  };
  if constexpr (detail::fused_optimizer<Optimizer>) {
    expects_states(state.first.size());
  } else {
    expects_states(state.parts.size());
  }
  step_report r;
  r.gradient_norm = gradient_norm(ctx, policy);
  r.finite = math::isfinite(r.gradient_norm) && math::isfinite(lr);
  if (!r.finite) return r;
  if (max_norm > 0) r.scale = math::min(1.0, max_norm / (r.gradient_norm + 1e-6));
  for (std::size_t i = 0; i < policy.parameters().size(); ++i) {
    auto& p = policy.parameters()[i];
    if (!p.trainable) continue;
    if constexpr (detail::fused_optimizer<Optimizer>) {
      T* packed = p.packed.empty() ? nullptr : p.packed.data();
      A* first = state.first[i].empty() ? nullptr : state.first[i].data();
      A* second = state.second[i].empty() ? nullptr : state.second[i].data();
      detail::update_elements<T>(ctx, opt, state.steps + 1, lr, r.scale, p.as_matrix(), p.master.data(),
                                 p.gradient.data(), first, second, packed);
      if (p.vector()) policy.publish(ctx, p);
    } else {
      static_assert(std::same_as<typename Policy::context_type::memory_space, host_space>,
                    "ql: on a device update_policy knows rl::adamw and rl::sgd");
      if (r.scale != 1.0)
        for (std::int64_t k = 0; k < p.size(); ++k) p.gradient.data()[k] *= static_cast<A>(r.scale);
      state.parts[i]->steps = state.steps;
      detail::with_weights<Policy, Optimizer>(
          p, [&](auto w, auto g) { opt.template step<A>(ctx, w, g, *state.parts[i], lr); });
      policy.publish(ctx, p);
    }
  }
  ++state.steps;
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
