// SPDX-License-Identifier: Apache-2.0
// update_policy steps with every optimizer of ql/rl, and a run that is put together again from a checkpoint goes on
// with the same bits.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/checkpoint.hpp>
#include <ql/model/decoder.hpp>
#include <ql/policy_update.hpp>
#include <ql/rl/adamw_8bit.hpp>
#include <ql/rl/matrix_optimizers.hpp>
#include <ql/rl/optimizer_decorators.hpp>

#include <gtest/gtest.h>
#include <unistd.h>
#include <trainer/support/lookup_task.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace {

using namespace ql;
using policy_type = model::decoder<float, cpu::context>;

// The tiny model and a batch; what does not depend on the optimizer is compiled once.
struct tiny {
  cpu::context ctx;
  policy_type policy{ctx, test::small_shape()};
  token_tree tree;

  tiny() {
    policy.initialise(ctx, 5, 0.15);
    const auto prompt = tree.add_root({2, 3, 4, 5, 6, 7});
    tree.add(prompt, {8, 9, 10});
    tree.add(prompt, {11, 12});
  }
  double backward() {
    std::vector<float> logp(static_cast<std::size_t>(tree.tokens())), dlogp(logp.size());
    policy.zero_gradients(ctx);
    auto tape = policy.score(ctx, tree, {}, {logp, {}});
    const double loss = token_likelihood<float>(tree, logp, {}, dlogp);
    policy.backward(ctx, tape, {dlogp, {}});
    policy.finish_gradients(ctx);
    return loss;
  }
  std::vector<float> weights() {
    std::vector<float> all;
    for (const auto& p : policy.parameters()) all.insert(all.end(), p.master.data(), p.master.data() + p.size());
    return all;
  }
  void save_weights(checkpoint_writer& w) {
    for (auto& p : policy.parameters())
      w.array("weights/" + p.name, std::span<const float>(p.master.data(), static_cast<std::size_t>(p.size())));
  }
  void load_weights(const checkpoint_reader& r) {
    for (auto& p : policy.parameters())
      r.array("weights/" + p.name, std::span<float>(p.master.data(), static_cast<std::size_t>(p.size())));
    policy.publish(ctx);
  }
};

std::string folder() {
  return (std::filesystem::temp_directory_path() / ("ql-optimizers-" + std::to_string(getpid()))).string();
}
std::string key(std::string_view name, std::string_view slot) {
  return "optimizer/" + std::string(name) + "." + std::string(slot);
}

template <class Optimizer>
void goes_on(const Optimizer& optimizer, double rate) {
  std::filesystem::remove_all(folder());
  tiny whole, again;
  auto state = make_optimizer_state(whole.ctx, whole.policy, optimizer);
  auto restored = make_optimizer_state(again.ctx, again.policy, optimizer);
  const auto step = [&](tiny& t, auto& s) {
    const double loss = t.backward();
    EXPECT_TRUE(update_policy(t.ctx, t.policy, optimizer, s, rate, 0.5).applied);
    return loss;
  };
  const double loss = step(whole, state);
  EXPECT_LT(step(whole, state), loss);  // the kernels see the new weights, and they are better
  checkpoint_store store(folder());
  store.save(2, [&](checkpoint_writer& w) {
    whole.save_weights(w);
    w.value("state/steps", state.steps);
    state.visit(whole.policy, [&](std::string_view name, std::string_view slot, auto b) {
      using T = std::remove_cvref_t<decltype(b[0])>;
      w.array(key(name, slot), std::span<const T>(b.data_handle(), static_cast<std::size_t>(b.size())));
    });
  });
  const auto found = store.newest();
  ASSERT_TRUE(found.has_value());
  again.load_weights(*found);
  restored.steps = found->value<std::int64_t>("state/steps");
  EXPECT_EQ(restored.steps, 2);
  restored.visit(again.policy, [&](std::string_view name, std::string_view slot, auto b) {
    using T = std::remove_cvref_t<decltype(b[0])>;
    found->array(key(name, slot), std::span<T>(b.data_handle(), static_cast<std::size_t>(b.size())));
  });
  for (int k = 0; k < 2; ++k) {
    step(whole, state);
    step(again, restored);
    EXPECT_EQ(again.weights(), whole.weights()) << "step " << k;
  }
  std::filesystem::remove_all(folder());
}

TEST(OptimizerSlot, Muon) { goes_on(rl::by_shape{rl::muon{}, rl::adamw{}}, 1e-2); }
TEST(OptimizerSlot, Adafactor) { goes_on(rl::adafactor{.beta1 = 0.5}, 1e-1); }
TEST(OptimizerSlot, Adamw8bit) { goes_on(rl::adamw_8bit{}, 1e-2); }
TEST(OptimizerSlot, Averaged) { goes_on(rl::averaged{rl::sgd{.momentum = 0.9}, 0.9}, 1e-1); }

// Through the interface for vectors AdamW does what its kernel does.
TEST(OptimizerSlot, AgreesWithTheFusedStep) {
  tiny one, two;
  auto a = make_optimizer_state(one.ctx, one.policy, rl::adamw{});
  const rl::by_shape both{rl::muon{}, rl::adamw{}};
  auto b = make_optimizer_state(two.ctx, two.policy, both);
  one.backward(), two.backward();
  update_policy(one.ctx, one.policy, rl::adamw{}, a, 1e-2, 0.5);
  update_policy(two.ctx, two.policy, both, b, 1e-2, 0.5);
  for (std::size_t i = 0; i < one.policy.parameters().size(); ++i) {
    const auto &p = one.policy.parameters()[i], &q = two.policy.parameters()[i];
    const bool matrix = detail::hidden_matrix(p);
    double gap = 0;
    for (std::int64_t k = 0; k < p.size(); ++k)
      gap = std::max(gap, std::abs(static_cast<double>(p.master.data()[k] - q.master.data()[k])));
    if (matrix) {
      EXPECT_GT(gap, 1e-4) << p.name;
    } else {
      EXPECT_LT(gap, 1e-7) << p.name;
    }
  }
}
}  // namespace
