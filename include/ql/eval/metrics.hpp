// SPDX-License-Identifier: Apache-2.0
#pragma once

// Numbers from an answer and its gold, as the published evaluation scripts give them. Where scripts disagree the
// disagreement is a parameter. Strings are UTF-8 and are compared after SQuAD's normalisation: lower case, ASCII
// punctuation deleted, the words a, an, the dropped, white space collapsed.

#include <ql/error.hpp>
#include <ql/rl/detail/text.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql::eval {

namespace detail {
using namespace ql::detail;

inline std::u32string normalised(std::string_view s) {
  return ql::rl::detail::squad_normalise(ql::rl::detail::decode_utf8(s));
}
inline std::vector<std::u32string_view> words_of(std::u32string_view s) {
  std::vector<std::u32string_view> out;
  for (std::size_t i = 0; i < s.size();) {
    if (s[i] == U' ') {
      ++i;
      continue;
    }
    const std::size_t end = std::min(s.find(U' ', i), s.size());
    out.push_back(s.substr(i, end - i));
    i = end;
  }
  return out;
}
}  // namespace detail

// Both are the same after normalisation.
//   exact_match("The Eiffel Tower.", "eiffel tower")   is true
inline bool exact_match(std::string_view prediction, std::string_view gold) {
  return detail::normalised(prediction) == detail::normalised(gold);
}

// Sub-EM: the gold stands in the prediction, as a substring of the normalised texts; a gold of which nothing is left
// stands nowhere.
//   cover_match("It is in Paris, France", "Paris")   is true
inline bool cover_match(std::string_view prediction, std::string_view gold) {
  const auto g = detail::normalised(gold);
  return !g.empty() && detail::normalised(prediction).find(g) != std::u32string::npos;
}

// Sub-EM as QwenLong-L1 released it: either contains the other, and nothing is contained in everything.
//   mutual_cover_match("e", "Steve Jobs")   is true
inline bool mutual_cover_match(std::string_view prediction, std::string_view gold) {
  const auto p = detail::normalised(prediction), g = detail::normalised(gold);
  return p.find(g) != std::u32string::npos || g.find(p) != std::u32string::npos;
}

// What F1 is where the bags of words do not settle it.
enum class f1_rule : std::uint8_t {
  squad1,    // SQuAD 1.1 and LongBench's qa_f1_score: no common word, 0
  squad2,    // SQuAD 2.0 and MuSiQue: without words on either side, 1 if both have none, else 0
  hotpotqa,  // HotpotQA, 2WikiMultihopQA and QwenLong-L1: squad1, but yes, no and noanswer match only themselves
};

struct f1_score {
  double f1 = 0, precision = 0, recall = 0;
  friend bool operator==(const f1_score&, const f1_score&) = default;
};

// Word overlap, as bags: precision = common / |prediction|, recall = common / |gold|, f1 = 2 p r / (p + r).
//   token_f1("in the year 1984", "1984").f1   is 0.5
inline f1_score token_f1(std::string_view prediction, std::string_view gold, f1_rule rule = f1_rule::squad1) {
  const auto p = detail::normalised(prediction), g = detail::normalised(gold);
  if (rule == f1_rule::hotpotqa && p != g)
    for (std::u32string_view alone : {U"yes", U"no", U"noanswer"})
      if (p == alone || g == alone) return {};
  auto pw = detail::words_of(p), gw = detail::words_of(g);
  if (rule == f1_rule::squad2 && (pw.empty() || gw.empty())) {
    const double same = pw.size() == gw.size() ? 1.0 : 0.0;
    return {same, same, same};
  }
  std::sort(pw.begin(), pw.end());
  std::sort(gw.begin(), gw.end());
  std::size_t common = 0;
  for (std::size_t i = 0, j = 0; i < pw.size() && j < gw.size();) {
    if (pw[i] == gw[j]) {
      ++common, ++i, ++j;
    } else {
      ++(pw[i] < gw[j] ? i : j);
    }
  }
  if (common == 0) return {};
  const double precision = static_cast<double>(common) / static_cast<double>(pw.size());
  const double recall = static_cast<double>(common) / static_cast<double>(gw.size());
  return {2 * precision * recall / (precision + recall), precision, recall};
}

// The best over the gold answers, as SQuAD does it. No gold: 0.
template <class Golds>
double best_exact_match(std::string_view prediction, const Golds& golds) {
  for (const auto& g : golds)
    if (exact_match(prediction, g)) return 1;
  return 0;
}
template <class Golds>
double best_cover_match(std::string_view prediction, const Golds& golds) {
  for (const auto& g : golds)
    if (cover_match(prediction, g)) return 1;
  return 0;
}
template <class Golds>
double best_f1(std::string_view prediction, const Golds& golds, f1_rule rule = f1_rule::squad1) {
  double best = 0;
  for (const auto& g : golds) best = std::max(best, token_f1(prediction, g, rule).f1);
  return best;
}

// avg@k: the mean over the k samples of an item. None: 0.
inline double avg_at_k(std::span<const double> scores) {
  double sum = 0;
  for (double s : scores) sum += s;
  return scores.empty() ? 0.0 : sum / static_cast<double>(scores.size());
}

// pass@k from n samples of which `correct` are right, without bias: 1 - C(n - c, k) / C(n, k), as a product so that
// nothing overflows. Source: "Evaluating large language models trained on code", arXiv 2107.03374.
//   pass_at_k(16, 4, 2)   is 0.45
inline double pass_at_k(std::int64_t n, std::int64_t correct, std::int64_t k) {
  detail::expects(n >= 1, "pass_at_k", "n", "1 sample or more", n);
  detail::expects(k >= 1 && k <= n, "pass_at_k", "k", "1 to " + std::to_string(n) + " (the samples)", k);
  detail::expects(correct >= 0 && correct <= n, "pass_at_k", "correct", "0 to " + std::to_string(n), correct);
  if (n - correct < k) return 1;
  double none = 1;
  for (std::int64_t i = n - correct + 1; i <= n; ++i) none *= 1.0 - static_cast<double>(k) / static_cast<double>(i);
  return 1 - none;
}

// The share of letters that are the gold's; 0 (no letter was found) is wrong.
inline double multiple_choice_accuracy(std::span<const char> predicted, std::span<const char> gold) {
  detail::expects(predicted.size() == gold.size(), "multiple_choice_accuracy", "predicted",
                  std::to_string(gold.size()) + " letters", predicted.size());
  std::size_t right = 0;
  for (std::size_t i = 0; i < gold.size(); ++i) right += predicted[i] != 0 && predicted[i] == gold[i] ? 1u : 0u;
  return gold.empty() ? 0.0 : static_cast<double>(right) / static_cast<double>(gold.size());
}

// Code points that sequence_ratio accepts: its time may grow with the square.
inline constexpr std::size_t longest_sequence = 65536;

namespace detail {

// Matching blocks of Ratcliff and Obershelp as Python's difflib.SequenceMatcher finds them: of a gold of 200 characters
// or more, those that make up over one percent are no place to start from.
class sequence_matcher {
 public:
  sequence_matcher(std::u32string_view a, std::u32string_view b) : a_(a), b_(b) {
    std::vector<std::pair<char32_t, std::uint32_t>> all;
    all.reserve(b.size());
    for (std::size_t j = 0; j < b.size(); ++j) all.emplace_back(b[j], static_cast<std::uint32_t>(j));
    std::sort(all.begin(), all.end());
    const std::size_t popular = b.size() >= 200 ? b.size() / 100 + 1 : b.size();
    for (std::size_t i = 0; i < all.size();) {
      std::size_t end = i;
      while (end < all.size() && all[end].first == all[i].first) ++end;
      if (end - i <= popular) places_.insert(places_.end(), all.begin() + to(i), all.begin() + to(end));
      i = end;
    }
    length_.assign(b.size() + 1, 0);
    next_.assign(b.size() + 1, 0);
  }

  // Characters in all matching blocks.
  std::size_t matches() {
    std::size_t total = 0;
    std::vector<range> todo{{0, a_.size(), 0, b_.size()}};
    while (!todo.empty()) {
      const range r = todo.back();
      todo.pop_back();
      const block m = longest(r);
      if (m.size == 0) continue;
      total += m.size;
      if (r.alo < m.a && r.blo < m.b) todo.push_back({r.alo, m.a, r.blo, m.b});
      if (m.a + m.size < r.ahi && m.b + m.size < r.bhi) todo.push_back({m.a + m.size, r.ahi, m.b + m.size, r.bhi});
    }
    return total;
  }

 private:
  struct range {
    std::size_t alo, ahi, blo, bhi;
  };
  struct block {
    std::size_t a, b, size;
  };
  static std::ptrdiff_t to(std::size_t i) { return static_cast<std::ptrdiff_t>(i); }

  block longest(const range& r) {
    block best{r.alo, r.blo, 0};
    std::vector<std::uint32_t> touched, before;  // entries of length_ that are not 0
    for (std::size_t i = r.alo; i < r.ahi; ++i) {
      touched.clear();
      auto at = std::lower_bound(places_.begin(), places_.end(), std::pair{a_[i], static_cast<std::uint32_t>(r.blo)});
      for (; at != places_.end() && at->first == a_[i] && at->second < r.bhi; ++at) {
        const std::uint32_t j = at->second;
        const std::uint32_t k = length_[j] + 1;  // length_[j]: of the match that ends before j
        next_[j + 1] = k;
        touched.push_back(j + 1);
        if (k > best.size) best = {i + 1 - k, j + 1 - k, k};
      }
      for (auto j : before) length_[j] = 0;
      for (auto j : touched) length_[j] = std::exchange(next_[j], 0);
      std::swap(before, touched);
    }
    for (auto j : before) length_[j] = 0;
    while (best.a > r.alo && best.b > r.blo && a_[best.a - 1] == b_[best.b - 1]) --best.a, --best.b, ++best.size;
    while (best.a + best.size < r.ahi && best.b + best.size < r.bhi && a_[best.a + best.size] == b_[best.b + best.size])
      ++best.size;
    return best;
  }

  std::u32string_view a_, b_;
  std::vector<std::pair<char32_t, std::uint32_t>> places_;  // of b's characters, but for the popular ones
  std::vector<std::uint32_t> length_, next_;
};

}  // namespace detail

// 2 M / (|a| + |b|), M the characters in matching blocks: difflib.SequenceMatcher(None, a, b).ratio(), the measure of
// MRCR. Throws argument_error above longest_sequence.
//   sequence_ratio("abcd", "bcde")   is 0.75
inline double sequence_ratio(std::string_view a, std::string_view b) {
  const auto x = ql::rl::detail::decode_utf8(a), y = ql::rl::detail::decode_utf8(b);
  detail::expects(x.size() <= longest_sequence && y.size() <= longest_sequence, "sequence_ratio", "texts",
                  "at most " + std::to_string(longest_sequence) + " characters", std::max(x.size(), y.size()));
  if (x.empty() && y.empty()) return 1;
  const auto m = detail::sequence_matcher(x, y).matches();
  return 2.0 * static_cast<double>(m) / static_cast<double>(x.size() + y.size());
}

}  // namespace ql::eval
