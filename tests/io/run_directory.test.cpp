// SPDX-License-Identifier: Apache-2.0
#include <ql/io/run_directory.hpp>

#include "io/folder.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace {

using ql::io::file_error;
using ql::io::recipe_error;
using ql::io::run_directory;
using ql::io::json::parse;

const auto recipe = parse(R"({"lr": 1e-6, "phases": [{"steps": 3}], "threads": 2, "log": {"every": 1}})");

TEST(RunDirectory, IsMadeAndFoundAgain) {
  const ql::test::folder f;
  {
    const run_directory run(f / "a/b", recipe);
    EXPECT_FALSE(run.existed());
    EXPECT_EQ(run / "metrics.jsonl", (f / "a/b/metrics.jsonl").string());
    struct stat s{};
    ASSERT_EQ(::stat((f / "a/b").c_str(), &s), 0);
    EXPECT_EQ(s.st_mode & 0777u, 0700u);
    QL_EXPECT_MESSAGE(run_directory(f / "a/b", recipe), file_error, "another process is using");
  }
  EXPECT_TRUE(run_directory(f / "a/b", recipe).existed());
}

TEST(RunDirectory, AnotherRecipeIsRefusedByItsFirstDifference) {
  const ql::test::folder f;
  {
    const run_directory run(f / "r", recipe);
  }
  const auto other = parse(R"({"lr": 2e-6, "phases": [{"steps": 3}], "threads": 4, "log": {"every": 5}})");
  try {
    run_directory(f / "r", other, {"threads"});
    FAIL();
  } catch (const recipe_error& e) {
    EXPECT_EQ(e.first_difference(), (ql::io::difference{"lr", "1e-06", "2e-06"}));
    EXPECT_NE(std::string(e.what()).find("of another recipe: lr was 1e-06 and is now 2e-06"), std::string::npos);
  }
  QL_EXPECT_MESSAGE(run_directory(f / "r", other, {"lr", "log"}), recipe_error, "threads was 2 and is now 4");
  EXPECT_TRUE(run_directory(f / "r", other, {"lr", "threads", "log"}).existed());
  const auto longer =
      parse(R"({"lr": 1e-6, "phases": [{"steps": 3}, {"steps": 1}], "threads": 2, "log": {"every": 1}})");
  QL_EXPECT_MESSAGE(run_directory(f / "r", longer), recipe_error, "phases[1].steps was (absent) and is now 1");
  QL_EXPECT_MESSAGE(run_directory(f / "r", longer, {"phas"}), recipe_error, "phases[1].steps");
  EXPECT_TRUE(run_directory(f / "r", longer, {"phases"}).existed());
}

TEST(RunDirectory, SaysWhyItCannotBeUsed) {
  const ql::test::folder f;
  f.write("file", "");
  QL_EXPECT_MESSAGE(run_directory(f / "file", recipe), file_error, "a file is in its place");
  QL_EXPECT_MESSAGE(run_directory("/proc/nothing/here", recipe), file_error, "cannot make the run directory");
  QL_EXPECT_MESSAGE(run_directory("", recipe), file_error, "needs a name");
  {
    const run_directory run(f / "r", recipe);
  }
  f.write("r/recipe.json", "{");
  EXPECT_THROW(run_directory(f / "r", recipe), ql::io::format_error);
}

}  // namespace
