// SPDX-License-Identifier: Apache-2.0
// The list of verbs. A new one: verbs/NAME.cpp, its declaration and its place in the list.
#include "verb.hpp"

namespace ql::tool {

verb demo_verb();
verb train_verb();
verb sft_verb();
verb rollout_verb();
verb update_verb();
verb check_verb();
verb plan_verb();
verb inspect_verb();
verb convert_verb();
verb tokenize_verb();
verb detokenize_verb();
verb render_verb();
verb logprobs_verb();
verb generate_verb();
verb report_verb();
verb compare_verb();
verb sample_verb();
verb score_verb();
verb judge_audit_verb();
verb eval_verb();
verb eval_compare_verb();
verb explain_verb();

std::span<verb (*const)()> verbs() {
  static constexpr verb (*list[])() = {
      demo_verb,        train_verb,    sft_verb,          rollout_verb,  update_verb,     check_verb,
      plan_verb,        inspect_verb,  convert_verb,      tokenize_verb, detokenize_verb, render_verb,
      logprobs_verb,    generate_verb, report_verb,       compare_verb,  sample_verb,     score_verb,
      judge_audit_verb, eval_verb,     eval_compare_verb, explain_verb,
  };
  return list;
}

}  // namespace ql::tool
