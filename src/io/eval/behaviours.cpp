// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/behaviours.hpp>
#include <ql/eval/metrics.hpp>

namespace ql::eval {
namespace {

bool is_word(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u >= 0x80 || (u >= '0' && u <= '9') || (u >= 'a' && u <= 'z') || u == '_';
}

// Lower case (ASCII), white space as one space, the typographic apostrophe as the plain one.
std::string plain(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (std::size_t i = 0; i < s.size(); ++i) {
    const char c = s[i];
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else if (s.substr(i, 3) == "\xE2\x80\x99") {
      out += '\'';
      i += 2;
    } else {
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
  }
  return out;
}

// Where a phrase that starts at `at` ends, or 0.
std::size_t end_of_match(std::string_view text, std::size_t at, std::string_view phrase) {
  for (char c : phrase) {
    if (c == '#') {
      const std::size_t first = at;
      while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
      if (at == first) return 0;
    } else {
      if (at >= text.size() || text[at] != c) return 0;
      ++at;
    }
  }
  return is_word(text[at - 1]) && at < text.size() && is_word(text[at]) ? 0 : at;
}

std::int64_t count(std::string_view text, std::span<const std::string_view> phrases) {
  std::int64_t n = 0;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = 0;
    if (is_word(text[i]) && (i == 0 || !is_word(text[i - 1])))
      for (auto p : phrases) end = std::max(end, end_of_match(text, i, p));
    n += end > 0 ? 1 : 0;
    i = std::max(end, i + 1);
  }
  return n;
}

}  // namespace

behaviour_counts count_behaviours(std::string_view response, std::span<const std::string> evidence) {
  behaviour_counts out;
  const std::string text = plain(response);
  out.grounding = count(text, phrases_of(behaviour::grounding));
  out.subgoals = count(text, phrases_of(behaviour::subgoals));
  out.backtracking = count(text, phrases_of(behaviour::backtracking));
  out.verification = count(text, phrases_of(behaviour::verification));
  for (std::size_t i = 0; i < text.size(); ++i) out.words += text[i] != ' ' && (i == 0 || text[i - 1] == ' ') ? 1 : 0;
  out.facts = static_cast<std::int64_t>(evidence.size());
  if (evidence.empty()) return out;
  const std::u32string said = U' ' + detail::normalised(response) + U' ';
  for (const auto& fact : evidence) {
    const auto words = detail::normalised(fact);
    out.quoted += !words.empty() && said.find(U' ' + words + U' ') != std::u32string::npos ? 1 : 0;
  }
  return out;
}

}  // namespace ql::eval
