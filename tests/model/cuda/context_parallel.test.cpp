// SPDX-License-Identifier: Apache-2.0
// Devices that split the rows of a tree: scores have the bits of one device, gradients are the same on all.
#include <ql/comm/threads.hpp>

#include <gtest/gtest.h>

#include <mutex>

#include "model/support/device_policy.hpp"
#include "model/support/gradient.hpp"

namespace ql::test {
namespace {

struct scored {
  std::vector<float> logp, entropy;
  std::vector<std::vector<float>> gradient;
};

void split(model::attention_split how, model::keep keep) {
  constexpr std::int64_t vocabulary = 140;
  cpu::context ctx;
  auto shape = qwen3(vocabulary);
  shape.heads = 4, shape.kv_heads = 2;
  const auto policy = make_decoder<float>(ctx, shape, {.unit_tokens = 100});
  dice d(3);
  auto tree = random_forest(d, vocabulary, {.roots = 2, .segments = 5});
  const auto document = tree.add_root(d.ids(150, vocabulary));
  for (int i = 0; i < 2; ++i) tree.add(document, d.ids(20, vocabulary));
  const auto q = random_demand<float>(d, std::move(tree), vocabulary, {.temperature = 0.7});
  const auto on_device = [&](comm::any* ranks) {
    device_policy<float> device(*policy, {});
    if (ranks != nullptr) device.split_rows(*ranks, how);
    scored s;
    s.logp.assign(q.dlogp.size(), 0);
    s.entropy = s.logp;
    device.score(q.tree, q.dist, q.kept(), keep, s.logp, s.entropy);
    device.backward(q.dlogp, q.dentropy);
    for (std::size_t i = 0; i < policy->parameters().size(); ++i) s.gradient.push_back(device.gradient(i));
    return s;
  };
  const auto alone = on_device(nullptr);
  std::mutex one_at_a_time;
  std::vector<scored> all;
  comm::on_threads(
      2,
      [&](comm::threads& c) {
        comm::any ranks(c);
        auto s = on_device(&ranks);
        const std::lock_guard lock(one_at_a_time);
        all.push_back(std::move(s));
      },
      120);
  for (const auto& s : all) {
    EXPECT_EQ(s.logp, alone.logp);
    EXPECT_EQ(s.entropy, alone.entropy);
    EXPECT_EQ(s.gradient, all[0].gradient);
  }
  for (std::size_t i = 0; i < alone.gradient.size(); ++i) {
    double apart = 0, size = 0;
    for (std::size_t k = 0; k < alone.gradient[i].size(); ++k) {
      apart = std::max(apart, std::fabs(static_cast<double>(alone.gradient[i][k]) - all[0].gradient[i][k]));
      size = std::max(size, std::fabs(static_cast<double>(alone.gradient[i][k])));
    }
    EXPECT_LE(apart, 1e-5 * size) << policy->parameters()[i].name;
    EXPECT_GT(size, 0) << policy->parameters()[i].name;
  }
}

TEST(CudaContextParallelThreads, ByKeys) { split(model::attention_split::keys, model::keep::inputs); }
TEST(CudaContextParallelThreads, ByHeads) { split(model::attention_split::heads, model::keep::everything); }
TEST(CudaContextParallelThreads, ByHeadsComputedAgain) { split(model::attention_split::heads, model::keep::inputs); }

}  // namespace
}  // namespace ql::test
