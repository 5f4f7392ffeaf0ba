// SPDX-License-Identifier: Apache-2.0
#pragma once

// The events' descriptions: names of metrics, keys of JSON lines, columns of the table.

#include <ql/observer.hpp>
#include <ql/reflect.hpp>

namespace ql {

template <>
inline constexpr auto members<run_started> =
    fields(field("name", &run_started::name), field("directory", &run_started::directory),
           field("resumed_at", &run_started::resumed_at), field("total_steps", &run_started::total_steps),
           field("device", &run_started::device), field("parameters", &run_started::parameters));

template <>
inline constexpr auto members<phase_started> =
    fields(field("phase", &phase_started::phase), field("step", &phase_started::step),
           field("stage", &phase_started::stage), field("name", &phase_started::name),
           field("steps", &phase_started::steps), field("max_length", &phase_started::max_length),
           field("pool", &phase_started::pool), field("retained", &phase_started::retained));

template <>
inline constexpr auto members<step_time> = fields(
    field("total", &step_time::total, "seconds of the step"),
    field("rollout", &step_time::rollout, "seconds of sampling answers"),
    field("reward", &step_time::reward, "seconds of rule and judge"),
    field("update", &step_time::update, "seconds of forward, backward and optimizer"),
    field("other", &step_time::other, "seconds of everything else"),
    field("tokens_per_second", &step_time::tokens_per_second, "generated and trained tokens by the step's seconds"),
    field("memory_peak_bytes", &step_time::memory_peak_bytes, "most memory the process has held so far"),
    field("wall", &step_time::wall, "seconds since 1970 at the step's end"));

template <>
inline constexpr auto members<step_finished> = fields(
    field("phase", &step_finished::phase, "phase of the curriculum, from 0"),
    field("step", &step_finished::step, "step, from 1 through all phases"),
    field("stage", &step_finished::stage, "sft or rl"),
    field("reward_mean", &step_finished::reward_mean, "mean reward after length shaping"),
    field("reward_std", &step_finished::reward_std, "its standard deviation over answers"),
    field("score_mean", &step_finished::score_mean, "mean task score, before shaping"),
    field("accuracy", &step_finished::accuracy, "share of answers with full score"),
    field("entropy", &step_finished::entropy, "mean entropy of the sampled tokens' distributions, nats"),
    field("kl", &step_finished::kl, "KL to the reference, where the monitor looked"),
    field("length_mean", &step_finished::length_mean, "mean length of answers, tokens"),
    field("length_max", &step_finished::length_max, "longest answer, tokens"),
    field("truncated", &step_finished::truncated, "share of answers cut by the length limit"),
    field("groups_wrong", &step_finished::groups_wrong, "groups with no right answer"),
    field("groups_mixed", &step_finished::groups_mixed, "groups with right and wrong answers"),
    field("groups_right", &step_finished::groups_right, "groups with right answers only"),
    field("groups_kept", &step_finished::groups_kept, "groups trained on"),
    field("groups_abstained", &step_finished::groups_abstained, "groups left out because a score is not known"),
    field("refills", &step_finished::refills, "generation batches drawn besides the first"),
    field("retained_groups", &step_finished::retained_groups, "groups of examples retained from earlier phases"),
    field("retained_mixed", &step_finished::retained_mixed, "those of them with right and wrong answers"),
    field("clip_fraction", &step_finished::clip_fraction, "share of tokens whose ratio was clipped"),
    field("ratio_deviation", &step_finished::ratio_deviation, "largest distance of a ratio from 1"),
    field("gradient_norm", &step_finished::gradient_norm, "norm before clipping, the largest of the step's updates"),
    field("learning_rate", &step_finished::learning_rate, "of the last update"),
    field("loss", &step_finished::loss, "loss of the last update"),
    field("skipped", &step_finished::skipped, "no update was made"),
    field("tokens_generated", &step_finished::tokens_generated, "sampled tokens, refills included"),
    field("tokens_trained", &step_finished::tokens_trained, "tokens that went through backward"),
    field("mismatch_compared", &step_finished::mismatch_compared, "log-probs compared with the training forward"),
    field("mismatch_found", &step_finished::mismatch_found, "those whose bits differ"),
    field("pool", &step_finished::pool, "examples that the phase draws from"),
    field("retained", &step_finished::retained, "those of them retained from earlier phases"),
    field("time", &step_finished::time, "all that may differ between two runs of one recipe"));

template <>
inline constexpr auto members<length_accuracy> =
    fields(field("length", &length_accuracy::length), field("accuracy", &length_accuracy::accuracy),
           field("low", &length_accuracy::low), field("high", &length_accuracy::high),
           field("items", &length_accuracy::items));

template <>
inline constexpr auto members<named_measure> =
    fields(field("name", &named_measure::name), field("value", &named_measure::value));

template <>
inline constexpr auto members<validation_finished> =
    fields(field("phase", &validation_finished::phase), field("step", &validation_finished::step),
           field("moment", &validation_finished::moment), field("set", &validation_finished::set),
           field("accuracy", &validation_finished::accuracy), field("low", &validation_finished::low),
           field("high", &validation_finished::high), field("items", &validation_finished::items),
           field("by_length", &validation_finished::by_length), field("measures", &validation_finished::measures),
           field("seconds", &validation_finished::seconds));

template <>
inline constexpr auto members<scoring_finished> =
    fields(field("phase", &scoring_finished::phase), field("step", &scoring_finished::step),
           field("scored", &scoring_finished::scored), field("retained", &scoring_finished::retained),
           field("histogram", &scoring_finished::histogram),
           field("retained_histogram", &scoring_finished::retained_histogram),
           field("tokens", &scoring_finished::tokens), field("seconds", &scoring_finished::seconds));

template <>
inline constexpr auto members<checkpoint_saved> =
    fields(field("step", &checkpoint_saved::step), field("name", &checkpoint_saved::name),
           field("bytes", &checkpoint_saved::bytes), field("seconds", &checkpoint_saved::seconds),
           field("best", &checkpoint_saved::best));

template <>
inline constexpr auto members<sample_logged> = fields(
    field("phase", &sample_logged::phase), field("step", &sample_logged::step), field("group", &sample_logged::group),
    field("sample", &sample_logged::sample), field("example", &sample_logged::example),
    field("document", &sample_logged::document), field("question", &sample_logged::question),
    field("gold", &sample_logged::gold), field("response", &sample_logged::response),
    field("answer", &sample_logged::answer), field("rule", &sample_logged::rule), field("judge", &sample_logged::judge),
    field("why", &sample_logged::why), field("score", &sample_logged::score), field("reward", &sample_logged::reward),
    field("advantage", &sample_logged::advantage), field("length", &sample_logged::length),
    field("truncated", &sample_logged::truncated), field("kept", &sample_logged::kept),
    field("dropped", &sample_logged::dropped), field("ids", &sample_logged::ids),
    field("pieces", &sample_logged::pieces), field("logp", &sample_logged::logp));

template <>
inline constexpr auto members<warning> = fields(field("what", &warning::what), field("step", &warning::step));

template <>
inline constexpr auto members<run_finished> =
    fields(field("reason", &run_finished::reason), field("detail", &run_finished::detail),
           field("step", &run_finished::step), field("seconds", &run_finished::seconds));

}  // namespace ql
