// SPDX-License-Identifier: Apache-2.0
#pragma once

// A trainer driven to its end: events for observers, validation, checkpoints, interruption and resumption.

#include <ql/checkpoint.hpp>
#include <ql/observer.hpp>
#include <ql/trainer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace ql {

enum class run_end : std::uint8_t { finished, interrupted, paused };

struct rl_run_options {
  std::int64_t checkpoint_every = 20;  // training steps; phases end with one anyhow
  std::int64_t validate_every = 0;     // training steps; 0: at the ends of phases alone
  std::int64_t first_step = 0;         // steps of stages before, counted in the same files
  std::int64_t first_phase = 0;        // phases of stages before
  double retry_seconds = 5;            // between two looks for a judge that is away, or for room on the disk
  // Training steps after which the run pauses with a checkpoint. 0: right before the next training step, with all done
  // that comes before it (a first validation, scoring). None: it goes on to the end.
  std::optional<std::int64_t> steps = {};
};

// What the loop remembers between two calls, besides the trainer's state; it belongs into every checkpoint.
struct rl_run_state {
  bool begun = false;         // the look at the policy before the first step is done
  double best_accuracy = -1;  // of all validations
  friend bool operator==(const rl_run_state&, const rl_run_state&) = default;
};

// What the loop cannot know.
struct rl_run_hooks {
  std::function<bool()> stop = [] { return false; };                       // asked often
  std::function<validation_finished(const std::string& moment)> validate;  // may be empty
  std::function<void(std::int64_t phase, std::int64_t step)> log_samples;  // after a step; may be empty
  std::function<std::string()> save;                                       // a checkpoint; returns its name
  std::function<void(const std::string& checkpoint)> best;                 // validation was never better
};

namespace detail {

// Whether `stop` cut it short.
inline bool rest(double seconds, const std::function<bool()>& stop) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (std::chrono::steady_clock::now() < until) {
    if (stop()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return false;
}
inline void wait(double seconds, const std::function<bool()>& stop) {
  if (rest(seconds, stop)) throw interruption();
}

// Saves; where the disk is full it says what is missing and waits for room.
template <class Observe>
std::string save_with_patience(const rl_run_options& o, const rl_run_hooks& hooks, Observe& observe,
                               std::int64_t step) {
  for (bool said = false;; said = true) {
    try {
      return hooks.save();
    } catch (const io::disk_full_error& e) {
      if (!said)
        observe(warning{.what = std::string(e.what()) + "; the run waits until there are " +
                                std::to_string(e.missing_bytes()) + " bytes more",
                        .step = step});
      wait(o.retry_seconds, hooks.stop);
    }
  }
}

inline step_finished event_of(const step_metrics& m, bool skipped, std::int64_t phase, std::int64_t step) {
  step_finished e;
  e.phase = phase, e.step = step, e.stage = "rl";
  e.reward_mean = m.reward, e.reward_std = m.reward_deviation, e.score_mean = m.score, e.accuracy = m.accuracy;
  e.entropy = m.entropy, e.kl = m.kl_to_reference;
  e.length_mean = m.length, e.length_max = m.longest, e.truncated = m.truncated;
  e.groups_wrong = m.all_wrong, e.groups_mixed = m.mixed, e.groups_right = m.all_right;
  e.groups_kept = m.trained, e.groups_abstained = m.dropped, e.refills = m.rounds > 0 ? m.rounds - 1 : 0;
  e.retained_groups = m.retained, e.retained_mixed = m.retained_mixed;
  e.skipped = skipped;
  if (!skipped) {
    e.clip_fraction = m.clip_fraction, e.ratio_deviation = math::exp(m.log_ratio_max) - 1;
    e.gradient_norm = m.gradient_norm, e.loss = m.loss;
  }
  e.learning_rate = m.rate;
  e.tokens_generated = m.tokens_sampled, e.tokens_trained = m.rows_trained;
  e.mismatch_compared = m.compared, e.mismatch_found = m.differing;
  e.time.rollout = m.seconds_sampling, e.time.reward = m.seconds_scoring, e.time.update = m.seconds_training;
  e.time.total = m.seconds_sampling + m.seconds_scoring + m.seconds_training;
  if (e.time.total > 0)
    e.time.tokens_per_second = static_cast<double>(m.tokens_sampled + m.rows_trained) / e.time.total;
  e.time.wall = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return e;
}

}  // namespace detail

// Goes on from the trainer's state to the end of its curriculum. Every phase ends with a validation and a checkpoint.
// Interrupted, it saves what is complete and returns; the same call with the restored trainer goes on. So it does after
// a pause. With several ranks all of them run it with the same options; hooks are called on every
// rank at the same places, and rank 0 alone writes files.
template <class Trainer, class Observe>
run_end run_rl(Trainer& trainer, Observe& observe, const rl_run_options& o, rl_run_hooks hooks, rl_run_state& state) {
  if (!hooks.stop) hooks.stop = [] { return false; };
  trainer.on_sampling([&hooks](std::int64_t) {
    if (hooks.stop()) throw interruption();
  });
  const auto& course = trainer.recipe()[slot::curriculum];
  const auto step_now = [&] { return o.first_step + trainer.state().step + trainer.state().all_skipped; };
  const auto phase_now = [&] { return o.first_phase + std::max<std::int64_t>(0, trainer.state().phase_index); };
  bool improved = false;  // since the last checkpoint
  bool whole = true;      // all that belongs to the last step is done: a checkpoint now loses nothing
  const auto begin_phase = [&] {
    if (course.now(trainer.state().curriculum) != curriculum::activity::train) return;
    const auto limits = course.limits(trainer.state().curriculum);
    phase_started e;
    e.phase = o.first_phase + trainer.state().phase_index + 1;  // the trainer enters it with its first step
    e.step = step_now(), e.stage = "rl", e.name = limits.name, e.steps = limits.steps,
    e.max_length = limits.hi_inclusive;
    if constexpr (requires { course.report(trainer.state().curriculum, std::int64_t{0}); }) {
      const auto r = course.report(trainer.state().curriculum, e.phase - o.first_phase);
      e.pool = r.own + r.retained, e.retained = r.retained;
    }
    observe(e);
  };
  const auto validate = [&](const char* moment) {
    if (!hooks.validate) return;
    validation_finished v = hooks.validate(moment);
    v.phase = phase_now(), v.step = step_now(), v.moment = moment;
    observe(v);
    if (v.accuracy > state.best_accuracy) state.best_accuracy = v.accuracy, improved = true;
  };
  const auto save = [&] {
    const auto name = detail::save_with_patience(o, hooks, observe, step_now());
    if (improved && hooks.best) hooks.best(name);
    improved = false;
  };
  try {
    if (!state.begun) {
      whole = false;
      validate("before");
      begin_phase();
      state.begun = true;
      save();
      whole = true;
    }
    double scoring_seconds = 0;
    std::int64_t scored = 0, trained = 0;
    bool saved = true;
    for (;;) {
      if (trainer.on_any_rank(hooks.stop())) throw interruption();
      if (o.steps && trained >= *o.steps) {
        const auto next = course.now(trainer.state().curriculum);
        if (next == curriculum::activity::train || (next == curriculum::activity::score && trained > 0)) {
          if (!saved) save();
          return run_end::paused;
        }
      }
      detail::stopwatch clock;
      const auto r = trainer.advance();
      if (r.kind == advance_kind::finished) break;
      whole = false;
      if (r.kind == advance_kind::waiting) {
        whole = true;
        observe(warning{.what = "waiting for the judge: " + r.why, .step = step_now()});
        save();
        detail::rest(o.retry_seconds, hooks.stop);  // all ranks ask together whether one of them was stopped
        continue;
      }
      if (r.kind == advance_kind::scored) {
        scored += r.scored;
        scoring_seconds += clock.lap();
        observe(scoring_progress{.what = "scoring earlier examples", .done = scored, .total = scored + r.to_score});
        if (r.phase_ended) {
          scoring_finished e;
          e.phase = phase_now() + 1, e.step = step_now(), e.scored = scored, e.seconds = scoring_seconds;
          if constexpr (requires { course.report(trainer.state().curriculum, std::int64_t{0}); }) {
            const auto said = course.report(trainer.state().curriculum, trainer.state().phase_index + 1);
            e.scored = said.scored, e.retained = said.retained, e.histogram = said.histogram;
          }
          if constexpr (requires { trainer.state().curriculum.spent; }) e.tokens = trainer.state().curriculum.spent;
          observe(e);
          scored = 0, scoring_seconds = 0;
          begin_phase();
        }
        save();
        whole = true;
        continue;
      }
      const bool skipped = r.kind == advance_kind::skipped;
      ++trained, saved = false;
      observe(detail::event_of(r.metrics, skipped, phase_now(), step_now()));
      if (r.metrics.clamped && r.metrics.phase_step == 1)
        observe(warning{.what = "phase " + r.metrics.phase + " has fewer examples than a generation batch",
                        .step = step_now()});
      if (r.metrics.differing > 0)
        observe(warning{.what = std::to_string(r.metrics.differing) + " of " + std::to_string(r.metrics.compared) +
                                " recorded log-probs are not those of the training forward",
                        .step = step_now()});
      if (hooks.log_samples) hooks.log_samples(phase_now(), step_now());
      const bool over = course.now(trainer.state().curriculum) == curriculum::activity::finished;
      if (r.phase_ended) {
        validate(over ? "final" : "phase");
        begin_phase();
      } else if (o.validate_every > 0 && trainer.state().step % o.validate_every == 0 && !skipped) {
        validate("step");
      }
      if (r.phase_ended || (o.checkpoint_every > 0 && trainer.state().step % o.checkpoint_every == 0)) {
        save();
        saved = true;
      }
      whole = true;
    }
  } catch (const interruption&) {
    if (whole) hooks.save();
    return run_end::interrupted;
  }
  return run_end::finished;
}

}  // namespace ql
