// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an evaluation did, item by item: a value, a line of JSON, and a file of such lines that an interrupted
// evaluation goes on with.

#include <ql/eval/behaviours.hpp>
#include <ql/eval/item.hpp>
#include <ql/eval/rules.hpp>
#include <ql/io/file.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ql::eval {

// How a set is evaluated. The defaults are the paper's (arXiv 2505.17667, section 4.1, and its released code).
struct protocol {
  std::int64_t max_input =
      120000;  // tokens of the prompt's text, chat template aside; the middle of longer ones is cut
  std::int64_t max_output = 10000;  // tokens
  double temperature = 0.7;         // 0: greedy
  double top_p = 0.95;
  std::int32_t samples = 1;   // for each item
  std::int32_t attempts = 5;  // at a generation, before it counts as failed
  rule_mode rule = rule_mode::repo_eval;
  std::uint64_t seed = 42;
  std::vector<std::int64_t> lengths{1000, 2000, 4000, 8000, 16000, 32000, 64000, 120000};  // ends of buckets, in tokens
  friend bool operator==(const protocol&, const protocol&) = default;
};
// Throws argument_error with every rule that is broken, one a line.
const protocol& checked(const protocol& p);

// One answer. What is not known is absent: a generation that failed has no text, rule or score; an answer whose judge
// was away has no score. Absent is never 0.
struct sample_record {
  std::string text;
  std::int64_t tokens = 0;
  std::string finish;                        // stop, length or failed
  std::optional<std::string> answer;         // as parsed from the text
  std::optional<double> rule, judge, score;  // score: max(rule, judge)
  std::string why;                           // names what is absent: "generation: ...", "judge: timeout"
  double exact = 0, f1 = 0, cover = 0;       // of the answer, the best over the gold answers; 0 without an answer
  behaviour_counts behaviours;
  friend bool operator==(const sample_record&, const sample_record&) = default;
};

struct item_record {
  std::string id, benchmark, document;
  std::int64_t prompt_tokens = 0;  // of the whole prompt, before anything was cut
  bool truncated = false;
  std::vector<sample_record> samples;

  // Every sample has a score.
  bool complete() const;
  friend bool operator==(const item_record&, const item_record&) = default;
};

std::string to_json(const item_record& r);  // one line
item_record record_of(std::string_view json, std::string_view what = "record");

// What an evaluation was: two files can be compared, or one gone on with, only where these agree.
struct evaluation_header {
  std::string policy, judge;  // names; judge is empty without one
  eval::protocol protocol;
  std::int64_t items = 0;
  std::string items_hash;  // of every item's text, in order
  friend bool operator==(const evaluation_header&, const evaluation_header&) = default;
};
std::string to_json(const evaluation_header& h);  // one line
evaluation_header header_of(std::string_view json, std::string_view what = "header");
std::string hash_of(std::span<const item> items);

// An evaluation as it was saved.
struct evaluation_file {
  evaluation_header header;
  std::vector<item_record> records;  // of an item that was written twice, the later
};
// Throws io::file_error, io::format_error. A last line without its end is what an interruption left: it is not read.
evaluation_file read_evaluation(const io::file_path& path);

// The file of a running evaluation: a header, then a line for each finished item, appended and synced before append()
// returns. An existing file is gone on with: its records are kept, what an interruption left of a line is cut off, and
// a header that differs throws argument_error naming the first difference. One process at a time.
class record_log {
 public:
  record_log(const io::file_path& path, const evaluation_header& header);
  ~record_log();
  record_log(const record_log&) = delete;
  record_log& operator=(const record_log&) = delete;

  void append(const item_record& r);
  std::span<const item_record> records() const { return found_; }  // that the file had when it was opened

 private:
  std::string path_;
  int descriptor_ = -1;
  std::vector<item_record> found_;
};

}  // namespace ql::eval
