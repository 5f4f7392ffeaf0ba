// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace ql {

// Everything ql throws derives from this. what() reads "operation: argument: expected ..., got ...".
class error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  // The entry of docs/errors.md that tells likely causes and what to do; `qwenlong-l1 explain ID` prints it.
  virtual const char* id() const noexcept { return "QL-E0001"; }
};

// Extents or strides that do not fit together.
class shape_error : public error {
 public:
  using error::error;
  const char* id() const noexcept override { return "QL-E0101"; }
};

// A value outside its domain: a token id, a temperature, a segment's parent.
class argument_error : public error {
 public:
  using error::error;
  const char* id() const noexcept override { return "QL-E0102"; }
};

// Settings that break their rules: what() has a line for each "key = value: expected rule; fix".
class settings_error : public argument_error {
 public:
  using argument_error::argument_error;
  const char* id() const noexcept override { return "QL-E0103"; }
};

// A call in the wrong order, or parts that were not made for each other.
class state_error : public error {
 public:
  using error::error;
  const char* id() const noexcept override { return "QL-E0104"; }
};

// A tape or cached keys of older weights.
class stale_error : public state_error {
 public:
  using state_error::state_error;
  const char* id() const noexcept override { return "QL-E0105"; }
};

// Step after step nothing to train on.
class starved_error : public state_error {
 public:
  using state_error::state_error;
  const char* id() const noexcept override { return "QL-E0106"; }
};

// Non-finite numbers where finite ones are required.
class numeric_error : public error {
 public:
  using error::error;
  const char* id() const noexcept override { return "QL-E0201"; }
};

// A backend that cannot do what is asked of it on this machine.
class backend_error : public error {
 public:
  using error::error;
  const char* id() const noexcept override { return "QL-E0202"; }
};

namespace detail {

inline std::string show(std::string_view s) { return std::string(s); }
inline std::string show(const char* s) { return s; }
inline std::string show(bool b) { return b ? "true" : "false"; }
template <class N>
  requires(std::is_arithmetic_v<N>)
std::string show(N n) {
  return std::to_string(n);
}
// (4, 1024). Not an overload of show: whether a text is a span costs a compiler more than all of show.
inline std::string show_shape(std::span<const std::int64_t> extents) {
  std::string s = "(";
  for (std::size_t i = 0; i < extents.size(); ++i) s.append(i == 0 ? "" : ", ").append(std::to_string(extents[i]));
  return s.append(")");
}

inline std::string complaint(std::string_view operation, std::string_view argument, std::string_view expected,
                             std::string_view got) {
  std::string s(operation);
  s.append(": ").append(argument).append(": expected ").append(expected).append(", got ").append(got);
  return s;
}

// Checks throw from cold, out-of-line functions, so that a check costs its caller one compare.
template <class Error>
[[noreturn, gnu::cold, gnu::noinline]] void fail(std::string_view operation, std::string_view argument,
                                                 std::string_view expected, std::string_view got) {
  throw Error(complaint(operation, argument, expected, got));
}

template <class Error = argument_error, class E, class G>
void expects(bool ok, std::string_view operation, std::string_view argument, const E& expected, const G& got) {
  if (!ok) [[unlikely]]
    fail<Error>(operation, argument, show(expected), show(got));
}

inline void expects_shape(std::string_view operation, std::string_view argument,
                          std::initializer_list<std::int64_t> expected, std::span<const std::int64_t> got) {
  bool same = expected.size() == got.size();
  for (std::size_t i = 0; same && i < got.size(); ++i) same = expected.begin()[i] == got[i];
  if (!same) [[unlikely]]
    fail<shape_error>(operation, argument, "shape " + show_shape({expected.begin(), expected.size()}), show_shape(got));
}

}  // namespace detail
}  // namespace ql
