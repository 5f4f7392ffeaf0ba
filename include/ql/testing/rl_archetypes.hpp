// SPDX-License-Identifier: Apache-2.0
#pragma once

// For each concept of ql::rl the smallest type that models it, and types that miss it by one thing. Algorithms must
// compile with the former: that shows that a concept asks for all that is used.

#include <ql/rl/advantage.hpp>
#include <ql/rl/aggregation.hpp>
#include <ql/rl/correction.hpp>
#include <ql/rl/filter.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/rl/sampler.hpp>
#include <ql/rl/schedule.hpp>
#include <ql/rl/token_term.hpp>

#include <array>
#include <cstdint>

namespace ql::testing::archetypes {

struct loss {
  static constexpr rl::input reads = rl::input::logp;
  QL_HD constexpr rl::loss_and_grad<float> operator()(const rl::token_term<float>&) const { return {}; }
};
struct loss_without_reads {
  constexpr rl::loss_and_grad<float> operator()(const rl::token_term<float>&) const { return {}; }
};
struct loss_returning_a_number {
  static constexpr rl::input reads = rl::input::logp;
  constexpr float operator()(const rl::token_term<float>&) const { return 0; }
};
struct loss_that_changes {
  static constexpr rl::input reads = rl::input::logp;
  constexpr rl::loss_and_grad<float> operator()(const rl::token_term<float>&) { return {}; }
};
static_assert(rl::pointwise_loss<loss, float> && rl::policy_loss<loss, float>);
static_assert(!rl::policy_loss<loss, double> && !rl::sequence_loss<loss, float>);
static_assert(!rl::policy_loss<loss_without_reads, float>);
static_assert(!rl::policy_loss<loss_returning_a_number, float>);
static_assert(!rl::policy_loss<loss_that_changes, float>);

struct sequence_loss {
  static constexpr rl::input reads = rl::input::logp;
  static constexpr int sums = 1;
  constexpr std::array<float, 1> contribution(const rl::token_term<float>&) const { return {}; }
  constexpr rl::loss_and_grad<float> operator()(const rl::token_term<float>&, const rl::sequence_term<1>&) const {
    return {};
  }
};
struct sequence_loss_without_contribution {
  static constexpr rl::input reads = rl::input::logp;
  static constexpr int sums = 1;
  constexpr rl::loss_and_grad<float> operator()(const rl::token_term<float>&, const rl::sequence_term<1>&) const {
    return {};
  }
};
struct sequence_loss_of_two_minds : sequence_loss {
  static constexpr int sums = 2;
};
static_assert(rl::sequence_loss<sequence_loss, float> && rl::policy_loss<sequence_loss, float>);
static_assert(!rl::pointwise_loss<sequence_loss, float>);
static_assert(!rl::policy_loss<sequence_loss_without_contribution, float>);
static_assert(!rl::policy_loss<sequence_loss_of_two_minds, float>);

struct aggregation {
  static constexpr bool split_invariant = true;
  constexpr double weight(rl::sequence_counts, rl::batch_counts) const { return 1; }
};
struct aggregation_silent_on_splits {
  constexpr double weight(rl::sequence_counts, rl::batch_counts) const { return 1; }
};
struct aggregation_in_float {
  static constexpr bool split_invariant = true;
  constexpr float weight(rl::sequence_counts, rl::batch_counts) const { return 1; }
};
static_assert(rl::aggregation<aggregation> && rl::aggregation_for<aggregation, loss>);
static_assert(!rl::aggregation<aggregation_silent_on_splits> && !rl::aggregation<aggregation_in_float>);

struct correction {
  static constexpr rl::input reads = rl::input::none;
  static constexpr int sums = 0;
  constexpr float weight(const rl::token_term<float>&, const rl::sequence_term<0>&) const { return 1; }
};
struct correction_of_two_sums {
  static constexpr rl::input reads = rl::input::none;
  static constexpr int sums = 2;
  constexpr float weight(const rl::token_term<float>&, const rl::sequence_term<2>&) const { return 1; }
};
static_assert(rl::correction<correction, float> && !rl::correction<correction_of_two_sums, float>);

struct advantage {
  void operator()(const rl::outcome_batch<float>&, view<float, 1>) const {}
};
struct advantage_returning {
  int operator()(const rl::outcome_batch<float>&, view<float, 1>) const { return 0; }
};
struct advantage_of_changes {
  void operator()(rl::outcome_batch<float>&, view<float, 1>) const {}
};
static_assert(rl::advantage_estimator<advantage, float>);
static_assert(!rl::advantage_estimator<advantage_returning, float>);
static_assert(!rl::advantage_estimator<advantage_of_changes, float>);

struct optimizer {
  template <class T, execution_context C>
  struct state {
    std::int64_t steps = 0;
    template <class F>
    void visit(F&&) {}
  };
  template <execution_context C>
  state<float, C> init(C&, view<float, 1, typename C::memory_space>) const {
    return {};
  }
  template <execution_context C>
  void step(C&, view<float, 1, typename C::memory_space>, view<const float, 1, typename C::memory_space>,
            state<float, C>& s, double) const {
    ++s.steps;
  }
};
struct optimizer_with_hidden_state {  // no state type: nothing for a checkpoint to save
  template <execution_context C>
  void step(C&, view<float, 1, typename C::memory_space>, view<const float, 1, typename C::memory_space>, double) {}
};

struct schedule {
  constexpr double operator()(std::int64_t) const { return 0; }
};
struct schedule_in_float {
  constexpr float operator()(std::int64_t) const { return 0; }
};
static_assert(rl::schedule<schedule> && !rl::schedule<schedule_in_float>);

struct sampler {
  ql::distribution of;
  const ql::distribution& distribution() const { return of; }
  rl::draw operator()(const logits_row<float>&, double) { return {}; }
};
struct sampler_of_numbers : sampler {
  int operator()(const logits_row<float>&, double) { return 0; }
};
struct sampler_of_nothing {  // what is scored, if nobody says what is sampled?
  rl::draw operator()(const logits_row<float>&, double) { return {}; }
};
struct sampler_with_dice_of_its_own : sampler {
  rl::draw operator()(const logits_row<float>&) { return {}; }
};
static_assert(rl::sampler<sampler, float> && !rl::sampler<sampler, double>);
static_assert(!rl::sampler<sampler_of_numbers, float> && !rl::sampler<sampler_of_nothing, float>);
static_assert(!rl::sampler<sampler_with_dice_of_its_own, float>);

struct filter {
  constexpr bool keeps(view<const double, 1>, std::int64_t, std::int64_t) const { return true; }
};
struct filter_that_counts {
  constexpr int keeps(view<const double, 1>, std::int64_t, std::int64_t) const { return 1; }
};
static_assert(rl::group_filter<filter> && !rl::group_filter<filter_that_counts>);

}  // namespace ql::testing::archetypes
