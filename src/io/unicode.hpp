// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ql::text::unicode {

// Where the bytes of a rewritten text came from: runs in ascending order that together cover it.
class alignment {
 public:
  // The next `size` bytes of the new text stand for [begin, end) of the old one; equal lengths with `same` mean byte
  // for byte.
  void add(std::size_t size, std::size_t begin, std::size_t end, bool same);
  // Bytes of the old text for the non-empty range [begin, end) of the new one.
  std::size_t begin_of(std::size_t position) const;
  std::size_t end_of(std::size_t position) const;

 private:
  struct run {
    std::size_t at, begin, end;
    bool same;
  };
  std::size_t size_ = 0;
  std::vector<run> runs_;
  const run& find(std::size_t position) const;
};

// The code point at s[i], which must be valid UTF-8; i moves past it.
inline char32_t next(std::string_view s, std::size_t& i) {
  const auto c = static_cast<unsigned char>(s[i++]);
  if (c < 0x80) return c;
  const auto more = [&] { return static_cast<char32_t>(static_cast<unsigned char>(s[i++]) & 0x3f); };
  if (c < 0xe0) return (static_cast<char32_t>(c & 0x1f) << 6) | more();
  if (c < 0xf0) {
    const char32_t a = more();
    return (static_cast<char32_t>(c & 0x0f) << 12) | (a << 6) | more();
  }
  const char32_t a = more(), b = more();
  return (static_cast<char32_t>(c & 0x07) << 18) | (a << 12) | (b << 6) | more();
}
// Bytes of the UTF-8 sequence that starts with c.
inline std::size_t length(char c) {
  const auto u = static_cast<unsigned char>(c);
  return u < 0x80 ? 1 : u < 0xe0 ? 2 : u < 0xf0 ? 3 : 4;
}
void append(std::string& out, char32_t c);

bool valid(std::string_view s);
// The length of the maximal valid or truncated-but-valid prefix of one character at s[i]: `complete` says which.
// An ill-formed byte counts as one.
struct sequence {
  std::size_t size;
  bool complete;   // a whole character
  bool truncated;  // the text ends within what may be one
};
sequence sequence_at(std::string_view s, std::size_t i);
// Every maximal ill-formed subpart becomes U+FFFD, as Unicode recommends (3.9, table 3-8).
std::string repair(std::string_view s, alignment* where = nullptr);

enum class form { nfc, nfd, nfkc, nfkd };
// False where the text certainly is in the form already.
bool needs_normalization(std::string_view s, form f);
std::string normalize(std::string_view s, form f, alignment* where = nullptr);

bool is_white_space(char32_t c);  // the property White_Space
bool is_word(char32_t c);         // letters, marks, decimal digits, connector punctuation
std::string lower(std::string_view s, alignment* where = nullptr);
char32_t lower(char32_t c);
char32_t upper(char32_t c);

}  // namespace ql::text::unicode
