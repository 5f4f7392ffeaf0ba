// SPDX-License-Identifier: Apache-2.0
// Gradients of the whole decoder against finite differences, and of a tree against its sequences, in double.
#include <gtest/gtest.h>

#include <iostream>

#include "model/support/gradient.hpp"

using namespace ql;
using namespace ql::test;

namespace {

constexpr std::int64_t entries = 37;  // of the vocabulary

model::decoder_config tiny(std::int64_t which, model::rope_kind rope) {
  auto c = which == 0 ? qwen2(entries, 24) : which == 1 ? qwen3(entries, 20) : llama(entries, 16);
  c.rope.kind = rope;
  c.rope.theta = 100;
  if (rope != model::rope_kind::plain) c.rope.factor = 4;
  c.rope.original_context = 64;
  return c;
}

// A root longer than a block of keys, a question, an empty segment, leaves, and a second tree that is trained on
// itself.
token_tree small_forest(dice& d) {
  token_tree t;
  const auto ids = [&](std::int64_t n) { return d.ids(n, entries); };
  const auto root = t.add_root(ids(70));
  const auto question = t.add(root, ids(5), role::prompt);
  t.add(question, ids(9));
  const auto empty = t.add(question, ids(0), role::prompt);
  t.add(empty, ids(12));
  t.add(empty, ids(0));
  t.add(root, ids(3));
  const auto other = t.add_root(ids(12), role::action, true);
  const auto tool = t.add(t.add(other, ids(4)), ids(3), role::observation);
  t.add(tool, ids(6));
  t.add(tool, ids(2));
  return t;
}

// d loss / d step of a weight (or of all weights of a tensor along signs), to fourth order in the step.
struct prober {
  cpu::context& ctx;
  decoder_of<double>& policy;
  const demand<double>& q;

  double loss() const {
    std::vector<double> logp(q.dlogp.size()), entropy(q.dlogp.size());
    options_of<double> o;
    o.distribution = q.dist;
    o.support = q.kept();
    o.backward = false;
    policy.score(ctx, q.tree, o, {logp, entropy});
    double sum = 0;
    for (std::size_t i = 0; i < logp.size(); ++i) sum += logp[i] * q.dlogp[i] + entropy[i] * q.dentropy[i];
    return sum;
  }
  double slope(model::parameter<double, cpu::context>& p, const std::vector<double>& direction) const {
    const std::vector<double> w(p.master.data(), p.master.data() + p.size());
    const auto at = [&](double step) {
      for (std::size_t i = 0; i < w.size(); ++i) p.master.data()[i] = w[i] + step * direction[i];
      publish<double>(ctx, policy);
      return loss();
    };
    constexpr double h = 2e-4;
    const double d = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
    std::copy(w.begin(), w.end(), p.master.data());
    publish<double>(ctx, policy);
    return d;
  }
};

void finite_differences(std::int64_t which, model::rope_kind rope, const distribution& dist) {
  cpu::context ctx;
  const auto policy = make_decoder<double>(ctx, tiny(which, rope), {.lanes = 3, .unit_tokens = 40}, 7, 0.3);
  dice d(static_cast<std::uint64_t>(which) + 10);
  const auto q = random_demand<double>(d, small_forest(d), entries, dist);
  const auto g = gradients_of<double>(ctx, *policy, q);
  const prober probe{ctx, *policy, q};
  double worst = 0;
  for (std::size_t i = 0; i < g.size(); ++i) {
    auto& p = policy->parameters()[i];
    double difference = 0, size = 0;
    for (int n = 0; n < 7; ++n) {
      std::vector<double> direction(g[i].size(), 0.0);
      if (n < 2) {  // every weight of the tensor at once
        for (auto& x : direction) x = d.chance(0.5) ? 0.3 : -0.3;
      } else {
        direction[static_cast<std::size_t>(d.below(p.size()))] = 1;
      }
      double expected = 0;
      for (std::size_t j = 0; j < direction.size(); ++j) expected += direction[j] * g[i][j];
      const double found = probe.slope(p, direction);
      difference = std::max(difference, std::abs(found - expected));
      size = std::max({size, std::abs(found), std::abs(expected)});
    }
    EXPECT_GT(size, 1e-8) << p.name << " has a gradient";
    EXPECT_LE(difference, 1e-6 * size) << p.name;
    worst = std::max(worst, difference / size);
  }
  std::cout << "worst relative error of a parameter " << worst << std::endl;
}

constexpr distribution cool{.temperature = 0.7};
constexpr distribution frozen{.temperature = 0.7, .top_k = 10, .rule = support_rule::frozen};

}  // namespace

TEST(Gradients, Qwen2ByFiniteDifferences) { finite_differences(0, model::rope_kind::plain, cool); }
TEST(Gradients, Qwen2WithLinearRope) { finite_differences(0, model::rope_kind::linear, cool); }
TEST(Gradients, Qwen3ByFiniteDifferences) { finite_differences(1, model::rope_kind::plain, cool); }
TEST(Gradients, Qwen3WithYarn) { finite_differences(1, model::rope_kind::yarn, cool); }
TEST(Gradients, LlamaByFiniteDifferences) { finite_differences(2, model::rope_kind::plain, {}); }
TEST(Gradients, LlamaWithLlama3Rope) { finite_differences(2, model::rope_kind::llama3, cool); }
TEST(Gradients, FrozenSupportQwen2) { finite_differences(0, model::rope_kind::yarn, frozen); }
TEST(Gradients, FrozenSupportLlama) { finite_differences(2, model::rope_kind::plain, frozen); }

TEST(Gradients, OfATreeAreTheSumOverItsSequences) {
  cpu::context ctx;
  double worst = 0;
  for (std::int64_t i = 0; i < 24; ++i) {
    const auto policy = make_decoder<double>(ctx, tiny(i % 3, static_cast<model::rope_kind>(i % 4)),
                                             {.lanes = 2, .unit_tokens = i % 2 == 0 ? 1024 : 50}, 7, 0.3);
    dice d(static_cast<std::uint64_t>(i) + 100);
    auto tree = random_forest(d, entries, {.offset = (i * 11) % 64});
    const auto q = random_demand<double>(d, std::move(tree), entries, i % 3 == 2 ? frozen : cool);
    const auto by_tree = gradients_of<double>(ctx, *policy, q);
    const auto by_sequence = gradients_of<double>(ctx, *policy, as_sequences(q));
    const double difference = largest_difference(by_tree, by_sequence);
    EXPECT_LE(difference, 1e-12) << "case " << i;
    worst = std::max(worst, difference);
  }
  std::cout << "worst relative difference " << worst << std::endl;
}
