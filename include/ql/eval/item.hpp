// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/rl/reward.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace ql::eval {

// What one question of a benchmark is, whatever layout it came in.
struct item {
  std::string id;                 // unique within its benchmark
  std::string benchmark;          // "hotpotqa"; "hotpotqa_proxy" for what only stands in for it
  std::string document;           // questions on one document share it: a cluster of the statistics
  std::string context, question;  // UTF-8; the context may be empty
  std::vector<std::string> gold;  // alternatives of one answer
  rl::answer_kind kind = rl::answer_kind::text;
  std::vector<std::string> evidence;  // sentences of the context that the answer rests on; empty: not known

  friend bool operator==(const item&, const item&) = default;
};

// A set that stands in for a benchmark says so in its name.
inline bool is_proxy(std::string_view benchmark) { return benchmark.find("_proxy") != std::string_view::npos; }

}  // namespace ql::eval
