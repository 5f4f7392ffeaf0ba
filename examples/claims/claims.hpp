// SPDX-License-Identifier: Apache-2.0
#pragma once

// What is tested and how it will be judged, written down before any run: the arms, and for each claim its primary
// measure, the direction that the paper claims, and how many seeds it takes. Nothing below is chosen after a result.

#include <cstdint>
#include <string>
#include <vector>

namespace claims {

// The first arm of a seed makes the warm-up model and sets the budget; it is the demonstration as it is.
inline constexpr const char* reference = "dapo";

struct arm {
  std::string name, what;
  std::vector<std::string> set;  // settings of `qwenlong-l1 demo`, besides those of all arms
  bool shares_warm_up = true;    // starts from the reference arm's warm-up model of the same seed
  bool instead_of_rl = false;    // spends the budget on SFT
};

enum class measure : std::uint8_t {
  all,        // greedy accuracy on held-out documents, mean over the lengths
  longest,    // the same on the longest documents
  by_rule,    // the same over all lengths, by the rule alone
  grounding,  // share of the gold evidence that greedy answers quote
  pass_gap,   // pass@16 - pass@1 of sampled answers, unbiased
  growth      // share of the missing training reward that is gained: (last tenth - first tenth) / (1 - first tenth)
};

// sign * measure of an arm, at the end of its training or before it.
struct term {
  double sign;
  std::string arm;
  bool before = false;
};

enum class direction : std::uint8_t { above_zero, near_zero };  // near: the interval lies within 2 points

struct claim {
  std::string number, says;
  claims::measure measure;
  std::vector<term> difference;  // summed within a seed
  claims::direction direction;
  std::int64_t seeds;
};

inline std::vector<std::string> all_to(const char* band) {
  std::vector<std::string> set{"rl.course=mixed"};
  for (const char* phase : {"0", "1", "2"}) {
    const std::string p = "rl.phases[" + std::string(phase) + "].", b = band;
    set.push_back(p + (b == "short" ? "above=128" : "above=512"));
    set.push_back(p + (b == "short" ? "up_to=256" : "up_to=1024"));
  }
  return set;
}

inline std::vector<arm> arms() {
  return {
      {"dapo",
       "the demonstration: SFT to 128 tokens, YaRN, three phases, DAPO, weighted retention, max(rule, judge)",
       {}},
      {"sft_continued", "control: SFT goes on in the place of RL, documents of up to 128 tokens", {}, true, true},
      {"shuffled", "control: rewards are dealt to other answers of the batch", {"shuffle_rewards=1"}},
      {"phased", "three phases, nothing retained", {"rl.retention=none"}},
      {"random", "three phases, as many retained as in dapo, drawn blindly", {"rl.retention=random"}},
      {"zero_accuracy", "three phases, all retained that no answer was right for", {"rl.retention=zero_accuracy"}},
      {"mixed", "one phase of all lengths", {"rl.course=mixed"}},
      {"single", "one phase of the longest documents", {"rl.course=single_stage"}},
      {"phased_no_sft",
       "phased, from the recall drill alone",
       {"rl.retention=none", "warm_up.steps=0", "warm_up.more_steps=0"},
       false},
      {"single_no_sft",
       "single, from the recall drill alone",
       {"rl.course=single_stage", "warm_up.steps=0", "warm_up.more_steps=0"},
       false},
      {"short", "one phase of documents of up to 256 tokens alone", all_to("short")},
      {"long", "one phase of documents of 513 to 1024 tokens alone, as many of them", all_to("long")},
      {"no_yarn", "dapo without the stretch of positions", {"yarn=1"}},
      {"long_sft",
       "SFT to 1024 tokens (as many), then one phase of the longest documents; no stretch",
       {"yarn=1", "warm_up.longest=1024", "warm_up.more_steps=0", "rl.course=single_stage"},
       false},
      {"grpo",
       "GRPO: every group is trained on, mean of sequence means, clip 0.2 on both sides",
       {"rl.dynamic_sampling=false", "rl.aggregation=sequence_mean", "rl.clip_high=0.2"}},
      {"rule", "the rule alone gives the reward", {"reward=rule"}},
      {"permissive_judge",
       "a judge alone that accepts every answer in which gold is named",
       {"reward=judge", "judge=permissive"}},
      {"permissive_max", "max of the rule and that judge", {"judge=permissive"}},
      {"perturbed_1", "recorded log-probs off by N(0, 0.1), one update a batch", {"rl.perturbation=0.1"}},
      {"exact_4",
       "exact log-probs, four updates of 8 groups a batch",
       {"rl.updates_per_batch=4", "rl.train_groups=32"}},
      {"perturbed_4",
       "recorded log-probs off by N(0, 0.1), four updates of 8 groups a batch",
       {"rl.updates_per_batch=4", "rl.train_groups=32", "rl.perturbation=0.1"}},
  };
}

inline std::vector<claim> all() {
  using enum measure;
  using enum direction;
  return {
      {"1", "long inputs slow the growth of the reward", growth, {{+1, "short"}, {-1, "long"}}, above_zero, 5},
      {"2a", "phased beats mixed lengths", longest, {{+1, "phased"}, {-1, "mixed"}}, above_zero, 8},
      {"2b", "phased beats a single stage", longest, {{+1, "phased"}, {-1, "single"}}, above_zero, 8},
      {"3a", "warm-up SFT helps phased RL", longest, {{+1, "phased"}, {-1, "phased_no_sft"}}, above_zero, 8},
      {"3b", "warm-up SFT helps single-stage RL", longest, {{+1, "single"}, {-1, "single_no_sft"}}, above_zero, 8},
      {"4",
       "the gain of phasing shrinks after SFT",
       longest,
       {{+1, "phased_no_sft"}, {-1, "single_no_sft"}, {-1, "phased"}, {+1, "single"}},
       above_zero,
       8},
      {"5a",
       "retaining zero-accuracy examples beats none",
       all,
       {{+1, "zero_accuracy"}, {-1, "phased"}},
       above_zero,
       8},
      {"5b", "it beats a blind draw", all, {{+1, "zero_accuracy"}, {-1, "random"}}, above_zero, 8},
      {"5c", "weighted retention beats none", all, {{+1, "dapo"}, {-1, "phased"}}, above_zero, 8},
      {"5d", "weighted retention beats a blind draw", all, {{+1, "dapo"}, {-1, "random"}}, above_zero, 8},
      {"6a", "before RL long SFT is better", longest, {{+1, "long_sft", true}, {-1, "no_yarn", true}}, above_zero, 8},
      {"6b", "after RL short SFT is better", longest, {{+1, "no_yarn"}, {-1, "long_sft"}}, above_zero, 8},
      {"7", "GRPO and DAPO end close", all, {{+1, "dapo"}, {-1, "grpo"}}, near_zero, 5},
      {"8", "grounding rises with RL", grounding, {{+1, "dapo"}, {-1, "dapo", true}}, above_zero, 5},
      {"9a", "pass@16 is far above pass@1", pass_gap, {{+1, "dapo", true}}, above_zero, 5},
      {"9b", "RL closes a part of that gap", pass_gap, {{+1, "dapo", true}, {-1, "dapo"}}, above_zero, 5},
      {"10a", "max(rule, judge) beats the rule alone", by_rule, {{+1, "dapo"}, {-1, "rule"}}, above_zero, 5},
      {"10b", "a permissive judge costs accuracy", by_rule, {{+1, "dapo"}, {-1, "permissive_judge"}}, above_zero, 5},
      {"10c", "also beside the rule", by_rule, {{+1, "dapo"}, {-1, "permissive_max"}}, above_zero, 5},
      {"11", "(ours) the stretch of positions helps", longest, {{+1, "dapo"}, {-1, "no_yarn"}}, above_zero, 5},
      {"12a", "(ours) exact log-probs help at one update", all, {{+1, "dapo"}, {-1, "perturbed_1"}}, above_zero, 5},
      {"12b", "(ours) and at four", all, {{+1, "exact_4"}, {-1, "perturbed_4"}}, above_zero, 5},
      {"C1",
       "(control) RL beats SFT continued for the same tokens",
       longest,
       {{+1, "dapo"}, {-1, "sft_continued"}},
       above_zero,
       5},
      {"C2", "(control) RL gains on the longest documents", longest, {{+1, "dapo"}, {-1, "dapo", true}}, above_zero, 5},
      {"C3", "(control) rewards without a signal lose", all, {{+1, "shuffled", true}, {-1, "shuffled"}}, above_zero, 5},
  };
}

// The seeds that an arm takes: those of the most demanding claim about it.
inline std::int64_t seeds_of(const std::string& name) {
  std::int64_t n = 0;
  for (const auto& c : all())
    for (const auto& t : c.difference)
      if (t.arm == name && c.seeds > n) n = c.seeds;
  return n;
}

}  // namespace claims
