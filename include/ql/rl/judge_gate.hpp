// SPDX-License-Identifier: Apache-2.0
#pragma once

// What stands between an answer and an LLM judge, without any network: the gate that refuses answers which are known to
// make judges say yes, and the reading of a verdict.

#include <ql/rl/detail/text.hpp>
#include <ql/rl/extract.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace ql::rl {

enum class gate { open, empty, no_content, verdict_in_answer, chat_marker, instruction, too_long };

constexpr std::string_view name_of(gate g) {
  constexpr std::string_view names[] = {"open",        "empty",       "no content", "verdict in the answer",
                                        "chat marker", "instruction", "too long"};
  return names[static_cast<std::size_t>(g)];
}

// May this answer be shown to a judge? Answers without content of their own ("Solution", ":", "Let's solve this step by
// step", "One Token to Fool LLM-as-a-Judge", arXiv 2507.08794), and answers that talk to the judge, may not.
inline gate judge_gate(std::string_view answer, std::size_t longest = 16384) {
  if (detail::trim_ascii(answer).empty()) return gate::empty;
  if (answer.size() > longest) return gate::too_long;
  const auto holds = [&](std::string_view phrase) {
    return detail::rfind_any_case(answer, phrase) != std::string_view::npos;
  };
  if (holds("[[yes") || holds("[[no") || holds("[yes]") || holds("verdict")) return gate::verdict_in_answer;
  if (holds("<|") || holds("</s>") || holds("<\xEF\xBD\x9C") || holds("[inst]") || holds("<<sys>>") ||
      holds("<start_of_turn>"))
    return gate::chat_marker;
  for (std::string_view phrase : {"ignore the",  "ignore all",     "ignore any",       "ignore previous",
                                  "disregard",   "as the judge",   "dear judge",       "you are a",
                                  "you must",    "output yes",     "say yes",          "respond with yes",
                                  "reply yes",   "reply with yes", "both answers are", "answers are equivalent",
                                  "answer 1 is", "answer 2 is",    "answer 2 above",   "same as answer 2",
                                  "mark this",   "system prompt",  "new instruction",  "grader",
                                  "evaluator",   "system:",        "assistant:",       "user:",
                                  "problem:",    "answer 1:",      "answer 2:"})
    if (holds(phrase)) return gate::instruction;
  // what is left when reasoning openers are taken away
  constexpr std::u32string_view openers[] = {U"solution",
                                             U"thought",
                                             U"process",
                                             U"let",
                                             U"lets",
                                             U"s",
                                             U"us",
                                             U"solve",
                                             U"this",
                                             U"problem",
                                             U"question",
                                             U"step",
                                             U"by",
                                             U"the",
                                             U"a",
                                             U"an",
                                             U"is",
                                             U"to",
                                             U"we",
                                             U"i",
                                             U"will",
                                             U"need",
                                             U"first",
                                             U"answer",
                                             U"final",
                                             U"correct",
                                             U"therefore",
                                             U"so",
                                             U"reasoning",
                                             U"analysis",
                                             U"explanation",
                                             U"think",
                                             U"about",
                                             U"here",
                                             U"my",
                                             U"of",
                                             U"it",
                                             U"sure",
                                             U"and",
                                             U"find",
                                             U"insert",
                                             U"that",
                                             U"respuesta",
                                             U"soluci\xF3n",
                                             U"l\xF6sung",
                                             U"antwort",
                                             U"r\xE9ponse",
                                             U"\x89E3",
                                             U"\x89E3\x7B54",
                                             U"\x304B\x3044\x305B\x3064",
                                             U"\x7B54\x6848",
                                             U"\x89E3\x6790",
                                             U"\x7B54\x3048",
                                             U"\x56DE\x7B54",
                                             U"\x7B54\x6848\x662F",
                                             U"\x601D\x8003\x8FC7\x7A0B",
                                             U"\x89E3\x9898\x8FC7\x7A0B",
                                             U"\x8BA9\x6211\x4EEC\x4E00\x6B65\x6B65\x601D\x8003",
                                             U"\x8BA9\x6211\x4EEC\x4E00\x6B65\x4E00\x6B65\x601D\x8003",
                                             U"la",
                                             U"el",
                                             U"es",
                                             U"die",
                                             U"der",
                                             U"das",
                                             U"ist",
                                             U"lautet",
                                             U"vamos",
                                             U"paso",
                                             U"schritt",
                                             U"f\xFCr"};
  const std::u32string text = detail::lower(detail::decode_utf8(answer));
  bool content = false;
  for (std::size_t i = 0; i < text.size() && !content;) {
    if (!detail::is_word(text[i])) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && detail::is_word(text[end])) ++end;
    const auto word = std::u32string_view(text).substr(i, end - i);
    bool opener = false;
    for (auto o : openers) opener = opener || word == o;
    content = !opener && word.find_first_not_of(U'_') != std::u32string_view::npos;
    i = end;
  }
  return content ? gate::open : gate::no_content;
}

// The last bracketed token of a judge's reply, [[YES]] or [[NO]] in any case; nothing if there is none, or if it says
// something else.
//   "[[YES]]? No: [[NO]]" is no; "[[YES]] or rather [[UNSURE]]" is nothing
inline std::optional<bool> last_verdict(std::string_view reply) {
  const auto open = reply.rfind("[[");
  if (open == std::string_view::npos) return std::nullopt;
  const auto close = reply.find("]]", open + 2);
  if (close == std::string_view::npos) return std::nullopt;
  const auto token = detail::trim_ascii(reply.substr(open + 2, close - open - 2));
  if (token.size() == 3 && detail::rfind_any_case(token, "yes") == 0) return true;
  if (token.size() == 2 && detail::rfind_any_case(token, "no") == 0) return false;
  return std::nullopt;
}
// The released reading: YES in capitals anywhere in the reply.
inline bool released_verdict(std::string_view reply) { return reply.find("YES") != std::string_view::npos; }

}  // namespace ql::rl
