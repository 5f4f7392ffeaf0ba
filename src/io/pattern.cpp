// SPDX-License-Identifier: Apache-2.0
#include "pattern.hpp"

#include <ql/io/error.hpp>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <new>
#include <utility>

namespace ql::text {
namespace {

constexpr std::size_t longest_expression = 64 << 10;

// PCRE2's own \s, \w and \d differ from Oniguruma's in a few characters (U+180E; marks), so they are spelled out.
constexpr std::string_view space_set =
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr std::string_view not_space_set =
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{d7ff}\\x{e000}-\\x{10ffff}";
constexpr std::string_view word_set = "\\p{L}\\p{M}\\p{Nd}\\p{Pc}";

pcre2_code* code(void* p) { return static_cast<pcre2_code*>(p); }

}  // namespace

std::string pattern::translate(std::string_view e, std::string_view what) {
  const auto refuse = [&](const std::string& why) {
    throw io::format_error(std::string(what) + ": regular expression: " + why + " (in \"" +
                           std::string(e.substr(0, 200)) + "\")");
  };
  if (e.size() > longest_expression) refuse("longer than " + std::to_string(longest_expression) + " bytes");
  std::string out;
  bool in_set = false;
  for (std::size_t i = 0; i < e.size(); ++i) {
    const char c = e[i];
    if (c == '\\') {
      if (i + 1 == e.size()) refuse("ends with a backslash");
      const char k = e[++i];
      switch (k) {
        case 's': out.append(in_set ? "" : "[").append(space_set).append(in_set ? "" : "]"); break;
        case 'S':
          out.append(in_set ? not_space_set : "[^").append(in_set ? "" : space_set).append(in_set ? "" : "]");
          break;
        case 'w': out.append(in_set ? "" : "[").append(word_set).append(in_set ? "" : "]"); break;
        case 'W':
          if (in_set) refuse("\\W inside brackets is not supported");
          out.append("[^").append(word_set).append("]");
          break;
        case 'd': out += "\\p{Nd}"; break;
        case 'D': out += "\\P{Nd}"; break;
        case 'h':
        case 'H':
          out.append(in_set ? "" : k == 'h' ? "[" : "[^").append("0-9a-fA-F").append(in_set ? "" : "]");
          if (in_set && k == 'H') refuse("\\H inside brackets is not supported");
          break;
        case 'p':
        case 'P':
        case 'b':
        case 'B':
        case 'A':
        case 'z':
        case 'n':
        case 'r':
        case 't':
        case 'f':
        case 'a':
        case 'e':
        case 'x': out.append("\\").append(1, k); break;
        case 'v': out += "\\x0b"; break;
        case 'u': {
          const std::string_view digits = e.substr(i + 1, 4);
          if (digits.size() < 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
            refuse("\\u needs four hexadecimal digits");
          out.append("\\x{").append(digits).append("}");
          i += 4;
          break;
        }
        default:
          if ((k >= '0' && k <= '9') || (k >= 'a' && k <= 'z') || (k >= 'A' && k <= 'Z'))
            refuse(std::string("\\") + k + " is not supported");
          out.append("\\").append(1, k);
      }
      continue;
    }
    if (in_set) {
      if (c == '[' && i + 1 < e.size() && e[i + 1] != ':') refuse("a set within a set is not supported; write \\[");
      if (c == '&' && i + 1 < e.size() && e[i + 1] == '&') refuse("intersection of sets (&&) is not supported");
      if (c == '[') {
        const auto close = e.find(":]", i);
        if (close == std::string_view::npos) refuse("[: without :]");
        out.append(e.substr(i, close + 2 - i));
        i = close + 1;
        continue;
      }
      if (c == ']') in_set = false;
    } else if (c == '[') {
      in_set = true;
      out += c;
      if (i + 1 < e.size() && e[i + 1] == '^') out += e[++i];
      if (i + 1 < e.size() && e[i + 1] == ']') refuse("an empty set");
      continue;
    } else if (c == '(' && i + 1 < e.size() && (e[i + 1] == '*' || e[i + 1] == '?')) {
      const std::string_view rest = e.substr(i + 1);
      bool known = false;
      for (std::string_view start : {"?:", "?=", "?!", "?<=", "?<!", "?>", "?i:", "?-i:", "?i)", "?-i)"})
        known = known || rest.starts_with(start);
      if (!known) refuse("the group (" + std::string(rest.substr(0, 6)) + "... is not supported");
    }
    out += c;
  }
  return out;
}

pattern::pattern(std::string_view expression, std::string_view what) {
  const std::string e = translate(expression, what);
  int number = 0;
  PCRE2_SIZE offset = 0;
  pcre2_compile_context* limits = pcre2_compile_context_create(nullptr);
  if (!limits) throw std::bad_alloc();
  pcre2_set_parens_nest_limit(limits, 64);
  code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(e.data()), e.size(),
                        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &number, &offset, limits);
  pcre2_compile_context_free(limits);
  if (!code_) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(number, message, sizeof message);
    throw io::format_error(std::string(what) + ": regular expression: " + reinterpret_cast<const char*>(message) +
                           " (in \"" + std::string(expression.substr(0, 200)) + "\")");
  }
  pcre2_jit_compile(code(code_), PCRE2_JIT_COMPLETE);  // without it the interpreter runs
}

pattern pattern::literal(std::string_view text) {
  pattern p;
  p.literal_ = text;
  return p;
}

pattern::~pattern() { pcre2_code_free(code(code_)); }
pattern::pattern(pattern&& o) noexcept : code_(std::exchange(o.code_, nullptr)), literal_(std::move(o.literal_)) {}
pattern& pattern::operator=(pattern&& o) noexcept {
  std::swap(code_, o.code_);
  std::swap(literal_, o.literal_);
  return *this;
}

pattern::scratch::scratch()
    : match_(pcre2_match_data_create(1, nullptr)),
      context_(pcre2_match_context_create(nullptr)),
      stack_(pcre2_jit_stack_create(32 << 10, 8 << 20, nullptr)) {
  auto* m = static_cast<pcre2_match_context*>(context_);
  if (!match_ || !m) throw std::bad_alloc();
  if (stack_) pcre2_jit_stack_assign(m, nullptr, stack_);
  pcre2_set_match_limit(m, 100'000'000);
  pcre2_set_heap_limit(m, 64 << 10);  // KiB
  pcre2_set_depth_limit(m, 1'000'000);
}

pattern::scratch::~scratch() {
  pcre2_match_data_free(static_cast<pcre2_match_data*>(match_));
  pcre2_match_context_free(static_cast<pcre2_match_context*>(context_));
  if (stack_) pcre2_jit_stack_free(static_cast<pcre2_jit_stack*>(stack_));
}

bool pattern::find(std::string_view text, std::size_t from, scratch& s, std::size_t& begin, std::size_t& end) const {
  if (!code_) {
    if (literal_.empty()) return false;
    begin = text.find(literal_, from);
    end = begin + literal_.size();
    return begin != std::string_view::npos;
  }
  auto* match = static_cast<pcre2_match_data*>(s.match_);
  const int rc = pcre2_match(code(code_), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                             PCRE2_NO_UTF_CHECK, match, static_cast<pcre2_match_context*>(s.context_));
  if (rc == PCRE2_ERROR_NOMATCH) return false;
  if (rc < 0) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(rc, message, sizeof message);
    throw io::format_error(std::string("tokenizer: regular expression: ") + reinterpret_cast<const char*>(message) +
                           "; the pattern needs too many steps on this text");
  }
  const PCRE2_SIZE* o = pcre2_get_ovector_pointer(match);
  begin = o[0];
  end = o[1];
  return true;
}

}  // namespace ql::text
