// SPDX-License-Identifier: Apache-2.0
#include <ql/error.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace {

using ql::detail::expects;
using ql::detail::expects_shape;

template <class Error, class F>
std::string message(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown, or something else";
  return {};
}

TEST(Error, EveryKindIsAnErrorAndARuntimeError) {
  static_assert(std::is_base_of_v<std::runtime_error, ql::error>);
  static_assert(std::is_base_of_v<ql::error, ql::shape_error> && std::is_base_of_v<ql::error, ql::argument_error>);
  static_assert(std::is_base_of_v<ql::error, ql::state_error> && std::is_base_of_v<ql::error, ql::numeric_error>);
  static_assert(std::is_base_of_v<ql::error, ql::backend_error>);
  EXPECT_THROW(ql::detail::fail<ql::numeric_error>("a", "b", "c", "d"), ql::error);
}

TEST(Error, SaysOperationArgumentExpectedAndGot) {
  EXPECT_EQ(message<ql::argument_error>([] { expects(false, "embed", "token id", "0 to 9", 12); }),
            "embed: token id: expected 0 to 9, got 12");
  EXPECT_EQ(message<ql::state_error>([] { expects<ql::state_error>(false, "op", "tape", true, false); }),
            "op: tape: expected true, got false");
  EXPECT_EQ(message<ql::argument_error>([] { expects(false, "op", "x", std::string("above 0"), 0.5); }),
            "op: x: expected above 0, got 0.500000");
}

TEST(Error, ShowsShapes) {
  const std::array<std::int64_t, 2> got{4, 1024};
  EXPECT_EQ(message<ql::shape_error>([&] { expects_shape("linear", "y", {4, 512}, got); }),
            "linear: y: expected shape (4, 512), got (4, 1024)");
  EXPECT_EQ(message<ql::shape_error>([&] { expects_shape("linear", "y", {4}, got); }),
            "linear: y: expected shape (4), got (4, 1024)");
  EXPECT_EQ(message<ql::shape_error>([&] { expects_shape("sum", "y", {}, std::span(got).first(1)); }),
            "sum: y: expected shape (), got (4)");
}

TEST(Error, SilentWhereAllIsWell) {
  const std::array<std::int64_t, 2> got{4, 1024};
  EXPECT_NO_THROW(expects(true, "a", "b", 1, 2));
  EXPECT_NO_THROW(expects_shape("a", "b", {4, 1024}, got));
}

}  // namespace
