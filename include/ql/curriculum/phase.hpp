// SPDX-License-Identifier: Apache-2.0
#pragma once

// The phases of a curriculum: which examples belong to one, how long prompt and answer may be, and when it is over.

#include <ql/curriculum/rules.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ql::curriculum {

// An example is the index of a row of the data set.
using example_id = std::uint32_t;

// What a curriculum knows of its examples: numbers by index.
struct pool {
  std::span<const std::int64_t> prompt_tokens;  // length of the whole tokenised prompt, template included
  std::span<const std::int32_t> task{};         // task or source of each example, from 0; empty: all alike
  // Examples that share a prefix (questions on one document) have one bundle number, and are drawn together; numbers
  // from 0 without order; empty: each example alone.
  std::span<const std::uint32_t> bundle{};

  std::size_t size() const { return prompt_tokens.size(); }
};

// A phase is over when the mean score of its last `window` steps has not risen by `gain` above the best such mean for
// `patience` steps. window 0: off.
struct plateau {
  std::int64_t window = 0, patience = 10;
  double gain = 0.01;
  friend bool operator==(const plateau&, const plateau&) = default;
};

// How many examples of earlier phases a retention that draws a number brings along: `count`, or where that is 0
// `fraction` of the phase's own examples, rounded to nearest.
struct retained_size {
  std::int64_t count = 0;
  double fraction = 1.0;
  constexpr std::int64_t of(std::int64_t own) const {
    return count > 0 ? count : static_cast<std::int64_t>(2 * fraction * static_cast<double>(own) + 1) / 2;
  }
  friend bool operator==(const retained_size&, const retained_size&) = default;
};

// Lengths are in tokens, batches in prompts (in bundles where the pool has them). The phase is over as soon as one of
// the given ends is reached; at least one must be given.
struct phase {
  std::string name{};
  std::int64_t lo_exclusive = 0, hi_inclusive = 0;  // membership: lo < prompt <= hi (QwenLong-L1, section 3.1)
  std::int64_t max_prompt_tokens = 0;               // 0: hi_inclusive
  std::int64_t max_response_tokens = 0;
  std::int64_t steps = 0;   // ends after so many steps; 0: not by steps
  std::int64_t epochs = 0;  // ends when every example was drawn so often; 0: not by epochs
  std::int64_t tokens = 0;  // ends when so many were spent on it, its scoring included; 0: not by tokens
  plateau stop{};           // ends when the score no longer rises
  std::int64_t batch = 0;
  std::int64_t generation_batch = 0;  // prompts of one generation round; 0: batch
  retained_size retention{};

  bool contains(std::int64_t prompt_tokens) const {
    return lo_exclusive < prompt_tokens && prompt_tokens <= hi_inclusive;
  }
  std::int64_t prompt_limit() const { return max_prompt_tokens > 0 ? max_prompt_tokens : hi_inclusive; }
  std::int64_t round_size() const { return generation_batch > 0 ? generation_batch : batch; }

  template <class Book>
  void validate(Book& b) const {
    const auto number = [](std::int64_t n) { return static_cast<double>(n); };
    b.require(lo_exclusive >= 0, "lo_exclusive", number(lo_exclusive), "at least 0", "use 0 for the first phase");
    b.require(hi_inclusive > lo_exclusive, "hi_inclusive", number(hi_inclusive), "above lo_exclusive",
              "the longest prompt of this phase, in tokens");
    b.require(max_prompt_tokens == 0 || max_prompt_tokens >= hi_inclusive, "max_prompt_tokens",
              number(max_prompt_tokens), "0 or at least hi_inclusive", "raise it, or lower hi_inclusive");
    b.require(max_response_tokens > 0, "max_response_tokens", number(max_response_tokens), "above 0",
              "the longest answer, in tokens");
    b.require(batch > 0, "batch", number(batch), "above 0", "prompts in a training batch");
    b.require(generation_batch >= 0, "generation_batch", number(generation_batch), "at least 0",
              "prompts of one generation round, 0 for the batch");
    b.require(steps >= 0, "steps", number(steps), "at least 0", "0 where the phase does not end by steps");
    b.require(epochs >= 0, "epochs", number(epochs), "at least 0", "0 where the phase does not end by epochs");
    b.require(tokens >= 0, "tokens", number(tokens), "at least 0", "0 where the phase does not end by tokens");
    b.require(stop.window >= 0, "stop.window", number(stop.window), "at least 0",
              "0 where the phase does not end on a plateau");
    b.require(stop.window == 0 || stop.patience > 0, "stop.patience", number(stop.patience), "above 0",
              "steps without a gain");
    b.require(stop.window == 0 || stop.gain > 0, "stop.gain", stop.gain, "above 0", "or the phase might never end");
    b.require(steps > 0 || epochs > 0 || tokens > 0 || stop.window > 0, "steps", number(steps),
              "an end: steps, epochs, tokens or stop.window above 0", "say when the phase is over");
    b.require(retention.count >= 0, "retention.count", number(retention.count), "at least 0",
              "0 to go by retention.fraction");
    b.require(retention.fraction >= 0, "retention.fraction", retention.fraction, "at least 0",
              "1 retains as many examples as the phase has of its own");
  }
  friend bool operator==(const phase&, const phase&) = default;
};

// All rules that a list of phases breaks. Limits never fall and leave no gap, so that every example up to the last
// limit belongs to a phase; bands may overlap (a second stage at the same length).
template <int = 0>
problem_list broken_rules(std::span<const phase> phases) {
  problem_list b;
  b.require(!phases.empty(), "phases", 0.0, "at least one phase",
            "name, hi_inclusive, max_response_tokens, steps, batch");
  for (std::size_t k = 0; k < phases.size(); ++k) {
    b.prefix = "phases[" + std::to_string(k) + "].";
    const phase& p = phases[k];
    p.validate(b);
    b.require(!p.name.empty(), "name", std::string("\"\""), "a name", "it stands in metrics and checkpoints");
    for (std::size_t i = 0; i < k; ++i)
      b.require(p.name.empty() || p.name != phases[i].name, "name", '"' + p.name + '"', "a name of its own",
                "phases[" + std::to_string(i) + "] has it already");
    if (k == 0) continue;
    const phase& before = phases[k - 1];
    b.require(p.lo_exclusive <= before.hi_inclusive, "lo_exclusive", static_cast<double>(p.lo_exclusive),
              "at most the hi_inclusive of the phase before", "prompts between the two would never be trained on");
    b.require(p.hi_inclusive >= before.hi_inclusive, "hi_inclusive", static_cast<double>(p.hi_inclusive),
              "at least the hi_inclusive of the phase before", "order the phases by length");
  }
  b.prefix.clear();
  return b;
}

// The examples of `p`, ascending.
template <int = 0>
std::vector<example_id> members(const phase& p, const pool& data) {
  std::vector<example_id> in;
  for (std::size_t i = 0; i < data.size(); ++i)
    if (p.contains(data.prompt_tokens[i])) in.push_back(static_cast<example_id>(i));
  return in;
}

// All rules that phases and data break together: besides those of the phases, that no phase is empty and that the
// pool's columns fit.
template <int = 0>
problem_list broken_rules(std::span<const phase> phases, const pool& data) {
  problem_list b = broken_rules(phases);
  const auto n = data.size();
  b.require(n > 0, "pool", 0.0, "at least one example", "the data set is empty");
  b.require(n < 0xFFFFFFFFu, "pool", static_cast<double>(n), "below 2^32 examples", "split the data set");
  b.require(data.task.empty() || data.task.size() == n, "pool.task", static_cast<double>(data.task.size()),
            "one entry per example", "or leave it empty");
  b.require(data.bundle.empty() || data.bundle.size() == n, "pool.bundle", static_cast<double>(data.bundle.size()),
            "one entry per example", "or leave it empty");
  for (std::size_t i = 0; i < data.task.size(); ++i) {
    if (data.task[i] >= 0 && data.task[i] < (1 << 16)) continue;
    b.require(false, "pool.task", static_cast<double>(data.task[i]), "from 0 to 65535", "number the tasks from 0");
    break;  // one is enough to say it
  }
  for (std::size_t k = 0; k < phases.size() && n > 0; ++k) {
    const phase& p = phases[k];
    if (p.hi_inclusive <= p.lo_exclusive) continue;  // said above
    std::int64_t shortest = data.prompt_tokens[0], longest = shortest;
    bool any = false;
    for (const auto tokens : data.prompt_tokens) {
      any = any || p.contains(tokens);
      shortest = tokens < shortest ? tokens : shortest;
      longest = tokens > longest ? tokens : longest;
    }
    b.prefix = "phases[" + std::to_string(k) + "].";
    b.require(any, "hi_inclusive", static_cast<double>(p.hi_inclusive), "a prompt of that length",
              "no prompt has more than " + std::to_string(p.lo_exclusive) + " and at most " +
                  std::to_string(p.hi_inclusive) + " tokens; the data set has " + std::to_string(shortest) + " to " +
                  std::to_string(longest));
  }
  b.prefix.clear();
  return b;
}

}  // namespace ql::curriculum
