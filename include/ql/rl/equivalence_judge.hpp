// SPDX-License-Identifier: Apache-2.0
#pragma once

// A judge without a model or a network: answers are the same if they are the same words once numbers are written in
// digits, words that carry nothing are dropped and synonyms are replaced.

#include <ql/rl/detail/text.hpp>
#include <ql/rl/judge.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql::rl {

namespace detail {

// zero .. ninety as 0 .. 90, hundred as 100, thousand as 1000; -1 for other words.
inline std::int64_t small_number(std::string_view w) {
  constexpr std::string_view low[] = {"zero",     "one",     "two",     "three",     "four",     "five",    "six",
                                      "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
                                      "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  constexpr std::string_view tens[] = {"twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};
  std::int64_t n = 0;
  for (const auto name : low) {
    if (w == name) return n;
    ++n;
  }
  for (const auto name : tens) {
    if (w == name) return n;
    n += 10;
  }
  return w == "hundred" ? 100 : w == "thousand" ? 1000 : -1;
}

// The number in words that begins at words[i], below a million; i moves behind it. -1 if there is none.
//   {"two", "hundred", "and", "five"} is 205; "one nine" is 1, then 9
inline std::int64_t number_in_words(const std::vector<std::string>& words, std::size_t& i) {
  std::int64_t thousands = 0, part = 0, smallest = 1000000;
  std::size_t k = i, end = i;
  for (; k < words.size(); ++k) {
    if (words[k] == "and" && k > i && smallest >= 100 && smallest < 1000000) continue;
    const std::int64_t n = small_number(words[k]);
    if (n < 0 || (n == 0 && k > i)) break;
    if (n == 1000) {
      if (k == i || thousands > 0) break;
      thousands = part, part = 0, smallest = 1000;
    } else if (n == 100) {
      if (part < 1 || part > 9) break;
      part *= 100, smallest = 100;
    } else {
      if (n >= 10 ? smallest < 100 : smallest < 20) break;
      part += n;
      smallest = n >= 20 ? 20 : 1;
    }
    end = k + 1;
    if (n == 0) break;
  }
  if (end == i) return -1;
  i = end;
  return thousands * 1000 + part;
}

}  // namespace detail

// Synonyms are words or phrases; the second of a pair stands for the first. An answer of nothing but dropped words is
// never the same as anything.
//   equivalence_judge{}: "14" and "fourteen" are the same; with "lives", "in" dropped, "Oslo" and "lives in Oslo" are
struct equivalence_judge {
  std::vector<std::string> dropped = {"a",     "an",     "the",     "in",     "at",  "of",    "on", "is",    "was",
                                      "he",    "she",    "it",      "they",   "his", "her",   "to", "lives", "lived",
                                      "works", "worked", "located", "answer", "has", "there", "are"};
  std::vector<std::pair<std::string, std::string>> synonyms;

  // The words that decide.
  std::vector<std::string> meaning(std::string_view text) const {
    if (text.size() > 4096) return {};  // a document, not an answer
    std::vector<std::string> words = split(text);
    for (const auto& [from, to] : synonyms) {
      const auto a = split(from), b = split(to);
      if (a.empty()) continue;
      for (std::size_t i = 0; i + a.size() <= words.size();) {
        std::size_t k = 0;
        while (k < a.size() && words[i + k] == a[k]) ++k;
        if (k < a.size()) {
          ++i;
          continue;
        }
        const auto at = words.erase(words.begin() + static_cast<std::ptrdiff_t>(i),
                                    words.begin() + static_cast<std::ptrdiff_t>(i + a.size()));
        words.insert(at, b.begin(), b.end());
        i += b.size();
      }
    }
    std::vector<std::string> out;
    for (std::size_t i = 0; i < words.size();) {
      if (const auto n = detail::number_in_words(words, i); n >= 0) {
        out.push_back(std::to_string(n));
      } else {
        bool decides = true;
        for (const auto& word : dropped) decides = decides && word != words[i];
        if (decides) out.push_back(words[i]);
        ++i;
      }
    }
    return out;
  }
  bool same(std::string_view a, std::string_view b) const {
    const auto x = meaning(a);
    return !x.empty() && x == meaning(b);
  }
  void operator()(std::span<const judge_query> queries, std::span<outcome> out) const {
    detail::expects(queries.size() == out.size(), "equivalence_judge", "outcomes", queries.size(), out.size());
    for (std::size_t i = 0; i < queries.size(); ++i) {
      bool right = false;
      for (const auto gold : queries[i].gold) right = right || same(queries[i].prediction, gold);
      out[i] = scored{right ? 1.0 : 0.0};
    }
  }

 private:
  // Lower case, runs of word characters; "3.5" is one word, "3,400" is 3400.
  static std::vector<std::string> split(std::string_view text) {
    const std::u32string s = detail::lower(detail::decode_utf8(text));
    const auto digit = [&](std::size_t i) { return i < s.size() && detail::is_digit(s[i]); };
    std::vector<std::string> words;
    std::u32string word;
    for (std::size_t i = 0; i <= s.size(); ++i) {
      const bool within_number = !word.empty() && detail::is_digit(word.back()) && digit(i + 1);
      if (i < s.size() && (detail::is_word(s[i]) || (within_number && s[i] == U'.'))) {
        word.push_back(s[i]);
      } else if (within_number && s[i] == U',' && digit(i + 2) && digit(i + 3) && !digit(i + 4)) {
        continue;
      } else if (!word.empty()) {
        words.push_back(detail::encode_utf8(word));
        word.clear();
      }
    }
    return words;
  }
};

}  // namespace ql::rl
