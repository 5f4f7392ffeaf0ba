// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/judge.hpp>
#include <ql/rl/equivalence_judge.hpp>
#include <ql/rl/judge.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "judge_options.hpp"

namespace ql::qwenlong {

enum class answer_rules : std::uint8_t { strict, repo };

struct reward_settings {
  answer_rules rules = answer_rules::strict;
  bool thinking = true;
  tool::judge_settings judge;
  std::string judge_away = "abstain";
};

// max(rule, judge), or the rule alone where no judge is named. It may be asked again and again, by one thread.
class grader {
 public:
  explicit grader(const reward_settings& s);
  // outcomes and how they came about, one an item
  void operator()(std::span<const rl::graded_item> items, std::span<rl::outcome> out,
                  std::span<rl::hybrid_parts> parts);
  // Ends what a judge behind a server is busy with; it abstains from then on.
  void stop();
  // A judge behind a server, and its journal; null without one.
  io::chat_judge* remote() { return remote_ ? &*remote_ : nullptr; }
  io::verdict_journal* journal() { return remote_ ? &remote_->journal() : nullptr; }

 private:
  reward_settings settings_;
  rl::equivalence_judge equivalence_;
  std::optional<io::chat_judge> remote_;
};

}  // namespace ql::qwenlong
