// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/testing/rl_laws.hpp>

#include <gtest/gtest.h>

#include <string>

namespace ql::test {

// A macro's text is expanded here alone, not once for each loss.
inline void expect_kept(const std::string& law, int line) { EXPECT_EQ(law, "") << "line " << line; }

// The loss keeps the laws of every loss.
template <class Loss>
void holds(const Loss& loss, int line = __builtin_LINE()) {
  expect_kept(testing::laws::policy_loss(loss, 11), line);
  expect_kept(testing::laws::policy_loss(loss, 12), line);
}
// And its gradient at ratio 1 is -A.
template <class Loss>
void is_policy_term(const Loss& loss, int line = __builtin_LINE()) {
  holds(loss, line);
  expect_kept(testing::laws::on_policy_gradient(loss), line);
}

}  // namespace ql::test
