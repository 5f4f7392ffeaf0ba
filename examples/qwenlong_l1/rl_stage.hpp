// SPDX-License-Identifier: Apache-2.0
#pragma once

// The RL of a run: the reference recipe over any task, for a policy of either scalar type. Compiled once for each, in
// rl_stage_float.cpp and rl_stage_bf16.cpp.

#include <ql/backend/cpu/context.hpp>
#include <ql/checkpoint.hpp>
#include <ql/data_parallel.hpp>
#include <ql/io/verdict_journal.hpp>
#include <ql/model/decoder.hpp>
#include <ql/ranks.hpp>
#include <ql/replay.hpp>
#include <ql/rl_run.hpp>
#include <ql/rollout.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "run_record.hpp"
#include "settings.hpp"
#include "task.hpp"

namespace ql::qwenlong {

template <class T>
using policy_of = model::decoder<T, cpu::context>;

template <class T>
struct rl_stage_request {
  cpu::context* ctx = nullptr;
  policy_of<T>* policy = nullptr;
  policy_of<T>* reference = nullptr;  // the policy before RL; may be null
  any_task* task = nullptr;
  rl_settings settings;
  std::uint64_t seed = 1;
  std::vector<token> stop;
  io::verdict_journal* drops = nullptr;  // where groups that are dropped for want of a verdict are kept; may be null
  const rollout_book<float>* book = nullptr;  // answers to train on instead of sampling them; may be null
  std::optional<comm::any> ranks = {};        // that do it together
  update_split split = update_split::lanes;
};

// What the request points at must outlive the stage.
template <class T>
class rl_stage {
 public:
  explicit rl_stage(const rl_stage_request<T>& r);
  ~rl_stage();
  rl_stage(const rl_stage&) = delete;
  rl_stage& operator=(const rl_stage&) = delete;

  // Everything but weights: "state/..." and "optimizer/...", on the rank that writes. Ranks gather the optimizer's
  // memory first, all of them.
  void gather();
  void save(checkpoint_writer& w) const;
  void restore(const checkpoint_reader& r);
  run_end run(run_record& record, const rl_run_options& o, const rl_run_hooks& hooks, rl_run_state& state);

  std::int64_t steps() const;       // trained or skipped
  std::int64_t phase_step() const;  // in the phase at hand, trained
  // Samples and scores what the next step trains on; state and weights stay. May be called after a run that paused.
  advance_report draw(const std::function<bool()>& stop);
  // Groups of the last step; and those that it trained on.
  std::span<const group<float>> drawn() const;
  std::span<const group<float>> trained() const;

 private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

struct answer_options {
  std::uint64_t seed = 0;
  purpose what = purpose::validate;
  std::int32_t group_size = 1;
  std::int64_t max_new_tokens = 0;
  std::vector<token> stop;
  std::int64_t session_tokens = 1 << 16;
  double temperature = 0, top_p = 1;                         // 0: greedy
  std::function<bool()> interrupted = [] { return false; };  // asked between decode steps
  std::optional<comm::any> ranks = {};                       // that share the work; the first of them scores
};

// Answers to examples of a task, scored. Throws interruption.
template <class T>
std::vector<group<float>> answer_groups(cpu::context& ctx, policy_of<T>& policy, any_task& task,
                                        std::span<const std::int64_t> examples, const answer_options& o);

// Master weights under a prefix of a checkpoint.
template <class T>
void put_weights(checkpoint_writer& w, const std::string& prefix, const policy_of<T>& p) {
  for (const auto& q : p.parameters())
    w.array(prefix + q.name, std::span<const float>(q.master.data(), static_cast<std::size_t>(q.size())));
}
template <class T>
void get_weights(const checkpoint_reader& r, const std::string& prefix, cpu::context& ctx, policy_of<T>& p) {
  for (auto& q : p.parameters())
    r.array(prefix + q.name, std::span<float>(q.master.data(), static_cast<std::size_t>(q.size())));
  p.publish(ctx);
}

// An optimizer's state beside them.
template <class Policy, class State>
void put_optimizer(checkpoint_writer& w, Policy& policy, State& s) {
  w.value("state/optimizer_steps", s.steps);
  s.visit(policy, [&](std::string_view name, std::string_view slot, auto buffer) {
    w.array("optimizer/" + std::string(name) + "." + std::string(slot),
            std::span<const float>(buffer.data_handle(), static_cast<std::size_t>(buffer.size())));
  });
}
template <class Policy, class State>
void get_optimizer(const checkpoint_reader& r, Policy& policy, State& s) {
  s.steps = r.value<std::int64_t>("state/optimizer_steps");
  s.visit(policy, [&](std::string_view name, std::string_view slot, auto buffer) {
    r.array("optimizer/" + std::string(name) + "." + std::string(slot),
            std::span<float>(buffer.data_handle(), static_cast<std::size_t>(buffer.size())));
  });
}

}  // namespace ql::qwenlong
