// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace ql::text {

// A regular expression as tokenizer files write them (Oniguruma's Ruby syntax over Unicode), run by PCRE2.
class pattern {
 public:
  // What one thread needs to match. May be used with any pattern, by one thread at a time.
  class scratch {
   public:
    scratch();
    ~scratch();
    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;

   private:
    friend class pattern;
    void* match_;
    void* context_;
    void* stack_;
  };

  // Throws format_error for what is malformed, or means something else in PCRE2.
  explicit pattern(std::string_view expression, std::string_view what);
  // Matches this text and nothing else.
  static pattern literal(std::string_view text);
  ~pattern();
  pattern(pattern&& o) noexcept;
  pattern& operator=(pattern&& o) noexcept;

  // The first match at or after `from` in valid UTF-8. False: there is none. Throws error when the match takes more
  // steps than a sane pattern needs.
  bool find(std::string_view text, std::size_t from, scratch& s, std::size_t& begin, std::size_t& end) const;

  // The expression in PCRE2's syntax.
  static std::string translate(std::string_view expression, std::string_view what);

 private:
  pattern() = default;
  void* code_ = nullptr;
  std::string literal_;
};

}  // namespace ql::text
