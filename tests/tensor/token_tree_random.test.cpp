// SPDX-License-Identifier: Apache-2.0
#include <ql/tensor/token_tree.hpp>

#include "support/numbers.hpp"
#include "tensor/trees.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using ql::token_tree;
using ql::test::numbers;

// What each token sees, from the definition: its ancestors' tokens, those before it in its segment, and itself.
struct brute {
  std::vector<std::vector<std::int64_t>> sees;  // by token, in path order
  explicit brute(const token_tree& t) : sees(static_cast<std::size_t>(t.tokens())) {
    const auto segments = t.segments();
    for (std::size_t s = 0; s < segments.size(); ++s) {
      std::vector<std::size_t> up;
      for (auto p = static_cast<std::int32_t>(s); p >= 0; p = segments[static_cast<std::size_t>(p)].parent)
        up.insert(up.begin(), static_cast<std::size_t>(p));
      std::vector<std::int64_t> path;
      for (auto p : up)
        for (std::int64_t i = 0; i < segments[p].count; ++i) {
          path.push_back(segments[p].first + i);
          if (p == s) sees[static_cast<std::size_t>(path.back())] = path;
        }
    }
  }
};

template <class F>
void for_seeds(F&& f) {
  for (int seed = 1; seed <= 200 && !testing::Test::HasFatalFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    f(seed);
  }
}

token_tree of_seed(int seed) {
  numbers r(static_cast<std::uint64_t>(seed));
  ql::test::tree_shape s;
  s.segments = 1 + static_cast<int>(r.below(30));
  s.root_in = 1 + static_cast<int>(r.below(8));
  return ql::test::random_tree(r, s);
}

void positions_pairs_and_predecessors_as_the_definition_says(int seed) {
  const auto t = of_seed(seed);
  const brute b(t);
  std::int64_t pairs = 0, loss = 0;
  for (std::int32_t s = 0; s < static_cast<std::int32_t>(t.segments().size()); ++s)
    for (std::int64_t i = t[s].first; i < t[s].first + t[s].count; ++i) {
      const auto& seen = b.sees[static_cast<std::size_t>(i)];
      pairs += static_cast<std::int64_t>(seen.size());
      ASSERT_EQ(t[s].start + (i - t[s].first), static_cast<std::int64_t>(seen.size()) - 1) << "path position of " << i;
      const auto before = seen.size() > 1 ? seen[seen.size() - 2] : -1;
      ASSERT_EQ(t.predecessor(s, i), before) << i;
      loss += before >= 0 && t.has_loss(i);
    }
  EXPECT_EQ(t.visible_pairs(), pairs);
  EXPECT_EQ(t.loss_tokens(), loss);
}
TEST(RandomTrees, PositionsPairsAndPredecessorsAsTheDefinitionSays) {
  for_seeds(positions_pairs_and_predecessors_as_the_definition_says);
}

void flatten_keeps_paths_and_sums(int seed) {
  const auto t = of_seed(seed);
  const brute b(t);
  const auto flat = ql::flatten(t);
  ASSERT_EQ(static_cast<std::int64_t>(flat.source.size()), flat.tree.tokens());
  std::int64_t leaves = 0;
  for (std::int32_t s = 0; s < static_cast<std::int32_t>(t.segments().size()); ++s) leaves += t.leaf(s);
  EXPECT_EQ(static_cast<std::int64_t>(flat.tree.segments().size()), leaves);
  EXPECT_EQ(flat.tree.loss_tokens(), t.loss_tokens());

  // each flat token sees copies of exactly what its source sees
  const brute f(flat.tree);
  for (std::int64_t i = 0; i < flat.tree.tokens(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    ASSERT_EQ(flat.tree.ids()[at], t.ids()[static_cast<std::size_t>(flat.source[at])]);
    std::vector<std::int64_t> sources;
    for (auto j : f.sees[at]) sources.push_back(flat.source[static_cast<std::size_t>(j)]);
    ASSERT_EQ(sources, b.sees[static_cast<std::size_t>(flat.source[at])]) << i;
  }
  // a loss token once, any other token as often as leaves stand below it
  std::vector<int> copies(static_cast<std::size_t>(t.tokens())), losses(copies);
  double flat_sum = 0, sum = 0;
  const auto value = [](std::int64_t i) { return 1.0 + static_cast<double>(i * i % 97); };
  for (std::int64_t i = 0; i < flat.tree.tokens(); ++i) {
    const auto source = flat.source[static_cast<std::size_t>(i)];
    ++copies[static_cast<std::size_t>(source)];
    losses[static_cast<std::size_t>(source)] += flat.tree.has_loss(i);
    if (flat.tree.has_loss(i)) flat_sum += value(source);
  }
  for (std::int64_t i = 0; i < t.tokens(); ++i) {
    ASSERT_GE(copies[static_cast<std::size_t>(i)], 1) << "every token stands on the path of a leaf";
    ASSERT_EQ(losses[static_cast<std::size_t>(i)], t.has_loss(i) ? 1 : 0);
    if (t.has_loss(i)) sum += value(i);
  }
  EXPECT_EQ(flat_sum, sum);
  EXPECT_TRUE(flat.tree.tokens() == 0 || ql::flatten(flat.tree).tree == flat.tree) << "a flat tree stays as it is";
}
TEST(RandomTrees, FlattenKeepsPathsAndSums) { for_seeds(flatten_keeps_paths_and_sums); }

// Growing the same tokens in any order of pushes, then packing, gives the tree that is written down at once.
void grown_equals_written(int seed) {
  numbers r(static_cast<std::uint64_t>(seed));
  const auto prompt = ql::test::random_ids(r, r.below(6), 50);
  std::vector<std::vector<ql::token>> answers(static_cast<std::size_t>(1 + r.below(6)));
  for (auto& a : answers) a = ql::test::random_ids(r, r.below(8), 50);
  token_tree t;
  const auto root = t.add_root(prompt);
  std::vector<std::size_t> turns;
  for (std::size_t a = 0; a < answers.size(); ++a) {
    t.add_growing(root, static_cast<std::int64_t>(answers[a].size()) + r.below(3));
    turns.insert(turns.end(), answers[a].size(), a);
  }
  for (std::size_t i = turns.size(); i > 1; --i)
    std::swap(turns[i - 1], turns[static_cast<std::size_t>(r.below(static_cast<std::int64_t>(i)))]);
  std::vector<std::size_t> done(answers.size());
  std::vector<std::pair<std::int64_t, std::pair<std::size_t, std::size_t>>> pushed;
  for (auto a : turns) {
    const auto at = t.push(static_cast<std::int32_t>(a) + 1, answers[a][done[a]]);
    pushed.push_back({at, {a, done[a]++}});
  }
  const auto from = t.close();
  const auto written = ql::prompt_group(prompt, answers);
  EXPECT_TRUE(t == written);
  // `from` leads from each packed token to the index that push() gave out
  std::set<std::int64_t> known(from.begin(), from.end());
  EXPECT_EQ(known.size(), from.size());
  for (const auto& [at, where] : pushed) {
    const auto packed = t[static_cast<std::int32_t>(where.first) + 1].first + static_cast<std::int64_t>(where.second);
    ASSERT_EQ(from[static_cast<std::size_t>(packed)], at);
  }
}
TEST(RandomTrees, GrownEqualsWritten) { for_seeds(grown_equals_written); }

}  // namespace
