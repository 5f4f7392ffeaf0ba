// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a curriculum's numbers must keep, collected so that all broken rules are reported at once.

#include <ql/error.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql::curriculum {

namespace detail {
using namespace ql::detail;  // `detail::expects` means the same in ql and in ql::curriculum
}

// One broken rule: "phases[1].batch = 0: expected at least 1; prompts in a training batch".
struct problem {
  std::string key, value, rule, fix;
  friend bool operator==(const problem&, const problem&) = default;
};

// Collects broken rules. A configuration's `validate(book)` is written for any book with this `require`, so one set of
// rules serves every collector.
class problem_list {
 public:
  // Put before each key: "phases[1]."
  std::string prefix;

  void require(bool ok, std::string_view key, std::string value, std::string_view rule, std::string_view fix) {
    if (!ok) found_.push_back({prefix + std::string(key), std::move(value), std::string(rule), std::string(fix)});
  }
  void require(bool ok, std::string_view key, double value, std::string_view rule, std::string_view fix) {
    if (!ok) require(false, key, number(value), rule, fix);
  }

  bool empty() const { return found_.empty(); }
  std::size_t size() const { return found_.size(); }
  const problem& operator[](std::size_t i) const { return found_[i]; }
  auto begin() const { return found_.begin(); }
  auto end() const { return found_.end(); }

  // One line per broken rule.
  std::string text() const {
    std::string s;
    for (const auto& p : found_) {
      if (!s.empty()) s += '\n';
      s.append(p.key).append(" = ").append(p.value).append(": expected ").append(p.rule).append("; ").append(p.fix);
    }
    return s;
  }
  // Throws settings_error with every broken rule.
  void throw_if_any() const {
    if (!found_.empty()) throw settings_error(text());
  }

 private:
  // lengths and counts without ".000000"
  static std::string number(double x) {
    if (x > -9e15 && x < 9e15) {
      const auto whole = static_cast<std::int64_t>(x);
      if (static_cast<double>(whole) == x) return std::to_string(whole);
    }
    return std::to_string(x);
  }
  std::vector<problem> found_;
};

}  // namespace ql::curriculum
