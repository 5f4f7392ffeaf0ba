// SPDX-License-Identifier: Apache-2.0
// Wrong use: an exception that names the operation, the argument, what was expected and what came.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/support/misuse.hpp"

using namespace ql;
using namespace ql::test;

TEST_F(Misuse, PathsLongerThanMaxContext) {
  auto t = group();
  t.add(0, d.ids(50, entries));
  EXPECT_NO_THROW(score(t));  // exactly 80
  t.add(0, d.ids(51, entries));
  refuses<argument_error>([&] { score(t); },
                          {"token_tree", "length", "at most 80 tokens on a path (max_context)", "81"});
  grower<float> s(ctx, *policy);
  refuses<argument_error>([&] { s.add_root(d.ids(81, entries)); },
                          {"decoder", "length", "at most 80 tokens on a path (max_context)", "81"});
  grower<float> other(ctx, *policy);
  const auto root = other.add_root(d.ids(70, entries));
  refuses<argument_error>([&] { other.add_leaf(root, 11, {}); },
                          {"session::add_leaf", "capacity", "at most max_context - prompt = 10", "11"});
  EXPECT_NO_THROW(other.add_leaf(root, 10, {}));
}

TEST_F(Misuse, LeavesWithoutRoomOrPrompt) {
  grower<float> s(ctx, *policy);
  const auto root = s.add_root(d.ids(5, entries));
  refuses<argument_error>([&] { s.add_leaf(root, 0, {}); }, {"session::add_leaf", "capacity", "1 token or more", "0"});
  const auto empty = s.add_root({});
  refuses<argument_error>([&] { s.add_leaf(empty, 3, {}); },
                          {"session::add_leaf", "parent", "a path of at least one token", "an empty one"});
  EXPECT_THROW(s.add_leaf(9, 3, {}), argument_error);
}

// The last token of a sampled leaf has never been through the layers: nothing can stand under it.
TEST_F(Misuse, SegmentsUnderASampledLeaf) {
  grower<float> s(ctx, *policy);
  const auto leaf = s.add_leaf(s.add_root(d.ids(5, entries)), 3, {});
  EXPECT_THROW(s.add_segment(leaf, d.ids(2, entries)), error) << "while it grows";
  rl::stochastic sampler;
  while (s.step(sampler, never) > 0) {
  }
  refuses<state_error>([&] { s.add_leaf(leaf, 2, {}); },
                       {"session::add_leaf", "parent", "a prefilled segment", "segment 1"});
  refuses<state_error>([&] { s.add_segment(leaf, d.ids(2, entries)); },
                       {"session::add_segment", "parent", "a prefilled segment", "segment 1, which is sampled"});
}

TEST_F(Misuse, StaleKeysOfASession) {
  grower<float> s(ctx, *policy);
  const auto root = s.add_root(d.ids(5, entries));
  s.add_leaf(root, 5, {});
  rl::stochastic sampler;
  s.step(sampler, never);
  const auto before = std::to_string(policy->weights_version());
  publish<float>(ctx, *policy);
  const auto now = "keys of the current weights (version " + std::to_string(policy->weights_version()) + ")";
  const auto then = "keys of version " + before;
  const says message{"session", "keys", now, then};
  refuses<state_error>([&] { s.step(sampler, never); }, message);
  refuses<state_error>([&] { s.add_leaf(root, 1, {}); }, message);
  refuses<state_error>([&] { s.add_segment(root, d.ids(1, entries)); }, message);
  refuses<state_error>([&] { s.add_root(d.ids(1, entries)); }, message);
}

TEST_F(Misuse, AnotherDistributionHalfWay) {
  grower<float> s(ctx, *policy);
  s.add_leaf(s.add_root(d.ids(5, entries)), 5, {});
  rl::stochastic warm, cool({.temperature = 0.5});
  s.step(warm, never);
  refuses<argument_error>([&] { s.step(cool, never); },
                          {"session::step", "sampler", "one distribution for the whole session", "another"});
}

TEST_F(Misuse, NonFiniteWeights) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const char* name : {"lm_head.weight", "model.norm.weight", "model.layers.0.self_attn.v_proj.weight",
                             "model.layers.0.mlp.down_proj.weight"}) {
      auto& w = policy->parameter(name).master.data()[1];
      const float before = w;
      w = bad;
      publish<float>(ctx, *policy);
      {
        grower<float> s(ctx, *policy);
        s.add_leaf(s.add_root(d.ids(5, entries)), 5, {});
        rl::stochastic sampler;
        refuses<numeric_error>([&] { s.step(sampler, never); },
                               {"session::step", "logits of segment 1", "finite values", "a row with NaN or infinity"});
      }
      const auto t = group();
      std::vector<float> logp(52), entropy(52);
      zero_gradients<float>(ctx, *policy);
      auto tape = policy->score(ctx, t, {}, {logp, entropy});
      EXPECT_FALSE(std::isfinite(logp[35])) << name << ": non-finite numbers stay visible";
      EXPECT_FALSE(std::isfinite(entropy[35])) << name;
      EXPECT_NO_THROW(policy->backward(ctx, tape, {dlogp, {}})) << "numerical trouble is data";
      finish_gradients<float>(ctx, *policy);
      w = before;
    }
}

TEST_F(Misuse, ShapesThatCannotBe) {
  const auto refused = [&](auto change, const std::string& field) {
    auto c = shape();
    change(c);
    refuses<argument_error>([&] { model::checked(c); }, {"decoder_config", field, "", ""});
  };
  refused([](auto& c) { c.vocabulary = 0; }, "vocabulary");
  refused([](auto& c) { c.hidden = -1; }, "hidden");
  refused([](auto& c) { c.layers = 0; }, "layers");
  refused([](auto& c) { c.kv_heads = 3; }, "kv_heads");
  refused([](auto& c) { c.heads = c.kv_heads = 3; }, "heads");
  refused([](auto& c) { c.head_dim = 7; }, "head_dim");
  refused([](auto& c) { c.norm_eps = 0; }, "norm_eps");
  refused([](auto& c) { c.rope.theta = 1; }, "rope.theta");
  refused([](auto& c) { c.rope = {.kind = model::rope_kind::linear, .factor = 0.5}; }, "rope.factor");
  refused([](auto& c) { c.rope = {.kind = model::rope_kind::yarn, .factor = 2}; }, "rope.original_context");
  refused(
      [](auto& c) {
        c.rope = {.kind = model::rope_kind::llama3,
                  .factor = 2,
                  .original_context = 64,
                  .low_frequency_factor = 4,
                  .high_frequency_factor = 4};
      },
      "rope.high_frequency_factor");
}
