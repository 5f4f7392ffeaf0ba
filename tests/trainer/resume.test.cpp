// SPDX-License-Identifier: Apache-2.0
// A run that dies at any moment and is started again ends as one that was never disturbed: weights, optimizer, state,
// and the files of the run but for times.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/io/file.hpp>
#include <ql/io/json.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl_run.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <trainer/support/lookup_task.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace {

using namespace ql;
using policy_type = model::decoder<float, cpu::context>;

// Where the process dies: at the n-th time it comes by.
struct death {
  std::string place;
  int count = 0;
};
death planned;
void passes(std::string_view place) {
  if (planned.place == place && --planned.count == 0) _exit(9);
}
int disk_passes(std::string_view call, std::string_view) {
  passes("disk " + std::string(call));
  return 0;
}

struct dying_engine {
  template <class Policy, class E, class Sampler, class Between>
  auto operator()(cpu::context& ctx, Policy& p, E& env, std::span<const rollout_request> requests,
                  const rollout_options& o, Sampler& sampler, rollout_report& said, Between&& between) const {
    passes(o.what == purpose::train ? "sampling" : "scoring");
    return session_engine{}(ctx, p, env, requests, o, sampler, said, between);
  }
};
struct dying_schedule {
  double operator()(std::int64_t) const {
    passes("update");
    return 3e-3;
  }
};
struct dying_task : test::lookup_task {
  std::vector<rl::outcome> score(std::span<const answer_request> batch) {
    passes("judge");
    return lookup_task::score(batch);
  }
};

auto make_recipe() {
  curriculum::phased<curriculum::zero_accuracy> course;
  curriculum::phase one, two;
  one.name = "short", one.hi_inclusive = 18, one.max_response_tokens = 4, one.steps = 3, one.batch = 6;
  two.name = "long", two.lo_exclusive = 18, two.hi_inclusive = 28, two.max_response_tokens = 4, two.steps = 3;
  two.batch = 6;
  course.phases = {one, two};
  course.score.group = 4;
  return recipe(slot::engine = dying_engine{}, slot::sampler = rl::stochastic{}, slot::curriculum = course,
                slot::filter = rl::mixed_accuracy{}, slot::shaping = overlong_fraction{},
                slot::advantage = rl::grpo_advantage{}, slot::loss = rl::clip_higher,
                slot::aggregation = rl::token_mean{}, slot::optimizer = rl::adamw{.beta2 = 0.95},
                slot::schedule = dying_schedule{});
}

std::span<float> values(auto view) { return {view.data_handle(), static_cast<std::size_t>(view.size())}; }

struct run_result {
  std::vector<float> weights;
};

// Starts or continues the run in `folder`; true when it has finished. `stop_after`: asks to stop after so many looks.
bool run_in(const std::filesystem::path& folder, int threads = 1, int stop_after = -1) {
  std::filesystem::create_directories(folder);
  cpu::context ctx({.threads = threads});
  dying_task task;
  task.documents = 16, task.long_from = 8;
  policy_type policy(ctx, test::small_shape());
  policy.initialise(ctx, 5, 0.15);
  rl_options o;
  o.seed = 9, o.group_size = 8, o.groups = 4, o.updates_per_batch = 2, o.refill_rounds = 3;
  o.stop = {test::lookup_task::end}, o.scoring_batch = 5;
  rl_trainer trainer(ctx, policy, task, make_recipe(), o);
  using state_type = decltype(trainer)::state_type;
  checkpoint_store store((folder / "checkpoints").string());
  metric_files_state written;
  rl_run_state run;
  if (const auto found = store.newest()) {
    for (auto& p : policy.parameters()) found->array("weights/" + p.name, values(p.master.view()));
    policy.publish(ctx);
    trainer.restore(found->value<state_type>("state/trainer"));
    trainer.optimizer().steps = found->value<std::int64_t>("state/steps");
    trainer.optimizer().visit(policy, [&](std::string_view name, std::string_view slot, auto b) {
      found->array("optimizer/" + std::string(name) + "." + std::string(slot), values(b));
    });
    written = found->value<metric_files_state>("state/files");
    run = found->value<rl_run_state>("state/run");
  }
  metric_files files((folder).string(), written);
  detail::set_disk_hook(disk_passes);
  rl_run_hooks hooks;
  int looks = 0;
  hooks.stop = [&] { return stop_after >= 0 && ++looks > stop_after; };
  hooks.validate = [&](const std::string&) {
    passes("validation");
    validation_finished v;
    v.accuracy = static_cast<double>(trainer.state().step) / 10;
    return v;
  };
  hooks.save = [&] {
    written = files.sync();
    return store.save(trainer.state().step + trainer.state().all_skipped + 1, [&](checkpoint_writer& w) {
      for (auto& p : policy.parameters()) w.array("weights/" + p.name, std::span<const float>(values(p.master.view())));
      w.value("state/trainer", trainer.state());
      w.value("state/steps", trainer.optimizer().steps);
      trainer.optimizer().visit(policy, [&](std::string_view name, std::string_view slot, auto b) {
        w.array("optimizer/" + std::string(name) + "." + std::string(slot), std::span<const float>(values(b)));
      });
      w.value("state/files", written);
      w.value("state/run", run);
    });
  };
  const observers observe(files);
  const auto end = run_rl(trainer, observe, {.checkpoint_every = 1, .retry_seconds = 0.1}, hooks, run);
  detail::set_disk_hook(nullptr);
  if (end != run_end::finished) return false;
  std::ofstream out(folder / "weights.bin", std::ios::binary);
  for (auto& p : policy.parameters())
    out.write(reinterpret_cast<const char*>(p.master.data()), static_cast<std::streamsize>(p.size() * 4));
  const std::string state = to_bytes(trainer.state());
  out.write(state.data(), static_cast<std::streamsize>(state.size()));
  return true;
}

std::string text_of(const std::filesystem::path& p) {
  std::ifstream in(p, std::ios::binary);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}
// Rows without what may differ between two runs: the object "time" and events' seconds.
std::string rows_of(const std::filesystem::path& p) {
  std::string out;
  std::istringstream in(text_of(p));
  for (std::string line; std::getline(in, line);) {
    for (const char* key : {"\"time\"", "\"seconds\"", "\"wall\""})
      if (const auto at = line.find(key); at != std::string::npos) {
        const auto end = line.find_first_of(
            line[line.find_first_not_of(": ", at + std::string(key).size())] == '{' ? "}" : ",}", at);
        line.erase(at, end - at);
      }
    out += line + "\n";
  }
  return out;
}

struct Resume : ::testing::Test {
  std::filesystem::path root = std::filesystem::temp_directory_path() / ("ql-resume-" + std::to_string(getpid()));
  void SetUp() override {
    planned = {};
    std::filesystem::remove_all(root);
    ASSERT_TRUE(run_in(root / "whole"));
  }
  void TearDown() override { std::filesystem::remove_all(root); }

  // Runs in a child that dies as planned; returns its exit status.
  int child(const std::filesystem::path& folder, death d) {
    const pid_t pid = fork();
    if (pid == 0) {
      planned = d;
      int code = 1;
      try {
        code = run_in(folder) ? 0 : 3;
      } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
      }
      _exit(code);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  void expect_same(const std::filesystem::path& folder, const std::string& about) {
    EXPECT_EQ(text_of(root / "whole" / "weights.bin"), text_of(folder / "weights.bin")) << about;
    for (const char* file : {"metrics.jsonl", "events.jsonl"})
      EXPECT_EQ(rows_of(root / "whole" / file), rows_of(folder / file)) << about << ": " << file;
  }
};

TEST_F(Resume, AfterDeathAtEveryNamedMoment) {
  int deaths = 0;
  for (const char* place : {"sampling", "scoring", "update", "judge", "validation", "disk write", "disk fsync",
                            "disk rename", "disk mkdir"}) {
    for (int count : {1, 3, 7}) {
      const auto folder = root / (std::string(place) + std::to_string(count));
      const std::string about = std::string(place) + ", time " + std::to_string(count);
      const int status = child(folder, {place, count});
      if (status == 0) continue;  // does not come by so often
      ASSERT_EQ(status, 9) << about;
      ++deaths;
      ASSERT_EQ(child(folder, {}), 0) << about;
      expect_same(folder, about);
      std::filesystem::remove_all(folder);
    }
  }
  EXPECT_GE(deaths, 24);
}

TEST_F(Resume, AfterManyDeathsInARow) {
  const auto folder = root / "many";
  int status = 9, deaths = 0;
  for (; status == 9 && deaths < 200; ++deaths) {
    const int n = 2 + deaths % 5;
    status = child(folder, {deaths % 3 == 0 ? "update" : deaths % 3 == 1 ? "judge" : "disk fsync", 2 * n});
  }
  EXPECT_EQ(status, 0);
  EXPECT_GT(deaths, 3);
  expect_same(folder, "many deaths");
}

TEST_F(Resume, AfterInterruptions) {
  const auto folder = root / "interrupted";
  int stops = 0;
  while (!run_in(folder, 1 + stops % 2, 9 + stops)) ASSERT_LT(++stops, 100);
  EXPECT_GT(stops, 3);
  expect_same(folder, "interruptions");
}

}  // namespace
