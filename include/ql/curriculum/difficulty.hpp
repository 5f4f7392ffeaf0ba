// SPDX-License-Identifier: Apache-2.0
#pragma once

// How hard each example was: what its groups scored.

#include <ql/curriculum/phase.hpp>
#include <ql/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ql::curriculum {

// The last visit of one example.
struct difficulty_record {
  std::int64_t visits = 0;  // groups observed so far; 0: never visited, the rest says nothing
  std::int64_t step = -1;   // training step of the last one
  std::int64_t count = 0;   // its answers
  double mean = 0;          // mean of their task scores, before any shaping
  friend bool operator==(const difficulty_record&, const difficulty_record&) = default;
};

// Mean of a group's scores, summed in order. NaN where one is not finite: an abstained member.
inline double mean_score(std::span<const double> scores) {
  double sum = 0;
  for (const double s : scores) sum += s;
  return (sum - sum == 0) ? sum / static_cast<double>(scores.size()) : sum - sum;
}

// The records of all examples.
struct difficulty_table {
  std::vector<difficulty_record> records;

  std::size_t size() const { return records.size(); }
  const difficulty_record& operator[](example_id e) const { return records[e]; }

  // Takes a group's task scores, unshaped, as they are before any filter. Returns false and changes nothing where a
  // score is not finite: such a group says nothing. Throws argument_error for an unknown example or no scores.
  template <int = 0>
  bool observe(example_id e, std::span<const double> scores, std::int64_t at_step) {
    constexpr const char* me = "difficulty_table.observe";
    detail::expects(e < size(), me, "example", "below " + std::to_string(size()), e);
    detail::expects(!scores.empty(), me, "scores", "at least one", scores.size());
    const double m = mean_score(scores);
    if (m - m != 0) return false;
    records[e] = {records[e].visits + 1, at_step, static_cast<std::int64_t>(scores.size()), m};
    return true;
  }
  friend bool operator==(const difficulty_table&, const difficulty_table&) = default;
};

// How many examples have which mean score: bin b of `bins` + 1 counts the means nearest to b / bins; means outside
// [0, 1] go to the outer bins. With as many bins as answers in a group and scores 0 or 1, bin b is "b answers right".
template <int = 0>
std::vector<std::int64_t> mean_histogram(std::span<const double> means, std::int64_t bins) {
  detail::expects(bins >= 1, "mean_histogram", "bins", "at least 1", bins);
  std::vector<std::int64_t> count(static_cast<std::size_t>(bins) + 1, 0);
  for (const double m : means) {
    const double at = m * static_cast<double>(bins) + 0.5;
    const auto b = !(at > 0) ? 0 : at >= static_cast<double>(bins) ? bins : static_cast<std::int64_t>(at);
    ++count[static_cast<std::size_t>(b)];
  }
  return count;
}

}  // namespace ql::curriculum
