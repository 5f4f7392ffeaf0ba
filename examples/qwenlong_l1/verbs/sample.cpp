// SPDX-License-Identifier: Apache-2.0
#include <ql/report.hpp>

#include <cstdio>

#include "verb.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string action, run;
  std::int64_t step = 0, group = 0;
  bool tokens = false, json = false;
};

void declare(options& o, settings& s) {
  o.choice("action", s.action, {"show"}, "what to do");
  o.required("run", s.run, "run directory")
      .required("step", s.step, "step, as in metrics.jsonl")
      .required("group", s.group, "group of the step")
      .flag("--tokens", s.tokens, "every token with its log-prob, where they were logged")
      .flag("--json", s.json, "one JSON object a line");
}

int run(const settings& s) {
  const std::string text = show_samples(s.run, s.step, s.group, {.tokens = s.tokens, .json = s.json});
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace

verb sample_verb() {
  return {"sample", "shows the answers of a group: tokens, log-probs, scores, advantages, why it was left out",
          bind<settings, declare, run>};
}

}  // namespace ql::tool
