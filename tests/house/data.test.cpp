// SPDX-License-Identifier: Apache-2.0
#include "support/data.hpp"

#include <gtest/gtest-spi.h>

#include <filesystem>

#include "support/source.hpp"

namespace {

TEST(TestData, FindsAFileThatIsThere) {
  const auto here = ql::test::source_file("tests/house/data.test.cpp");
  EXPECT_EQ(ql::test::data_file(here.parent_path(), here.filename().string(), true), here);
}

TEST(TestData, AMissingFileFailsWhereItIsRequired) {
  EXPECT_NONFATAL_FAILURE(
      {
        try {
          ql::test::data_file("nowhere", "absent.json", true);
        } catch (const testing::AssertionException&) {
        }
      },
      "test data is missing: nowhere/absent.json");
}

TEST(TestData, AMissingFileSkipsElsewhere) {
  testing::TestPartResultArray results;
  bool went_on = false;
  {
    testing::ScopedFakeTestPartResultReporter reporter(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    try {
      ql::test::data_file("nowhere", "absent.json", false);
      went_on = true;
    } catch (const testing::AssertionException&) {
    }
  }
  EXPECT_FALSE(went_on);
  ASSERT_EQ(results.size(), 1);
  EXPECT_TRUE(results.GetTestPartResult(0).skipped());
}

TEST(TestData, IsThere) { EXPECT_TRUE(exists(ql::test::data_file("models/stories260K/config.json"))); }

}  // namespace
