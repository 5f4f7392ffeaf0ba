// SPDX-License-Identifier: Apache-2.0
#include "unicode.hpp"

#include <ql/detail/stable_sort.hpp>
#include <ql/io/error.hpp>

#include <simdjson.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <memory>

namespace ql::text::unicode {

void alignment::add(std::size_t size, std::size_t begin, std::size_t end, bool same) {
  if (same && !runs_.empty() && runs_.back().same && runs_.back().end == begin) {
    runs_.back().end = end;
  } else if (size != 0) {
    runs_.push_back({size_, begin, end, same});
  }
  size_ += size;
}

const alignment::run& alignment::find(std::size_t position) const {
  auto after =
      std::upper_bound(runs_.begin(), runs_.end(), position, [](std::size_t p, const run& r) { return p < r.at; });
  return *std::prev(after);
}

std::size_t alignment::begin_of(std::size_t position) const {
  if (runs_.empty()) return 0;
  const run& r = find(position);
  return r.same ? r.begin + (position - r.at) : r.begin;
}

std::size_t alignment::end_of(std::size_t position) const {
  if (runs_.empty() || position == 0) return 0;
  const run& r = find(position - 1);
  return r.same ? r.begin + (position - r.at) : r.end;
}

void append(std::string& out, char32_t c) {
  const auto byte = [&](char32_t b) { out += static_cast<char>(static_cast<unsigned char>(b)); };
  if (c < 0x80) {
    byte(c);
  } else if (c < 0x800) {
    byte(0xc0 | (c >> 6));
    byte(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    byte(0xe0 | (c >> 12));
    byte(0x80 | ((c >> 6) & 0x3f));
    byte(0x80 | (c & 0x3f));
  } else {
    byte(0xf0 | (c >> 18));
    byte(0x80 | ((c >> 12) & 0x3f));
    byte(0x80 | ((c >> 6) & 0x3f));
    byte(0x80 | (c & 0x3f));
  }
}

bool valid(std::string_view s) { return simdjson::validate_utf8(s.data(), s.size()); }

sequence sequence_at(std::string_view s, std::size_t i) {
  const auto at = [&](std::size_t k) { return static_cast<unsigned char>(s[k]); };
  const unsigned c = at(i);
  if (c < 0x80) return {1, true, false};
  if (c < 0xc2 || c > 0xf4) return {1, false, false};
  const std::size_t n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
  unsigned low = 0x80, high = 0xbf;
  if (c == 0xe0) low = 0xa0;
  if (c == 0xed) high = 0x9f;
  if (c == 0xf0) low = 0x90;
  if (c == 0xf4) high = 0x8f;
  for (std::size_t k = 1; k < n; ++k) {
    if (i + k >= s.size()) return {k, false, true};
    if (at(i + k) < low || at(i + k) > high) return {k, false, false};
    low = 0x80, high = 0xbf;
  }
  return {n, true, false};
}

std::string repair(std::string_view s, alignment* where) {
  std::string out;
  out.reserve(s.size() + 16);
  for (std::size_t i = 0; i < s.size();) {
    std::size_t first = i;
    while (i < s.size()) {
      const auto q = sequence_at(s, i);
      if (!q.complete) break;
      i += q.size;
    }
    out.append(s.substr(first, i - first));
    if (where && i != first) where->add(i - first, first, i, true);
    if (i == s.size()) break;
    const auto bad = sequence_at(s, i);
    out += "\xef\xbf\xbd";
    if (where) where->add(3, i, i + bad.size, false);
    i += bad.size;
  }
  return out;
}

namespace {

constexpr std::size_t code_points = 0x110000;

// Characters that neither change in the form nor combine with what stands before them.
class stable_table {
 public:
  explicit stable_table(form f) : unstable_((code_points + 63) / 64) {
    const bool composed = f == form::nfc || f == form::nfkc;
    const bool compatible = f == form::nfkc || f == form::nfkd;
    const auto mark = [&](std::size_t c) { unstable_[c / 64] |= std::uint64_t{1} << (c % 64); };
    std::array<utf8proc_int32_t, 64> b{};
    for (std::size_t c = 0x80; c < code_points; ++c) {
      if (c >= 0xd800 && c < 0xe000) continue;
      const auto* p = utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
      if (p->combining_class != 0) mark(c);
      const bool hangul = c >= 0xac00 && c < 0xd7a4;
      if (hangul && !composed) mark(c);
      if (hangul || p->decomp_seqindex == UINT16_MAX) continue;
      if (p->decomp_type != 0 && !compatible) continue;
      if (!composed) {
        mark(c);
        continue;
      }
      auto n = decompose(static_cast<utf8proc_int32_t>(c), b, compatible);
      const auto last = b[static_cast<std::size_t>(n - 1)];
      n = utf8proc_normalize_utf32(b.data(), n, options(f));
      if (n != 1 || b[0] != static_cast<utf8proc_int32_t>(c)) mark(c);
      if (p->decomp_type == 0) mark(static_cast<std::size_t>(last));
    }
    if (composed) {
      for (std::size_t c = 0x1161; c <= 0x1175; ++c) mark(c);
      for (std::size_t c = 0x11a8; c <= 0x11c2; ++c) mark(c);
    }
    // What ASCII letters may combine with is marked; ASCII itself is stable.
  }
  bool stable(char32_t c) const { return ((unstable_[c / 64] >> (c % 64)) & 1) == 0; }

  static utf8proc_option_t options(form f) {
    const bool composed = f == form::nfc || f == form::nfkc;
    const bool compatible = f == form::nfkc || f == form::nfkd;
    return static_cast<utf8proc_option_t>(UTF8PROC_STABLE | (composed ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE) |
                                          (compatible ? UTF8PROC_COMPAT : 0));
  }
  template <std::size_t N>
  static utf8proc_ssize_t decompose(utf8proc_int32_t c, std::array<utf8proc_int32_t, N>& b, bool compatible) {
    int boundary = 0;
    const auto o = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
    const auto n = utf8proc_decompose_char(c, b.data(), N, static_cast<utf8proc_option_t>(o), &boundary);
    return std::clamp<utf8proc_ssize_t>(n, 1, N);
  }

 private:
  std::vector<std::uint64_t> unstable_;
};

const stable_table& table(form f) {
  switch (f) {
    case form::nfc: {
      static const stable_table t(form::nfc);
      return t;
    }
    case form::nfd: {
      static const stable_table t(form::nfd);
      return t;
    }
    case form::nfkc: {
      static const stable_table t(form::nfkc);
      return t;
    }
    default: {
      static const stable_table t(form::nfkd);
      return t;
    }
  }
}

std::size_t skip_ascii(std::string_view s, std::size_t i) {
  while (i + 8 <= s.size()) {
    std::uint64_t w;
    __builtin_memcpy(&w, s.data() + i, 8);
    if (w & 0x8080808080808080ull) break;
    i += 8;
  }
  while (i < s.size() && static_cast<unsigned char>(s[i]) < 0x80) ++i;
  return i;
}

}  // namespace

bool needs_normalization(std::string_view s, form f) {
  const stable_table* t = nullptr;
  for (std::size_t i = 0;;) {
    i = skip_ascii(s, i);
    if (i == s.size()) return false;
    if (!t) t = &table(f);
    if (!t->stable(next(s, i))) return true;
  }
}

std::string normalize(std::string_view s, form f, alignment* where) {
  const stable_table& t = table(f);
  const bool compatible = f == form::nfkc || f == form::nfkd;
  std::string out;
  out.reserve(s.size() + 16);
  std::vector<utf8proc_int32_t> chunk;
  std::array<utf8proc_int32_t, 64> b{};
  std::size_t i = 0;
  while (i < s.size()) {
    // [kept, last) is copied as it stands; the last stable character before an unstable one may combine with it.
    const std::size_t kept = i;
    std::size_t last = i, after = i;
    while (after < s.size()) {
      std::size_t k = after;
      if (!t.stable(next(s, k))) break;
      last = after;
      after = k;
    }
    if (after == s.size()) last = after;
    if (last != kept) {
      out.append(s.substr(kept, last - kept));
      if (where) where->add(last - kept, kept, last, true);
    }
    if (after == s.size()) break;
    chunk.clear();
    std::size_t k = last;
    bool first = true;
    while (k < s.size()) {
      std::size_t n = k;
      const char32_t c = next(s, n);
      if (!first && k > after && t.stable(c)) break;
      first = false;
      const auto parts = stable_table::decompose(static_cast<utf8proc_int32_t>(c), b, compatible);
      chunk.insert(chunk.end(), b.begin(), b.begin() + parts);
      k = n;
    }
    // Sorted here: utf8proc's own reordering takes quadratic time on long runs of marks.
    const auto combining = [](utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; };
    for (auto from = chunk.begin(); from != chunk.end();) {
      if (combining(*from) == 0) {
        ++from;
        continue;
      }
      auto to = std::find_if(from, chunk.end(), [&](auto c) { return combining(c) == 0; });
      ql::detail::stable_sort(from, to, [&](auto x, auto y) { return combining(x) < combining(y); });
      from = to;
    }
    auto n = static_cast<utf8proc_ssize_t>(chunk.size());
    if (f == form::nfc || f == form::nfkc) n = utf8proc_normalize_utf32(chunk.data(), n, stable_table::options(f));
    const std::size_t before = out.size();
    for (utf8proc_ssize_t c = 0; c < n; ++c) append(out, static_cast<char32_t>(chunk[static_cast<std::size_t>(c)]));
    if (where) {
      const bool same = std::string_view(out).substr(before) == s.substr(last, k - last);
      where->add(out.size() - before, last, k, same);
    }
    i = k;
  }
  return out;
}

bool is_white_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_word(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return false;
  }
}

char32_t lower(char32_t c) { return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))); }
char32_t upper(char32_t c) { return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))); }

std::string lower(std::string_view s, alignment* where) {
  std::string out;
  out.reserve(s.size());
  for (std::size_t i = 0; i < s.size();) {
    const std::size_t first = i;
    const char32_t c = next(s, i);
    const std::size_t before = out.size();
    if (c == 0x130) {
      out += "i\xcc\x87";  // the one letter whose lower case is two characters
    } else {
      append(out, lower(c));
    }
    if (where) where->add(out.size() - before, first, i, out.size() - before == i - first);
  }
  return out;
}

}  // namespace ql::text::unicode
