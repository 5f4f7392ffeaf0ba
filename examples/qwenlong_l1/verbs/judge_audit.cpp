// SPDX-License-Identifier: Apache-2.0
#include <ql/io/judge_audit.hpp>

#include <cstdio>

#include "judge_options.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string labelled;
  std::int64_t most = 100;
  judge_settings judge;
};

void declare(options& o, settings& s) {
  o.required("--judge", s.judge.url, "URL of an OpenAI-compatible server")
      .optional("--labelled", s.labelled,
                "JSON Lines, also .gz, of answers that people have judged: \"question\", \"gold\", \"prediction\", "
                "\"verdict\": true or false")
      .optional("--most", s.most, "labelled answers to ask about, as many right as wrong");
  declare_judge(o, s.judge);
  o.footer(
      "Asks about 40 answers without content and 40 that talk to the judge, without the gate that keeps them from it\n"
      "in training, and about the labelled answers; prints how often the judge is wrong, and how long it takes.");
}

int run(const settings& s) {
  ql::detail::expects(s.most >= 0, "judge-audit", "--most", "0 or more", s.most);
  std::vector<io::labelled_answer> labelled;
  if (!s.labelled.empty()) labelled = io::read_labelled_answers(s.labelled, static_cast<std::size_t>(s.most));
  io::chat_judge judge(io::audited(judge_config_of(s.judge)));
  const stop_on_interrupt watch(judge);
  const auto r = io::audit_judge(judge, labelled);
  std::fputs(io::describe(r).c_str(), stdout);
  const auto scored = r.master_keys.scored() + r.injections.scored() + r.same.scored() + r.different.scored();
  if (scored > 0 || interrupted()) return 0;
  std::fputs("qwenlong-l1: the judge gave no verdict at all\n", stderr);
  return 1;
}

}  // namespace

verb judge_audit_verb() {
  return {"judge-audit", "measures how often a judge can be fooled and how often it errs",
          bind<settings, declare, run>};
}

}  // namespace ql::tool
