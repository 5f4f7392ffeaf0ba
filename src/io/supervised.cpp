// SPDX-License-Identifier: Apache-2.0
#include <ql/data/supervised.hpp>
#include <ql/error.hpp>
#include <ql/text/tokenizer.hpp>

#include <utility>

namespace ql::data {

std::string_view without_leading_think(std::string_view target) {
  constexpr std::string_view tag = "<think>";
  const auto begin = target.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos || !target.substr(begin).starts_with(tag)) return target;
  target.remove_prefix(begin + tag.size());
  if (target.starts_with("\r\n")) return target.substr(2);
  if (target.starts_with('\n')) return target.substr(1);
  return target;
}

std::string target_text(const qa_example& e, const target_format& f, bool prompt_opens_thinking) {
  constexpr std::string_view slot = "{answer}";
  const auto at = f.answer.find(slot);
  detail::expects(at != std::string::npos && f.answer.find(slot, at + 1) == std::string::npos, "target_text",
                  "format.answer", "{answer} once", "\"" + f.answer + "\"");
  detail::expects(!e.answers.empty(), "target_text", "example", "an answer", "none in \"" + e.id + "\"");
  // Rows may bring the tag with their reasoning.
  std::string_view reasoning = without_leading_think(e.reasoning);
  std::string text = f.before;
  text += reasoning;
  text += f.between;
  text += f.answer.substr(0, at);
  text += e.answers[0];
  text += f.answer.substr(at + slot.size());
  if (prompt_opens_thinking) text = std::string(without_leading_think(text));
  if (reasoning.empty() && f.before.empty()) text.erase(0, text.find_first_not_of(" \t\r\n"));
  return text;
}

supervised_set supervise(std::span<const qa_example> examples, std::vector<tokenized_prompt> prompts,
                         const target_format& f, const text::tokenizer& tokenizer, token end, std::int64_t at_most) {
  supervised_set out;
  const auto given = prompts.size();
  for (auto& p : prompts) {
    detail::expects(p.example < examples.size(), "supervise", "prompt", "an example of the set", p.example);
    supervised_example s{p.example, std::move(p.ids),
                         tokenizer.encode(target_text(examples[p.example], f, p.opens_thinking))};
    s.target.push_back(end);
    if (s.tokens() > at_most) {
      ++out.too_long;
      continue;
    }
    out.examples.push_back(std::move(s));
  }
  detail::expects(!out.examples.empty(), "supervise", "prompts",
                  "one of at most " + std::to_string(at_most) + " tokens with its target",
                  given == 0 ? std::string("no prompt") : std::to_string(given) + " longer ones");
  return out;
}

supervised_example supervise(const generated_document& d, const generated_question& q) {
  supervised_example s{0, d.tokens, q.target()};
  s.prompt.insert(s.prompt.end(), q.prompt.begin(), q.prompt.end());
  return s;
}

}  // namespace ql::data
