// SPDX-License-Identifier: Apache-2.0
#include <ql/error.hpp>
#include <ql/io/error.hpp>
#include <ql/replay.hpp>

#include <gtest/gtest.h>
#include <io/folder.hpp>

#include <cmath>
#include <limits>

namespace {

using namespace ql;

rollout_row row(std::int64_t example) {
  answer<float> a;
  a.tokens = {3, 0, 151643};
  a.logp = {-0.1f, -std::numeric_limits<float>::denorm_min(), std::nextafter(-17.0f, 0.0f)};
  a.entropy = {0.0f, 1.0f / 3.0f, std::numeric_limits<float>::max()};
  a.finish = finish_reason::stop, a.score = rl::scored{1.0 / 3.0}, a.reward = -0.1, a.advantage = 1.4999f;
  answer<float> b;
  b.tokens = {7}, b.logp = {-0.0f}, b.entropy = {0.5f}, b.support = {{7, 9}};
  b.finish = finish_reason::length, b.score = rl::abstained{"judge: \"timeout\""};
  answer<float> empty;
  empty.score = rl::scored{0};
  rollout_row r{.step = 12, .id = "a/1", .question = "Wo\u00df?", .prompt_tokens = 99};
  r.group.example = example, r.group.visit = 4'000'000'000u, r.group.answers = {a, b, empty};
  r.responses = {"it rains\n", "", ""};
  return r;
}

TEST(RolloutFile, ReadsBackTheSameBits) {
  const test::folder folder;
  for (const char* name : {"rows.jsonl", "rows.jsonl.gz"}) {
    const std::vector<rollout_row> rows{row(5), row(std::int64_t{1} << 40)};
    const auto path = folder / name;
    write_rollouts(path, rows);
    const auto back = read_rollouts(path);
    ASSERT_EQ(back.size(), 2u);
    EXPECT_EQ(back, rows);
    EXPECT_TRUE(std::signbit(back[0].group.answers[1].logp[0]));
  }
}

TEST(RolloutFile, SaysWhatIsWrong) {
  const test::folder folder;
  const auto path = folder / "bad.jsonl";
  const std::string good =
      R"({"step":1,"example":0,"visit":0,"answers":[{"ids":[1],"logp":[-1.0],"entropy":[0.5],"finish":"stop","score":1}]})";
  const auto refused = [&](std::string text, const std::string& says) {
    io::write_file(path, text);
    try {
      read_rollouts(path);
      ADD_FAILURE() << text;
    } catch (const io::format_error& e) {
      EXPECT_NE(std::string(e.what()).find(says), std::string::npos) << e.what();
    }
  };
  io::write_file(path, good + "\n");
  EXPECT_EQ(read_rollouts(path).size(), 1u);
  const auto with = [&](const std::string& from, const std::string& to) {
    auto t = good;
    t.replace(t.find(from), from.size(), to);
    return t;
  };
  refused("", "empty file");
  refused(good + "\n[]", ":2: expected an object, got array");
  refused(good + "\n" + with("\"step\":1", "\"step\":2"), ":2: expected rollouts of step 1");
  refused(with("[1]", "[1,2]"), ":1: expected one logp for each of 2 ids, got 1");
  refused(with("[1]", "[-1]"), "expected ids from 0");
  refused(with("[1]", "[1.5]"), "expected ids from 0");
  refused(with("[1]", "[4294967296]"), "expected ids from 0");
  refused(with("[0.5]", "[\"x\"]"), "expected a number for entropy");
  refused(with("[0.5]", "7"), "expected a list for entropy");
  refused(with("\"stop\"", "\"halt\""), "\"halt\"");
  refused(with("\"visit\":0", "\"visit\":4294967296"), "expected visit from 0 to 4294967295");
  refused(with("\"example\":0,", ""), "expected a member \"example\"");
  refused(with("\"score\":1", "\"score\":\"1\""), "expected a number for score");
  refused(good.substr(0, 40), "bad.jsonl:1");
  EXPECT_THROW(read_rollouts(folder / "none.jsonl"), io::file_error);
}

}  // namespace
