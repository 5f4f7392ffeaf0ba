// SPDX-License-Identifier: Apache-2.0
#include <ql/curriculum/index_sampler.hpp>
#include <ql/curriculum/stratify.hpp>
#include <ql/testing/curriculum.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <vector>

namespace {
using namespace ql::curriculum;
namespace laws = ql::testing::laws;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

std::vector<std::uint32_t> upto(std::uint32_t n, std::uint32_t first = 0, std::uint32_t stride = 1) {
  std::vector<std::uint32_t> x(n);
  for (std::uint32_t i = 0; i < n; ++i) x[i] = first + i * stride;
  return x;
}

TEST(Below, TakesTheHighBits) {
  EXPECT_EQ(below(0, 10), 0u);
  EXPECT_EQ(below(~std::uint64_t{0}, 10), 9u);
  EXPECT_EQ(below(std::uint64_t{1} << 63, 10), 5u);
  EXPECT_EQ(below(~std::uint64_t{0}, 0xFFFFFFFFu), 0xFFFFFFFEu);
  EXPECT_EQ(below((std::uint64_t{1} << 63) - 1, 2), 0u);
}

TEST(Shuffle, EveryOrderIsEquallyLikely) {
  std::map<std::array<int, 4>, int> seen;
  constexpr int n = 24000;
  for (std::uint32_t k = 0; k < n; ++k) {
    std::array<int, 4> x = {0, 1, 2, 3};
    shuffle(std::span<int>(x), shuffle_key(5, stream::epoch, 0, k));
    ++seen[x];
  }
  EXPECT_THAT(seen, SizeIs(24));
  double chi_square = 0;
  for (const auto& [order, count] : seen) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  EXPECT_LT(chi_square, 60);  // 23 degrees of freedom: five standard deviations above the mean are 57
}

TEST(Shuffle, UsesDoNotShareNumbers) {
  auto a = upto(20), b = upto(20);
  shuffle(std::span(a), shuffle_key(1, stream::epoch, 0, 0));
  for (const auto& other : {shuffle_key(2, stream::epoch, 0, 0), shuffle_key(1, stream::batch, 0, 0),
                            shuffle_key(1, stream::epoch, 1, 0), shuffle_key(1, stream::epoch, 0, 1)}) {
    b = upto(20);
    shuffle(std::span(b), other);
    EXPECT_NE(a, b);
  }
}

TEST(EpochSampler, WrapsWithoutACutEnd) {
  const auto items = upto(10, 100);
  const index_list list{.items = items, .seed = 3};
  epoch_sampler::state s;
  const epoch_sampler sampler;
  std::vector<std::uint32_t> drawn;
  std::vector<std::set<std::uint32_t>> batches;
  for (int b = 0; b < 5; ++b) {
    const auto got = sampler.draw(s, list, 4);
    EXPECT_EQ(std::set<std::uint32_t>(got.begin(), got.end()).size(), 4u);
    drawn.insert(drawn.end(), got.begin(), got.end());
  }
  // 5 batches of 4 are two epochs of 10, though the third batch spans both
  EXPECT_EQ(s.epoch, 2u);
  EXPECT_THAT(s.queue, IsEmpty());
  for (const auto item : items) EXPECT_EQ(std::count(drawn.begin(), drawn.end(), item), 2);
  const std::vector<std::uint32_t> first(drawn.begin(), drawn.begin() + 10), second(drawn.begin() + 10, drawn.end());
  EXPECT_NE(first, second);
}

TEST(EpochSampler, ABatchLargerThanTheListIsClamped) {
  const auto items = upto(5);
  epoch_sampler::state s;
  EXPECT_THAT(epoch_sampler{}.draw(s, {.items = items}, 384), UnorderedElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(epoch_sampler{}.draw(s, {.items = items}, 384), UnorderedElementsAre(0, 1, 2, 3, 4));
  const std::uint32_t taken[] = {1, 3, 99};
  EXPECT_THAT(epoch_sampler{}.draw(s, {.items = items}, 384, taken), UnorderedElementsAre(0, 2, 4));
  EXPECT_THAT(epoch_sampler{}.draw(s, {.items = items}, 384, items), IsEmpty());
  EXPECT_THAT(epoch_sampler{}.draw(s, {}, 3), IsEmpty());
  EXPECT_THROW(epoch_sampler{}.draw(s, {.items = items}, -1), ql::argument_error);
}

TEST(EpochSampler, WhatIsTakenComesLater) {
  const auto items = upto(6);
  const index_list list{.items = items, .seed = 9};
  epoch_sampler::state s;
  const auto first = epoch_sampler{}.draw(s, list, 4);
  const auto second = epoch_sampler{}.draw(s, list, 2, first);  // the rest of the epoch
  std::vector<std::uint32_t> both = first;
  both.insert(both.end(), second.begin(), second.end());
  EXPECT_THAT(both, UnorderedElementsAre(0, 1, 2, 3, 4, 5));
  // a third round of the same step finds nothing, and loses nothing
  EXPECT_THAT(epoch_sampler{}.draw(s, list, 2, both), IsEmpty());
  EXPECT_THAT(epoch_sampler{}.draw(s, list, 6), UnorderedElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(EpochSampler, Laws) {
  for (const std::uint32_t size : {1u, 2u, 7u, 64u, 101u}) {
    const auto items = upto(size, 5, 3);
    const index_list list{.items = items, .seed = size};
    for (const std::int64_t n : {1, 2, 3, 7, 63, 200}) {
      EXPECT_EQ(laws::index_sampler(epoch_sampler{}, list, n), "") << size << ' ' << n;
      EXPECT_EQ(laws::epochs(epoch_sampler{}, list, n), "") << size << ' ' << n;
    }
  }
}

TEST(BalancedCounts, FloorThenTheRemainderByWeight) {
  using counts = std::vector<std::int64_t>;
  const auto of = [](std::int64_t batch, std::vector<double> w, counts sizes) {
    return balanced_counts(batch, w, sizes);
  };
  EXPECT_EQ(of(10, {1.0 / 3, 1.0 / 3, 1.0 / 3}, {100, 100, 2}), (counts{4, 4, 2}));
  EXPECT_EQ(of(8, {0.2, 0.2, 0.2, 0.2, 0.2}, {9, 9, 9, 9, 9}), (counts{2, 2, 2, 1, 1}));
  EXPECT_EQ(of(10, {0.15, 0.5, 0.35}, {99, 99, 99}), (counts{1, 6, 3}));  // 1 5 3, and one more for the heaviest
  EXPECT_EQ(of(100, {0.29, 0.71}, {99, 99}), (counts{29, 71}));           // 28.999... counts as 29
  EXPECT_EQ(of(10, {0.9, 0.1}, {3, 99}), (counts{3, 7}));                 // capped, the spare ones go on
  EXPECT_EQ(of(10, {1.0, 0.0}, {3, 99}), (counts{3, 0}));                 // weight 0 gives nothing
  EXPECT_EQ(of(10, {0.5, 0.5}, {2, 3}), (counts{2, 3}));
  EXPECT_EQ(of(0, {0.5, 0.5}, {2, 3}), (counts{0, 0}));
}

struct tasks {
  std::vector<std::uint32_t> items = upto(60);
  std::vector<std::int32_t> task;
  tasks() {
    for (int i = 0; i < 60; ++i) task.push_back(i < 40 ? 0 : i < 55 ? 2 : 5);  // 40, 15, 5 of tasks 0, 2, 5
  }
  index_list list() const { return {.items = items, .task = task, .seed = 4, .list = 1}; }
  std::array<int, 3> counted(const std::vector<std::uint32_t>& batch) const {
    std::array<int, 3> n{};
    for (const auto i : batch) ++n[i < 40 ? 0 : i < 55 ? 1 : 2];
    return n;
  }
};

TEST(TaskBalanced, EveryBatchHasItsShares) {
  const tasks t;
  task_balanced::state s;
  for (int b = 0; b < 40; ++b) EXPECT_THAT(t.counted(task_balanced{}.draw(s, t.list(), 11)), ElementsAre(4, 4, 3)) << b;
  task_balanced::state other;
  const task_balanced weights{.weights = {2, 9, 1, 9, 9, 1}};  // tasks that do not occur have no say
  for (int b = 0; b < 40; ++b) EXPECT_THAT(t.counted(weights.draw(other, t.list(), 12)), ElementsAre(6, 3, 3)) << b;
}

TEST(TaskBalanced, ATaskIsShuffledAnewWhenItsRestIsTooShort) {
  const tasks t;
  task_balanced::state s;
  // 4 + 4 + 3 a batch: task 5 (5 items) has 2 left after the first batch, too few: they are left out
  (void)task_balanced{}.draw(s, t.list(), 11);
  EXPECT_THAT(s.turn, ElementsAre(1, 1, 1));
  (void)task_balanced{}.draw(s, t.list(), 11);
  EXPECT_THAT(s.turn, ElementsAre(1, 1, 2));
  EXPECT_THAT(s.next, ElementsAre(8, 8, 3));
  (void)task_balanced{}.draw(s, t.list(), 11);
  (void)task_balanced{}.draw(s, t.list(), 11);
  EXPECT_THAT(s.turn, ElementsAre(1, 2, 4));  // task 2: 12 of 15 used, 3 left are fewer than 4
  EXPECT_THAT(s.next, ElementsAre(16, 4, 3));
}

TEST(TaskBalanced, AListIsWalkedWithoutRepeats) {
  const tasks t;
  task_balanced::state s;
  std::set<std::uint32_t> of_task_0;
  for (int b = 0; b < 10; ++b)
    for (const auto i : task_balanced{}.draw(s, t.list(), 11)) EXPECT_TRUE(i >= 40 || of_task_0.insert(i).second);
  EXPECT_THAT(of_task_0, SizeIs(40));
}

TEST(TaskBalanced, BatchesAreShuffled) {
  const tasks t;
  task_balanced::state s;
  int first_of_task_0 = 0;
  for (int b = 0; b < 300; ++b) first_of_task_0 += task_balanced{}.draw(s, t.list(), 12).front() < 40 ? 1 : 0;
  EXPECT_NEAR(first_of_task_0, 100, 41);  // five standard errors
}

TEST(TaskBalanced, LawsAndErrors) {
  const tasks t;
  for (const std::int64_t n : {1, 5, 11, 59, 60, 100}) EXPECT_EQ(laws::index_sampler(task_balanced{}, t.list(), n), "");
  task_balanced::state s;
  EXPECT_THROW(task_balanced{}.draw(s, {.items = t.items}, 3), ql::shape_error);
  EXPECT_THROW((task_balanced{.weights = {1, 1, 1}}.draw(s, t.list(), 3)), ql::argument_error);  // none for task 5
  problem_list b;
  task_balanced{.weights = {1, -1}}.validate(b);
  task_balanced{.weights = {0, 0}}.validate(b);
  EXPECT_EQ(b.size(), 3u);
  problem_list fine;
  task_balanced{}.validate(fine);
  EXPECT_TRUE(fine.empty()) << fine.text();
}

TEST(Stratify, EqualNumbersFromUniformBins) {
  // rates of source 0: 4 in [0, .25), 2 in [.25, .5), none, 3 in [.75, 1]; source 1: one each in the first and the last
  const double rate[] = {0, 0.1, 0.2, 0.24, 0.25, 0.4, 0.75, 0.9, 1.0, 0.0, 1.0};
  const std::int32_t source[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1};
  const auto two = stratify(rate, source, 4, 2, 1);
  EXPECT_THAT(two.found, ElementsAre(4, 2, 0, 3, 1, 0, 0, 1));
  EXPECT_THAT(two.took, ElementsAre(2, 2, 0, 2, 1, 0, 0, 1));
  EXPECT_THAT(two.kept, SizeIs(8));
  EXPECT_TRUE(std::is_sorted(two.kept.begin(), two.kept.end()));
  EXPECT_THAT(std::vector<std::uint32_t>(two.kept.begin() + 2, two.kept.begin() + 4), ElementsAre(4, 5));
  EXPECT_THAT(std::vector<std::uint32_t>(two.kept.end() - 2, two.kept.end()), ElementsAre(9, 10));
  // as many as the smallest bin that is not empty
  EXPECT_THAT(stratify(rate, source, 4, 0, 1).took, ElementsAre(2, 2, 0, 2, 1, 0, 0, 1));
  EXPECT_THAT(stratify(rate, {}, 4, 0, 1).took, ElementsAre(2, 2, 0, 2));
  EXPECT_THAT(stratify({}, {}, 4, 0, 1).kept, IsEmpty());
}

TEST(Stratify, DrawsAreUniformWithinABin) {
  const double rate[] = {0, 0.1, 0.2, 0.3};
  std::map<std::uint32_t, int> seen;
  for (std::uint64_t seed = 0; seed < 4000; ++seed)
    for (const auto i : stratify(rate, {}, 1, 1, seed).kept) ++seen[i];
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_NEAR(seen[i], 1000, 140);
}

TEST(Stratify, BoundsOfBinsAreExactForFractions) {
  // k/8 of 8 answers into 8 bins: k = 3 belongs to bin 3 though 0.375 * 8 may round
  std::vector<double> rate;
  for (int k = 0; k <= 10; ++k) rate.push_back(k / 10.0);
  EXPECT_THAT(stratify(rate, {}, 10, 9, 1).found, ElementsAre(1, 1, 1, 1, 1, 1, 1, 1, 1, 2));
}

TEST(Stratify, Errors) {
  const double rate[] = {0.5}, high[] = {1.5};
  const std::int32_t two[] = {0, 0}, negative[] = {-1};
  EXPECT_THROW(stratify(high, {}, 4, 1, 1), ql::argument_error);
  EXPECT_THROW(stratify(rate, two, 4, 1, 1), ql::shape_error);
  EXPECT_THROW(stratify(rate, negative, 4, 1, 1), ql::argument_error);
  EXPECT_THROW(stratify(rate, {}, 0, 1, 1), ql::argument_error);
  EXPECT_THROW(stratify(rate, {}, 4, -1, 1), ql::argument_error);
}

}  // namespace
