// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a trainer asks of each slot of a recipe, said in words: the first line of a compiler's complaint names the slot
// and what its component lacks.

#include <ql/curriculum/curriculum.hpp>
#include <ql/model/policy.hpp>
#include <ql/recipe.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/aggregation.hpp>
#include <ql/rl/filter.hpp>
#include <ql/rl/loss_control.hpp>
#include <ql/rl/sampler.hpp>
#include <ql/rl/schedule.hpp>
#include <ql/rl/token_term.hpp>
#include <ql/rollout.hpp>

#include <concepts>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace ql::detail {

// fitting<C>::holds(f): f is true of C, or of each component of a choice.
template <class C>
struct fitting {
  template <class F>
  static constexpr bool holds(F f) {
    return f.template operator()<C>();
  }
};
template <class... Ts>
struct fitting<choice<Ts...>> {
  template <class F>
  static constexpr bool holds(F f) {
    return (f.template operator()<Ts>() && ...);
  }
};

// The recipe's component for a slot; void where the slot is empty, of which explain_slots has complained.
template <class Recipe, class Tag, bool = Recipe::template has<Tag>>
struct component_of {
  using type = void;
};
template <class Recipe, class Tag>
struct component_of<Recipe, Tag, true> {
  using type = typename Recipe::template component<Tag>;
};

// What controls the loss; none where the slot is empty, or holds what explain_slots has complained of.
template <class Recipe, bool = rl::loss_control<typename component_of<Recipe, slot::control_tag>::type>>
struct control_component {
  static constexpr bool fits = false;
  using type = rl::no_control;
};
template <class Recipe>
struct control_component<Recipe, true> {
  static constexpr bool fits = true;
  using type = typename Recipe::template component<slot::control_tag>;
};
template <class Recipe>
using loss_control_of = typename control_component<Recipe>::type;

template <class Recipe>
constexpr loss_control_of<Recipe> loss_control_in(const Recipe& recipe) {
  if constexpr (control_component<Recipe>::fits) {
    return recipe[slot::control];
  } else {
    return {};
  }
}

template <class E>
constexpr bool explain_environment() {
  constexpr bool has_examples = requires(E& e) {
    { e.examples() } -> std::convertible_to<std::int64_t>;
  };
  static_assert(has_examples, "ql: environment: it needs a member `examples()` that says how many examples there are");
  constexpr bool has_bundle = requires(E& e, std::int64_t i) {
    { e.bundle(i) } -> std::convertible_to<std::int64_t>;
  };
  static_assert(
      has_bundle,
      "ql: environment: it needs a member `bundle(example)`: the number of what examples share, or the example itself");
  constexpr bool has_prompts = requires(E& e, std::int64_t i) {
    { e.context(i) } -> std::convertible_to<std::span<const token>>;
    { e.question(i) } -> std::convertible_to<std::span<const token>>;
  };
  static_assert(has_prompts,
                "ql: environment: it needs members `context(bundle)` and `question(example)` that give tokens");
  constexpr bool has_task = requires(E& e, std::int64_t i) {
    { e.task(i) } -> std::convertible_to<std::int32_t>;
  };
  static_assert(has_task, "ql: environment: it needs a member `task(example)`: a number, 0 where all are alike");
  constexpr bool scores_outcomes = requires(E& e, std::span<const answer_request> batch) {
    { e.score(batch) } -> std::same_as<std::vector<rl::outcome>>;
  };
  static_assert(scores_outcomes,
                "ql: environment: `score(std::span<const ql::answer_request>)` must return "
                "std::vector<ql::rl::outcome>: scored or abstained, never a bare number");
  return true;
}

// A: the policy's type of log-probs. True, or an error in words. Each condition has a short name, since compilers
// repeat it before the words.
template <class Recipe, class A>
constexpr bool explain_slots() {
  using namespace slot;
  constexpr bool engine_filled = Recipe::template has<engine_tag>;
  static_assert(engine_filled,
                "ql: this recipe has nothing in slot::engine (how answers are sampled, such as ql::session_engine{})");
  constexpr bool sampler_filled = Recipe::template has<sampler_tag>;
  static_assert(sampler_filled, "ql: this recipe has nothing in slot::sampler (such as ql::rl::stochastic{})");
  constexpr bool curriculum_filled = Recipe::template has<curriculum_tag>;
  static_assert(curriculum_filled, "ql: this recipe has nothing in slot::curriculum (such as ql::curriculum::mixed)");
  constexpr bool filter_filled = Recipe::template has<filter_tag>;
  static_assert(filter_filled,
                "ql: this recipe has nothing in slot::filter (such as ql::rl::mixed_accuracy{}, or all_groups{})");
  constexpr bool shaping_filled = Recipe::template has<shaping_tag>;
  static_assert(shaping_filled, "ql: this recipe has nothing in slot::shaping (such as ql::no_shaping{})");
  constexpr bool advantage_filled = Recipe::template has<advantage_tag>;
  static_assert(advantage_filled, "ql: this recipe has nothing in slot::advantage (such as ql::rl::grpo_advantage{})");
  constexpr bool loss_filled = Recipe::template has<loss_tag>;
  static_assert(loss_filled, "ql: this recipe has nothing in slot::loss (such as ql::rl::clip_higher)");
  constexpr bool aggregation_filled = Recipe::template has<aggregation_tag>;
  static_assert(aggregation_filled, "ql: this recipe has nothing in slot::aggregation (such as ql::rl::token_mean{})");
  constexpr bool optimizer_filled = Recipe::template has<optimizer_tag>;
  static_assert(optimizer_filled, "ql: this recipe has nothing in slot::optimizer (such as ql::rl::adamw{})");
  constexpr bool schedule_filled = Recipe::template has<schedule_tag>;
  static_assert(schedule_filled, "ql: this recipe has nothing in slot::schedule (such as ql::rl::constant_schedule{})");
  if constexpr (sampler_filled) {
    using mine = typename component_of<Recipe, sampler_tag>::type;
    constexpr bool sampler_fits = fitting<mine>::holds([]<class C>() { return rl::sampler<C, A>; });
    static_assert(sampler_fits,
                  "ql: what fills slot::sampler is no rl::sampler: it needs `ql::rl::draw operator()(const "
                  "ql::logits_row<A>&, double u)` and `distribution() const`");
  }
  if constexpr (curriculum_filled) {
    using mine = typename component_of<Recipe, curriculum_tag>::type;
    constexpr bool curriculum_fits = fitting<mine>::holds([]<class C>() { return curriculum::curriculum<C>; });
    static_assert(curriculum_fits,
                  "ql: what fills slot::curriculum is no curriculum: it needs a copyable, comparable `state`, and "
                  "start(), now(), limits(), select(), observe() -> bool, end_step() (ql/curriculum/curriculum.hpp)");
  }
  if constexpr (filter_filled) {
    using mine = typename component_of<Recipe, filter_tag>::type;
    constexpr bool filter_fits = fitting<mine>::holds([]<class C>() { return rl::group_filter<C>; });
    static_assert(filter_fits,
                  "ql: what fills slot::filter is no rl::group_filter: it needs `bool keeps(ql::view<const T, 1> "
                  "task_score, std::int64_t first, std::int64_t last) const`");
  }
  if constexpr (shaping_filled) {
    using mine = typename component_of<Recipe, shaping_tag>::type;
    constexpr bool shaping_fits = fitting<mine>::holds([]<class C>() {
      return std::is_invocable_r_v<double, const C&, std::int64_t> ||
             std::is_invocable_r_v<double, const C&, std::int64_t, std::int64_t>;
    });
    static_assert(shaping_fits,
                  "ql: what fills slot::shaping is no shaping: it needs `double operator()(std::int64_t length) "
                  "const`, or one of (length, longest)");
  }
  if constexpr (advantage_filled) {
    using mine = typename component_of<Recipe, advantage_tag>::type;
    constexpr bool advantage_fits = fitting<mine>::holds([]<class C>() { return rl::advantage_estimator<C, A>; });
    static_assert(advantage_fits,
                  "ql: what fills slot::advantage is no rl::advantage_estimator: it needs `void operator()(const "
                  "ql::rl::outcome_batch<T>&, ql::view<T, 1> out) const`");
  }
  if constexpr (loss_filled) {
    using mine = typename component_of<Recipe, loss_tag>::type;
    constexpr bool loss_fits = fitting<mine>::holds([]<class C>() { return rl::policy_loss<C, A>; });
    static_assert(loss_fits,
                  "ql: what fills slot::loss is no rl::policy_loss: it needs `static constexpr ql::rl::input reads` "
                  "and `ql::rl::loss_and_grad<T> operator()(const ql::rl::token_term<T>&) const`");
  }
  constexpr bool control_fits = !Recipe::template has<control_tag> || control_component<Recipe>::fits;
  static_assert(control_fits,
                "ql: what fills slot::control is no rl::loss_control: it needs a comparable `state`, `state "
                "observe(state, double batch_entropy) const`, `apply(loss, state, double batch_entropy) const` and "
                "`bool learns_from(state, double advantage) const`; a choice at run time is made inside it");
  if constexpr (aggregation_filled) {
    using mine = typename component_of<Recipe, aggregation_tag>::type;
    constexpr bool aggregation_fits = fitting<mine>::holds([]<class C>() { return rl::aggregation<C>; });
    static_assert(aggregation_fits,
                  "ql: what fills slot::aggregation is no rl::aggregation: it needs `double weight(sequence_counts, "
                  "batch_counts) const` and `static constexpr bool split_invariant`");
  }
  if constexpr (schedule_filled) {
    using mine = typename component_of<Recipe, schedule_tag>::type;
    constexpr bool schedule_fits = fitting<mine>::holds([]<class C>() { return rl::schedule<C>; });
    static_assert(
        schedule_fits,
        "ql: what fills slot::schedule is no rl::schedule: it needs `double operator()(std::int64_t step) const`");
  }
  return true;
}

// Ratios of an inexact policy are taken against a second look at the answers; what it sampled with is corrected for.
template <class Recipe, class Policy>
constexpr bool explain_correction() {
  if constexpr (policy_types<Policy> && Recipe::template has<slot::loss_tag>) {
    using mine = typename component_of<Recipe, slot::loss_tag>::type;
    constexpr bool loss_fits = Policy::exactness == exactness::exact || fitting<mine>::holds([]<class C>() {
                                 if constexpr (rl::policy_loss<C, typename Policy::value_type>) {
                                   return rl::has(C::reads, rl::input::rollout);
                                 } else {
                                   return true;  // explain_slots says what it lacks
                                 }
                               });
    static_assert(loss_fits,
                  "ql: what fills slot::loss knows no importance correction, but this policy is inexact: its log-probs "
                  "while sampling are not those of its training forward (such as ql::rl::corrected{loss, "
                  "ql::rl::token_tis{}})");
  }
  return true;
}

}  // namespace ql::detail
