// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rules that a component's numbers must keep. One set serves types and configurations: `static_assert(valid(x))` at
// compile time, `expects_valid(x)` at construction, which reports every broken rule at once.

#include <ql/error.hpp>

#include <array>
#include <cstddef>
#include <string>

namespace ql::rl {

namespace detail {
using namespace ql::detail;  // `detail::expects` means the same in ql and in ql::rl
}

// One broken rule: "clip.low = -0.1: expected in [0, 1); use 0.2".
struct violation {
  const char* key;
  double value;
  const char* rule;
  const char* fix;
};

// Collects broken rules; usable in constant expressions. More than 16 are counted but not kept.
class rule_book {
 public:
  constexpr void require(bool ok, const char* key, double value, const char* rule, const char* fix) {
    if (ok) return;
    if (count_ < kept_.size()) kept_[count_] = {key, value, rule, fix};
    ++count_;
  }
  constexpr std::size_t size() const { return count_ < kept_.size() ? count_ : kept_.size(); }
  constexpr bool empty() const { return count_ == 0; }
  constexpr const violation& operator[](std::size_t i) const { return kept_[i]; }

 private:
  std::array<violation, 16> kept_{};
  std::size_t count_ = 0;
};

// A component with rules of its own.
template <class X>
concept checked = requires(const X& x, rule_book& r) { x.validate(r); };

// The rules that x breaks; a component without rules breaks none.
template <class X>
constexpr rule_book broken_rules(const X& x) {
  rule_book r;
  if constexpr (checked<X>) x.validate(r);
  return r;
}

template <class X>
constexpr bool valid(const X& x) {
  return broken_rules(x).empty();
}

namespace detail {
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_rules(const rule_book& r) {
  std::string text;
  for (std::size_t i = 0; i < r.size(); ++i) {
    const auto& v = r[i];
    if (i > 0) text += '\n';
    text.append(v.key).append(" = ").append(std::to_string(v.value)).append(": expected ").append(v.rule);
    text.append("; ").append(v.fix);
  }
  throw settings_error(text);
}
}  // namespace detail

// Throws settings_error with one line per broken rule: key, value, rule, fix.
template <class X>
constexpr void expects_valid(const X& x) {
  const rule_book r = broken_rules(x);
  if (!r.empty()) [[unlikely]]
    detail::fail_rules(r);
}

}  // namespace ql::rl
