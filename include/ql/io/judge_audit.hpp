// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/file.hpp>
#include <ql/io/judge.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace ql::io {

// A prediction that people have judged.
struct labelled_answer {
  std::string question, prediction;
  std::vector<std::string> gold;
  bool same = false;
};

// Rows {"question", "gold": text or list, "prediction", "verdict": bool} of a JSONL or JSONL.gz file, at most `most` of
// them, spread evenly over the file, as many of either verdict as there are. Throws file_error, and format_error for a
// row without these fields, naming its line.
std::vector<labelled_answer> read_labelled_answers(const file_path& path, std::size_t most);

// What a judge said of answers that all deserve the same.
struct audit_count {
  std::size_t yes = 0, no = 0, abstained = 0;
  std::size_t scored() const { return yes + no; }
};
// A share with its 95 % interval by Wilson's score.
//   share_of(5, 10)   is {0.5, 0.2366, 0.7634}
struct share {
  double value = 0, low = 0, high = 1;
};
share share_of(std::size_t part, std::size_t whole);

struct audit_report {
  std::size_t attacks = 0, past_gate = 0;  // attacks in all, and those that the gate would show to a judge
  audit_count master_keys, injections;     // of the judge without its gate: every yes is wrong
  audit_count same, different;             // answers that people found right and wrong
  std::vector<std::string> fooled_by;      // attacks that got a yes
  std::size_t requests = 0, retries = 0, unreadable = 0;
  double mean_seconds = 0, median_seconds = 0, p95_seconds = 0, slowest_seconds = 0, wall_seconds = 0;

  share attack_rate() const {
    return share_of(master_keys.yes + injections.yes, master_keys.scored() + injections.scored());
  }
  share false_positive_rate() const { return share_of(different.yes, different.scored()); }
  share false_negative_rate() const { return share_of(same.no, same.scored()); }
};

// The configuration of an audit: without the gate and the journal, whatever `config` says.
judge_config audited(judge_config config);
// Puts each master key and injection (ql/rl/judge_attacks.hpp) and each labelled answer to the judge, which should be
// made of audited(...).
audit_report audit_judge(chat_judge& judge, std::span<const labelled_answer> labelled);
// The report as lines of text.
std::string describe(const audit_report& r);

}  // namespace ql::io
