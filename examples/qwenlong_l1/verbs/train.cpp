// SPDX-License-Identifier: Apache-2.0
#include "../train/train.hpp"

#include <cstdio>

#include "ranks.hpp"
#include "verb.hpp"

namespace ql::tool {
namespace {

using qwenlong::train_part;

struct settings {
  std::string recipe, directory, rollouts, split = "lanes";
  std::vector<std::string> set;
  int threads = 0;
  bool keep_rollouts = false;
};

void declare_run(options& o, settings& s) {
  o.required("recipe", s.recipe, "TOML file (docs/train.md)")
      .required("directory", s.directory, "of the run; the same command again goes on there")
      .optional("--set", s.set, "key=value over the recipe, any number of them")
      .optional("--threads", s.threads, "0: all cores; changes no bit");
}

int run_part(const settings& s, train_part part, std::optional<comm::any> ranks = {}) {
  if (part != train_part::whole) expect_alone();
  ql::detail::expects(s.threads >= 0 && s.threads <= 1024, "train", "--threads", "0 (all cores) to 1024", s.threads);
  qwenlong::train_request r{part, s.recipe, s.directory, s.set, s.threads};
  r.rollouts = s.rollouts, r.keep_rollouts = s.keep_rollouts;
  r.ranks = ranks, r.split = split_of(s.split);
  return qwenlong::run_train(r, interrupted) ? 0 : 75;
}

void declare(options& o, settings& s) {
  declare_run(o, s);
  o.flag("--keep-rollouts", s.keep_rollouts, "every answer of every step: DIRECTORY/rollouts/step_NNNNNNNN.jsonl.gz")
      .choice("--split", s.split, split_words, split_help);
  o.footer(
      "Trains a pretrained model on questions about documents: warm-up SFT, then RL in phases from short to long\n"
      "prompts. Interrupted, it exits with 75; killed at any moment, the same command goes on from the last "
      "checkpoint.\nProcesses that mpirun starts do one run together (docs/parallel.md).");
}

int run(const settings& s) {
  return on_ranks([&](std::optional<comm::any> ranks) { return run_part(s, train_part::whole, ranks); });
}

void declare_sft(options& o, settings& s) {
  declare_run(o, s);
  o.footer("The warm-up of a run alone: the model is in DIRECTORY/warm_up. `train` or `rollout` go on from it.");
}
int run_sft(const settings& s) { return run_part(s, train_part::sft); }

void declare_rollout(options& o, settings& s) {
  declare_run(o, s);
  o.required("--out", s.rollouts, "JSON lines; .gz is compressed");
  o.footer(
      "Does what comes before a run's next training step (warm-up, first validation, scoring), then samples and "
      "scores\n"
      "the answers of that step: tokens, log-probs, entropies, scores, rewards, advantages. The policy stays as it "
      "is.");
}
int run_rollout(const settings& s) { return run_part(s, train_part::rollout); }

void declare_update(options& o, settings& s) {
  declare_run(o, s);
  o.required("--from", s.rollouts, "file of `rollout` or of `train --keep-rollouts`");
  o.footer(
      "The training step of a file of rollouts: nothing is sampled or judged again. `rollout` and `update` in turns "
      "come\n"
      "to the same bits as `train`. A step that the run has behind it is replayed, and its weights are compared with "
      "the\n"
      "run's own, bit by bit; the run stays as it is.");
}
int run_update(const settings& s) { return run_part(s, train_part::update); }

struct check_settings {
  std::string recipe, directory;
  std::vector<std::string> set;
};

void declare_check(options& o, check_settings& s) {
  o.required("recipe", s.recipe, "TOML file, or the name of a preset")
      .optional("directory", s.directory, "of the run to come: has its disk room?")
      .optional("--set", s.set, "key=value over the recipe, any number of them");
  o.footer(
      "Prints every setting with its value, then what the data and the steps amount to, whether the disk has room and "
      "the\n"
      "judge answers. Nothing is trained.");
}

int run_check(const check_settings& s) {
  for (auto name : qwenlong::preset_names)
    if (s.recipe == name) {
      auto p = qwenlong::preset(name);
      for (const auto& change : s.set) {
        const auto at = change.find('=');
        ql::detail::expects(at != std::string::npos && at > 0, "check", "--set", "key=value", change);
        set(p, change.substr(0, at), change.substr(at + 1));
      }
      std::fputs(qwenlong::check_recipe(p, s.directory).c_str(), stdout);
      return 0;
    }
  std::fputs(qwenlong::check_recipe(qwenlong::read_recipe(s.recipe, s.set), s.directory).c_str(), stdout);
  return 0;
}

}  // namespace

verb train_verb() { return {"train", "trains a model on questions about documents", bind<settings, declare, run>}; }
verb sft_verb() { return {"sft", "does a run's warm-up alone", bind<settings, declare_sft, run_sft>}; }
verb rollout_verb() {
  return {"rollout", "samples the answers of a run's next step", bind<settings, declare_rollout, run_rollout>};
}
verb update_verb() {
  return {"update", "trains a step on saved answers, or replays one", bind<settings, declare_update, run_update>};
}
verb check_verb() {
  return {"check", "says what a recipe comes to, without training", bind<check_settings, declare_check, run_check>};
}

}  // namespace ql::tool
