// SPDX-License-Identifier: Apache-2.0
// A run on several ranks: sampling dealt out, updates shared. Weights, optimizer, state and metrics have the bits of
// one rank; a checkpoint of any number of ranks is one of every other.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/comm/threads.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/trainer.hpp>

#include <gtest/gtest.h>
#include <trainer/support/lookup_task.hpp>

#include <cmath>
#include <mutex>
#include <stdexcept>

namespace {

using namespace ql;
using policy_type = model::decoder<float, cpu::context>;

struct fragile_task : test::lookup_task {
  int verdicts = -1;  // the judge fails at the n-th batch
  std::vector<rl::outcome> score(std::span<const answer_request> batch) {
    if (verdicts >= 0 && verdicts-- == 0) throw std::runtime_error("the judge's disk is full");
    return lookup_task::score(batch);
  }
};

auto make_recipe() {
  curriculum::phased<curriculum::zero_accuracy> course;
  curriculum::phase one, two;
  one.name = "short", one.hi_inclusive = 18, one.max_response_tokens = 4, one.steps = 2, one.batch = 6;
  two.name = "long", two.lo_exclusive = 18, two.hi_inclusive = 28, two.max_response_tokens = 4, two.steps = 2;
  two.batch = 6;
  course.phases = {one, two};
  course.score.group = 4;
  return recipe(slot::engine = session_engine{}, slot::sampler = rl::stochastic{}, slot::curriculum = course,
                slot::filter = rl::mixed_accuracy{}, slot::shaping = overlong_fraction{},
                slot::advantage = rl::grpo_advantage{}, slot::loss = rl::clip_higher,
                slot::aggregation = rl::token_mean{}, slot::optimizer = rl::adamw{.beta2 = 0.95},
                slot::schedule = rl::constant_schedule{.rate = 3e-3});
}

// What a checkpoint holds.
struct snapshot {
  std::vector<float> weights, moments;
  std::int64_t optimizer_steps = 0;
  std::string state;
  friend bool operator==(const snapshot&, const snapshot&) = default;
};

struct rank_of_run {
  cpu::context ctx;
  fragile_task task;
  policy_type policy;
  using trainer_type = rl_trainer<policy_type, fragile_task, decltype(make_recipe())>;
  trainer_type trainer;
  std::vector<double> figures;  // of every step

  explicit rank_of_run(std::int64_t key_heads = 1)
      : policy(ctx, shape(key_heads)), trainer(ctx, start(*this), task, make_recipe(), options()) {}
  static model::decoder_config shape(std::int64_t key_heads) {
    auto s = test::small_shape();
    s.kv_heads = key_heads;
    return s;
  }
  static policy_type& start(rank_of_run& r) {
    r.task.documents = 16, r.task.long_from = 8;
    r.policy.initialise(r.ctx, 5, 0.15);
    return r.policy;
  }
  static rl_options options() {
    rl_options o;
    o.seed = 9, o.group_size = 8, o.groups = 4, o.updates_per_batch = 2, o.refill_rounds = 3;
    o.stop = {test::lookup_task::end}, o.scoring_batch = 5, o.audit = audit::whole_batch;
    o.micro_batch_tokens = 60;
    return o;
  }
  // Until so many steps have trained.
  void advance_to(std::int64_t steps) {
    while (trainer.state().step < steps) {
      const auto r = trainer.advance();
      if (r.kind == advance_kind::finished) return;
      const auto& m = r.metrics;
      EXPECT_EQ(m.differing, 0);
      figures.insert(figures.end(), {m.loss, m.gradient_norm, m.score, m.entropy, m.kl_to_old, m.clip_fraction,
                                     static_cast<double>(m.tokens_sampled), static_cast<double>(m.compared)});
    }
  }
  snapshot save() {
    snapshot s;
    for (const auto& p : policy.parameters())
      s.weights.insert(s.weights.end(), p.master.data(), p.master.data() + p.size());
    auto& memory = trainer.optimizer();
    s.optimizer_steps = memory.steps;
    memory.visit(policy, [&](std::string_view, std::string_view, auto b) {
      s.moments.insert(s.moments.end(), b.data_handle(), b.data_handle() + b.size());
    });
    s.state = to_bytes(trainer.state());
    return s;
  }
  void load(const snapshot& s) {
    const float* from = s.weights.data();
    for (auto& p : policy.parameters()) std::copy_n(from, p.size(), p.master.data()), from += p.size();
    policy.publish(ctx);
    trainer.restore(from_bytes<trainer_type::state_type>(s.state));
    trainer.optimizer().steps = s.optimizer_steps;
    from = s.moments.data();
    trainer.optimizer().visit(policy, [&](std::string_view, std::string_view, auto b) {
      std::copy_n(from, b.size(), b.data_handle()), from += b.size();
    });
  }
};

// What one process does without ranks; computed once.
struct alone {
  rank_of_run run;
  snapshot middle, end;
  std::vector<double> figures_of_middle;
  alone() {
    run.advance_to(2);
    middle = run.save();
    run.advance_to(100);
    end = run.save();
  }
  static const alone& result() {
    static const alone once;
    return once;
  }
};

TEST(RanksOfATrainerThreads, GiveTheBitsOfOne) {
  const auto& expected = alone::result();
  ASSERT_GE(expected.run.trainer.state().step, 3);
  for (const int ranks : {2, 4, 8})
    for (const auto memory : {optimizer_memory::sharded, optimizer_memory::replicated}) {
      if (ranks == 8 && memory == optimizer_memory::replicated) continue;
      std::mutex one_at_a_time;
      comm::on_threads(
          ranks,
          [&](comm::threads& c) {
            rank_of_run run;
            run.trainer.share_with(comm::any(c), {.optimizer = memory});
            run.advance_to(100);
            const auto end = run.save();
            const std::lock_guard lock(one_at_a_time);
            EXPECT_EQ(run.trainer.writes_files(), c.rank() == 0);
            EXPECT_EQ(run.figures, expected.run.figures) << ranks << " ranks";
            EXPECT_TRUE(end == expected.end) << ranks << " ranks, rank " << c.rank();
            EXPECT_EQ(run.task.asked.empty(), c.rank() != 0) << "rank 0 asks the judge for all";
          },
          120);
    }
}

TEST(RanksOfATrainerThreads, GoOnFromEveryOtherNumberOfRanks) {
  const auto& expected = alone::result();
  snapshot four;
  comm::on_threads(
      4,
      [&](comm::threads& c) {
        rank_of_run run;
        run.trainer.share_with(comm::any(c));
        run.advance_to(2);
        auto s = run.save();
        EXPECT_TRUE(s == expected.middle);
        if (c.rank() == 3) four = std::move(s);
      },
      120);
  rank_of_run single;
  single.load(four);
  single.advance_to(100);
  EXPECT_TRUE(single.save() == expected.end);
  comm::on_threads(
      2,
      [&](comm::threads& c) {
        rank_of_run run;
        run.load(four);
        run.trainer.share_with(comm::any(c));
        run.advance_to(100);
        EXPECT_TRUE(run.save() == expected.end);
      },
      120);
}

void split_rows(int ranks, update_split how) {
  const std::int64_t key_heads = how == update_split::heads ? ranks : 1;
  rank_of_run one(key_heads);
  one.advance_to(1);
  const auto expected = one.save();
  std::vector<snapshot> all(static_cast<std::size_t>(ranks));
  comm::on_threads(
      ranks,
      [&](comm::threads& c) {
        rank_of_run run(key_heads);
        run.trainer.share_with(comm::any(c), {.update = how});
        run.advance_to(1);
        all[static_cast<std::size_t>(c.rank())] = run.save();
      },
      120);
  for (const auto& other : all) EXPECT_TRUE(all[0] == other);
  ASSERT_EQ(all[0].weights.size(), expected.weights.size());
  double worst = 0;
  for (std::size_t i = 0; i < expected.moments.size(); ++i)
    worst = std::max(worst, static_cast<double>(std::abs(all[0].moments[i] - expected.moments[i])));
  EXPECT_LE(worst, 1e-5);
  EXPECT_NE(all[0].weights, expected.weights) << "sums over ranks are another order";
}
TEST(RanksOfATrainerThreads, SplitRowsInsteadOfLanes) { split_rows(3, update_split::rows); }
TEST(RanksOfATrainerThreads, SplitRowsAndHeads) { split_rows(2, update_split::heads); }

TEST(RanksOfATrainerThreads, AFailureOnOneStopsAll) {
  int named = 0;
  std::mutex one_at_a_time;
  EXPECT_THROW(comm::on_threads(
                   3,
                   [&](comm::threads& c) {
                     rank_of_run run;
                     run.task.verdicts = 1;  // rank 0 alone is asked
                     run.trainer.share_with(comm::any(c));
                     try {
                       run.advance_to(100);
                     } catch (const comm::comm_error& e) {
                       const std::lock_guard lock(one_at_a_time);
                       named += e.rank() == 0 && std::string(e.what()).find("scoring") != std::string::npos ? 1 : 0;
                       throw;
                     }
                   },
                   120),
               std::runtime_error);
  EXPECT_EQ(named, 2);
}

TEST(RanksOfATrainerThreads, AnInterruptionOfOneInterruptsAll) {
  int interrupted = 0;
  std::mutex one_at_a_time;
  comm::on_threads(
      3,
      [&](comm::threads& c) {
        rank_of_run run;
        run.trainer.share_with(comm::any(c));
        run.trainer.on_sampling([&](std::int64_t) {
          if (c.rank() == 1) throw interruption();
        });
        const auto before = to_bytes(run.trainer.state());
        try {
          run.trainer.advance();
        } catch (const interruption&) {
          const std::lock_guard lock(one_at_a_time);
          ++interrupted;
          EXPECT_EQ(to_bytes(run.trainer.state()), before);
        }
        EXPECT_TRUE(run.trainer.on_any_rank(c.rank() == 2));
        EXPECT_FALSE(run.trainer.on_any_rank(false));
      },
      120);
  EXPECT_EQ(interrupted, 3);
}

TEST(RanksOfATrainerThreads, DifferentRecipesAreRefused) {
  comm::on_threads(2, [&](comm::threads& c) {
    rank_of_run run;
    EXPECT_THROW(
        run.trainer.share_with(comm::any(c), {.update = c.rank() == 0 ? update_split::lanes : update_split::rows}),
        comm::comm_error);
  });
}

}  // namespace
