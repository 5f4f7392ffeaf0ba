// SPDX-License-Identifier: Apache-2.0
#include "grader.hpp"

#include <ql/rl/verify_repo.hpp>
#include <ql/rl/verify_strict.hpp>

namespace ql::qwenlong {

grader::grader(const reward_settings& s) : settings_(s) {
  ql::detail::expects(s.judge_away == "abstain" || s.judge_away == "rule", "grader", "judge_away", "abstain or rule",
                      s.judge_away);
  if (!s.judge.url.empty() && s.judge.url != "equivalence") remote_.emplace(tool::judge_config_of(s.judge));
}

void grader::stop() {
  if (remote_) remote_->stop();
}

void grader::operator()(std::span<const rl::graded_item> items, std::span<rl::outcome> out,
                        std::span<rl::hybrid_parts> parts) {
  const auto away = settings_.judge_away == "rule" ? rl::judge_away::rule : rl::judge_away::abstain;
  const auto grade = [&](auto rule, auto present) {
    if (remote_) {
      rl::hybrid{rule, tool::lent<io::chat_judge>{&*remote_}, present, away}(items, out, parts);
    } else if (settings_.judge.url == "equivalence") {
      rl::hybrid{rule, tool::lent<const rl::equivalence_judge>{&equivalence_}, present, away}(items, out, parts);
    } else {
      for (std::size_t i = 0; i < items.size(); ++i) {
        parts[i] = {};
        parts[i].rule = out[i] = rule(items[i]);
      }
    }
  };
  if (settings_.rules == answer_rules::repo) return grade(rl::repo::rule_reward{}, rl::repo::present{});
  const rl::after_think tail{.optional = !settings_.thinking};
  rl::present_answer<> present;
  present.extract.first = tail;
  grade(rl::strict::rule_reward<rl::after_think>{tail}, present);
}

}  // namespace ql::qwenlong
