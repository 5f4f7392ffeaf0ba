// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the parts of an update have to agree on, as one value with one set of rules: static_assert(valid(facts)) where
// types know it all, expects_valid(facts) where a configuration is read. Rules inside a part stand with the part.

#include <ql/rl/aggregation.hpp>
#include <ql/rl/rules.hpp>
#include <ql/rl/token_term.hpp>
#include <ql/tensor/distribution.hpp>

#include <cstdint>

namespace ql::rl {

// A loss whose terms read the frozen reference policy: only then is it loaded.
template <class L>
inline constexpr bool needs_reference = has(L::reads, input::ref);

struct update_facts {
  distribution sampled{}, scored{};  // what tokens are drawn from, and what log-probs of them are computed under
  bool exact_policy = true;          // recorded log-probs are the trainer's own, bit for bit
  bool corrected = false;            // the loss weighs by old against rollout
  std::int64_t group_size = 2;       // answers to a prompt
  bool group_baseline = false;       // advantages are relative to the group
  bool single_group_rule = false;    // and say what a group of one is
  bool reads_reference = false, loads_reference = false;
  bool on_policy_only = false;  // the estimator is for one update a batch (OPO)
  std::int64_t updates_per_batch = 1;
  bool penalised = false;  // KL or entropy terms in the loss

  constexpr void validate(rule_book& b) const {
    b.require(corrected || sampled.temperature == scored.temperature, "scored.temperature", scored.temperature,
              "the temperature that is sampled at", "score under the sampler's distribution, or correct the loss");
    b.require(corrected || scored == sampled || scored == untruncated(sampled), "scored.rule",
              static_cast<double>(scored.rule), "the sampler's own support, or none at all",
              "score under the sampler's distribution, or correct the loss");
    b.require(corrected || !(sampled.truncated() && sampled.rule == support_rule::frozen) || scored == sampled,
              "scored.rule", static_cast<double>(scored.rule), "frozen, as it is sampled",
              "score over the recorded support, or declare sampled.rule untruncated");
    b.require(exact_policy || corrected, "corrected", corrected,
              "an importance correction for a policy that is not exact", "use corrected{loss, token_tis{}}");
    b.require(group_size >= 1, "group_size", static_cast<double>(group_size), "at least 1", "use 8");
    b.require(!group_baseline || group_size >= 2 || single_group_rule, "group_size", static_cast<double>(group_size),
              "at least 2 for an advantage relative to the group", "use 8, or choose what a single_group means");
    b.require(loads_reference || !reads_reference, "loads_reference", loads_reference, "yes: the loss has a KL term",
              "load the reference policy, or drop the KL term");
    b.require(reads_reference || !loads_reference, "loads_reference", loads_reference, "no: nothing reads it",
              "leave the reference policy out: it would run on every token for nothing");
    b.require(!on_policy_only || updates_per_batch == 1, "updates_per_batch", static_cast<double>(updates_per_batch),
              "1 for an estimator that is exact on-policy only", "use 1, or another estimator");
    b.require(!on_policy_only || !penalised, "penalised", penalised, "no KL or entropy term beside this estimator",
              "drop the terms, or use another estimator");
  }

 private:
  static constexpr distribution untruncated(distribution d) { return {.temperature = d.temperature}; }
};

// What types say: which inputs a loss reads, whether an estimator compares with the group.
template <class Loss, class Advantage>
constexpr update_facts facts_of(const Loss&, const Advantage& estimator) {
  update_facts f;
  f.corrected = has(Loss::reads, input::rollout);
  f.reads_reference = f.loads_reference = needs_reference<Loss>;
  f.penalised = needs_reference<Loss> || has(Loss::reads, input::entropy);
  if constexpr (requires { estimator.single; }) {
    f.group_baseline = true;
    f.single_group_rule = estimator.single != decltype(estimator.single){};
  }
  if constexpr (requires { Advantage::on_policy_only; }) f.on_policy_only = Advantage::on_policy_only;
  return f;
}

}  // namespace ql::rl
