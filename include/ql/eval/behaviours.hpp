// SPDX-License-Identifier: Apache-2.0
#pragma once

// Four behaviours of reasoning traces (arXiv 2505.17667, section 4.3), counted by their wording. This is a lexicon, not
// an understanding: it counts phrases, in English, and misses whatever is said otherwise. The quotation of known
// evidence alone is exact.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ql::eval {

enum class behaviour : std::uint8_t { grounding, subgoals, backtracking, verification };
inline constexpr behaviour all_behaviours[] = {behaviour::grounding, behaviour::subgoals, behaviour::backtracking,
                                               behaviour::verification};
constexpr std::string_view name_of(behaviour b) {
  constexpr std::string_view names[] = {"grounding", "subgoals", "backtracking", "verification"};
  return names[static_cast<std::size_t>(b)];
}

// What counts: whole words, in any case, # for a number; white space and apostrophes of any kind. A place counts once
// for a behaviour.
inline constexpr std::string_view grounding_phrases[] = {
    "in the text",     "the text says",     "the text states",     "the text mentions",
    "in the passage",  "the passage says",  "the passage states",  "passage #",
    "in the document", "the document says", "the document states", "in the article",
    "in the context",  "the context says",  "looking at",          "looking back at",
    "according to",    "as mentioned",      "mentioned in",        "it is stated",
    "paragraph #",     "table #",           "as stated in",        "from the text",
    "the article says"};
inline constexpr std::string_view subgoal_phrases[] = {
    "first,",          "first i",         "firstly",        "second,",        "secondly",
    "third,",          "to solve this",   "to answer this", "next, i",        "next i",
    "then i need",     "i need to find",  "step #",         "the first step", "the next step",
    "break this down", "let me start by", "let's start by", "finally, i"};
inline constexpr std::string_view backtracking_phrases[] = {"wait",
                                                            "hold on",
                                                            "that's not right",
                                                            "that is not right",
                                                            "this won't work",
                                                            "that won't work",
                                                            "let me reconsider",
                                                            "let me rethink",
                                                            "on second thought",
                                                            "i made a mistake",
                                                            "that's wrong",
                                                            "that is wrong",
                                                            "actually, no",
                                                            "scratch that",
                                                            "i was wrong",
                                                            "let me try again",
                                                            "going back"};
inline constexpr std::string_view verification_phrases[] = {
    "let me check", "let me verify", "let me confirm", "let's check", "let's verify", "double-check",  "double check",
    "to verify",    "to confirm",    "check again",    "make sure",   "sanity check", "check whether", "checking this"};

constexpr std::span<const std::string_view> phrases_of(behaviour b) {
  switch (b) {
    case behaviour::grounding: return grounding_phrases;
    case behaviour::subgoals: return subgoal_phrases;
    case behaviour::backtracking: return backtracking_phrases;
    case behaviour::verification: return verification_phrases;
  }
  return {};
}

struct behaviour_counts {
  std::int64_t grounding = 0, subgoals = 0, backtracking = 0, verification = 0;
  std::int64_t words = 0;              // of the response
  std::int64_t quoted = 0, facts = 0;  // evidence sentences that the response quotes, of those that are known

  friend bool operator==(const behaviour_counts&, const behaviour_counts&) = default;
};

// Counts of a response. An evidence sentence is quoted if its words stand in the response in their order and together,
// after SQuAD's normalisation.
//   count_behaviours("Wait, the text says so.")   has grounding 1, backtracking 1
behaviour_counts count_behaviours(std::string_view response, std::span<const std::string> evidence = {});

}  // namespace ql::eval
