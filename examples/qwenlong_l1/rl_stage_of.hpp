// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cpu/kernels.hpp>
#include <ql/rl/sampler.hpp>

#include <utility>

#include "recipe.hpp"
#include "rl_stage.hpp"

namespace ql::qwenlong {

template <class T>
struct rl_stage<T>::parts {
  using recipe_type = decltype(recipe_of(rl_settings{}));
  using trainer_type = rl_trainer<policy_of<T>, any_task, recipe_type>;
  cpu::context* ctx;
  policy_of<T>* policy;
  trainer_type trainer;

  explicit parts(const rl_stage_request<T>& r)
      : ctx(r.ctx),
        policy(r.policy),
        trainer(*r.ctx, *r.policy, *r.task, with(recipe_of(r.settings), slot::engine = engine_of(r.settings, r.book)),
                options_of(r.settings, r.seed, r.stop)) {
    if (r.reference != nullptr) trainer.set_reference(r.reference);
    if (r.drops != nullptr) trainer.keep_drops(*r.drops);
    if (r.ranks) trainer.share_with(*r.ranks, {.update = r.split});
  }
};

template <class T>
rl_stage<T>::rl_stage(const rl_stage_request<T>& r) : parts_(std::make_unique<parts>(r)) {}
template <class T>
rl_stage<T>::~rl_stage() {}  // not defaulted: it is instantiated by name

template <class T>
void rl_stage<T>::gather() {
  parts_->trainer.optimizer();
}

template <class T>
void rl_stage<T>::save(checkpoint_writer& w) const {
  w.value("state/trainer", parts_->trainer.state());
  put_optimizer(w, *parts_->policy, parts_->trainer.optimizer());
}

template <class T>
void rl_stage<T>::restore(const checkpoint_reader& r) {
  parts_->trainer.restore(r.value<typename parts::trainer_type::state_type>("state/trainer"));
  get_optimizer(r, *parts_->policy, parts_->trainer.optimizer());
}

template <class T>
run_end rl_stage<T>::run(run_record& record, const rl_run_options& o, const rl_run_hooks& hooks, rl_run_state& state) {
  return run_rl(parts_->trainer, record, o, hooks, state);
}

template <class T>
std::int64_t rl_stage<T>::steps() const {
  return parts_->trainer.state().step + parts_->trainer.state().all_skipped;
}
template <class T>
std::int64_t rl_stage<T>::phase_step() const {
  return parts_->trainer.state().phase_step;
}
template <class T>
advance_report rl_stage<T>::draw(const std::function<bool()>& stop) {
  parts_->trainer.on_sampling([&stop](std::int64_t) {
    if (stop()) throw interruption();
  });
  return parts_->trainer.draw();
}
template <class T>
std::span<const group<float>> rl_stage<T>::drawn() const {
  return parts_->trainer.drawn();
}
template <class T>
std::span<const group<float>> rl_stage<T>::trained() const {
  return parts_->trainer.trained();
}

template <class T>
std::vector<group<float>> answer_groups(cpu::context& ctx, policy_of<T>& policy, any_task& task,
                                        std::span<const std::int64_t> examples, const answer_options& o) {
  std::vector<rollout_request> requests;
  for (auto e : examples) requests.push_back({e, 0});
  rollout_options r;
  r.seed = o.seed, r.what = o.what, r.group_size = o.group_size, r.max_new_tokens = o.max_new_tokens;
  r.stop = o.stop, r.session_tokens = o.session_tokens;
  rollout_report report;
  const auto between = [&](std::int64_t) {
    if (o.interrupted()) throw interruption();
  };
  const auto answers = [&](std::span<const rollout_request> some, rollout_report& said) {
    const auto sample = [&](auto sampler) {
      return session_engine{}(ctx, policy, task, some, r, sampler, said, between);
    };
    return o.temperature > 0 ? sample(rl::stochastic({.temperature = o.temperature, .top_p = o.top_p}))
                             : sample(rl::greedy());
  };
  if (!o.ranks) {
    auto groups = answers(requests, report);
    score_groups<any_task, float>(task, groups);
    return groups;
  }
  auto groups = sample_on_ranks<float>(*o.ranks, task, std::span<const rollout_request>(requests), r, report, answers);
  score_on_ranks<float, any_task>(*o.ranks, task, groups);
  return groups;
}

}  // namespace ql::qwenlong
