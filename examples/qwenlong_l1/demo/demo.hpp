// SPDX-License-Identifier: Apache-2.0
#pragma once

// The whole recipe on generated documents: a tiny policy from random weights, warm-up, phased RL, a report.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace ql::qwenlong {

struct demo_request {
  std::string directory;
  std::uint64_t seed = 1;
  int threads = 0;                                       // 0: all cores
  std::vector<std::pair<std::string, std::string>> set;  // settings by key
  bool quiet = false;
};

// Runs or continues the demonstration; false where `stop` ended it early (what is done is kept). Throws ql::error.
bool run_demo(const demo_request& request, const std::function<bool()>& stop);

// All settings with their defaults, one "key = value" a line.
std::string demo_settings_text();

}  // namespace ql::qwenlong
