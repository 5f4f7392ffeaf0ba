// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rule verifiers for training: general rules of wording, names, dates, lists and numbers, whole words only. Every step
// is bounded: an answer above 64 KiB is wrong, and nothing is worse than (tokens of the answer) x (tokens of the gold).

// The larger functions are templates only so that whoever includes this header without using them does not pay.

#include <ql/math.hpp>
#include <ql/rl/detail/number.hpp>
#include <ql/rl/detail/text.hpp>
#include <ql/rl/extract.hpp>
#include <ql/rl/reward.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ql::rl {

namespace detail {

// One word or number of an answer.
struct answer_token {
  std::string text;    // lower case, without marks; canonical for numbers, months, country names
  std::string stem;    // text without an English ending
  double number = 0;   // of a number, times its scale word (million)
  double written = 0;  // without the scale word
  int decimals = 0;    // digits after the dot, as written
  bool is_number = false, plain_integer = false, percent = false, negative = false, capital = false, stop = false;
  bool clause = false;  // a clause ends before it
  char before = ' ';    // the mark before it: , ; . ( / - or a blank
};
using answer_tokens = std::vector<answer_token>;

template <std::size_t N>
constexpr bool one_of(std::string_view s, const std::string_view (&list)[N]) {
  for (auto x : list)
    if (s == x) return true;
  return false;
}

inline int number_word(std::string_view w) {
  constexpr std::string_view cardinals[] = {"zero",     "one",      "two",      "three",   "four",    "five",
                                            "six",      "seven",    "eight",    "nine",    "ten",     "eleven",
                                            "twelve",   "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
                                            "eighteen", "nineteen", "twenty"};
  constexpr std::string_view ordinals[] = {
      "zeroth",     "first",     "second",    "third",       "fourth",     "fifth",      "sixth",
      "seventh",    "eighth",    "ninth",     "tenth",       "eleventh",   "twelfth",    "thirteenth",
      "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth"};
  constexpr std::string_view tens[] = {"thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};
  for (int i = 0; i <= 20; ++i)
    if (w == cardinals[i] || w == ordinals[i]) return i;
  for (int i = 0; i < 7; ++i)
    if (w == tens[i]) return 30 + 10 * i;
  return -1;
}
inline int month_of(std::string_view w) {
  constexpr std::string_view names[] = {"january", "february", "march",     "april",   "may",      "june",
                                        "july",    "august",   "september", "october", "november", "december"};
  for (int i = 0; i < 12; ++i)
    if (w == names[i] || (w.size() == 3 && w == names[i].substr(0, 3)) || (i == 8 && w == "sept")) return i + 1;
  return 0;
}
inline double scale_of(std::string_view w) {
  if (w == "thousand" || w == "thousands") return 1e3;
  if (w == "million" || w == "millions" || w == "mn") return 1e6;
  if (w == "billion" || w == "billions" || w == "bn") return 1e9;
  if (w == "trillion" || w == "trillions") return 1e12;
  return 0;
}
inline bool is_stop_word(std::string_view w) {
  constexpr std::string_view words[] = {"a",      "an",
                                        "the",    "of",
                                        "in",     "on",
                                        "at",     "to",
                                        "for",    "by",
                                        "and",    "or",
                                        "is",     "was",
                                        "were",   "are",
                                        "be",     "with",
                                        "from",   "as",
                                        "his",    "her",
                                        "its",    "it",
                                        "their",  "they",
                                        "he",     "she",
                                        "that",   "this",
                                        "which",  "who",
                                        "about",  "approximately",
                                        "around", "roughly",
                                        "s"};
  return one_of(w, words);
}
template <class = void>
std::string stem_of(std::string_view w) {
  std::string s(w);
  const auto ends = [&](std::string_view e) { return s.size() > e.size() + 2 && s.ends_with(e); };
  if (ends("ies")) {
    s.replace(s.size() - 3, 3, "y");
  } else if (ends("sses") || ends("xes") || ends("ches") || ends("shes")) {
    s.resize(s.size() - 2);
  } else if (ends("s") && !ends("ss") && !ends("us") && !ends("is")) {
    s.pop_back();
  }
  if (s.size() > 5 && s.ends_with("ing")) {
    s.resize(s.size() - 3);
  } else if ((s.size() > 4 && s.ends_with("ed")) || (s.size() > 5 && s.ends_with("ly"))) {
    s.resize(s.size() - 2);
  }
  if (s.size() > 4 && s.back() == 'e') s.pop_back();
  return s;
}

inline bool is_cjk(char32_t c) {
  return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x20000 && c <= 0x3FFFF);
}
inline std::string_view ascii_of(char32_t c) {
  std::size_t lo = 0, hi = std::size(ascii_bases);
  while (lo < hi) {
    const std::size_t mid = (lo + hi) / 2;
    if (ascii_bases[mid].code < c) {
      lo = mid + 1;
    } else {
      hi = mid;
    }
  }
  return lo < std::size(ascii_bases) && ascii_bases[lo].code == c ? std::string_view(ascii_bases[lo].text)
                                                                  : std::string_view();
}

template <class = void>
answer_tokens tokenise(std::string_view utf8) {
  const std::u32string s = decode_utf8(utf8);
  answer_tokens out;
  char mark = ' ';
  bool clause = true, money_minus = false;
  const auto push = [&](answer_token t) {
    t.before = mark;
    t.clause = clause;
    mark = ' ';
    clause = false;
    out.push_back(std::move(t));
  };
  const auto digit = [&](std::size_t i) { return i < s.size() && is_digit(s[i]); };
  for (std::size_t i = 0; i < s.size();) {
    const char32_t c = s[i];
    if (is_digit(c) || (c == U'.' && digit(i + 1) && (i == 0 || !is_word(s[i - 1])))) {
      std::string digits;
      int decimals = 0;
      bool dot = false;
      std::size_t k = i;
      for (; k < s.size(); ++k) {
        if (is_digit(s[k])) {
          digits.push_back(static_cast<char>(s[k]));
          decimals += dot ? 1 : 0;
        } else if (s[k] == U',' && digit(k + 1) && digit(k + 2) && digit(k + 3) && !digit(k + 4) && !dot) {
        } else if (s[k] == U'.' && digit(k + 1) && !dot) {
          dot = true;
          digits.push_back('.');
        } else {
          break;
        }
      }
      answer_token t;
      t.is_number = true;
      t.decimals = decimals;
      t.plain_integer = !dot;
      t.number = t.written = parse_decimal(std::string_view(digits).substr(0, 40));
      const bool minus = i > 0 && (s[i - 1] == U'-' || s[i - 1] == U'\u2212') && (i < 2 || !is_word(s[i - 2]));
      t.negative = minus || money_minus;
      money_minus = false;
      i = k;
      if (dot) {  // 4.0 and 4.00 and 4 are one
        while (digits.back() == '0') digits.pop_back();
        if (digits.back() == '.') digits.pop_back();
      }
      std::size_t zeros = 0;
      while (zeros + 1 < digits.size() && digits[zeros] == '0' && digits[zeros + 1] != '.') ++zeros;
      t.text = digits.substr(zeros);
      t.stem = t.text;
      // 1st, 2nd, 3rd, 4th
      if (i + 1 < s.size() && is_ascii_letter(s[i]) && is_ascii_letter(s[i + 1]) &&
          (i + 2 >= s.size() || !is_word(s[i + 2]))) {
        const char a = static_cast<char>(lower(s[i])), b = static_cast<char>(lower(s[i + 1]));
        if ((a == 's' && b == 't') || (a == 'n' && b == 'd') || (a == 'r' && b == 'd') || (a == 't' && b == 'h'))
          i += 2;
      }
      if (i < s.size() && s[i] == U'%') t.percent = true;
      push(std::move(t));
      continue;
    }
    if (c == U'$' && i > 0 && s[i - 1] == U'-') money_minus = true;
    if (is_cjk(c)) {
      answer_token t;
      t.text = t.stem = encode_utf8(std::u32string_view(&s[i], 1));
      push(std::move(t));
      ++i;
      continue;
    }
    if (c == U'%') {
      if (!out.empty() && out.back().is_number) out.back().percent = true;
      ++i;
      continue;
    }
    if (is_word(c) && c != U'_') {
      std::u32string word;
      answer_token t;
      t.capital = lower(c) != c;
      std::size_t k = i;
      for (; k < s.size(); ++k) {
        if (is_digit(s[k]) || is_cjk(s[k])) break;
        if ((s[k] == U'\'' || s[k] == U'\u2019') && k + 1 < s.size() && is_word(s[k + 1])) {
          // a possessive ends the word, another apostrophe is dropped
          if (lower(s[k + 1]) == U's' && (k + 2 >= s.size() || !is_word(s[k + 2]))) break;
          continue;
        }
        if (s[k] >= 0x300 && s[k] <= 0x36F) continue;  // a combining mark
        if (!is_word(s[k]) || s[k] == U'_') break;
        word.push_back(s[k]);
      }
      i = k;
      for (char32_t w : word) {
        const auto plain = ascii_of(w);
        if (!plain.empty()) {
          for (char p : plain) t.text.push_back(static_cast<char>(lower(static_cast<unsigned char>(p))));
        } else {
          t.text += encode_utf8(std::u32string(1, lower(w)));
        }
      }
      if (i + 1 < s.size() && (s[i] == U'\'' || s[i] == U'\u2019') && lower(s[i + 1]) == U's') i += 2;
      // letters set apart by dots are one word: U.S.A.
      while (t.text.size() == 1 && i + 1 < s.size() && s[i] == U'.' && is_ascii_letter(s[i + 1]) &&
             (i + 2 >= s.size() || !is_word(s[i + 2])) && t.capital && lower(s[i + 1]) != s[i + 1]) {
        push(t);
        t.text.assign(1, static_cast<char>(lower(s[i + 1])));
        i += 2;
      }
      if (t.text.empty()) continue;
      if (const double scale = scale_of(t.text); scale > 0 && !out.empty() && out.back().is_number) {
        out.back().number *= scale;
        out.back().plain_integer = false;
        continue;
      }
      if (t.text == "percent" || t.text == "pct") {
        if (!out.empty() && out.back().is_number) out.back().percent = true;
        continue;
      }
      if (const int n = number_word(t.text); n >= 0) {
        t.is_number = t.plain_integer = true;
        t.number = t.written = n;
        if (n < 10 && !out.empty() && out.back().is_number && out.back().capital == false && mark == '-' &&
            out.back().number >= 20 && out.back().number < 100 && static_cast<int>(out.back().number) % 10 == 0) {
          out.back().number += n;
          out.back().written += n;
          out.back().text = out.back().stem = std::to_string(static_cast<int>(out.back().number));
          mark = ' ';
          continue;
        }
        t.text = std::to_string(n);
        t.stem = t.text;
        t.capital = false;
        push(std::move(t));
        continue;
      }
      if (const int m = month_of(t.text); m > 0 && (t.text != "may" || t.capital)) {
        constexpr std::string_view full[] = {"january", "february", "march",     "april",   "may",      "june",
                                             "july",    "august",   "september", "october", "november", "december"};
        t.text = full[m - 1];
      }
      constexpr std::string_view roman[] = {"ii", "iii", "iv", "vi", "vii", "viii", "ix"};
      constexpr std::string_view arabic[] = {"2", "3", "4", "6", "7", "8", "9"};
      for (std::size_t r = 0; r < 7; ++r)
        if (t.text == roman[r] && t.capital) t.text = arabic[r];
      if (t.text == "st") t.text = "saint";
      if (t.text == "mt") t.text = "mount";
      if (t.text == "bce") t.text = "bc";
      t.stem = stem_of(t.text);
      t.stop = is_stop_word(t.text);
      push(std::move(t));
      continue;
    }
    if (!is_space(c)) {
      mark = c == U',' || c == U';' || c == U'(' || c == U')' || c == U'/' || c == U'&' ? static_cast<char>(c)
             : c == U'-' || c == U'\u2013' || c == U'\u2014' || c == U'\u2212'          ? '-'
                                                                                        : mark;
      if (c == U'.' || c == U';' || c == U'!' || c == U'?' || c == U':') clause = true;
    }
    if (c == U'\n') clause = true, mark = ';';
    ++i;
  }
  // names of two countries
  std::size_t to = 0;
  for (std::size_t k = 0; k < out.size();) {
    const auto is = [&](std::size_t at, std::string_view w) { return at < out.size() && out[at].text == w; };
    std::size_t n = 0;
    std::string_view name;
    if (is(k, "united") && is(k + 1, "states")) {
      n = is(k + 2, "of") && is(k + 3, "america") ? 4 : 2, name = "usa";
    } else if (is(k, "u") && is(k + 1, "s") && out[k].capital) {
      n = is(k + 2, "a") && out[k + 2].capital ? 3 : 2, name = "usa";
    } else if ((is(k, "united") && is(k + 1, "kingdom")) || (is(k, "great") && is(k + 1, "britain")) ||
               (is(k, "u") && is(k + 1, "k") && out[k].capital)) {
      n = 2, name = "uk";
    } else if (is(k, "us") && out[k].capital) {
      n = 1, name = "usa";
    } else if (is(k, "britain")) {
      n = 1, name = "uk";
    }
    if (to != k) out[to] = std::move(out[k]);
    if (n > 0) {
      out[to].text = out[to].stem = std::string(name);
      out[to].stop = false;
    }
    ++to;
    k += n > 1 ? n : 1;
  }
  out.resize(to);
  return out;
}

// At most one letter inserted, deleted, replaced or swapped with its neighbour.
inline bool one_edit(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > 1) return false;
  std::size_t i = 0;
  while (i < a.size() && a[i] == b[i]) ++i;
  if (i == a.size()) return true;
  if (a.size() != b.size()) return a.substr(i) == b.substr(i + 1);
  if (a.substr(i + 1) == b.substr(i + 1)) return true;
  return i + 1 < a.size() && a[i] == b[i + 1] && a[i + 1] == b[i] && a.substr(i + 2) == b.substr(i + 2);
}

inline bool same_word(const answer_token& a, const answer_token& b) {
  if (a.is_number || b.is_number) {
    if (a.is_number && b.is_number && a.negative != b.negative && a.before != '-' && b.before != '-') return false;
    return a.is_number && b.is_number ? a.number == b.number : a.text == b.text;
  }
  if (a.text == b.text || a.stem == b.stem) return true;
  return a.text.size() >= 6 && b.text.size() >= 6 && one_edit(a.text, b.text);
}
inline bool same_name(const answer_token& a, const answer_token& b) {
  if (same_word(a, b)) return true;
  if (a.is_number || b.is_number) return false;
  return (a.text.size() == 1 || b.text.size() == 1) && a.text[0] == b.text[0];
}

// Indices of the tokens that carry meaning; of all of them if none does.
template <class = void>
std::vector<std::size_t> content_of(const answer_tokens& t) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < t.size(); ++i)
    if (!t[i].stop) out.push_back(i);
  if (out.empty())
    for (std::size_t i = 0; i < t.size(); ++i) out.push_back(i);
  return out;
}

// Is the token at i denied in its clause: "not X", "rather than X", "unlike X"?
inline bool denied(const answer_tokens& t, std::size_t i) {
  constexpr std::string_view denials[] = {"not",       "never",  "nor",     "neither", "without", "except",
                                          "excluding", "rather", "instead", "unlike",  "isnt",    "wasnt",
                                          "arent",     "werent", "didnt",   "doesnt"};
  for (std::size_t back = 1; back <= 4 && back <= i; ++back) {
    if (t[i - back + 1].clause) return false;
    if (one_of(t[i - back].text, denials))
      return !(t[i - back].text == "not" && i - back + 1 < t.size() && t[i - back + 1].text == "only");
  }
  return false;
}

// Is the token at i only what the answer is compared with: "surpassing X", "after X", "death of X"?
inline bool compared(const answer_tokens& t, std::size_t i) {
  constexpr std::string_view words[] = {"surpassing", "overtaking", "beating", "than",
                                        "replacing",  "succeeding", "unlike"};
  for (std::size_t back = 1; back <= 3 && back <= i; ++back) {
    if (t[i - back + 1].clause) return false;
    if (one_of(t[i - back].text, words)) return true;
  }
  return false;
}

struct date_parts {
  int year = 0, month = 0, day = 0;
  std::size_t at = 0;
};
inline int year_of(const answer_token& t) {
  return t.is_number && t.plain_integer && t.number >= 1000 && t.number <= 2199 ? static_cast<int>(t.number) : 0;
}
inline int day_of(const answer_token& t) {
  return t.is_number && t.plain_integer && t.number >= 1 && t.number <= 31 ? static_cast<int>(t.number) : 0;
}
inline int month_of(const answer_token& t) { return t.is_number ? 0 : month_of(t.text); }
template <class = void>
std::vector<date_parts> dates_in(const answer_tokens& t) {
  std::vector<date_parts> out;
  std::vector<bool> used(t.size());
  for (std::size_t i = 0; i < t.size(); ++i) {
    const int month = month_of(t[i]);
    if (month == 0) continue;
    date_parts d{0, month, 0, i};
    std::size_t next = i + 1;
    if (next < t.size() && day_of(t[next]) != 0) {
      d.day = day_of(t[next]), ++next;
    } else if (i > 0 && day_of(t[i - 1]) != 0) {
      d.day = day_of(t[i - 1]);
    } else if (i > 1 && t[i - 1].text == "of" && day_of(t[i - 2]) != 0) {
      d.day = day_of(t[i - 2]);
    }
    if (next < t.size() && t[next].stop) ++next;
    if (next < t.size() && year_of(t[next]) != 0) d.year = year_of(t[next]), used[next] = true;
    out.push_back(d);
  }
  for (std::size_t i = 0; i < t.size(); ++i)
    if (!used[i] && year_of(t[i]) != 0) out.push_back({year_of(t[i]), 0, 0, i});
  return out;
}
// The whole of t as one date, if it is one.
template <class = void>
std::optional<date_parts> as_date(const answer_tokens& t) {
  std::size_t meaning = 0, parts = 0;
  for (const auto& x : t) meaning += x.stop ? 0u : 1u;
  const auto all = dates_in(t);
  if (all.size() != 1) return std::nullopt;
  parts = static_cast<std::size_t>((all[0].year != 0) + (all[0].month != 0) + (all[0].day != 0));
  if (parts != meaning) return std::nullopt;
  return all[0];
}
inline bool within(const date_parts& gold, const date_parts& d) {
  return (gold.year == 0 || gold.year == d.year) && (gold.month == 0 || gold.month == d.month) &&
         (gold.day == 0 || gold.day == d.day);
}

}  // namespace detail

// How an answer was found right; `wrong` if it was not.
enum class match {
  wrong,
  wording,
  joined,
  date,
  name,
  any_order,
  list,
  part_of_gold,
  without_question,
  number,
  polarity
};

constexpr std::string_view name_of(match m) {
  constexpr std::string_view names[] = {"wrong",  "wording",      "joined",
                                        "date",   "name",         "any order",
                                        "list",   "part of gold", "without the question's words",
                                        "number", "yes or no"};
  return names[static_cast<std::size_t>(m)];
}

namespace detail {

// Is the run of gold words in the answer, not denied? `same` compares words.
template <class Same>
bool has_run(const answer_tokens& p, const std::vector<std::size_t>& pc, const answer_tokens& g,
             const std::vector<std::size_t>& gc, Same&& same) {
  if (gc.empty() || gc.size() > pc.size()) return false;
  for (std::size_t i = 0; i + gc.size() <= pc.size(); ++i) {
    std::size_t k = 0;
    while (k < gc.size() && same(p[pc[i + k]], g[gc[k]])) ++k;
    if (k == gc.size() && !denied(p, pc[i]) && !compared(p, pc[i])) return true;
  }
  return false;
}

// The gold's letters without its blanks, from the start of one word to the end of another: "Abid Ali" in "Abidali".
template <class = void>
bool has_joined(const answer_tokens& p, const answer_tokens& g) {
  std::string want;
  for (const auto& t : g)
    if (!t.stop) want += t.text;
  if (want.size() < 5) return false;
  for (std::size_t i = 0; i < p.size(); ++i) {
    std::string_view rest = want;
    for (std::size_t k = i; k < p.size() && !rest.empty() && rest.starts_with(p[k].text); ++k)
      rest.remove_prefix(p[k].text.size());
    if (rest.empty() && !denied(p, i) && !compared(p, i)) return true;
  }
  return false;
}

// A person's name: middle names may be missing, added or shortened to an initial.
template <class = void>
bool has_name(const answer_tokens& p, const std::vector<std::size_t>& pc, const answer_tokens& g,
              const std::vector<std::size_t>& gc) {
  if (gc.size() < 2 || gc.size() > 5) return false;
  for (auto k : gc)
    if (!g[k].capital) return false;
  for (std::size_t i = 0; i < pc.size(); ++i) {
    if (!same_word(p[pc[i]], g[gc[0]]) && !(g[gc[0]].text.size() == 1 && same_name(p[pc[i]], g[gc[0]]))) continue;
    std::size_t at = i + 1, gold = 1;
    while (gold < gc.size() && at < pc.size() && at <= i + 4) {
      const bool last = gold + 1 == gc.size();
      if (p[pc[at]].before == ',' || p[pc[at]].before == ';' || p[pc[at]].before == '&') break;
      if (last ? same_word(p[pc[at]], g[gc[gold]]) : same_name(p[pc[at]], g[gc[gold]])) {
        ++at, ++gold;
      } else if (!last && same_word(p[pc[at]], g[gc.back()])) {
        ++at, gold = gc.size();  // middle names left out
      } else if (p[pc[at]].capital && pc[at] == pc[at - 1] + 1) {
        ++at;  // a middle name more
      } else {
        break;
      }
    }
    if (gold == gc.size() && !denied(p, pc[i])) return true;
  }
  return false;
}

// All gold words in any order within a window of the answer.
template <class = void>
bool has_bag(const answer_tokens& p, const std::vector<std::size_t>& pc, const answer_tokens& g,
             const std::vector<std::size_t>& gc, std::size_t window, double share) {
  const std::size_t n = gc.size();
  if (n < 2 || n > 64 || pc.empty()) return false;
  // for each gold word where it was last seen
  std::vector<std::ptrdiff_t> seen(n, -1);
  for (std::size_t i = 0; i < pc.size(); ++i) {
    for (std::size_t k = 0; k < n; ++k)
      if (same_word(p[pc[i]], g[gc[k]])) seen[k] = static_cast<std::ptrdiff_t>(i);
    std::size_t have = 0;
    for (auto x : seen) have += x >= 0 && static_cast<std::size_t>(x) + window > i ? 1u : 0u;
    if (static_cast<double>(have) >= share * static_cast<double>(n) && have >= 2) return true;
  }
  return false;
}

// Wordings of one gold answer: itself, without what stands in parentheses, an acronym inside them, the sides of "or".
template <class = void>
std::vector<std::string> variants_of(std::string_view gold) {
  std::vector<std::string> out{std::string(gold)};
  const auto open = gold.find('('), close = gold.find(')', open == std::string_view::npos ? 0 : open);
  if (open != std::string_view::npos && close != std::string_view::npos) {
    const std::string outside = std::string(gold.substr(0, open)) + std::string(gold.substr(close + 1));
    if (trim_ascii(outside).size() >= 2) out.push_back(outside);
    const auto inside = gold.substr(open + 1, close - open - 1);
    bool acronym = inside.size() >= 2 && inside.size() <= 6;
    for (char c : inside) acronym = acronym && c >= 'A' && c <= 'Z';
    if (acronym) out.emplace_back(inside);
  }
  const std::size_t wordings = out.size();
  for (std::size_t v = 0; v < wordings; ++v) {
    std::string_view rest = out[v];
    if (rest.find(" or ") == std::string_view::npos || rest.size() > 80) continue;
    std::vector<std::string> sides;
    for (auto at = rest.find(" or "); at != std::string_view::npos; at = rest.find(" or ")) {
      sides.emplace_back(rest.substr(0, at));
      rest.remove_prefix(at + 4);
    }
    sides.emplace_back(rest);
    for (auto& side : sides)
      if (trim_ascii(side).size() >= 3) out.push_back(std::move(side));
  }
  return out;
}

// The parts of a list: "A, B and C".
template <class = void>
std::vector<std::string> parts_of(std::string_view gold) {
  std::vector<std::string> out;
  std::string part;
  const auto finish = [&] {
    if (!trim_ascii(part).empty()) out.emplace_back(trim_ascii(part));
    part.clear();
  };
  for (std::size_t i = 0; i < gold.size(); ++i) {
    const bool thousands = gold[i] == ',' && i > 0 && i + 1 < gold.size() && gold[i - 1] >= '0' && gold[i - 1] <= '9' &&
                           gold[i + 1] >= '0' && gold[i + 1] <= '9';
    if ((gold[i] == ',' && !thousands) || gold[i] == ';' || gold[i] == '&' || gold[i] == '\n') {
      finish();
    } else if (gold.substr(i, 5) == " and ") {
      finish();
      i += 4;
    } else {
      part += gold[i];
    }
  }
  finish();
  return out;
}

// Words that only say what kind of thing a name names.
inline bool is_kind_word(std::string_view stem) {
  constexpr std::string_view words[] = {"area", "project", "metropolitan", "series", "movie",         "film",
                                        "song", "show",    "jr",           "sr",     "sir",           "mr",
                                        "mrs",  "ms",      "dr",           "saint",  "disambiguation"};
  return one_of(stem, words);
}

// How many answers the question asks for: "name two fibres", "what are the four types", "list the ...". 1 if it does
// not say.
inline std::size_t asked_for(const answer_tokens& q) {
  constexpr std::string_view asks[] = {"name", "list", "what", "which", "who", "give", "top"};
  for (std::size_t i = 0; i < q.size() && i < 12; ++i) {
    if (!one_of(q[i].text, asks)) continue;
    const bool plural =
        q[i].text == "list" || (i + 1 < q.size() && (q[i + 1].text == "are" || q[i + 1].text == "were"));
    for (std::size_t k = i + 1; k < q.size() && k <= i + 3; ++k)
      if (q[k].is_number && q[k].plain_integer && q[k].number >= 2 && q[k].number <= 12 && k + 1 < q.size() &&
          q[k + 1].text != "of")
        return static_cast<std::size_t>(q[k].number);
    if (plural) return q[i].text == "who" || q[i].text == "list" || q[i].text == "what" ? 2 : 1;
  }
  return 1;
}

// Does the answer's first sentence, boilerplate apart, deny the question: "X does not appear in Y"?
inline bool denies_question(const answer_tokens& p) {
  bool boilerplate = false;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i].clause && i > 0 && !boilerplate) return false;
    if (p[i].clause) boilerplate = false;
    if (p[i].text == "ai" || p[i].text == "i" || p[i].text == "my") boilerplate = true;
    if (boilerplate || i == 0) continue;
    constexpr std::string_view verbs[] = {"does", "did", "do", "is", "was", "has", "have", "are", "were"};
    if ((p[i].text == "not" && one_of(p[i - 1].text, verbs)) || p[i].text == "doesnt" || p[i].text == "didnt")
      return true;
  }
  return false;
}

// Does the number p of an answer say the number g of the gold, to the gold's digits? `unit` is what the question asks
// in
// ("in USD millions").
inline bool says_number(const answer_token& p, const answer_token& g, int gold_digits, double unit) {
  double half = 0.5 * (1.0 + 1e-9);
  for (int i = 0; i < gold_digits; ++i) half /= 10.0;
  const auto close = [&](double x, double y) {
    const double gap = math::abs(x - y);
    return gap <= half && gap <= 0.01 * math::abs(y);
  };
  if (p.negative != g.negative && g.number != 0) return false;
  if (p.number == g.number) return true;
  if (close(p.number, g.number)) return true;
  if (unit != 1.0 && close(p.number / unit, g.number)) return true;
  return p.percent && !g.percent && gold_digits >= 2 && close(p.number / 100.0, g.number);
}
inline int digits_of(const answer_token& g) {
  // 382.00 is 382 written as money
  return g.text.find('.') == std::string::npos ? 0 : static_cast<int>(g.text.size() - g.text.find('.') - 1);
}
inline double unit_of(const answer_tokens& q) {
  for (const auto& t : q)
    if (const double s = scale_of(t.text); s > 1) return s;
  return 1.0;
}

// 1 for yes, -1 for no, 0 for neither: the first yes or no that opens a clause, else a denial in the first sentence.
inline int polarity_of(const answer_tokens& p, bool denied_first) {
  for (const auto& t : p)
    if (t.clause && (t.text == "yes" || t.text == "no")) return t.text == "yes" ? 1 : -1;
  return denied_first ? -1 : 0;
}

// Does the answer say that it has none: "cannot be determined", "the filing does not provide"? Only if nothing follows
// with however or but.
inline bool refuses(const answer_tokens& p) {
  constexpr std::string_view after_not[] = {"contain",  "include",   "provide", "specify",    "mention", "disclose",
                                            "possible", "available", "enough",  "explicitly", "find"};
  constexpr std::string_view alone[] = {"cannot", "unable", "insufficient"};
  bool found = false;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i].text == "however" || p[i].text == "but" || p[i].text == "nevertheless") return false;
    if (i < 60 && (one_of(p[i].text, alone) || (i > 0 && one_of(p[i].text, after_not) && p[i - 1].text == "not")))
      found = true;
  }
  return found;
}

// A prediction that offers many answers offers none.
inline bool is_shotgun(const answer_tokens& p) {
  std::size_t marks = 0;
  for (const auto& t : p) marks += t.before == ',' || t.before == ';' || t.before == '/' || t.text == "or" ? 1u : 0u;
  return marks >= 24 && p.size() < marks * 4;
}

}  // namespace detail

namespace strict {

inline constexpr std::size_t longest_answer = 500;  // tokens; more is a document, not an answer

// Is the prediction one of the gold answers? Words of the question that the gold repeats may be missing.
template <class = void>
match match_text(std::string_view question, std::string_view prediction, std::span<const std::string_view> golds) {
  namespace d = detail;
  if (prediction.size() > 65536) return match::wrong;
  const auto p = d::tokenise(prediction);
  if (p.empty() || p.size() > longest_answer || d::refuses(p)) return match::wrong;
  const auto pc = d::content_of(p);
  const auto q = d::tokenise(question.substr(0, 4096));
  const auto p_dates = d::dates_in(p);
  const bool shotgun = d::is_shotgun(p);
  const auto in_question = [&](const d::answer_token& t) {
    for (const auto& x : q)
      if (x.stem == t.stem) return true;
    return false;
  };

  const double unit = d::unit_of(q);
  const bool denial = d::denies_question(p);
  // Numbers of the gold that the question does not hold, years apart.
  const auto key_numbers = [&](const d::answer_tokens& g) {
    std::vector<std::size_t> out;
    for (std::size_t k = 0; k < g.size(); ++k)
      if (g[k].is_number && d::year_of(g[k]) == 0 && !in_question(g[k]) &&
          (g[k].number >= 10 || g[k].percent || !g[k].plain_integer))
        out.push_back(k);
    return out;
  };
  const auto says = [&](const d::answer_token& g, std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last && i < p.size(); ++i)
      if (p[i].is_number && d::says_number(p[i], g, d::digits_of(g), unit) && !d::denied(p, i)) return true;
    return false;
  };
  const auto gold_number = [&](const d::answer_tokens& g) {
    std::size_t meaning = 0, at = 0;
    for (std::size_t k = 0; k < g.size(); ++k)
      if (!g[k].stop) ++meaning, at = k;
    if (meaning != 1 || !g[at].is_number || d::year_of(g[at]) != 0) return false;
    // anywhere in a short answer; in a long one where results stand, at both ends
    if (p.size() <= 60) return says(g[at], 0, p.size());
    return says(g[at], 0, 30) || says(g[at], p.size() - 30, p.size());
  };
  const auto gold_sentence = [&](const d::answer_tokens& g) {
    const int side = !g.empty() && (g[0].text == "yes" || g[0].text == "no") ? (g[0].text == "yes" ? 1 : -1) : 0;
    if (side != 0 && d::polarity_of(p, denial) != side) return match::wrong;
    const auto numbers = key_numbers(g);
    std::size_t found = 0;
    for (auto k : numbers) found += says(g[k], 0, p.size()) ? 1u : 0u;
    if (side != 0) {
      if (g.size() <= 2) return match::polarity;
      return numbers.empty() || found > 0 ? match::polarity : match::wrong;
    }
    return g.size() >= 6 && !numbers.empty() && found == numbers.size() ? match::number : match::wrong;
  };
  const auto one_gold = [&](std::span<const std::string_view> all, std::size_t which) -> match {
    for (const auto& gold : d::variants_of(all[which])) {
      const auto g = d::tokenise(gold);
      if (g.empty() || d::as_date(g)) continue;
      auto gc = d::content_of(g);
      if (gc.size() > 1) {
        std::vector<std::size_t> named;
        for (auto k : gc)
          if (!d::is_kind_word(g[k].stem)) named.push_back(k);
        if (!named.empty()) gc = named;
      }
      if (gold_number(g)) return match::number;
      if (const match m = gold_sentence(g); m != match::wrong) return m;
      std::size_t listed = 0;
      for (auto k : gc) listed += g[k].before == ',' ? 1u : 0u;
      if (shotgun && listed < 4 && gc.size() < 8) continue;
      std::vector<std::size_t> rest;  // without the words that the question has
      for (auto k : gc)
        if (!in_question(g[k])) rest.push_back(k);
      if (rest.empty() && pc.size() > 2 * gc.size() + 4) continue;  // the answer only repeats the question
      const auto word = [](const d::answer_token& a, const d::answer_token& b) { return d::same_word(a, b); };
      if (d::has_run(p, pc, g, gc, word)) return match::wording;
      if (d::has_joined(p, g)) return match::joined;
      if (d::has_name(p, pc, g, gc)) return match::name;
      bool names_only = gc.size() <= 3;  // two names do not make a third
      for (auto k : gc) names_only = names_only && g[k].capital;
      if (d::has_bag(p, pc, g, gc, names_only ? gc.size() : 2 * gc.size() + 3, 1.0)) return match::any_order;
      if (const auto parts = d::parts_of(gold); parts.size() >= 2) {
        std::size_t found = 0;
        for (const auto& part : parts) {
          const auto t = d::tokenise(part);
          const auto tc = d::content_of(t);
          found += !t.empty() && (d::has_run(p, pc, t, tc, word) || d::has_name(p, pc, t, tc)) ? 1u : 0u;
        }
        if (found == parts.size()) return match::list;
      }
      if (rest.size() > 1 && rest.size() < gc.size() && d::has_run(p, pc, g, rest, word))
        return match::without_question;
      // a short answer that is most of the gold
      if (pc.size() <= 8 && pc.size() < gc.size() && pc.size() * 2 >= gc.size() && d::has_run(g, gc, p, pc, word)) {
        bool words = false;
        for (auto k : pc) words = words || (!p[k].is_number && p[k].text.size() >= 3 && !in_question(p[k]));
        std::size_t shared = 0;  // one word must be common to the wordings of the gold
        for (auto other : all)
          for (const auto& t : d::tokenise(other.substr(0, 4096)))
            if (d::same_word(t, p[pc[0]])) {
              ++shared;
              break;
            }
        if (words && (pc.size() > 1 || shared * 2 > all.size())) return match::part_of_gold;
      }
    }
    return match::wrong;
  };

  // dates first: the finest gold dates decide
  std::vector<d::date_parts> gold_dates;
  bool all_dates = !golds.empty();
  for (auto gold : golds) {
    const auto g = d::as_date(d::tokenise(gold.substr(0, 4096)));
    if (g) gold_dates.push_back(*g);
    all_dates = all_dates && g.has_value();
  }
  for (const auto& g : gold_dates)
    for (const auto& x : p_dates) {
      if (!d::within(g, x) || d::denied(p, x.at)) continue;
      bool against = false, agrees = false;  // a finer gold of the same year
      for (const auto& f : gold_dates) {
        if (f.year != g.year || (f.month == 0 && f.day == 0)) continue;
        if ((f.month != 0 && x.month != 0) || (f.day != 0 && x.day != 0)) {
          const bool same =
              (f.month == 0 || x.month == 0 || f.month == x.month) && (f.day == 0 || x.day == 0 || f.day == x.day);
          agrees = agrees || same;
          against = against || !same;
        }
      }
      if (!against || agrees) return match::date;
    }
  if (all_dates) return match::wrong;

  const std::size_t wanted = d::asked_for(q) > golds.size() ? 1 : d::asked_for(q);
  std::size_t right = 0;
  match how = match::wrong;
  for (std::size_t at = 0; at < golds.size(); ++at) {
    if (golds[at].size() > 4096) continue;
    const match m = one_gold(golds, at);
    if (m == match::wrong) continue;
    if (right == 0) how = m;
    ++right;
    if (right >= wanted || m == match::list || m == match::any_order)
      return denial && how != match::polarity ? match::wrong : how;
  }
  return match::wrong;
}

// One number: the last boxed one, else the first after the last "answer is", else the only one of a short answer.
// Several numbers ("12 or 13") are no answer.
template <class = void>
std::optional<detail::answer_token> numeric_answer(std::string_view text) {
  if (text.size() > 65536) return std::nullopt;
  std::optional<std::string> part = boxed{}(text);
  if (!part) part = after_phrase{}(text);
  const auto t = detail::tokenise(part ? std::string_view(*part) : text);
  if (!part && t.size() > 12) return std::nullopt;
  std::optional<detail::answer_token> found;
  for (std::size_t i = 0; i < t.size(); ++i) {
    if (!t[i].is_number) {
      if (t[i].text == "or" && found) return std::nullopt;
      continue;
    }
    if (!found) {
      found = t[i];
      constexpr std::string_view minus[] = {"minus", "negative"};
      if (i > 0 && detail::one_of(t[i - 1].text, minus)) found->negative = true;
    } else if (!part || !t[i].clause) {
      if (t[i].number != found->number) return std::nullopt;
    }
  }
  return found;
}

// Equal within 0.15 %, signs included. A scale word ("million") that the gold does not write may be the question's
// unit; a percent sign on one side only stands for a hundredth.
inline bool same_number(const detail::answer_token& p, const detail::answer_token& g) {
  const auto close = [](double a, double b) { return math::abs(a - b) <= 0.0015 * math::abs(b); };
  if (p.negative != g.negative && (p.number != 0 || g.number != 0)) return false;
  if (close(p.number, g.number) || close(p.written, g.number) || close(p.number, g.written)) return true;
  return p.percent != g.percent && (p.percent ? close(p.number / 100, g.number) : close(p.number * 100, g.number));
}

// The letter of an option, A to J: boxed, after the last "answer is", or alone. 0 if there is none or more than one.
template <class = void>
char choice_answer(std::string_view text) {
  if (text.size() > 65536) return 0;
  std::optional<std::string> part = boxed{}(text);
  if (!part) part = after_phrase{}(text);
  const std::string s = part ? *part : std::string(detail::trim_ascii(text));
  if (!part && s.size() > 16) return 0;
  const auto is_letter = [&](std::size_t i) {
    return i < s.size() && detail::is_ascii_letter(static_cast<unsigned char>(s[i]));
  };
  char found = 0;
  bool prose = false;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (!is_letter(i)) continue;
    std::size_t end = i;
    while (is_letter(end)) ++end;
    const bool bracketed = i > 0 && s[i - 1] == '(' && end < s.size() && s[end] == ')';
    if (end - i == 1 && s[i] >= 'A' && s[i] <= 'J' && (!prose || bracketed) && !(end < s.size() && s[end] == '\'')) {
      if (found != 0 && found != s[i]) return prose ? found : char{0};
      found = s[i];
    } else if (const auto w = s.substr(i, end - i); found != 0 && w != "or" && w != "and") {
      prose = true;  // an explanation follows
    } else if (found == 0 && w != "option" && w != "Option" && w != "text" && w != "choice" && w != "mathrm") {
      return 0;
    }
    i = end;
  }
  return found;
}

// What the strict rule says of a response. The extractor is a slot: what follows </think> by default.
//   "... </think> Therefore, the answer is (32.4)." against "32.4": scored 1
template <answer_extractor Extract = after_think>
struct rule_reward {
  Extract extract{};
  outcome operator()(const graded_item& item) const {
    if (item.gold.empty()) return abstained{"strict rule: no gold answer"};
    const auto answer = extract(item.response);
    if (!answer || answer->empty()) return scored{0};
    std::vector<std::string> stored;  // gold sentences without their phrase
    stored.reserve(item.gold.size());
    for (auto g : item.gold) stored.push_back(after_phrase{}(g).value_or(std::string(g)));
    switch (item.kind) {
      case answer_kind::choice: {
        const char p = choice_answer(*answer);
        for (const auto& g : stored)
          if (p != 0 && p == choice_answer(g)) return scored{1};
        return scored{0};
      }
      case answer_kind::numeric: {
        const auto p = numeric_answer(*answer);
        bool readable = false;
        for (const auto& g : stored) {
          const auto n = numeric_answer(g);
          readable = readable || n.has_value();
          if (p && n && same_number(*p, *n)) return scored{1};
        }
        if (!readable) return abstained{"strict rule: no gold answer holds a number"};
        return scored{0};
      }
      case answer_kind::text: {
        const std::vector<std::string_view> golds(stored.begin(), stored.end());
        const auto boxed_part = boxed{}(*answer);
        const auto part = boxed_part ? boxed_part : after_phrase{}(*answer);
        if (detail::rfind_any_case(*answer, "answer is") != std::string::npos && !part) return scored{0};
        return scored{match_text(item.question, part ? *part : *answer, golds) == match::wrong ? 0.0 : 1.0};
      }
    }
    return abstained{"strict rule: unknown kind of answer"};
  }
};

}  // namespace strict
}  // namespace ql::rl
