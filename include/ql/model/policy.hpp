// SPDX-License-Identifier: Apache-2.0
#pragma once

// What training asks of a policy: model::decoder is one, a module of another framework may be one. Weights and
// gradients stay where they are; ql sees them through pointers. examples/libtorch_policy/ is a whole one.

#include <ql/model/decoder.hpp>
#include <ql/tensor/lanes.hpp>
#include <ql/tensor/token_tree.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ql {

namespace detail {

// T: what the policy computes in, A: what its log-probs are.
template <class P, class T, class A>
concept policy_parameter = requires(P& p, const P& c) {
  { c.name } -> std::convertible_to<std::string_view>;
  { c.trainable } -> std::convertible_to<bool>;
  { c.size() } -> std::convertible_to<std::int64_t>;
  { c.vector() } -> std::convertible_to<bool>;
  { c.as_matrix() } -> std::same_as<matrix<T>>;
  { p.master.data() } -> std::same_as<A*>;
  { p.gradient.data() } -> std::same_as<A*>;
  { c.gradient.empty() } -> std::convertible_to<bool>;
  { p.packed.data() } -> std::same_as<T*>;
  { c.packed.empty() } -> std::convertible_to<bool>;
};

template <class P>
concept policy_types =
    scalar<typename P::scalar_type> && scalar<typename P::value_type> && execution_context<typename P::context_type> &&
    requires { typename std::integral_constant<exactness, P::exactness>; };

template <class P>
concept policy_weights = requires(P& p, const P& c, typename P::context_type& ctx) {
  p.parameters()[0];
  c.parameters()[0];
  requires policy_parameter<std::remove_cvref_t<decltype(p.parameters()[0])>, typename P::scalar_type,
                            typename P::value_type>;
  p.publish(ctx, p.parameters()[0]);
  p.published();
  p.zero_gradients(ctx);
  p.finish_gradients(ctx);
};

template <class P>
concept policy_scores =
    requires(P& p, const P& c, typename P::context_type& ctx, const token_tree& tree, const lane_plan& plan,
             unit_range range, const typename P::score_options& o, model::scores<typename P::value_type> out) {
      { c.lanes() } -> std::convertible_to<lane_options>;
      requires std::default_initializable<typename P::score_options>;
      typename std::type_identity_t<decltype(p.score(ctx, tree, plan, range, o, out))>;
      { o.distribution } -> std::convertible_to<distribution>;
      { o.support } -> std::convertible_to<const frozen_support*>;
      { o.keep } -> std::convertible_to<model::keep>;
      { o.backward } -> std::convertible_to<bool>;
    };

template <class P>
using tape_of = decltype(std::declval<P&>().score(
    std::declval<typename P::context_type&>(), std::declval<const token_tree&>(), std::declval<const lane_plan&>(),
    unit_range{}, std::declval<const typename P::score_options&>(), model::scores<typename P::value_type>{}));

template <class P>
concept policy_backward = requires(P& p, typename P::context_type& ctx, tape_of<P>& tape,
                                   model::scores<const typename P::value_type> d) { p.backward(ctx, tape, d); };

}  // namespace detail

// Scores the loss tokens of some units of a plan, takes d loss / d log-prob (and entropy) back into the gradients of
// its parameters, and shows these in memory that an optimizer may change. What score() returns (the tape) is good for
// one backward() before the weights change.
template <class P>
concept trainable_policy =
    detail::policy_types<P> && detail::policy_weights<P> && detail::policy_scores<P> && detail::policy_backward<P>;

// A weight of a policy of another framework: in that framework's memory, row-major, which must stay in its place.
// Vectors have one row.
template <scalar T>
struct parameter_view {
  std::string name;
  std::int64_t rows = 0, columns = 0;
  bool trainable = true;
  std::span<accumulate_t<T>> master, gradient;
  bool product = rows > 1;  // a matrix, to optimizers that know matrices
  std::span<T> packed{};    // a second copy of the weights in another order, which an update writes too; usually none

  std::int64_t size() const { return rows * columns; }
  bool vector() const { return rows == 1 && !product; }
  matrix<T> as_matrix() const { return {rows, columns, master.data(), packed.data()}; }
};

namespace detail {

// True, or an error in words.
template <class P>
constexpr bool explain_policy() {
  constexpr bool has_types = policy_types<P>;
  static_assert(has_types,
                "ql: policy: it needs the types scalar_type, value_type (of log-probs) and context_type, and `static "
                "constexpr ql::exactness exactness`");
  if constexpr (has_types) {
    constexpr bool has_weights = policy_weights<P>;
    static_assert(has_weights,
                  "ql: policy: it needs parameters() (each with name, trainable, size(), vector(), as_matrix(), and "
                  "master, gradient, packed with data()), publish(ctx, parameter), published(), zero_gradients(ctx), "
                  "finish_gradients(ctx)");
    constexpr bool has_score = policy_scores<P>;
    static_assert(has_score,
                  "ql: policy: it needs lanes(), a type score_options (such as ql::model::score_options) and a tape "
                  "from `score(ctx, tree, plan, range, options, ql::model::scores<value_type> out)`");
    if constexpr (has_score) {
      constexpr bool has_backward = policy_backward<P>;
      static_assert(has_backward,
                    "ql: policy: it needs `backward(ctx, tape, ql::model::scores<const value_type> d)`, with the tape "
                    "that its score() returns");
    }
  }
  return true;
}

}  // namespace detail

}  // namespace ql
