// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where the answer stands in a response: a slot of its own. An extractor is `e(response) ->
// std::optional<std::string>`; nothing means that there is no answer.

#include <ql/rl/detail/text.hpp>

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql::rl {

// An answer and its gold answers as a judge is shown them.
struct presented {
  std::string prediction;
  std::vector<std::string> gold;
};

template <class E>
concept answer_extractor = std::copyable<E> && requires(const E& e, std::string_view response) {
  { e(response) } -> std::same_as<std::optional<std::string>>;
};

namespace detail {
inline std::string_view trim_ascii(std::string_view s) {
  const auto blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!s.empty() && blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && blank(s.back())) s.remove_suffix(1);
  return s;
}
// Last occurrence of an ASCII phrase, in any case.
inline std::size_t rfind_any_case(std::string_view s, std::string_view phrase) {
  if (phrase.empty() || s.size() < phrase.size()) return std::string_view::npos;
  const auto low = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  for (std::size_t i = s.size() - phrase.size() + 1; i-- > 0;) {
    std::size_t k = 0;
    while (k < phrase.size() && low(s[i + k]) == low(phrase[k])) ++k;
    if (k == phrase.size()) return i;
  }
  return std::string_view::npos;
}
}  // namespace detail

// The response itself, trimmed.
struct whole_response {
  std::optional<std::string> operator()(std::string_view response) const {
    return std::string(detail::trim_ascii(response));
  }
};

// What follows the last </think>. Without the tag: nothing, or the whole response where it is `optional`.
struct after_think {
  bool optional = false;
  std::optional<std::string> operator()(std::string_view response) const {
    constexpr std::string_view tag = "</think>";
    const auto at = response.rfind(tag);
    if (at == std::string_view::npos) {
      if (!optional) return std::nullopt;
      return std::string(detail::trim_ascii(response));
    }
    return std::string(detail::trim_ascii(response.substr(at + tag.size())));
  }
};

// What the last \boxed{...} holds, braces balanced.
struct boxed {
  std::optional<std::string> operator()(std::string_view response) const {
    constexpr std::string_view tag = "\\boxed{";
    const auto at = response.rfind(tag);
    if (at == std::string_view::npos) return std::nullopt;
    int depth = 1;
    for (std::size_t i = at + tag.size(); i < response.size(); ++i) {
      depth += response[i] == '{' ? 1 : response[i] == '}' ? -1 : 0;
      if (depth == 0) return std::string(detail::trim_ascii(response.substr(at + tag.size(), i - at - tag.size())));
    }
    return std::nullopt;
  }
};

// What follows the last "answer is" (in any case) on its line, without a colon, emphasis or the dot at the end. The
// placeholder of the prompt, "insert answer here", is no answer.
struct after_phrase {
  std::optional<std::string> operator()(std::string_view response) const {
    constexpr std::string_view phrase = "answer is";
    const auto at = detail::rfind_any_case(response, phrase);
    if (at == std::string_view::npos) return std::nullopt;
    auto rest = response.substr(at + phrase.size());
    while (!rest.empty() && (rest.front() == ' ' || rest.front() == ':' || rest.front() == '*' ||
                             rest.front() == '\n' || rest.front() == '\t' || rest.front() == '\r'))
      rest.remove_prefix(1);
    rest = rest.substr(0, rest.find('\n'));
    while (!rest.empty() && (rest.back() == '.' || rest.back() == '*' || rest.back() == ' ' || rest.back() == '\r'))
      rest.remove_suffix(1);
    if (rest.empty() || detail::rfind_any_case(rest, "insert answer here") != std::string_view::npos)
      return std::nullopt;
    return std::string(rest);
  }
};

// Second where First finds nothing.
template <answer_extractor First, answer_extractor Second>
struct or_else {
  First first;
  Second second;
  std::optional<std::string> operator()(std::string_view response) const {
    auto a = first(response);
    return a ? std::move(a) : second(response);
  }
};
template <class First, class Second>
or_else(First, Second) -> or_else<First, Second>;

// Second on what First finds: then{after_think{}, or_else{boxed{}, after_phrase{}}}.
template <answer_extractor First, answer_extractor Second>
struct then {
  First first;
  Second second;
  std::optional<std::string> operator()(std::string_view response) const {
    const auto a = first(response);
    return a ? second(*a) : std::nullopt;
  }
};
template <class First, class Second>
then(First, Second) -> then<First, Second>;

}  // namespace ql::rl
