// SPDX-License-Identifier: Apache-2.0
// One rank of a run for run.py: training FOLDER STEPS SECONDS. Goes on from the newest checkpoint in FOLDER; after each
// step rank 0 saves one and says so, and all wait for SECONDS.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/checkpoint.hpp>
#include <ql/comm/mpi.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/trainer.hpp>

#include <unistd.h>

#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "trainer/support/lookup_task.hpp"

namespace {
using namespace ql;
using policy_type = model::decoder<float, cpu::context>;

auto make_recipe() {
  curriculum::phased<curriculum::zero_accuracy> course;
  curriculum::phase one;
  one.name = "short", one.hi_inclusive = 18, one.max_response_tokens = 4, one.steps = 100, one.batch = 6;
  course.phases = {one};
  return recipe(slot::engine = session_engine{}, slot::sampler = rl::stochastic{}, slot::curriculum = course,
                slot::filter = rl::mixed_accuracy{}, slot::shaping = overlong_fraction{},
                slot::advantage = rl::grpo_advantage{}, slot::loss = rl::clip_higher,
                slot::aggregation = rl::token_mean{}, slot::optimizer = rl::adamw{.beta2 = 0.95},
                slot::schedule = rl::constant_schedule{.rate = 3e-3});
}

std::span<float> values(auto view) { return {view.data_handle(), static_cast<std::size_t>(view.size())}; }

int run(comm::mpi& c, const std::string& folder, std::int64_t steps, double seconds) {
  std::printf("rank %d process %d\n", c.rank(), static_cast<int>(::getpid()));
  std::fflush(stdout);
  cpu::context ctx;
  test::lookup_task task;
  task.documents = 16;
  policy_type policy(ctx, test::small_shape());
  policy.initialise(ctx, 5, 0.15);
  rl_options o;
  o.seed = 9, o.group_size = 8, o.groups = 4, o.stop = {test::lookup_task::end};
  rl_trainer trainer(ctx, policy, task, make_recipe(), o);
  using state_type = decltype(trainer)::state_type;
  checkpoint_store store(folder);
  const auto each_moment = [&](auto&& f) {
    trainer.optimizer().visit(policy, [&](std::string_view name, std::string_view slot, auto b) {
      f("optimizer/" + std::string(name) + "." + std::string(slot), values(b));
    });
  };
  if (const auto found = store.newest()) {
    for (auto& p : policy.parameters()) found->array("weights/" + p.name, values(p.master.view()));
    policy.publish(ctx);
    trainer.restore(found->value<state_type>("state/trainer"));
    trainer.optimizer().steps = found->value<std::int64_t>("state/steps");
    each_moment([&](const std::string& name, std::span<float> v) { found->array(name, v); });
    if (c.rank() == 0) std::printf("from step %d\n", static_cast<int>(trainer.state().step));
  }
  trainer.share_with(comm::any(c));
  while (trainer.state().step < steps) {
    trainer.advance();
    trainer.optimizer();  // gathered on all ranks
    if (trainer.writes_files())
      store.save(trainer.state().step, [&](checkpoint_writer& w) {
        for (auto& p : policy.parameters())
          w.array("weights/" + p.name, std::span<const float>(values(p.master.view())));
        w.value("state/trainer", trainer.state());
        w.value("state/steps", trainer.optimizer().steps);
        each_moment([&](const std::string& name, std::span<float> v) { w.array(name, std::span<const float>(v)); });
      });
    comm::barrier(c);
    if (c.rank() == 0) std::printf("saved %d\n", static_cast<int>(trainer.state().step));
    std::fflush(stdout);
    ::usleep(static_cast<unsigned>(seconds * 1e6));
  }
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const auto& p : policy.parameters())
    for (std::int64_t i = 0; i < p.size(); ++i)
      hash = (hash ^ std::bit_cast<std::uint32_t>(p.master.data()[i])) * 0x100000001b3u;
  comm::expect_same(c, "the hash of the weights", hash);
  if (c.rank() == 0) std::printf("hash %016llx\n", static_cast<unsigned long long>(hash));
  return 0;
}
}  // namespace

int main(int, char** argv) {
  ql::comm::mpi c({.beat = 0.1, .patience = 2.0});
  try {
    return run(c, argv[1], std::atoll(argv[2]), std::atof(argv[3]));
  } catch (const ql::comm::comm_error& e) {
    std::printf("rank %d names %d: %s\n", c.rank(), e.rank(), e.what());
    std::fflush(stdout);
    std::_Exit(75);
  }
}
