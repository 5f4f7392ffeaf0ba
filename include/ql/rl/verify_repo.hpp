// SPDX-License-Identifier: Apache-2.0
#pragma once

// The rule verifiers of QwenLong-L1 as they were released (arXiv 2505.17667 and its code), with all their quirks: signs
// that do not matter, powers of ten that pass, substrings in both directions. For comparison only; train on
// verify_strict.hpp.

#include <ql/math.hpp>
#include <ql/rl/detail/number.hpp>
#include <ql/rl/detail/text.hpp>
#include <ql/rl/extract.hpp>
#include <ql/rl/reward.hpp>

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ql::rl {

namespace detail {

struct twofold {  // hi + lo, |lo| <= ulp(hi) / 2
  double hi = 0, lo = 0;
};
constexpr twofold two_sum(double a, double b) {
  const double s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}
constexpr twofold add(twofold a, twofold b) {
  const twofold s = two_sum(a.hi, b.hi);
  return two_sum(s.hi, s.lo + (a.lo + b.lo));
}
constexpr twofold multiply(twofold a, twofold b) {
  const double p = a.hi * b.hi;
  const double e = math::fma(a.hi, b.hi, -p);
  return two_sum(p, e + math::fma(a.hi, b.lo, a.lo * b.hi));
}
constexpr twofold divide(twofold a, twofold b) {
  const double q = a.hi / b.hi;
  const twofold r = add(a, multiply({-q, 0}, b));
  return two_sum(q, r.hi / b.hi);
}
// log m for m in [0.5, 2], rounded from twice the precision.
constexpr double exact_log(double m) {
  const twofold s = divide(add({m, 0}, {-1, 0}), add({m, 0}, {1, 0}));
  const twofold z = multiply(s, s);
  twofold p{0, 0};
  for (int k = 71; k >= 1; k -= 2) p = add(multiply(p, z), divide({1, 0}, {static_cast<double>(k), 0}));
  const twofold r = multiply(multiply(p, s), {2, 0});
  return r.hi + r.lo;
}
// log10 for finite x > 0 as the C library of the released code rounds it (fdlibm's e_log10.c): the verifier compares
// such numbers for equality.
constexpr double fdlibm_log10(double x) {
  int k = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    k = -54;
  }
  auto u = std::bit_cast<std::uint64_t>(x);
  k += static_cast<int>(u >> 52) - 1023;
  const int below_one = k < 0 ? 1 : 0;
  u = (u & 0x000fffffffffffffu) | (static_cast<std::uint64_t>(1023 - below_one) << 52);
  const double y = static_cast<double>(k + below_one);
  // fma(a, b, 0) is a product that nothing can be fused with
  const double low = math::fma(y, 3.69423907715893078616e-13, 0.0);
  const double scaled = math::fma(4.34294481903251816668e-01, exact_log(std::bit_cast<double>(u)), 0.0);
  return (low + scaled) + math::fma(y, 3.01029995663611771306e-01, 0.0);
}

}  // namespace detail

namespace repo {

// The text after the last </think>, trimmed; nothing if the tag is missing.
inline std::optional<std::u32string> after_thinking(std::u32string_view response) {
  constexpr std::u32string_view tag = U"</think>";
  const auto at = response.rfind(tag);
  if (at == std::u32string_view::npos) return std::nullopt;
  return std::u32string(detail::trim(response.substr(at + tag.size())));
}

// "the answer is <number>", first match, any case; commas and trailing dots dropped.
inline std::optional<std::string> numeric_answer(std::u32string_view text) {
  const std::u32string s = detail::without(text, U'*');
  constexpr std::u32string_view phrase = U"the answer is ";
  const auto fold = [](char32_t c) -> char32_t {
    if (c == U'\x130' || c == U'\x131') return U'i';  // as Python's re folds them
    if (c == U'\x17F') return U's';
    return detail::lower(c);
  };
  for (std::size_t i = 0; i + phrase.size() <= s.size(); ++i) {
    std::size_t k = 0;
    while (k < phrase.size() && fold(s[i + k]) == phrase[k]) ++k;
    if (k < phrase.size()) continue;
    std::size_t at = i + phrase.size();
    for (char32_t sign : std::u32string_view(U"=\u2248`%$\u00B0\u00A3\u20AC\u00A5"))
      if (at < s.size() && s[at] == sign) ++at;
    std::string number;
    if (at < s.size() && s[at] == U'-') number.push_back('-'), ++at;
    const std::size_t first = at;
    for (; at < s.size() && (detail::is_digit(s[at]) || s[at] == U'.' || s[at] == U','); ++at)
      if (s[at] != U',') number.push_back(static_cast<char>(s[at]));
    if (at == first) continue;
    while (!number.empty() && number.back() == '.') number.pop_back();
    if (number.empty()) return std::nullopt;
    return number;
  }
  return std::nullopt;
}

// A number as the released normaliser reads it: 0 where Python could not evaluate the literal (1.2.3, 07).
inline double numeric_value(std::string_view number) {
  std::string_view s = number;
  if (!s.empty() && s.front() == '-') s.remove_prefix(1);
  std::size_t dots = 0, digits = 0;
  bool zeros = true;
  for (char c : s) {
    dots += c == '.' ? 1 : 0;
    digits += c != '.' ? 1 : 0;
    zeros = zeros && c == '0';
  }
  if (dots > 1 || digits == 0) return 0.0;
  if (dots == 0 && s.size() > 1 && s.front() == '0' && !zeros) return 0.0;
  return detail::parse_decimal(number);
}

// The released comparison of two numbers; p is the prediction, g the gold.
inline bool same_number(double p, double g) {
  const double v1 = math::max(math::abs(p), math::abs(g)), v2 = math::min(math::abs(p), math::abs(g));
  if (!math::isfinite(v1)) return false;
  const auto within = [](double a, double b) {
    const double eps = math::fma(math::abs(b), 0.0015, 0.0);
    return a >= b - eps && a <= b + eps;
  };
  if (v1 != 0 && v2 != 0) {
    const double d = detail::fdlibm_log10(v1) - detail::fdlibm_log10(v2);
    if (d == static_cast<double>(static_cast<std::int64_t>(d))) return true;
  }
  if (v2 <= v1 / 50 && within(v2 * 100, v1)) return true;
  if (v2 <= v1 / 500 && within(v2 * 1000, v1)) return true;
  if (v2 <= v1 / 50000 && within(v2 * 100000, v1)) return true;
  const auto up = [](double v) {
    const double t = v * 1000;
    if (t >= 0x1p53) return t / 1000;
    const double whole = static_cast<double>(static_cast<std::int64_t>(t));
    return (whole < t ? whole + 1 : whole) / 1000;
  };
  if (up(v1) == up(v2)) return true;
  return within(p, g);
}

// The text after the last "the answer is", stripped of markers and dots.
inline std::optional<std::u32string> text_answer(std::u32string_view text) {
  const std::u32string bare = detail::without(text, U'*');
  constexpr std::u32string_view phrase = U"the answer is";
  const auto at = bare.rfind(phrase);
  if (at == std::u32string_view::npos) return std::nullopt;
  std::u32string s(detail::trim(std::u32string_view(bare).substr(at + phrase.size())));
  s = detail::without(s, U"<\uFF5CAssistant\uFF5C>");
  s = detail::without(s, U"<\uFF5Cend\u2581of\u2581sentence\uFF5C>");
  return std::u32string(detail::trim(detail::trim(detail::trim(std::u32string_view(s)), U'.')));
}

// Either contains the other after SQuAD's normalisation.
inline bool same_text(std::u32string_view prediction, std::u32string_view gold) {
  const auto p = detail::squad_normalise(prediction), g = detail::squad_normalise(gold);
  return p.find(g) != std::u32string_view::npos || g.find(p) != std::u32string_view::npos;
}

// "The correct answer is (X)" first, else "The correct answer is X", X in A-D.
inline char choice_answer(std::u32string_view text) {
  const std::u32string s = detail::without(text, U'*');
  constexpr std::u32string_view phrases[] = {U"The correct answer is (", U"The correct answer is "};
  for (std::u32string_view phrase : phrases) {
    const bool closed = phrase.back() == U'(';
    for (auto at = s.find(phrase); at != std::u32string_view::npos; at = s.find(phrase, at + 1)) {
      const std::size_t k = at + phrase.size();
      if (k >= s.size() || s[k] < U'A' || s[k] > U'D') continue;
      if (closed && (k + 1 >= s.size() || s[k + 1] != U')')) continue;
      return static_cast<char>(s[k]);
    }
  }
  return 0;
}

// The released rule reward. Gold answers are sentences ("Therefore, the answer is X."), of which the first is used. A
// gold that the released numeric code cannot read makes it raise; here the reward abstains.
//   "</think> the answer is 324" against "the answer is 32.4": scored 1
struct rule_reward {
  outcome operator()(const graded_item& item) const {
    if (item.gold.empty()) return abstained{"repo rule: no gold answer"};
    const auto prediction = after_thinking(detail::decode_utf8(item.response));
    if (!prediction || prediction->empty()) return scored{0};
    const auto gold = detail::decode_utf8(item.gold[0]);
    switch (item.kind) {
      case answer_kind::choice: {
        const char p = choice_answer(*prediction);
        return scored{p != 0 && p == choice_answer(gold) ? 1.0 : 0.0};
      }
      case answer_kind::numeric: {
        const auto p = numeric_answer(*prediction);
        if (!p) return scored{0};
        const auto g = numeric_answer(gold);
        if (!g) return abstained{"repo rule: the gold answer holds no number"};
        return scored{same_number(numeric_value(*p), numeric_value(*g)) ? 1.0 : 0.0};
      }
      case answer_kind::text: {
        const auto p = text_answer(*prediction);
        const auto g = text_answer(gold);
        if (!p || p->empty() || !g) return scored{0};
        return scored{same_text(*p, *g) ? 1.0 : 0.0};
      }
    }
    return abstained{"repo rule: unknown kind of answer"};
  }
};

// What the released code shows its judge: the parsed answers of the response and of the first gold sentence, or nothing
// where one of them cannot be parsed. Multiple choice has no judge.
struct present {
  std::optional<presented> operator()(const graded_item& item) const {
    if (item.gold.empty() || item.kind == answer_kind::choice) return std::nullopt;
    const auto prediction = after_thinking(detail::decode_utf8(item.response));
    if (!prediction) return std::nullopt;
    const auto gold = detail::decode_utf8(item.gold[0]);
    if (item.kind == answer_kind::numeric) {
      const auto p = numeric_answer(*prediction), g = numeric_answer(gold);
      if (!p || !g) return std::nullopt;
      return presented{*p, {*g}};
    }
    const auto p = text_answer(*prediction), g = text_answer(gold);
    if (!p || p->empty() || !g) return std::nullopt;
    return presented{detail::encode_utf8(*p), {detail::encode_utf8(*g)}};
  }
};

}  // namespace repo
}  // namespace ql::rl
