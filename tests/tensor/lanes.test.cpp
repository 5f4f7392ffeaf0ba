// SPDX-License-Identifier: Apache-2.0
#include <ql/tensor/lanes.hpp>

#include "support/numbers.hpp"
#include "tensor/trees.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

namespace {

using ql::lane_options;
using ql::lane_plan;
using ql::plan_lanes;
using ql::token_tree;
using ql::test::numbers;

struct mini_batch {
  token_tree tree;
  lane_options options;
};
mini_batch of_seed(int seed) {
  numbers r(static_cast<std::uint64_t>(seed));
  ql::test::tree_shape s;
  s.segments = 1 + static_cast<int>(r.below(60));
  s.root_in = 1 + static_cast<int>(r.below(6));
  s.longest = 1 + static_cast<int>(r.below(30));
  const std::int32_t lanes = 1 << r.below(4);
  return {ql::test::random_tree(r, s), {.lanes = lanes, .unit_tokens = 1 + r.below(60)}};
}

template <class F>
void for_seeds(F&& f) {
  for (int seed = 1; seed <= 200 && !testing::Test::HasFatalFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    f(seed);
  }
}

void every_segment_once_children_before_parents_trees_whole(int seed) {
  const auto [tree, options] = of_seed(seed);
  const auto plan = plan_lanes(tree, options);
  const auto n = tree.segments().size();
  std::vector<int> times(n);
  std::vector<std::int32_t> unit_of(n), lane_of_root(n, -1);
  std::int32_t lane = 0;
  std::int32_t open_root = -1;  // the tree that a unit has begun and not ended
  for (std::size_t u = 0; u < plan.units.size(); ++u) {
    const auto& unit = plan.units[u];
    ASSERT_GE(unit.lane, lane) << "by lane";
    ASSERT_LT(unit.lane, options.lanes);
    lane = unit.lane;
    ASSERT_FALSE(unit.segments.empty());
    ASSERT_TRUE(std::is_sorted(unit.segments.begin(), unit.segments.end()));
    std::int64_t tokens = 0;
    std::vector<std::int32_t> roots;
    for (auto s : unit.segments) {
      ++times[static_cast<std::size_t>(s)];
      unit_of[static_cast<std::size_t>(s)] = static_cast<std::int32_t>(u);
      tokens += tree[s].count;
      const auto root = tree.root_of(s);
      roots.push_back(root);
      auto& l = lane_of_root[static_cast<std::size_t>(root)];
      ASSERT_TRUE(l == -1 || l == unit.lane) << "a tree stays in one lane";
      l = unit.lane;
    }
    ASSERT_EQ(unit.tokens, tokens);
    if (open_root >= 0) {
      ASSERT_TRUE(std::all_of(roots.begin(), roots.end(), [&](auto r) { return r == open_root; }));
    }
    open_root = unit.ends_tree ? -1 : roots.front();
    // more than unit_tokens only where one segment alone has more
    if (unit.tokens > options.unit_tokens) {
      ASSERT_EQ(unit.segments.size(), 1u);
    }
  }
  EXPECT_EQ(open_root, -1);
  EXPECT_EQ(times, std::vector<int>(n, 1));
  for (std::int32_t s = 0; s < static_cast<std::int32_t>(n); ++s) {
    const auto parent = tree[s].parent;
    if (parent >= 0) {
      ASSERT_LE(unit_of[static_cast<std::size_t>(s)], unit_of[static_cast<std::size_t>(parent)]);
    }
  }
}
TEST(Lanes, EverySegmentOnceChildrenBeforeParentsTreesWhole) {
  for_seeds(every_segment_once_children_before_parents_trees_whole);
}

// Longest first to the lightest lane: no lane is heavier than the mean by more than one tree.
void balanced(int seed) {
  const auto [tree, options] = of_seed(seed);
  const auto plan = plan_lanes(tree, options);
  std::vector<std::int64_t> weight(static_cast<std::size_t>(options.lanes));
  for (const auto& u : plan.units) weight[static_cast<std::size_t>(u.lane)] += u.tokens;
  std::vector<std::int64_t> trees(tree.segments().size());
  for (std::int32_t s = 0; s < static_cast<std::int32_t>(trees.size()); ++s)
    trees[static_cast<std::size_t>(tree.root_of(s))] += tree[s].count;
  const auto longest = *std::max_element(trees.begin(), trees.end());
  EXPECT_EQ(std::accumulate(weight.begin(), weight.end(), std::int64_t{0}), tree.tokens());
  EXPECT_LE(*std::max_element(weight.begin(), weight.end()), tree.tokens() / options.lanes + longest);
  EXPECT_LE(*std::max_element(weight.begin(), weight.end()) - *std::min_element(weight.begin(), weight.end()), longest);
}
TEST(Lanes, Balanced) { for_seeds(balanced); }

void split_never_cuts_a_tree(int seed) {
  const auto [tree, options] = of_seed(seed);
  const auto plan = plan_lanes(tree, options);
  for (const std::int64_t most :
       {std::int64_t{1}, std::int64_t{17}, std::int64_t{100}, tree.tokens(), tree.tokens() * 2}) {
    std::int32_t next = 0;
    for (const auto& part : plan.split(most)) {
      ASSERT_EQ(part.first, next) << "parts follow each other";
      ASSERT_GT(part.count, 0);
      next = part.first + part.count;
      ASSERT_TRUE(plan.units[static_cast<std::size_t>(next - 1)].ends_tree);
      std::int64_t tokens = 0;
      int ends = 0;
      for (auto u = part.first; u < next; ++u) {
        tokens += plan.units[static_cast<std::size_t>(u)].tokens;
        ends += plan.units[static_cast<std::size_t>(u)].ends_tree;
      }
      ASSERT_TRUE(tokens <= std::max<std::int64_t>(most, 1) || ends == 1) << "larger only where it cannot be cut";
    }
    ASSERT_EQ(next, plan.all().count);
  }
  EXPECT_LE(plan.split(tree.tokens() * 2 + 1).size(), 1u);
}
TEST(Lanes, SplitNeverCutsATree) { for_seeds(split_never_cuts_a_tree); }

// The plan reads lengths and parents; ids, loss marks, roles and the machine are nothing to it.
void a_function_of_the_shape_alone(int seed) {
  const auto [tree, options] = of_seed(seed);
  token_tree other;
  for (const auto& s : tree.segments()) {
    const std::vector<ql::token> ids(static_cast<std::size_t>(s.count), 1);
    if (s.parent < 0) {
      other.add_root(ids);
    } else {
      other.add(s.parent, ids, ql::role::observation);
    }
  }
  const auto a = plan_lanes(tree, options), b = plan_lanes(other, options);
  ASSERT_EQ(a.units.size(), b.units.size());
  for (std::size_t u = 0; u < a.units.size(); ++u) {
    EXPECT_EQ(a.units[u].lane, b.units[u].lane);
    EXPECT_EQ(a.units[u].segments, b.units[u].segments);
    EXPECT_EQ(a.units[u].ends_tree, b.units[u].ends_tree);
  }
}
TEST(Lanes, AFunctionOfTheShapeAlone) { for_seeds(a_function_of_the_shape_alone); }

TEST(LanePlan, SmallTreesShareUnitsLargeOnesAreCut) {
  token_tree t;
  const std::vector<ql::token> ten(10, 1), forty(40, 1);
  t.add_root(ten);
  t.add_root(ten);
  t.add_root(ten);
  const auto prompt = t.add_root(forty);
  for (int i = 0; i < 5; ++i) t.add(prompt, ten);
  const auto plan = plan_lanes(t, {.lanes = 1, .unit_tokens = 20});
  // two small trees, one small tree, then leaves in pairs from the last to the first, and the prompt alone
  std::vector<std::vector<std::int32_t>> units;
  std::string ends;
  for (const auto& u : plan.units) {
    units.push_back(u.segments);
    ends += u.ends_tree ? '1' : '0';
  }
  EXPECT_EQ(units, (std::vector<std::vector<std::int32_t>>{{0, 1}, {2}, {7, 8}, {5, 6}, {4}, {3}}));
  EXPECT_EQ(ends, "110001");
}

TEST(LanePlan, SaysWhatDoesNotFit) {
  const auto message = [](lane_options o) -> std::string {
    try {
      token_tree t;
      t.add_root({1});
      (void)plan_lanes(t, o);
    } catch (const ql::argument_error& e) {
      return e.what();
    }
    return {};
  };
  EXPECT_EQ(message({.lanes = 0}), "plan_lanes: lanes: expected 1 or more, got 0");
  EXPECT_EQ(message({.lanes = 1, .unit_tokens = 0}), "plan_lanes: unit_tokens: expected 1 or more, got 0");
  EXPECT_TRUE(plan_lanes(token_tree{}).units.empty());
  EXPECT_TRUE(plan_lanes(token_tree{}).split(10).empty());
}

}  // namespace
