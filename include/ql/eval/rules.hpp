// SPDX-License-Identifier: Apache-2.0
#pragma once

// The rule rewards of an evaluation. Unlike in training, a response without </think> is read as a whole.

#include <ql/rl/extract.hpp>
#include <ql/rl/reward.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ql::eval {

enum class rule_mode : std::uint8_t { repo_eval, strict_eval };
constexpr std::string_view name_of(rule_mode m) { return m == rule_mode::repo_eval ? "repo_eval" : "strict_eval"; }

// The evaluation scripts of QwenLong-L1 as they were released, with all their quirks: the first gold answer alone, bare
// ("32.4", not a sentence); substrings in both directions; numbers by their own rules (parentheses dropped, every power
// of ten passes, equal after rounding up to two decimals). A number whose gold cannot be read, on which the released
// code ends, is abstained. Multiple choice, which they do not have, is read as in training.
//   "the answer is 324" against "32.4", numeric: scored 1
struct repo_eval {
  rl::outcome operator()(const rl::graded_item& item) const;
};

// rl::strict::rule_reward on what follows the last </think>, or on the whole response; all gold answers.
struct strict_eval {
  rl::outcome operator()(const rl::graded_item& item) const;
};

rl::outcome rule_score(rule_mode mode, const rl::graded_item& item);

// The answer of a response, for the metrics and for a judge; nothing if there is none.
//   repo_eval: as the released code parses it, by kind of answer.
//   strict_eval: what is boxed, else what follows the last "answer is", else what follows </think>.
std::optional<std::string> answer_of(rule_mode mode, rl::answer_kind kind, std::string_view response);

// What a judge is shown of an item. repo_eval: the parsed answer and the first gold answer; where nothing was parsed,
// as the released code does it, "None" (text) or the final text without its fixed phrase (numbers). strict_eval:
// answer_of and all gold answers.
struct present_answer {
  rule_mode mode = rule_mode::strict_eval;
  std::optional<rl::presented> operator()(const rl::graded_item& item) const;
};

}  // namespace ql::eval
