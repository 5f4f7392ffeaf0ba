// SPDX-License-Identifier: Apache-2.0
#include <ql/curriculum/phase.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace {
using namespace ql::curriculum;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<phase> two_phases() {
  return {{.name = "short", .hi_inclusive = 20000, .max_response_tokens = 10000, .steps = 10, .batch = 128},
          {.name = "long",
           .lo_exclusive = 20000,
           .hi_inclusive = 60000,
           .max_response_tokens = 10000,
           .steps = 10,
           .batch = 128,
           .generation_batch = 384}};
}

TEST(Phase, BoundariesAreInclusiveOnTheRight) {
  const std::int64_t tokens[] = {0, 1, 19999, 20000, 20001, 59999, 60000, 60001};
  const pool data{.prompt_tokens = tokens};
  const auto phases = two_phases();
  EXPECT_THAT(members(phases[0], data), ElementsAre(1, 2, 3));
  EXPECT_THAT(members(phases[1], data), ElementsAre(4, 5, 6));
}

TEST(Phase, SilentNumbersHaveTheirMeaning) {
  const auto phases = two_phases();
  EXPECT_EQ(phases[0].prompt_limit(), 20000);
  EXPECT_EQ(phases[0].round_size(), 128);
  EXPECT_EQ(phases[1].round_size(), 384);
  EXPECT_EQ(retained_size{}.of(300), 300);
  EXPECT_EQ((retained_size{.fraction = 0.25}.of(10)), 3);  // 2.5 to nearest
  EXPECT_EQ((retained_size{.count = 7, .fraction = 0.25}.of(10)), 7);
}

TEST(Phase, GoodPhasesBreakNoRule) {
  const std::int64_t tokens[] = {100, 30000};
  EXPECT_EQ(broken_rules(two_phases(), {.prompt_tokens = tokens}).text(), "");
  // a second stage at the same length
  auto phases = two_phases();
  phases.push_back(phases[1]);
  phases[2].name = "long again";
  EXPECT_EQ(broken_rules(phases).text(), "");
}

TEST(Phase, AllBrokenRulesAtOnce) {
  std::vector<phase> phases(3);
  phases[0] = {.name = "a", .hi_inclusive = 0, .stop = {.window = 3, .patience = 0, .gain = 0}, .generation_batch = -1};
  phases[1] = {.name = "a",
               .lo_exclusive = 10,
               .hi_inclusive = 20,
               .max_prompt_tokens = 19,
               .max_response_tokens = 5,
               .steps = -1,
               .epochs = -1,
               .batch = 2,
               .retention = {.count = -1, .fraction = -0.5}};
  phases[2] = {.lo_exclusive = -1, .hi_inclusive = 15, .max_response_tokens = 5, .stop = {.window = -1}, .batch = 2};
  const auto broken = broken_rules(phases);
  std::vector<std::string> keys;
  for (const auto& p : broken) keys.push_back(p.key);
  EXPECT_THAT(keys, ElementsAre("phases[0].hi_inclusive", "phases[0].max_response_tokens", "phases[0].batch",
                                "phases[0].generation_batch", "phases[0].stop.patience", "phases[0].stop.gain",  //
                                "phases[1].max_prompt_tokens", "phases[1].steps", "phases[1].epochs", "phases[1].steps",
                                "phases[1].retention.count", "phases[1].retention.fraction", "phases[1].name",
                                "phases[1].lo_exclusive",  //
                                "phases[2].lo_exclusive", "phases[2].stop.window", "phases[2].steps", "phases[2].name",
                                "phases[2].hi_inclusive"));
  EXPECT_THAT(broken.text(), HasSubstr("phases[1].max_prompt_tokens = 19: expected 0 or at least hi_inclusive; "
                                       "raise it, or lower hi_inclusive\n"));
  EXPECT_THAT(broken.text(), HasSubstr("phases[1].retention.fraction = -0.500000: expected at least 0; "));
  EXPECT_THROW(broken.throw_if_any(), ql::argument_error);
  EXPECT_NO_THROW(problem_list{}.throw_if_any());
}

TEST(Phase, NoPhaseAndNoData) {
  EXPECT_THAT(broken_rules(std::vector<phase>{}).text(), HasSubstr("phases = 0: expected at least one phase"));
  EXPECT_THAT(broken_rules(two_phases(), {}).text(), HasSubstr("the data set is empty"));
}

TEST(Phase, AnEmptyPhaseSaysWhatThereIs) {
  const std::int64_t tokens[] = {25000, 100, 15000};
  auto phases = two_phases();
  phases[1].lo_exclusive = phases[0].hi_inclusive = 26000;
  EXPECT_EQ(broken_rules(phases, {.prompt_tokens = tokens}).text(),
            "phases[1].hi_inclusive = 60000: expected a prompt of that length; no prompt has more than 26000 and at "
            "most 60000 tokens; the data set has 100 to 25000");
}

TEST(Phase, ColumnsOfAPoolFit) {
  const std::int64_t tokens[] = {100, 30000};
  const std::int32_t task[] = {0, -1}, one[] = {0};
  const std::uint32_t bundle[] = {0};
  EXPECT_THAT(broken_rules(two_phases(), {.prompt_tokens = tokens, .task = task}).text(),
              HasSubstr("pool.task = -1: expected from 0 to 65535"));
  EXPECT_THAT(broken_rules(two_phases(), {.prompt_tokens = tokens, .task = one, .bundle = bundle}).size(), 2);
}

}  // namespace
