// SPDX-License-Identifier: Apache-2.0
// Supervised steps on several ranks: by lanes the bits of one rank, by rows the same on all ranks.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/comm/threads.hpp>
#include <ql/sft.hpp>

#include "model/support/instances.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace {

using namespace ql;
using policy_type = model::decoder<float, cpu::context>;

// Seven documents of different lengths, each with two questions, whose targets have weights.
struct batch {
  token_tree tree;
  std::vector<float> weight;
  batch() {
    std::uint32_t n = 0;
    const auto some = [&](std::int64_t count) {
      std::vector<token> ids;
      for (; count > 0; --count) ids.push_back(static_cast<token>((++n * 2654435761u >> 8) % 29));
      return ids;
    };
    for (std::int64_t document = 0; document < 7; ++document) {
      const auto root = tree.add_root(some(20 + 31 * document));
      for (std::int64_t question = 0; question < 2; ++question)
        tree.add(tree.add(root, some(5 + question)), some(4 + document % 3), role::action);
    }
    for (std::int64_t i = 0; i < tree.tokens(); ++i) weight.push_back(1.0f / static_cast<float>(4 + i % 3));
  }
};

struct result {
  std::vector<float> weights, logp;
  std::vector<double> loss, norm;
  friend bool operator==(const result&, const result&) = default;
};

result train(std::optional<comm::any> ranks, update_split split, bool shares_memory, std::int64_t micro) {
  cpu::context ctx;
  model::decoder_config shape;
  shape.vocabulary = 29, shape.hidden = 32, shape.layers = 2, shape.heads = 4, shape.kv_heads = 2, shape.ffn = 48;
  policy_type policy(ctx, shape, {.lanes = 5, .unit_tokens = 100});
  policy.initialise(ctx, 11, 0.2);
  const batch b;
  const rl::adamw opt{.beta2 = 0.95, .weight_decay = 0.01};
  result r;
  const auto steps = [&](auto& state) {
    for (int step = 0; step < 4; ++step) {
      const auto said = sft_step(ctx, policy, b.tree, std::span<const float>(b.weight), opt, state, 3e-3,
                                 {.max_norm = 1.0, .micro_batch_tokens = micro, .ranks = ranks, .split = split});
      EXPECT_TRUE(said.step.applied);
      r.loss.push_back(said.loss), r.norm.push_back(said.step.gradient_norm);
      r.logp.insert(r.logp.end(), said.logp.begin(), said.logp.end());
    }
  };
  const row_split rows(policy, ranks, split);
  if (shares_memory) {
    auto state = make_sharded_optimizer_state(policy, opt, *ranks);
    steps(state);
  } else {
    auto state = make_optimizer_state(ctx, policy, opt);
    steps(state);
  }
  for (auto& p : policy.parameters()) r.weights.insert(r.weights.end(), p.master.data(), p.master.data() + p.size());
  return r;
}

std::vector<result> on_ranks(int n, update_split split, bool shares_memory, std::int64_t micro) {
  std::vector<result> all(static_cast<std::size_t>(n));
  comm::on_threads(n, [&](comm::threads& c) {
    all[static_cast<std::size_t>(c.rank())] = train(comm::any(c), split, shares_memory, micro);
  });
  return all;
}

TEST(SftOnRanksThreads, LanesHaveTheBitsOfOneRank) {
  const auto alone = train(std::nullopt, update_split::lanes, false, 1 << 15);
  EXPECT_LT(alone.loss.back(), alone.loss.front());
  for (const int n : {2, 3, 8})
    for (const bool shares_memory : {false, true})
      for (const std::int64_t micro : {150, 1 << 15})
        for (const auto& r : on_ranks(n, update_split::lanes, shares_memory, micro))
          EXPECT_EQ(r, alone) << n << " ranks, " << shares_memory << ", " << micro;
}

TEST(SftOnRanksThreads, RowsAreTheSameOnAllRanks) {
  const auto alone = train(std::nullopt, update_split::lanes, false, 1 << 15);
  for (const auto split : {update_split::rows, update_split::heads}) {
    const auto all = on_ranks(2, split, true, 1 << 15);
    EXPECT_EQ(all[0], all[1]);
    const auto tokens = all[0].logp.size() / 4;
    EXPECT_EQ(std::vector<float>(all[0].logp.begin(), all[0].logp.begin() + static_cast<std::ptrdiff_t>(tokens)),
              std::vector<float>(alone.logp.begin(), alone.logp.begin() + static_cast<std::ptrdiff_t>(tokens)));
    for (std::size_t i = 0; i < alone.loss.size(); ++i) EXPECT_NEAR(all[0].loss[i], alone.loss[i], 1e-4);
  }
}

}  // namespace
