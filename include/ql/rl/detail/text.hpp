// SPDX-License-Identifier: Apache-2.0
#pragma once

// Text as code points, for answer extraction and verification. Invalid UTF-8 becomes U+FFFD, one per maximal subpart;
// nothing here is more than linear in its input.

#include <ql/rl/detail/unicode_tables.hpp>
#include <ql/rl/rules.hpp>

#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>

namespace ql::rl::detail {

inline std::u32string decode_utf8(std::string_view s) {
  std::u32string out;
  out.reserve(s.size());
  std::size_t i = 0;
  const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(s[k]); };
  while (i < s.size()) {
    const unsigned char b = byte(i);
    if (b < 0x80) {
      out.push_back(b);
      ++i;
      continue;
    }
    const int more = b >= 0xC2 && b < 0xE0 ? 1 : b >= 0xE0 && b < 0xF0 ? 2 : b >= 0xF0 && b < 0xF5 ? 3 : 0;
    unsigned low = 0x80, high = 0xBF;  // of the second byte: no overlong forms, no surrogates, nothing above 10FFFF
    if (b == 0xE0) low = 0xA0;
    if (b == 0xED) high = 0x9F;
    if (b == 0xF0) low = 0x90;
    if (b == 0xF4) high = 0x8F;
    char32_t c = more == 1 ? b & 0x1Fu : more == 2 ? b & 0x0Fu : b & 0x07u;
    int got = 0;
    while (got < more && i + 1 + static_cast<std::size_t>(got) < s.size()) {
      const unsigned n = byte(i + 1 + static_cast<std::size_t>(got));
      if (n < low || n > high) break;
      c = (c << 6) | (n & 0x3Fu);
      low = 0x80, high = 0xBF;
      ++got;
    }
    out.push_back(more > 0 && got == more ? c : U'\xFFFD');
    i += 1 + static_cast<std::size_t>(got);
  }
  return out;
}

inline std::string encode_utf8(std::u32string_view s) {
  std::string out;
  out.reserve(s.size());
  const auto put = [&](char32_t bits) { out.push_back(static_cast<char>(static_cast<unsigned char>(bits))); };
  for (char32_t c : s) {
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xC0 | (c >> 6)), put(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
      put(0xE0 | (c >> 12)), put(0x80 | ((c >> 6) & 0x3F)), put(0x80 | (c & 0x3F));
    } else {
      put(0xF0 | (c >> 18)), put(0x80 | ((c >> 12) & 0x3F)), put(0x80 | ((c >> 6) & 0x3F)), put(0x80 | (c & 0x3F));
    }
  }
  return out;
}

template <std::size_t N>
constexpr bool in_runs(const code_run (&runs)[N], char32_t c) {
  std::size_t lo = 0, hi = N;
  while (lo < hi) {
    const std::size_t mid = (lo + hi) / 2;
    if (c > runs[mid].last) {
      lo = mid + 1;
    } else {
      hi = mid;
    }
  }
  return lo < N && c >= runs[lo].first;
}
constexpr bool is_digit(char32_t c) { return c >= U'0' && c <= U'9'; }
constexpr bool is_ascii_letter(char32_t c) { return (c | 32) >= U'a' && (c | 32) <= U'z'; }
// Python's str.isspace
constexpr bool is_space(char32_t c) {
  return c < 0x80 ? c == 32 || (c >= 9 && c <= 13) || (c >= 28 && c <= 31) : in_runs(space_runs, c);
}
// Python's \w
constexpr bool is_word(char32_t c) {
  return c < 0x80 ? is_digit(c) || is_ascii_letter(c) || c == U'_' : in_runs(word_runs, c);
}
// string.punctuation
constexpr bool is_ascii_punctuation(char32_t c) { return c > 32 && c < 127 && !is_digit(c) && !is_ascii_letter(c); }
constexpr char32_t lower(char32_t c) {
  if (c < 0x80) return c >= U'A' && c <= U'Z' ? c + 32 : c;
  std::size_t lo = 0, hi = std::size(lower_runs);
  while (lo < hi) {
    const std::size_t mid = (lo + hi) / 2;
    if (c > lower_runs[mid].last) {
      lo = mid + 1;
    } else {
      hi = mid;
    }
  }
  if (lo == std::size(lower_runs)) return c;
  const auto& r = lower_runs[lo];
  if (c < r.first || (c - r.first) % r.stride != 0) return c;
  return static_cast<char32_t>(static_cast<std::int64_t>(c) + r.delta);
}
// Python's str.lower: one to one but for capital I with a dot, and capital sigma, which is final at the end of a word.
inline std::u32string lower(std::u32string_view s) {
  std::u32string out;
  out.reserve(s.size());
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] == U'\x130') {
      out += U"i\x307";
    } else if (s[i] == U'\x3A3') {
      const bool before = i > 0 && is_word(s[i - 1]) && !is_digit(s[i - 1]);
      const bool after = i + 1 < s.size() && is_word(s[i + 1]) && !is_digit(s[i + 1]);
      out.push_back(before && !after ? U'\x3C2' : U'\x3C3');
    } else {
      out.push_back(lower(s[i]));
    }
  }
  return out;
}

inline std::u32string_view trim(std::u32string_view s) {
  while (!s.empty() && is_space(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_space(s.back())) s.remove_suffix(1);
  return s;
}
inline std::u32string_view trim(std::u32string_view s, char32_t what) {
  while (!s.empty() && s.front() == what) s.remove_prefix(1);
  while (!s.empty() && s.back() == what) s.remove_suffix(1);
  return s;
}
inline std::u32string without(std::u32string_view s, char32_t what) {
  std::u32string out;
  out.reserve(s.size());
  for (char32_t c : s)
    if (c != what) out.push_back(c);
  return out;
}
inline std::u32string without(std::u32string_view s, std::u32string_view what) {
  std::u32string out;
  out.reserve(s.size());
  while (!s.empty()) {
    const auto at = s.find(what);
    out += s.substr(0, at);
    s.remove_prefix(at == std::u32string_view::npos ? s.size() : at + what.size());
  }
  return out;
}

// Lower case, ASCII punctuation deleted, whole words a, an, the dropped, white space collapsed: the SQuAD evaluation's
// normalize_answer.
inline std::u32string squad_normalise(std::u32string_view s) {
  std::u32string bare;
  for (char32_t c : lower(s))
    if (!is_ascii_punctuation(c)) bare.push_back(c);
  std::u32string out;
  out.reserve(bare.size());
  for (std::size_t i = 0; i < bare.size();) {
    if (!is_word(bare[i])) {
      if (!is_space(bare[i])) {
        out.push_back(bare[i]);
      } else if (!out.empty() && out.back() != U' ') {
        out.push_back(U' ');
      }
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < bare.size() && is_word(bare[end])) ++end;
    const auto word = std::u32string_view(bare).substr(i, end - i);
    if (word != U"a" && word != U"an" && word != U"the") {
      out += word;
    } else if (!out.empty() && out.back() != U' ') {
      out.push_back(U' ');
    }
    i = end;
  }
  if (!out.empty() && out.back() == U' ') out.pop_back();
  return out;
}

}  // namespace ql::rl::detail
