// SPDX-License-Identifier: Apache-2.0
#include "../train/train.hpp"

#include <cstdio>

#include "verb.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string recipe, directory;
  std::vector<std::string> set;
  int threads = 0;
};

void declare(options& o, settings& s) {
  o.required("recipe", s.recipe, "TOML file (docs/train.md)")
      .required("directory", s.directory, "of the run; the same command again goes on there")
      .optional("--set", s.set, "key=value over the recipe, any number of them")
      .optional("--threads", s.threads, "0: all cores; changes no bit");
  o.footer(
      "Trains a pretrained model on questions about documents: warm-up SFT, then RL in phases from short to long\n"
      "prompts. Interrupted, it exits with 75; killed at any moment, the same command goes on from the last "
      "checkpoint.");
}

int run(const settings& s) {
  ql::detail::expects(s.threads >= 0 && s.threads <= 1024, "train", "--threads", "0 (all cores) to 1024", s.threads);
  return qwenlong::run_train({s.recipe, s.directory, s.set, s.threads}, interrupted) ? 0 : 75;
}

struct check_settings {
  std::string recipe;
  std::vector<std::string> set;
};

void declare_check(options& o, check_settings& s) {
  o.required("recipe", s.recipe, "TOML file, or the name of a preset")
      .optional("--set", s.set, "key=value over the recipe, any number of them");
  o.footer("Prints every setting with its value, then what the data and the steps amount to. Nothing is trained.");
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
      std::fputs(qwenlong::check_recipe(p).c_str(), stdout);
      return 0;
    }
  std::fputs(qwenlong::check_recipe(qwenlong::read_recipe(s.recipe, s.set)).c_str(), stdout);
  return 0;
}

}  // namespace

verb train_verb() { return {"train", "trains a model on questions about documents", bind<settings, declare, run>}; }
verb check_verb() {
  return {"check", "says what a recipe comes to, without training", bind<check_settings, declare_check, run_check>};
}

}  // namespace ql::tool
