// SPDX-License-Identifier: Apache-2.0
// One rank of the tests in run.py: ranks laws | same_bits | rows | loop | leave | stray
#include <ql/backend/cpu/kernels.hpp>
#include <ql/comm/launch.hpp>
#include <ql/comm/mpi.hpp>
#include <ql/data_parallel.hpp>
#include <ql/model/decoder.hpp>
#include <ql/model/decoder_training.hpp>
#include <ql/testing/communicator.hpp>

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "model/support/shapes.hpp"
#include "support/random_tree.hpp"

namespace {
using namespace ql;

// Two steps of a tiny decoder by ZeRO-1; prints a hash of loss, gradients and weights.
int same_bits(comm::mpi& c) {
  constexpr std::int64_t vocabulary = 45;
  constexpr lane_options eight{.lanes = 8, .unit_tokens = 90};
  test::dice d(1);
  token_tree tree;
  for (int g = 0; g < 10; ++g) {
    const auto root = tree.add_root(d.ids(g == 0 ? 130 : d.between(5, 40), vocabulary));
    for (int i = 0; i < 4; ++i) tree.add(root, d.ids(d.between(3, 30), vocabulary));
  }
  cpu::context ctx({.threads = 1});
  model::decoder<float, cpu::context> policy(ctx, test::qwen3(vocabulary), eight);
  policy.initialise(ctx, 3, 0.15);
  const auto plan = plan_lanes(tree, eight);
  const rl::adamw opt;
  auto state = make_sharded_optimizer_state(policy, opt, c);
  const auto n = static_cast<std::size_t>(tree.tokens());
  std::uint64_t hash = 0xcbf29ce484222325u;
  const auto add = [&](float x) { hash = (hash ^ std::bit_cast<std::uint32_t>(x)) * 0x100000001b3u; };
  for (int step = 0; step < 2; ++step) {
    std::vector<float> logp(n, 0), dlogp(n, 0);
    for (const auto lane : lanes_of(plan, c.rank(), c.size()))
      policy.score(ctx, tree, plan, lane, {.distribution = {}, .backward = false}, {logp, {}});
    share_scores<float>(c, tree, plan, logp);
    add(static_cast<float>(token_likelihood<float>(tree, logp, {}, dlogp)));
    parallel_gradients(ctx, policy, c, plan, [&](unit_range lane) {
      auto tape = policy.score(ctx, tree, plan, lane, {}, {logp, {}});
      policy.backward(ctx, tape, {dlogp, {}});
    });
    if (!update_policy(ctx, policy, c, opt, state, 1e-2, 0.5).applied) return 1;
  }
  for (const auto& p : policy.parameters())
    for (std::int64_t i = 0; i < p.size(); ++i) add(p.gradient.data()[i]), add(p.master.data()[i]);
  comm::expect_same(c, "the hash of the weights", hash);
  if (c.rank() == 0) std::printf("hash %016llx\n", static_cast<unsigned long long>(hash));
  return 0;
}

// Rows of two documents split over the ranks, and with `how` heads attention too: log-probs have the bits of one rank,
// gradients are the same on all ranks; prints their hash and how far they are from one rank's.
int rows(comm::mpi& c, model::attention_split how) {
  constexpr std::int64_t vocabulary = 45;
  test::dice d(2);
  token_tree tree;
  for (int g = 0; g < 2; ++g) {
    const auto root = tree.add_root(d.ids(d.between(200, 700), vocabulary));
    for (int i = 0; i < 4; ++i) tree.add(root, d.ids(d.between(3, 90), vocabulary));
  }
  cpu::context ctx({.threads = 1});
  auto shape = test::qwen3(vocabulary);
  shape.heads = 8, shape.kv_heads = 4;
  model::decoder<float, cpu::context> policy(ctx, shape, {.lanes = 2, .unit_tokens = 300});
  policy.initialise(ctx, 3, 0.15);
  const auto plan = plan_lanes(tree, policy.lanes());
  const auto n = static_cast<std::size_t>(tree.tokens());
  const auto dlogp = d.reals<float>(tree.tokens());
  const auto gradients = [&](std::vector<float>& logp) {
    policy.zero_gradients(ctx);
    decltype(policy)::score_options o;
    o.keep = model::keep::inputs;
    auto tape = policy.score(ctx, tree, plan, plan.all(), o, {logp, {}});
    policy.backward(ctx, tape, {dlogp, {}});
    policy.finish_gradients(ctx);
    std::vector<float> g;
    for (const auto& p : policy.parameters()) g.insert(g.end(), p.gradient.data(), p.gradient.data() + p.size());
    return g;
  };
  std::vector<float> expected(n, 0), logp(n, 0);
  const auto alone = gradients(expected);
  policy.split_rows(comm::any(c), how);
  const auto together = gradients(logp);
  if (logp != expected) return std::fprintf(stderr, "rank %d: other log-probs\n", c.rank()), 1;
  float size = 0, difference = 0;
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (std::size_t i = 0; i < alone.size(); ++i) {
    size = std::max(size, std::abs(alone[i]));
    difference = std::max(difference, std::abs(alone[i] - together[i]));
    hash = (hash ^ std::bit_cast<std::uint32_t>(together[i])) * 0x100000001b3u;
  }
  comm::expect_same(c, "the hash of the gradients", hash);
  if (c.rank() == 0)
    std::printf("hash %016llx, %g\n", static_cast<unsigned long long>(hash), static_cast<double>(difference / size));
  return difference <= 1e-5f * size ? 0 : 1;
}

int run(comm::mpi& c, std::string_view what) {
  if (what == "laws") {
    const auto said = testing::laws::communicator(c, 200000);
    if (!said.empty()) std::fprintf(stderr, "rank %d: %s\n", c.rank(), said.c_str());
    const auto l = comm::find_launch();
    if (l.rank != c.rank() || l.size != c.size())
      return std::fprintf(stderr, "the environment says rank %d of %d\n", l.rank, l.size), 1;
    return said.empty() ? 0 : 1;
  }
  if (what == "same_bits") return same_bits(c);
  if (what == "rows") return rows(c, model::attention_split::keys);
  if (what == "heads") return rows(c, model::attention_split::heads);
  std::printf("rank %d process %d\n", c.rank(), static_cast<int>(::getpid()));
  std::fflush(stdout);
  if (what == "leave") {
    comm::barrier(c);
    if (c.rank() == 2) ::_exit(0);
  }
  if (what == "stray" && c.rank() == 1) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(c.size()));
    const std::int64_t own[1] = {1};
    comm::all_gather<comm::mpi, std::int64_t>(c, own, all);
  }
  for (;;) {
    comm::barrier(c);
    ::usleep(20000);
  }
}
}  // namespace

int main(int, char** argv) {
  // the test waits for nothing longer than it must: 2 s of silence instead of 8
  ql::comm::mpi c({.beat = 0.1, .patience = std::string_view(argv[1]) == "laws" ? 8.0 : 2.0});
  try {
    return run(c, argv[1]);
  } catch (const ql::comm::comm_error& e) {
    std::printf("rank %d names %d: %s\n", c.rank(), e.rank(), e.what());
    std::fflush(stdout);
    std::_Exit(75);
  }
}
