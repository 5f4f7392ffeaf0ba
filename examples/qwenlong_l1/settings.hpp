// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a recipe file may say about reinforcement learning. Defaults are the paper's DAPO (spec: docs/recipe.md).

#include <ql/curriculum/curriculum.hpp>
#include <ql/reflect.hpp>
#include <ql/trainer.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace ql::qwenlong {

enum class advantage_kind : std::uint8_t { grpo, dr_grpo, rloo, task_std };
enum class loss_kind : std::uint8_t { clip, ratio, cispo };
enum class aggregation_kind : std::uint8_t { token_mean, prompt_mean, sequence_mean, micro_batch };
enum class course_kind : std::uint8_t { phased, mixed, single_stage };
enum class retention_kind : std::uint8_t { zero_accuracy, weighted, random, none };

struct rl_settings {
  std::vector<curriculum::phase> phases;
  course_kind course = course_kind::phased;
  retention_kind retention = retention_kind::zero_accuracy;
  curriculum::score_source scoring = curriculum::score_source::current;
  std::int64_t score_at_most = 0;
  std::int32_t group_size = 8;
  std::int64_t train_groups = 0;
  std::int64_t updates_per_batch = 4;
  bool dynamic_sampling = true;
  std::int64_t refill_rounds = 10;
  ql::surplus surplus = ql::surplus::discard;
  on_abstention abstained = on_abstention::wait;
  double overlong = 0.1;
  double temperature = 0.7, top_p = 0.95;
  advantage_kind advantage = advantage_kind::grpo;
  double advantage_eps = 1e-6;
  loss_kind loss = loss_kind::clip;
  double clip_low = 0.2, clip_high = 0.28, entropy_coefficient = 0, aepo_low = 0, aepo_high = 0;
  aggregation_kind aggregation = aggregation_kind::prompt_mean;
  double learning_rate = 2e-6, beta1 = 0.9, beta2 = 0.999, weight_decay = 0.01, max_norm = 1.0;
  std::int64_t warm_up_steps = 0;
  ql::phase_change phase_change = ql::phase_change::fresh_optimizer;
  ql::audit audit = ql::audit::first_update;
  std::int64_t kl_every = 5, skips = 10;
  double perturbation = 0;
  std::int64_t micro_batch_tokens = 1 << 15, session_tokens = 1 << 16;
  model::keep keep = model::keep::everything;
};

// The phases as they are trained: one after another, or one in the place of all.
inline std::vector<curriculum::phase> phases_of(const rl_settings& s) {
  const auto merged = [](const auto& one) {
    one.broken_rules().throw_if_any();
    return one.merged().phases;
  };
  switch (s.course) {
    case course_kind::mixed: return merged(curriculum::mixed{.phases = s.phases});
    case course_kind::single_stage: return merged(curriculum::single_stage{.phases = s.phases});
    case course_kind::phased: break;
  }
  return s.phases;
}

}  // namespace ql::qwenlong

// clang-format off
template <> inline constexpr auto ql::names<ql::qwenlong::advantage_kind> = ql::enumerators<ql::qwenlong::advantage_kind>({
    {"grpo", ql::qwenlong::advantage_kind::grpo}, {"dr_grpo", ql::qwenlong::advantage_kind::dr_grpo},
    {"rloo", ql::qwenlong::advantage_kind::rloo}, {"task_std", ql::qwenlong::advantage_kind::task_std}});
template <> inline constexpr auto ql::names<ql::qwenlong::loss_kind> = ql::enumerators<ql::qwenlong::loss_kind>({
    {"clip", ql::qwenlong::loss_kind::clip}, {"ratio", ql::qwenlong::loss_kind::ratio},
    {"cispo", ql::qwenlong::loss_kind::cispo}});
template <> inline constexpr auto ql::names<ql::qwenlong::aggregation_kind> = ql::enumerators<ql::qwenlong::aggregation_kind>({
    {"token_mean", ql::qwenlong::aggregation_kind::token_mean}, {"prompt_mean", ql::qwenlong::aggregation_kind::prompt_mean},
    {"sequence_mean", ql::qwenlong::aggregation_kind::sequence_mean}, {"micro_batch", ql::qwenlong::aggregation_kind::micro_batch}});
template <> inline constexpr auto ql::names<ql::qwenlong::course_kind> = ql::enumerators<ql::qwenlong::course_kind>({
    {"phased", ql::qwenlong::course_kind::phased}, {"mixed", ql::qwenlong::course_kind::mixed},
    {"single_stage", ql::qwenlong::course_kind::single_stage}});
template <> inline constexpr auto ql::names<ql::qwenlong::retention_kind> = ql::enumerators<ql::qwenlong::retention_kind>({
    {"zero_accuracy", ql::qwenlong::retention_kind::zero_accuracy}, {"weighted", ql::qwenlong::retention_kind::weighted},
    {"random", ql::qwenlong::retention_kind::random}, {"none", ql::qwenlong::retention_kind::none}});
template <> inline constexpr auto ql::names<ql::curriculum::score_source> = ql::enumerators<ql::curriculum::score_source>({
    {"history", ql::curriculum::score_source::history}, {"initial", ql::curriculum::score_source::initial},
    {"current", ql::curriculum::score_source::current}});
template <> inline constexpr auto ql::names<ql::surplus> = ql::enumerators<ql::surplus>({
    {"discard", ql::surplus::discard}, {"carry", ql::surplus::carry}});
template <> inline constexpr auto ql::names<ql::on_abstention> = ql::enumerators<ql::on_abstention>({
    {"wait", ql::on_abstention::wait}, {"drop", ql::on_abstention::drop}});
template <> inline constexpr auto ql::names<ql::phase_change> = ql::enumerators<ql::phase_change>({
    {"fresh_optimizer", ql::phase_change::fresh_optimizer}, {"keep_optimizer", ql::phase_change::keep_optimizer}});
template <> inline constexpr auto ql::names<ql::audit> = ql::enumerators<ql::audit>({
    {"first_update", ql::audit::first_update}, {"whole_batch", ql::audit::whole_batch}});
template <> inline constexpr auto ql::names<ql::model::keep> = ql::enumerators<ql::model::keep>({
    {"everything", ql::model::keep::everything}, {"inputs_and_attention", ql::model::keep::inputs_and_attention},
    {"inputs", ql::model::keep::inputs}, {"nothing", ql::model::keep::nothing}});

template <> inline constexpr auto ql::members<ql::curriculum::plateau> = ql::fields(
    ql::field("window", &ql::curriculum::plateau::window, "steps of the running mean; 0: off"),
    ql::field("patience", &ql::curriculum::plateau::patience, "steps without a gain that end the phase"),
    ql::field("gain", &ql::curriculum::plateau::gain, "what counts as a gain"));
template <> inline constexpr auto ql::members<ql::curriculum::retained_size> = ql::fields(
    ql::field("count", &ql::curriculum::retained_size::count, "earlier examples brought along; 0: by fraction"),
    ql::field("fraction", &ql::curriculum::retained_size::fraction, "of the phase's own examples"));
template <> inline constexpr auto ql::members<ql::curriculum::phase> = ql::fields(
    ql::field("name", &ql::curriculum::phase::name, "stands in metrics and checkpoints"),
    ql::field("above", &ql::curriculum::phase::lo_exclusive, "prompts are longer than this, in tokens"),
    ql::field("up_to", &ql::curriculum::phase::hi_inclusive, "and at most this long"),
    ql::field("max_prompt_tokens", &ql::curriculum::phase::max_prompt_tokens, "window of a prompt; 0: up_to"),
    ql::field("max_response_tokens", &ql::curriculum::phase::max_response_tokens, "longest answer"),
    ql::field("steps", &ql::curriculum::phase::steps, "training steps"),
    ql::field("epochs", &ql::curriculum::phase::epochs, "or passes over the phase's examples"),
    ql::field("tokens", &ql::curriculum::phase::tokens, "or tokens sampled, scored and trained on"),
    ql::field("stop", &ql::curriculum::phase::stop, "or until the score no longer rises"),
    ql::field("batch", &ql::curriculum::phase::batch, "prompts of a training batch"),
    ql::field("generation_batch", &ql::curriculum::phase::generation_batch, "prompts of a generation round; 0: batch"),
    ql::field("retention", &ql::curriculum::phase::retention, "how many earlier examples come along"));

template <> inline constexpr auto ql::members<ql::qwenlong::rl_settings> = ql::fields(
    ql::field("phases", &ql::qwenlong::rl_settings::phases, "from short to long"),
    ql::field("course", &ql::qwenlong::rl_settings::course, "phase after phase, or one phase of all lengths or of the last"),
    ql::field("retention", &ql::qwenlong::rl_settings::retention, "which earlier examples come along"),
    ql::field("scoring", &ql::qwenlong::rl_settings::scoring, "which policy scores them"),
    ql::field("score_at_most", &ql::qwenlong::rl_settings::score_at_most, "examples scored at a change of phase; 0: all"),
    ql::field("group_size", &ql::qwenlong::rl_settings::group_size, "answers a prompt"),
    ql::field("train_groups", &ql::qwenlong::rl_settings::train_groups, "groups of a training batch; 0: the phase's batch"),
    ql::field("updates_per_batch", &ql::qwenlong::rl_settings::updates_per_batch, "optimizer steps a batch"),
    ql::field("dynamic_sampling", &ql::qwenlong::rl_settings::dynamic_sampling, "train on groups with right and wrong answers alone"),
    ql::field("refill_rounds", &ql::qwenlong::rl_settings::refill_rounds, "generation rounds a step; 0: no limit"),
    ql::field("surplus", &ql::qwenlong::rl_settings::surplus, "kept groups beyond the batch"),
    ql::field("abstained", &ql::qwenlong::rl_settings::abstained, "groups that could not be judged"),
    ql::field("overlong", &ql::qwenlong::rl_settings::overlong, "share of the longest answer that is penalised; 0: off"),
    ql::field("temperature", &ql::qwenlong::rl_settings::temperature, "of sampling and of all log-probs"),
    ql::field("top_p", &ql::qwenlong::rl_settings::top_p, "of sampling"),
    ql::field("advantage", &ql::qwenlong::rl_settings::advantage, "estimator"),
    ql::field("advantage_eps", &ql::qwenlong::rl_settings::advantage_eps, "added to the standard deviation"),
    ql::field("loss", &ql::qwenlong::rl_settings::loss, "of a token"),
    ql::field("clip_low", &ql::qwenlong::rl_settings::clip_low, "width below 1"),
    ql::field("clip_high", &ql::qwenlong::rl_settings::clip_high, "width above 1"),
    ql::field("entropy_coefficient", &ql::qwenlong::rl_settings::entropy_coefficient, "of the entropy bonus"),
    ql::field("aepo_low", &ql::qwenlong::rl_settings::aepo_low, "batch entropy below which answers with a negative advantage are used again"),
    ql::field("aepo_high", &ql::qwenlong::rl_settings::aepo_high, "and above which they are left out; 0: always used"),
    ql::field("aggregation", &ql::qwenlong::rl_settings::aggregation, "from tokens to one number"),
    ql::field("learning_rate", &ql::qwenlong::rl_settings::learning_rate, "constant"),
    ql::field("beta1", &ql::qwenlong::rl_settings::beta1, "of AdamW"),
    ql::field("beta2", &ql::qwenlong::rl_settings::beta2, "of AdamW"),
    ql::field("weight_decay", &ql::qwenlong::rl_settings::weight_decay, "of AdamW"),
    ql::field("max_norm", &ql::qwenlong::rl_settings::max_norm, "of the gradient"),
    ql::field("warm_up_steps", &ql::qwenlong::rl_settings::warm_up_steps, "of the learning rate, in each phase"),
    ql::field("phase_change", &ql::qwenlong::rl_settings::phase_change, "what becomes of the optimizer's moments"),
    ql::field("audit", &ql::qwenlong::rl_settings::audit, "which recorded log-probs are held against a fresh forward"),
    ql::field("kl_every", &ql::qwenlong::rl_settings::kl_every, "steps between two looks at the KL to the start; 0: never"),
    ql::field("skips", &ql::qwenlong::rl_settings::skips, "empty steps in a row that end the run"),
    ql::field("perturbation", &ql::qwenlong::rl_settings::perturbation, "deviation of noise on recorded log-probs; 0: exact"),
    ql::field("micro_batch_tokens", &ql::qwenlong::rl_settings::micro_batch_tokens, "bounds memory, changes no bit"),
    ql::field("session_tokens", &ql::qwenlong::rl_settings::session_tokens, "bounds memory, changes no bit"),
    ql::field("keep", &ql::qwenlong::rl_settings::keep, "what is kept for backward"));
// clang-format on
