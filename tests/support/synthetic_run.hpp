// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/observer.hpp>
#include <ql/random.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace ql::test {

// The files of a run that never was: two phases of SFT and RL each, validations, scoring, samples. `steps` a phase.
inline void write_synthetic_run(const io::file_path& folder, std::int64_t steps, bool hostile = false) {
  metric_files files(folder);
  run_log log(folder);
  const auto noise = [](std::int64_t step, std::uint32_t what) {
    return uniform({.seed = 7, .what = purpose::test, .example = what}, static_cast<std::uint64_t>(step)) - 0.5;
  };
  const auto both = [&](const auto& e) { files(e), log(e); };
  const std::string evil = hostile ? "<script>alert(1)</script>\"'&\x01" : "";
  log(run_started{.name = "demo" + evil,
                  .directory = "runs/demo",
                  .total_steps = 4 * steps,
                  .device = "cpu, 2 threads",
                  .parameters = 115'000});
  const std::int64_t lengths[] = {128, 256, 512, 1024};
  const auto validate = [&](const char* moment, std::int64_t phase, std::int64_t step, double skill) {
    validation_finished v;
    v.phase = phase, v.step = step, v.moment = moment, v.seconds = 2.5;
    for (int i = 0; i < 4; ++i) {
      const double a = std::clamp(1.0 - (0.24 + 0.1 * i) * i * (1.25 - skill), 0.03, 0.995);
      const double half = 1.96 * std::sqrt(a * (1 - a) / 400);
      v.by_length.push_back({lengths[i], a, std::max(0.0, a - half), std::min(1.0, a + half), 1024});
      v.accuracy += a / 4;
    }
    v.low = v.accuracy - 0.015, v.high = v.accuracy + 0.015, v.items = 4096;
    both(v);
  };
  validate("before", 0, 0, 0.05);
  double skill = 0.05;
  for (std::int64_t phase = 0; phase < 4; ++phase) {
    if (phase > 1) {
      scoring_finished s;
      s.phase = phase, s.step = phase * steps, s.scored = 512, s.retained = 128, s.tokens = 812'000, s.seconds = 6.25;
      s.histogram = {96, 40, 31, 28, 30, 35, 41, 52, 70, 89}, s.retained_histogram = {96, 22, 10, 0, 0, 0, 0, 0, 0, 0};
      both(s);
    }
    phase_started p;
    p.phase = phase, p.step = phase * steps, p.steps = steps, p.stage = phase == 0 ? "sft" : "rl";
    p.name =
        phase == 0 ? "warm-up on short documents" : "documents of up to " + std::to_string(lengths[phase]) + " tokens";
    p.max_length = lengths[phase], p.pool = 512 + (phase > 1 ? 128 : 0), p.retained = phase > 1 ? 128 : 0;
    both(p);
    for (std::int64_t i = 1; i <= steps; ++i) {
      const std::int64_t step = phase * steps + i;
      const double t = static_cast<double>(i) / static_cast<double>(steps);
      step_finished e;
      e.phase = phase, e.step = step, e.stage = p.stage;
      e.time.total = 0.8 + 0.3 * static_cast<double>(phase) + 0.1 * noise(step, 1);
      e.time.update = 0.55 * e.time.total, e.time.other = 0.02 * e.time.total;
      e.time.memory_peak_bytes = 412'000'000, e.time.wall = 1.7e9 + static_cast<double>(step);
      e.tokens_trained = 21'000, e.learning_rate = 3e-4;
      e.gradient_norm = 0.6 + 0.4 * noise(step, 2);
      e.loss = phase == 0 ? 2.2 * std::exp(-3 * t) + 0.1 * noise(step, 3) : 0.02 * noise(step, 3);
      if (phase > 0) {
        skill = 0.3 * static_cast<double>(phase - 1) + 0.3 * t + 0.05;
        const double a = std::clamp(0.35 + 0.5 * t + 0.12 * noise(step, 4), 0.0, 1.0);
        e.accuracy = a, e.reward_mean = a - 0.02, e.score_mean = a, e.reward_std = 0.4;
        e.entropy = 0.14 - 0.07 * t + 0.03 * noise(step, 5);
        if (i % 5 == 0) e.kl = 0.06 * skill + 0.004 * noise(step, 6);
        e.length_mean = 18 + 2 * noise(step, 7), e.length_max = 28, e.truncated = 0.03 * (1 - t);
        const auto mixed = static_cast<std::int64_t>(14 + 10 * noise(step, 8));
        e.groups_mixed = mixed, e.groups_right = static_cast<std::int64_t>(static_cast<double>(32 - mixed) * a);
        e.groups_wrong = 32 - mixed - *e.groups_right, e.groups_kept = mixed, e.refills = i % 4 == 0;
        e.clip_fraction = 0.01 + 0.005 * noise(step, 9), e.ratio_deviation = 0.2;
        if (phase > 1) e.retained_groups = 8, e.retained_mixed = 5;
        e.pool = p.pool, e.retained = p.retained;
        e.tokens_generated = 5'000, e.mismatch_compared = 5'000;
        e.time.rollout = 0.35 * e.time.total, e.time.reward = 0.08 * e.time.total;
      }
      e.time.tokens_per_second = static_cast<double>(e.tokens_trained + e.tokens_generated) / e.time.total;
      files(e);
      if (phase > 0 && i % 10 == 0) {
        for (int k = 0; k < 2; ++k) {
          sample_logged s;
          s.phase = phase, s.step = step, s.group = i % 32, s.sample = k, s.example = "doc-" + std::to_string(step);
          s.document =
              "carol reports_to dan . dan lives_in rome . emma has_7_coins . frank keeps_a cat . alice "
              "reports_to dan . " +
              evil;
          s.question = "where_lives the_boss_of alice ?";
          s.gold = "rome";
          s.response = k == 0 ? "alice reports_to dan . dan lives_in rome . so_the_answer_is rome"
                              : "alice reports_to emma . so_the_answer_is oslo" + evil;
          s.answer = k == 0 ? "rome" : "oslo";
          s.rule = k == 0, s.judge = k == 0 || i == 20, s.score = s.rule;
          s.why = k == 0 ? "the answer equals the gold answer" : "\"oslo\" is not \"rome\"";
          s.reward = *s.score, s.advantage = k == 0 ? 0.87 : -1.1, s.length = 14, s.truncated = k == 1 && i == 30;
          if (i == 20) s.ids = {5, 6}, s.pieces = {"alice", " reports_to"}, s.logp = {-0.25f, -0.0625f};
          files(s);
        }
      }
    }
    validate(phase == 3 ? "final" : "phase", phase, (phase + 1) * steps, skill);
  }
  log(warning{.what = "the generation batch of 40 groups is larger than the phase and was clamped to 32" + evil});
  log(run_finished{.reason = "finished", .step = 4 * steps, .seconds = 250});
  files.sync();
}

}  // namespace ql::test
