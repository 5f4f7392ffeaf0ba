// SPDX-License-Identifier: Apache-2.0
#include <ql/archive.hpp>
#include <ql/curriculum/curriculum.hpp>
#include <ql/testing/curriculum.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {
using namespace ql::curriculum;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// Ten examples; 1 and 7 stand on the boundary of the first phase, 4 on that of the second, 5 is too long for both.
const std::int64_t tokens[] = {500, 1000, 1001, 800, 3000, 3001, 20, 1000, 2000, 999};
const pool ten{.prompt_tokens = tokens};

std::vector<phase> short_then_long() {
  return {
      {.name = "short", .hi_inclusive = 1000, .max_response_tokens = 40, .steps = 2, .batch = 3},
      {.name = "long", .lo_exclusive = 1000, .hi_inclusive = 3000, .max_response_tokens = 50, .steps = 3, .batch = 4}};
}

std::vector<double> group_of_4(int right) {
  std::vector<double> r(4, 0.0);
  std::fill(r.begin(), r.begin() + right, 1.0);
  return r;
}
std::vector<example_id> examples(const std::vector<draw>& draws) {
  std::vector<example_id> e;
  for (const auto& d : draws) e.push_back(d.example);
  return e;
}

// Draws and observes one step, every group with `right` right answers.
template <class C>
std::vector<draw> step(const C& course, typename C::state& s, const pool& data, int right = 1) {
  const auto got = course.select(s, data, phase(course.limits(s)).batch);
  for (const auto& d : got.draws) EXPECT_TRUE(course.observe(s, d.example, group_of_4(right)));
  course.end_step(s, data);
  return got.draws;
}

TEST(Phased, ARunWrittenOutByHand) {
  const phased<zero_accuracy> course{.phases = short_then_long(), .score = {.group = 4}};
  EXPECT_EQ(course.estimated_cost(ten, 1, 1),
            (scoring_cost{.examples = 6, .answers = 24, .prompt_tokens = 4319, .response_tokens = 1200}));
  auto s = course.start(ten, 1);

  // phase 1: two steps of three are one epoch over the six short ones
  EXPECT_EQ(course.now(s), activity::train);
  EXPECT_EQ(course.limits(s).name, "short");
  EXPECT_THAT(s.members, ElementsAre(0, 1, 3, 6, 7, 9));
  std::vector<draw> seen = step(course, s, ten);
  for (const auto& d : step(course, s, ten)) seen.push_back(d);
  EXPECT_THAT(examples(seen), UnorderedElementsAre(0, 1, 3, 6, 7, 9));
  for (const auto& d : seen) EXPECT_TRUE(d.visit == 0 && !d.retained);

  // the transition: all six are scored under the limits of phase 2
  EXPECT_EQ(course.now(s), activity::score);
  EXPECT_EQ(course.scored_by(), score_source::current);
  EXPECT_EQ(course.limits(s).max_response_tokens, 50);
  EXPECT_THAT(examples(course.pending(s)), ElementsAre(0, 1, 3, 6, 7, 9));
  EXPECT_EQ(course.remaining_cost(s, ten), course.estimated_cost(ten, 1, 1));
  //                                 mean:      0       1/4     1       0       1/2     0
  const std::vector<std::pair<example_id, int>> right = {{9, 0}, {0, 0}, {1, 1}, {3, 4}, {6, 0}, {7, 2}};
  for (std::size_t i = 0; i < right.size(); ++i) {
    EXPECT_EQ(course.progress(s), (scoring_progress{static_cast<std::int64_t>(i), 6}));
    EXPECT_TRUE(course.observe_score(s, ten, right[i].first, group_of_4(right[i].second)));
  }

  // phase 2: three long ones and the three of which no answer was right
  EXPECT_EQ(course.now(s), activity::train);
  EXPECT_EQ(course.limits(s).name, "long");
  EXPECT_THAT(s.retained, ElementsAre(0, 6, 9));
  EXPECT_THAT(s.members, ElementsAre(0, 2, 4, 6, 8, 9));
  auto report = course.report(s, 1);
  EXPECT_EQ(report.own, 3);
  EXPECT_EQ(report.retained, 3);
  EXPECT_EQ(report.candidates, 6);
  EXPECT_EQ(report.scored, 6);
  EXPECT_EQ(report.dropped, 0);
  EXPECT_THAT(report.histogram, ElementsAre(3, 1, 1, 0, 1));

  // 3 steps of 4 are two epochs over six; retained ones are drawn a second and a third time
  seen.clear();
  for (int k = 0; k < 3; ++k)
    for (const auto& d : step(course, s, ten, k == 0 ? 0 : 1)) seen.push_back(d);
  EXPECT_EQ(course.now(s), activity::finished);
  for (const example_id e : {0u, 2u, 4u, 6u, 8u, 9u}) {
    std::vector<std::uint32_t> visits;
    for (const auto& d : seen) {
      if (d.example != e) continue;
      visits.push_back(d.visit);
      EXPECT_EQ(d.retained, e == 0 || e == 6 || e == 9);
    }
    EXPECT_THAT(visits, e == 2 || e == 4 || e == 8 ? ElementsAre(0, 1) : ElementsAre(1, 2)) << e;
  }
  report = course.report(s, 1);
  EXPECT_EQ(report.steps, 3);
  EXPECT_EQ(report.groups, 12);
  EXPECT_EQ(report.mixed, 8);  // one right of four in steps 2 and 3
  EXPECT_EQ(report.retained_groups, 6);
  EXPECT_EQ(report.retained_mixed,
            std::count_if(seen.begin() + 4, seen.end(), [](const draw& d) { return d.retained; }));
  EXPECT_EQ(s.total_steps, 5);
  EXPECT_EQ(s.difficulty[2], (difficulty_record{.visits = 2, .step = s.difficulty[2].step, .count = 4, .mean = 0.25}));
  EXPECT_EQ(s.difficulty[5].visits, 0);
  EXPECT_EQ(course.report(s, 0).groups, 6);
}

TEST(Phased, HistoryScoresOnlyWhatWasNeverVisited) {
  auto phases = short_then_long();
  phases[0].steps = 1;
  const phased<zero_accuracy> course{.phases = phases, .score = {.source = score_source::history, .group = 4}};
  auto s = course.start(ten, 1);
  const auto first = course.select(s, ten, 3).draws;
  // the first drawn had none right, the others one of four
  for (std::size_t i = 0; i < 3; ++i) course.observe(s, first[i].example, group_of_4(i == 0 ? 0 : 1));
  course.end_step(s, ten);
  const auto pending = course.pending(s);
  EXPECT_THAT(pending, SizeIs(3));
  std::set<example_id> all = {0, 1, 3, 6, 7, 9};
  for (const auto& d : first) all.erase(d.example);
  EXPECT_EQ(std::set<example_id>(all.begin(), all.end()),
            (std::set<example_id>{pending[0].example, pending[1].example, pending[2].example}));
  for (std::size_t i = 0; i < 3; ++i) course.observe_score(s, ten, pending[i].example, group_of_4(i == 1 ? 0 : 2));
  EXPECT_EQ(std::set<example_id>(s.retained.begin(), s.retained.end()),
            (std::set<example_id>{first[0].example, pending[1].example}));
  EXPECT_THAT(course.report(s, 1).histogram, ElementsAre(2, 2, 2, 0, 0));
  EXPECT_EQ(course.report(s, 1).scored, 3);
}

TEST(Phased, HistoryWithoutGapsGoesStraightOn) {
  const phased<zero_accuracy> course{.phases = short_then_long(),
                                     .score = {.source = score_source::history, .group = 4}};
  auto s = course.start(ten, 1);
  step(course, s, ten, 0), step(course, s, ten, 3);
  EXPECT_EQ(course.now(s), activity::train);
  EXPECT_EQ(s.phase, 1);
  EXPECT_THAT(s.retained, SizeIs(3));  // those of the first step
}

TEST(Phased, ASubsampleIsSeededAndTheRestStaysBehind) {
  const phased<zero_accuracy> course{.phases = short_then_long(),
                                     .score = {.source = score_source::initial, .group = 4, .at_most = 2}};
  EXPECT_EQ(course.scored_by(), score_source::initial);
  EXPECT_EQ(course.estimated_cost(ten, 1, 7).examples, 2);
  auto s = course.start(ten, 7);
  step(course, s, ten), step(course, s, ten);
  const auto pending = course.pending(s);
  EXPECT_THAT(pending, SizeIs(2));
  EXPECT_EQ(course.remaining_cost(s, ten), course.estimated_cost(ten, 1, 7));
  for (const auto& d : pending) course.observe_score(s, ten, d.example, group_of_4(0));
  EXPECT_EQ(s.retained, examples(pending));
}

TEST(Phased, AnAbstainedScoreStaysPendingOrIsDropped) {
  const phased<zero_accuracy> course{.phases = short_then_long(), .score = {.group = 4}};
  auto s = course.start(ten, 1);
  step(course, s, ten), step(course, s, ten);
  const auto before = s;
  const double away[] = {0, std::numeric_limits<double>::quiet_NaN()};
  EXPECT_FALSE(course.observe_score(s, ten, 6, away));
  EXPECT_EQ(s, before);
  for (const example_id e : {0u, 1u, 3u, 7u, 9u}) course.observe_score(s, ten, e, group_of_4(0));
  EXPECT_THAT(course.pending(s), ElementsAre(draw{.example = 6, .visit = 0, .retained = true}));
  EXPECT_THROW(course.observe_score(s, ten, 0, group_of_4(0)), ql::argument_error);  // has a score already
  EXPECT_THROW(course.observe_score(s, ten, 2, group_of_4(0)), ql::argument_error);  // was not asked for
  course.drop_score(s, ten, 6);
  EXPECT_EQ(course.now(s), activity::train);
  EXPECT_THAT(s.retained, ElementsAre(0, 1, 3, 7, 9));
  EXPECT_EQ(course.report(s, 1).dropped, 1);
  EXPECT_EQ(course.report(s, 1).scored, 5);
}

TEST(Phased, ControlsAreNotScored) {
  const phased<random_draw> blind{.phases = short_then_long()};
  auto s = blind.start(ten, 1);
  step(blind, s, ten), step(blind, s, ten);
  EXPECT_EQ(blind.now(s), activity::train);
  EXPECT_THAT(s.retained, SizeIs(3));  // as many as the phase has of its own
  EXPECT_EQ(blind.estimated_cost(ten, 1, 1).total(), 0);

  const phased<none> nothing{.phases = short_then_long()};
  auto t = nothing.start(ten, 1);
  step(nothing, t, ten), step(nothing, t, ten);
  EXPECT_THAT(t.members, ElementsAre(2, 4, 8));
  EXPECT_THAT(nothing.report(t, 1).histogram, IsEmpty());
}

TEST(Phased, TheSizeOfWhatIsRetainedIsChosenByPhase) {
  auto phases = short_then_long();
  phases[1].retention = {.count = 5};
  const phased<weighted> course{.phases = phases, .score = {.group = 4}};
  auto s = course.start(ten, 1);
  step(course, s, ten), step(course, s, ten);
  for (const auto& d : course.pending(s)) course.observe_score(s, ten, d.example, group_of_4(2));
  EXPECT_THAT(s.retained, SizeIs(5));
  EXPECT_THAT(s.members, SizeIs(8));
}

TEST(Phased, WhatWasRetainedIsACandidateAgain) {
  const std::int64_t lengths[] = {10, 20, 30};
  const pool three{.prompt_tokens = lengths};
  std::vector<phase> phases;
  for (const std::int64_t hi : {10, 20, 30})
    phases.push_back({.name = std::to_string(hi),
                      .lo_exclusive = hi - 10,
                      .hi_inclusive = hi,
                      .max_response_tokens = 5,
                      .steps = 1,
                      .batch = 4});
  const phased<zero_accuracy> course{.phases = phases, .score = {.group = 4}};
  auto s = course.start(three, 1);
  step(course, s, three);
  course.observe_score(s, three, 0, group_of_4(0));
  EXPECT_THAT(s.members, ElementsAre(0, 1));
  step(course, s, three);
  EXPECT_THAT(course.pending(s), ElementsAre(draw{0, 1, true}, draw{1, 0, true}));  // 0 is scored a second time
  course.observe_score(s, three, 0, group_of_4(1));
  course.observe_score(s, three, 1, group_of_4(0));
  EXPECT_THAT(s.members, ElementsAre(1, 2));
}

TEST(Phased, SelectionsOfAStepDoNotRepeat) {
  auto phases = short_then_long();
  phases[0].generation_batch = 384;
  const phased<none> course{.phases = phases};
  auto s = course.start(ten, 3);
  const auto some = course.select(s, ten, 4);
  EXPECT_FALSE(some.clamped());
  const auto rest = course.select(s, ten, 384);
  EXPECT_TRUE(rest.clamped());
  EXPECT_EQ(rest.asked, 384);
  EXPECT_EQ(rest.given, 2);
  auto all = examples(some.draws);
  for (const auto e : examples(rest.draws)) all.push_back(e);
  EXPECT_THAT(all, UnorderedElementsAre(0, 1, 3, 6, 7, 9));
  EXPECT_THAT(course.select(s, ten, 1).draws, IsEmpty());
  course.end_step(s, ten);
  // groups carried over from the last step keep their examples out of this one
  const example_id carried[] = {0, 9};
  course.hold(s, ten, carried);
  EXPECT_THAT(examples(course.select(s, ten, 6).draws), UnorderedElementsAre(1, 3, 6, 7));
}

TEST(Phased, AStepThatDoesNotCount) {
  const phased<none> course{.phases = short_then_long()};
  auto s = course.start(ten, 3);
  for (int k = 0; k < 5; ++k) {
    course.select(s, ten, 3);
    course.end_step(s, ten, false);
  }
  EXPECT_EQ(s.phase, 0);
  EXPECT_EQ(s.total_steps, 0);
  EXPECT_EQ(course.report(s, 0).steps, 0);
}

TEST(Phased, AnEndByEpochs) {
  auto phases = short_then_long();
  phases[0].steps = 0, phases[0].epochs = 2, phases[0].batch = 5;
  const phased<none> course{.phases = phases};
  auto s = course.start(ten, 3);
  std::vector<std::int64_t> phase_after;
  for (int k = 0; k < 3; ++k) {
    step(course, s, ten);
    phase_after.push_back(s.phase);
  }
  EXPECT_THAT(phase_after, ElementsAre(0, 0, 1));  // 5, 10, 15 of 12 drawn
}

TEST(Phased, AnEndByTokens) {
  auto phases = short_then_long();
  phases[0].steps = 0, phases[0].tokens = 100;
  phases[1].steps = 0, phases[1].tokens = 60;
  const phased<zero_accuracy> course{.phases = phases, .score = {.group = 4}};
  auto s = course.start(ten, 1);
  course.spend(s, 99);
  step(course, s, ten);
  EXPECT_EQ(s.phase, 0);
  course.spend(s, 1);
  step(course, s, ten);
  ASSERT_EQ(course.now(s), activity::score);
  EXPECT_EQ(s.spent, 0);  // what follows is spent on the next phase
  course.spend(s, 50);
  for (const auto& d : course.pending(s)) course.observe_score(s, ten, d.example, group_of_4(0));
  ASSERT_EQ(course.now(s), activity::train);
  EXPECT_EQ(s.spent, 50);
  course.spend(s, 10);
  course.select(s, ten, 4);
  course.end_step(s, ten, false);  // a step without an update has its cost all the same
  EXPECT_EQ(course.now(s), activity::finished);

  const mixed all{.phases = phases};
  EXPECT_EQ(all.merged().phases[0].tokens, 160);
  auto one = all.start(ten, 1);
  all.spend(one, 159);
  step(all, one, ten);
  EXPECT_EQ(all.now(one), activity::train);
  all.spend(one, 1);
  step(all, one, ten);
  EXPECT_EQ(all.now(one), activity::finished);
  phases[1].tokens = 0, phases[1].steps = 3;
  EXPECT_THAT(mixed{.phases = phases}.broken_rules().text(), HasSubstr("tokens in every phase or in none"));
  EXPECT_THROW(course.spend(s, -1), ql::argument_error);
}

TEST(Phased, AnEndByPlateau) {
  auto phases = short_then_long();
  phases[0].steps = 0, phases[0].stop = {.window = 2, .patience = 3, .gain = 0.1};
  const phased<none> course{.phases = phases};
  auto s = course.start(ten, 3);
  // mean scores of steps  0  1/4  1/2  1/2  1/2  1/4  3/4
  // means over two           1/8  3/8  1/2  1/2  3/8  1/2
  const int right[] = {0, 1, 2, 2, 2, 1, 3};
  for (const int r : right) {
    EXPECT_EQ(s.phase, 0);
    step(course, s, ten, r);
  }
  EXPECT_EQ(s.phase, 1);  // best 1/2 after step 4; steps 5, 6 and 7 bring no gain
  // a step without a known group does not count for or against
  auto t = course.start(ten, 3);
  for (const int r : {0, 1, 2, 2}) step(course, t, ten, r);
  for (int k = 0; k < 9; ++k) course.end_step(t, ten);
  EXPECT_EQ(t.phase, 0);
}

TEST(Phased, BundlesAreDrawnTogether) {
  // documents 7, 3 and 5 with three, two and one questions; one question of document 3 is too long for phase 1
  const std::int64_t lengths[] = {100, 101, 102, 999, 1001, 50, 1500};
  const std::uint32_t bundle[] = {7, 7, 7, 3, 3, 5, 7};
  const pool data{.prompt_tokens = lengths, .bundle = bundle};
  const phased<zero_accuracy> course{.phases = short_then_long(), .score = {.group = 4}};
  auto s = course.start(data, 2);
  std::set<std::vector<example_id>> documents;
  for (int k = 0; k < 3; ++k) {
    const auto got = course.select(s, data, 1);
    EXPECT_EQ(got.given, 1);
    documents.insert(examples(got.draws));
  }
  EXPECT_EQ(documents, (std::set<std::vector<example_id>>{{0, 1, 2}, {3}, {5}}));
  EXPECT_TRUE(course.select(s, data, 1).clamped());
  course.end_step(s, data), course.end_step(s, data);
  // a question comes along alone
  for (const auto& d : course.pending(s)) course.observe_score(s, data, d.example, group_of_4(d.example == 1 ? 0 : 1));
  EXPECT_THAT(s.members, ElementsAre(1, 4, 6));
  const auto got = course.select(s, data, 3);
  EXPECT_EQ(got.given, 2);  // documents 7 and 3
  EXPECT_THAT(examples(got.draws), UnorderedElementsAre(1, 4, 6));
}

TEST(Phased, TasksAreBalancedByAnotherSampler) {
  std::vector<std::int64_t> lengths(40, 10);
  std::vector<std::int32_t> task(40, 0);
  std::fill(task.begin(), task.begin() + 10, 1);
  const pool data{.prompt_tokens = lengths, .task = task};
  const phased<none, task_balanced> course{
      .phases = {{.name = "all", .hi_inclusive = 10, .max_response_tokens = 5, .steps = 4, .batch = 8}}};
  auto s = course.start(data, 1);
  for (int k = 0; k < 4; ++k) {
    const auto e = examples(step(course, s, data));
    EXPECT_EQ(std::count_if(e.begin(), e.end(), [](auto x) { return x < 10; }), 4);
  }
}

TEST(OnePhase, ControlsOfTheSameList) {
  const single_stage single{.phases = short_then_long()};
  auto s = single.start(ten, 1);
  EXPECT_THAT(s.members, ElementsAre(2, 4, 8));
  EXPECT_EQ(single.limits(s).steps, 5);
  EXPECT_EQ(single.limits(s).max_response_tokens, 50);
  const mixed all{.phases = short_then_long()};
  s = all.start(ten, 1);
  EXPECT_THAT(s.members, ElementsAre(0, 1, 2, 3, 4, 6, 7, 8, 9));
  for (int k = 0; k < 5; ++k) {
    EXPECT_EQ(all.now(s), activity::train);
    step(all, s, ten);
  }
  EXPECT_EQ(all.now(s), activity::finished);
  auto phases = short_then_long();
  phases[1].steps = 0, phases[1].epochs = 2;
  const auto broken = mixed{.phases = phases}.broken_rules();
  EXPECT_THAT(broken.text(), HasSubstr("phases[1].steps = 0: expected steps in every phase or in none"));
  EXPECT_THAT(broken.text(), HasSubstr("phases[1].epochs = 2: expected epochs in every phase or in none"));
}

TEST(Phased, MisuseIsNamed) {
  phased<weighted> course{.phases = short_then_long(), .retrospect = {.epsilon = -1}, .score = {.group = 0}};
  course.phases[0].batch = 0;
  try {
    course.start(ten, 1);
    FAIL();
  } catch (const ql::argument_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("phases[0].batch = 0"));
    EXPECT_THAT(e.what(), HasSubstr("scoring.group = 0"));
    EXPECT_THAT(e.what(), HasSubstr("weighted.epsilon = -1"));
  }
  EXPECT_EQ(course.broken_rules(ten).size(), 3u);
  course = {.phases = short_then_long()};
  auto s = course.start(ten, 1);
  EXPECT_THROW(course.observe_score(s, ten, 0, group_of_4(1)), ql::state_error);
  EXPECT_THROW(course.select(s, {.prompt_tokens = std::span(tokens).first(9)}, 1), ql::state_error);
  EXPECT_THROW(course.select(s, ten, -1), ql::argument_error);
  EXPECT_THROW(course.observe(s, 10, group_of_4(1)), ql::argument_error);
  const example_id unknown[] = {10};
  EXPECT_THROW(course.hold(s, ten, unknown), ql::argument_error);
  step(course, s, ten), step(course, s, ten);
  EXPECT_THROW(course.select(s, ten, 1), ql::state_error);
  EXPECT_THROW(course.end_step(s, ten), ql::state_error);
}

// 90 examples of 1 to 90 tokens in 9 tasks; with bundles, three neighbours make one.
struct ninety {
  std::vector<std::int64_t> tokens;
  std::vector<std::int32_t> task;
  std::vector<std::uint32_t> bundle;
  ninety() {
    for (int i = 0; i < 90; ++i) {
      tokens.push_back(1 + (i * 37) % 90);
      task.push_back(i % 9);
      bundle.push_back(static_cast<std::uint32_t>(i / 3));
    }
  }
  pool alone() const { return {.prompt_tokens = tokens, .task = task}; }
  pool bundled() const { return {.prompt_tokens = tokens, .task = task, .bundle = bundle}; }
};

// Through the bytes of a checkpoint.
constexpr auto archived = [](const auto& s) {
  return ql::from_bytes<std::remove_cvref_t<decltype(s)>>(ql::to_bytes(s));
};

std::vector<phase> three_phases() {
  return {{.name = "a", .hi_inclusive = 30, .max_response_tokens = 5, .steps = 4, .batch = 7, .generation_batch = 11},
          {.name = "b", .lo_exclusive = 30, .hi_inclusive = 60, .max_response_tokens = 6, .epochs = 1, .batch = 5},
          {.name = "c",
           .lo_exclusive = 60,
           .hi_inclusive = 90,
           .max_response_tokens = 7,
           .steps = 6,
           .stop = {.window = 2, .patience = 2},
           .batch = 40,
           .generation_batch = 400}};
}

TEST(CurriculumLaws, Phased) {
  namespace laws = ql::testing::laws;
  const ninety data;
  for (const auto source : {score_source::history, score_source::initial, score_source::current}) {
    const scoring how{.source = source, .at_most = source == score_source::initial ? 9 : 0};
    EXPECT_EQ(laws::curriculum(phased<zero_accuracy>{three_phases(), {}, how}, data.alone(), 1, archived), "");
    EXPECT_EQ(laws::curriculum(phased<weighted>{three_phases(), {}, how}, data.bundled(), 2, archived), "");
  }
  EXPECT_EQ(laws::curriculum(phased<random_draw>{three_phases()}, data.alone(), 3, archived), "");
  EXPECT_EQ(laws::curriculum(phased<none>{three_phases()}, data.bundled(), 4, archived), "");
  EXPECT_EQ(laws::curriculum(phased<weighted, task_balanced>{three_phases()}, data.alone(), 5, archived), "");
}
TEST(CurriculumLaws, OnePhase) {
  namespace laws = ql::testing::laws;
  const ninety data;
  auto phases = three_phases();
  phases[1].steps = 3, phases[1].epochs = 0;
  EXPECT_EQ(laws::curriculum(single_stage{phases}, data.alone(), 1, archived), "");
  EXPECT_EQ(laws::curriculum(mixed{phases}, data.bundled(), 1, archived), "");
  EXPECT_EQ(laws::curriculum(ql::testing::archetypes::course{}, data.alone(), 1, archived), "");
}

// The laws find what they are for.
struct forgetful : single_stage {  // its visits do not count
  selection select(state& s, const pool& data, std::int64_t n) const {
    auto out = single_stage::select(s, data, n);
    for (auto& d : out.draws) d.visit = 0;
    return out;
  }
};
struct overlong : mixed {  // its limits are not those of what it draws
  phase limits(const state& s) const {
    auto p = mixed::limits(s);
    p.hi_inclusive -= 1;
    return p;
  }
};
struct credulous : mixed {  // takes an abstained group for a failed one
  bool observe(state& s, example_id e, std::span<const double> scores) const {
    std::vector<double> known(scores.begin(), scores.end());
    for (auto& x : known) x = x == x ? x : 0.0;
    return mixed::observe(s, e, known);
  }
};
struct repeating : mixed {
  selection select(state& s, const pool& data, std::int64_t n) const {
    auto out = mixed::select(s, data, n);
    s.in_step.clear();
    return out;
  }
};
TEST(CurriculumLaws, FindFaults) {
  namespace laws = ql::testing::laws;
  const ninety data;
  auto phases = three_phases();
  phases[1].steps = 3, phases[1].epochs = 0;
  const auto law = [&](auto course) {
    course.phases = phases;
    return laws::curriculum(course, data.alone(), 1);
  };
  EXPECT_THAT(law(forgetful{}), HasSubstr("visit of example"));
  EXPECT_THAT(law(overlong{}), HasSubstr("prompt of example"));
  EXPECT_EQ(law(credulous{}), "a group with a NaN is not left out");
  EXPECT_THAT(law(repeating{}), HasSubstr("is twice in a step"));
  const auto loses = [](auto s) {
    s.sampler.epoch = 0;
    return s;
  };
  EXPECT_THAT(laws::curriculum(mixed{phases}, data.alone(), 1, loses), HasSubstr("a restored state differs in step 1"));
}

}  // namespace
