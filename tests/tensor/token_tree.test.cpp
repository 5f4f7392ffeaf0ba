// SPDX-License-Identifier: Apache-2.0
#include <ql/tensor/token_tree.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace {

using ql::finish_reason;
using ql::role;
using ql::token;
using ql::token_tree;
using ids = std::vector<token>;

ids of(std::span<const token> s) { return {s.begin(), s.end()}; }

template <class Error = ql::argument_error, class F>
std::string message(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing of that kind was thrown";
}

TEST(TokenTree, StartsEmpty) {
  const token_tree t;
  EXPECT_TRUE(t.empty());
  EXPECT_EQ(t.tokens(), 0);
  EXPECT_EQ(t.visible_pairs(), 0);
  EXPECT_EQ(t.loss_tokens(), 0);
  EXPECT_TRUE(t.segments().empty());
}

TEST(TokenTree, RootsAndChildren) {
  token_tree t;
  const auto prompt = t.add_root({5, 6, 7});
  const auto answer = t.add(prompt, {8, 9});
  const auto tool = t.add(answer, {10}, role::observation);
  const auto second = t.add(prompt, {11, 12, 13});
  const auto other = t.add_root({1});
  EXPECT_EQ(of(t.ids()), (ids{5, 6, 7, 8, 9, 10, 11, 12, 13, 1}));
  EXPECT_EQ(of(t.ids(answer)), (ids{8, 9}));
  EXPECT_EQ(t[answer].start, 3) << "its tokens stand at path positions 3 and 4";
  EXPECT_EQ(t[tool].start, 5);
  EXPECT_EQ(t[second].start, 3);
  EXPECT_EQ(t[other].start, 0);
  EXPECT_EQ(t[other].first, 9);
  EXPECT_EQ(t[prompt].what, role::prompt);
  EXPECT_EQ(t[answer].what, role::action);
  EXPECT_EQ(t[tool].what, role::observation);
  EXPECT_EQ(t[tool].parent, answer);
  EXPECT_EQ(t[other].parent, -1);
  EXPECT_EQ(t.children(prompt), 2);
  EXPECT_FALSE(t.leaf(prompt) || t.leaf(answer));
  EXPECT_TRUE(t.leaf(tool) && t.leaf(second) && t.leaf(other));
  EXPECT_EQ(t.path(tool), (std::vector<std::int32_t>{prompt, answer, tool}));
  EXPECT_EQ(t.root_of(tool), prompt);
  EXPECT_EQ(t.root_of(other), other);
}

TEST(TokenTree, ActionsCarryLossOthersDoNot) {
  token_tree t;
  const auto prompt = t.add_root({1, 2});
  const auto a = t.add(prompt, {3, 4});
  const auto o = t.add(a, {5, 6}, role::observation);
  t.add(o, ids{7}, role::observation, true);
  t.add_root({8, 9, 10}, role::action, true);
  std::string loss;
  for (std::int64_t i = 0; i < t.tokens(); ++i) loss += t.has_loss(i) ? '1' : '0';
  EXPECT_EQ(loss, "0011001111");
  EXPECT_EQ(t.loss_tokens(), 5) << "the first token of a root is predicted by nothing";
  t.set_loss(0, true);
  t.set_loss(1, true);
  t.set_loss(2, false);
  EXPECT_EQ(t.loss_tokens(), 5);
}

TEST(TokenTree, FromSequences) {
  const std::vector<ids> sequences{{1, 2, 3}, {}, {4, 5}};
  const auto t = ql::from_sequences(sequences);
  EXPECT_EQ(t.segments().size(), 3u);
  EXPECT_EQ(t.tokens(), 5);
  EXPECT_EQ(t.loss_tokens(), 3);
  EXPECT_EQ(t.visible_pairs(), 6 + 3);
}

TEST(TokenTree, PromptGroup) {
  const std::vector<ids> answers{{4}, {5, 6}, {}};
  const auto t = ql::prompt_group(ids{1, 2, 3}, answers);
  EXPECT_EQ(t.segments().size(), 4u);
  for (std::int32_t s = 1; s < 4; ++s) {
    EXPECT_EQ(t[s].parent, 0);
    EXPECT_EQ(t[s].start, 3);
  }
  EXPECT_EQ(t.loss_tokens(), 3);
  EXPECT_EQ(t.visible_pairs(), 6 + 4 + (4 + 5));
}

TEST(TokenTree, DocumentGroup) {
  const std::vector<ids> questions{{4, 5}, {6}};
  const std::vector<std::vector<ids>> answers{{{7}, {8, 9}}, {{10}}};
  const auto t = ql::document_group(ids{1, 2, 3}, questions, answers);
  ASSERT_EQ(t.segments().size(), 6u);
  EXPECT_EQ(t.path(3), (std::vector<std::int32_t>{0, 1, 3}));
  EXPECT_EQ(of(t.ids(3)), (ids{8, 9}));
  EXPECT_EQ(t[3].start, 5);
  EXPECT_EQ(t.path(5), (std::vector<std::int32_t>{0, 4, 5}));
  EXPECT_EQ(t[4].what, role::prompt);
  EXPECT_EQ(t.loss_tokens(), 4);
  EXPECT_EQ(message<ql::shape_error>([&] { (void)ql::document_group(ids{1}, questions, std::span(answers).first(1)); }),
            "document_group: answers: expected 2 sets of answers, one a question, got 1");
}

TEST(TokenTree, GrowsLeavesAndPacksThem) {
  token_tree t;
  const auto prompt = t.add_root({1, 2});
  const auto a = t.add_growing(prompt, 3), b = t.add_growing(prompt, 2), c = t.add_growing(prompt, 0);
  EXPECT_TRUE(t.has_room(a) && t.has_room(b) && !t.has_room(c) && !t.has_room(prompt));
  EXPECT_EQ(t.push(b, 20), 5);
  EXPECT_EQ(t.push(a, 10), 2);
  EXPECT_EQ(t.push(b, 21), 6);
  EXPECT_EQ(t.push(a, 11), 3);
  EXPECT_FALSE(t.has_room(b));
  EXPECT_EQ(of(t.ids(a)), (ids{10, 11}));
  EXPECT_EQ(of(t.ids(b)), (ids{20, 21}));
  EXPECT_EQ(t[a].start, 2);
  t.set_loss(3, false);
  t.finish(a, finish_reason::stop);
  const auto from = t.close();
  EXPECT_EQ(from, (std::vector<std::int64_t>{0, 1, 2, 3, 5, 6}));
  EXPECT_EQ(of(t.ids()), (ids{1, 2, 10, 11, 20, 21}));
  EXPECT_FALSE(t.has_room(a));
  EXPECT_EQ(t[a].finish, finish_reason::stop);
  EXPECT_TRUE(t.has_loss(2) && !t.has_loss(3) && t.has_loss(4) && !t.has_loss(0));
  // a grown tree is the tree that would have been written down
  const std::vector<ids> answers{{10, 11}, {20, 21}, {}};
  auto same = ql::prompt_group(ids{1, 2}, answers);
  same.set_loss(3, false);
  same.finish(1, finish_reason::stop);
  EXPECT_TRUE(t == same);
  EXPECT_EQ(t.close().size(), 6u) << "closing twice changes nothing";
  EXPECT_TRUE(t == same);
  // and can grow again, deeper
  const auto deeper = t.add_growing(a, 1, role::observation);
  EXPECT_EQ(t[deeper].start, 4);
  EXPECT_EQ(t.push(deeper, 30), 6);
  EXPECT_FALSE(t.has_loss(6));
}

TEST(TokenTree, Predecessor) {
  token_tree t;
  const auto root = t.add_root({1, 2});
  const auto empty = t.add(root, ids{});
  const auto leaf = t.add(empty, {3, 4});
  const auto hollow = t.add_root(ids{});
  const auto first = t.add(hollow, {5});
  EXPECT_EQ(t.predecessor(root, 0), -1);
  EXPECT_EQ(t.predecessor(root, 1), 0);
  EXPECT_EQ(t.predecessor(leaf, 2), 1) << "through the empty segment";
  EXPECT_EQ(t.predecessor(leaf, 3), 2);
  EXPECT_EQ(t.predecessor(first, 4), -1) << "an empty root predicts nothing";
  EXPECT_EQ(t.loss_tokens(), 2);
}

TEST(TokenTree, SaysWhatDoesNotFit) {
  token_tree t;
  EXPECT_EQ(message([&] { t.validate(10); }), "token_tree: tokens: expected at least one token, got an empty tree");
  const auto root = t.add_root({1, 2, 3});
  EXPECT_EQ(message([&] { t.add(1, {4}); }),
            "token_tree::add: parent: expected a segment that is there already (0 to 0), got 1");
  EXPECT_EQ(message([&] { t.add(-1, {4}); }),
            "token_tree::add: parent: expected a segment that is there already (0 to 0), got -1");
  const auto leaf = t.add_growing(root, 2);
  EXPECT_EQ(message([&] { t.add(leaf, {4}); }),
            "token_tree::add: parent: expected a segment that no longer grows, got segment 1 with room left; close() "
            "it first");
  t.push(leaf, 4);
  t.push(leaf, 5);
  EXPECT_EQ(message<ql::state_error>([&] { t.push(leaf, 6); }),
            "token_tree::push: leaf: expected room for another token, got segment 1 is full");
  EXPECT_EQ(message<ql::state_error>([&] { t.push(root, 6); }),
            "token_tree::push: leaf: expected room for another token, got segment 0 is full");
  EXPECT_EQ(message([&] { t.add_growing(root, -1); }), "token_tree::add_growing: capacity: expected 0 or more, got -1");
  EXPECT_EQ(message([&] { t.set_loss(5, true); }), "token_tree::set_loss: index: expected a token of the tree, got 5");
  EXPECT_EQ(message([&] { t.set_loss(-1, true); }),
            "token_tree::set_loss: index: expected a token of the tree, got -1");
  for (const std::int32_t s : {-1, 2}) {
    const auto text = "token_tree: segment: expected 0 to 1, got " + std::to_string(s);
    EXPECT_EQ(message([&] { (void)t[s]; }), text);
    EXPECT_EQ(message([&] { (void)t.ids(s); }), text);
    EXPECT_EQ(message([&] { t.finish(s, finish_reason::stop); }), text);
    EXPECT_EQ(message([&] { t.push(s, 1); }), text);
  }
  EXPECT_EQ(t.segments().size(), 2u) << "what was refused has left no trace";
  EXPECT_EQ(t.tokens(), 5);
  EXPECT_NO_THROW(t.validate(6, 5));
  EXPECT_EQ(message([&] { t.validate(5); }),
            "token_tree: token id in segment 1: expected 0 to 4 (the vocabulary), got 5");
  EXPECT_EQ(message([&] { t.validate(6, 4); }),
            "token_tree: length: expected at most 4 tokens on a path (max_context), got 5");
  t.add_root({-7});
  EXPECT_EQ(message([&] { t.validate(6); }),
            "token_tree: token id in segment 2: expected 0 to 5 (the vocabulary), got -7");
}

}  // namespace
