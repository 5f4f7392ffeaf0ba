// SPDX-License-Identifier: Apache-2.0
#pragma once

// The smallest policy that training takes, and types that miss the concept by one thing.

#include <ql/context.hpp>
#include <ql/model/policy.hpp>
#include <ql/tensor/lanes.hpp>
#include <ql/tensor/token_tree.hpp>

#include <cstddef>
#include <vector>

namespace ql::testing::archetypes {

struct host_context {
  struct backend {};
  using memory_space = host_space;
  void* allocate(std::size_t) { return nullptr; }
  void deallocate(void*, std::size_t) noexcept {}
  void synchronize() {}
};

struct policy {
  using scalar_type = float;
  using value_type = float;
  using context_type = host_context;
  using score_options = model::score_options;
  struct tape {};
  static constexpr ql::exactness exactness = ql::exactness::inexact;
  std::vector<parameter_view<float>> weights;

  std::vector<parameter_view<float>>& parameters() { return weights; }
  const std::vector<parameter_view<float>>& parameters() const { return weights; }
  lane_options lanes() const { return {}; }
  void zero_gradients(context_type&) {}
  void finish_gradients(context_type&) {}
  void publish(context_type&, parameter_view<float>&) {}
  void published() {}
  tape score(context_type&, const token_tree&, const lane_plan&, unit_range, const score_options&,
             model::scores<float>) {
    return {};
  }
  void backward(context_type&, tape&, model::scores<const float>) {}
};
struct policy_of_unknown_exactness : policy {
  static void exactness() {}
};
struct policy_with_a_foreign_tape : policy {
  struct other {};
  void backward(context_type&, other&, model::scores<const float>) {}
};
struct policy_without_scores : policy {
  void score(context_type&, const token_tree&) {}
};
struct policy_with_const_weights : policy {
  struct fixed : parameter_view<float> {
    std::span<const float> master;
  };
  std::vector<fixed> constants;
  std::vector<fixed>& parameters() { return constants; }
  const std::vector<fixed>& parameters() const { return constants; }
};
static_assert(trainable_policy<policy>);
static_assert(!trainable_policy<policy_of_unknown_exactness> && !trainable_policy<policy_with_a_foreign_tape>);
static_assert(!trainable_policy<policy_without_scores> && !trainable_policy<policy_with_const_weights>);

}  // namespace ql::testing::archetypes
