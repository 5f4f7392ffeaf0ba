// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the records of an evaluation come to: by benchmark and by length, with intervals; and what two evaluations of
// the same items say of two models. docs/evaluation.md defines every number.

#include <ql/eval/record.hpp>
#include <ql/eval/statistics.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ql::eval {

// Of one benchmark, one bucket of lengths, or everything. Shares are over all samples of all items: what is absent
// counts as not right, and stands in `failed` and `abstained`.
struct group_summary {
  std::string name;
  std::int64_t items = 0, documents = 0, samples = 0;
  std::int64_t failed = 0;     // generations
  std::int64_t abstained = 0;  // answers without a score
  std::int64_t truncated_inputs = 0, truncated_outputs = 0;
  interval score;      // mean over items of the mean over samples (avg@k) of max(rule, judge), bootstrap over documents
  double at_most = 0;  // the score if everything absent were right
  double rule = 0;     // of the rule alone
  double exact = 0, f1 = 0, cover = 0;
  std::vector<std::pair<std::int32_t, double>>
      pass_at;                                  // k, mean over items of the unbiased pass@k: 1, 2, 4, ..., samples
  double prompt_tokens = 0, output_tokens = 0;  // means
  double grounding = 0, subgoals = 0, backtracking = 0, verification = 0;  // a response, means
  double quoted = 0;  // share of the known evidence sentences that responses quote; 0 where none is known
  std::int64_t facts = 0;

  friend bool operator==(const group_summary&, const group_summary&) = default;
};

struct summary {
  evaluation_header header;
  resampling intervals;
  group_summary all;
  std::vector<group_summary> benchmarks;  // in order of name
  std::vector<group_summary> lengths;     // by prompt tokens, shortest first: "1 to 1000", ..., "over 120000"
  std::vector<std::pair<std::string, std::int64_t>> reasons;  // why something is absent, how often; most frequent first
  // The unweighted mean over the seven benchmarks; absent unless each of them is there, by itself and not by a proxy.
  std::optional<double> mean_of_seven;
  bool seven_complete = false;  // each with as many items as the paper evaluates

  friend bool operator==(const summary&, const summary&) = default;
};

summary summarise(const evaluation_header& header, std::span<const item_record> records, const resampling& r = {});

std::string to_json(const summary& s);  // one document, keys as the members
std::string table(const summary& s);    // for people, fixed width

struct comparison_row {
  std::string name;
  std::int64_t items = 0, documents = 0;
  double first = 0, second = 0;                  // scores
  std::int64_t unknown = 0;                      // samples of either without a score; they count as not right
  double least = 0, most = 0;                    // the difference if they all spoke for the first, or for the second
  paired_result bootstrap;                       // second - first, over documents
  double sign_flip = 1;                          // p, over documents
  std::int64_t only_first = 0, only_second = 0;  // items that one has right and the other has not
  std::optional<double> mcnemar;                 // p; with one sample for each item
  double holm = 1;                               // sign_flip, adjusted over the benchmarks
  friend bool operator==(const comparison_row&, const comparison_row&) = default;
};

struct comparison {
  evaluation_header first, second;
  resampling intervals;
  comparison_row all;
  std::vector<comparison_row> benchmarks;
  std::vector<comparison_row> lengths;
  friend bool operator==(const comparison&, const comparison&) = default;
};

// Pairs the items of two evaluations. Throws argument_error where they are not of the same items, or where an item is
// in one of them only: that would compare different questions.
comparison compare(const evaluation_file& first, const evaluation_file& second, const resampling& r = {});
std::string to_json(const comparison& c);
std::string table(const comparison& c);

}  // namespace ql::eval
