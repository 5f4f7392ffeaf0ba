// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace ql::test {

// Ends the running test as skipped, from any depth of calls.
[[noreturn]] inline void skip(const std::string& why) {
  [&] { GTEST_SKIP() << why; }();
  throw testing::AssertionException(
      testing::TestPartResult(testing::TestPartResult::kSkip, __FILE__, __LINE__, why.c_str()));
}

// Ends the running test as failed, from any depth of calls.
[[noreturn]] inline void fail(const std::string& why) {
  ADD_FAILURE() << why;
  throw testing::AssertionException(
      testing::TestPartResult(testing::TestPartResult::kFatalFailure, __FILE__, __LINE__, why.c_str()));
}

// root / relative if that exists. Otherwise the test ends: skipped, or failed where `required`.
inline std::filesystem::path data_file(const std::filesystem::path& root, const std::string& relative, bool required) {
  std::filesystem::path path = root / relative;
  if (std::filesystem::exists(path)) return path;
  const std::string why =
      "test data is missing: " + path.string() + " (CMake variable QL_TEST_DATA_DIR names its folder)";
  if (required) fail(why);
  skip(why);
}

// A file of the test data, such as data_file("models/stories260K/config.json"). Where the data is absent the test is
// skipped; with CI set in the environment it fails, so that nothing is left untested there unnoticed.
inline std::filesystem::path data_file(const std::string& relative) {
  return data_file(QL_TEST_DATA_DIR, relative, std::getenv("CI") != nullptr);
}

}  // namespace ql::test
