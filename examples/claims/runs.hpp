// SPDX-License-Identifier: Apache-2.0
#pragma once

// The runs behind the page: RUNS/ARM/seed_N is the run directory of one `qwenlong-l1 demo`.

#include <ql/io/json.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "claims.hpp"

namespace claims {

struct plan {
  std::string directory, program;
  std::vector<std::string> common;  // settings of every arm
  std::vector<std::string> only;    // arms; empty: all
  std::int64_t seeds = 0;           // at most; 0: as many as the claims take
  std::int64_t jobs = 1, threads = 1;
};

struct run_of {
  const claims::arm* arm = nullptr;
  std::int64_t seed = 0;
};

// All runs that the claims take, seed by seed; the reference arm comes first.
std::vector<run_of> runs_of(const plan& p, const std::vector<arm>& arms);

std::string folder_of(const plan& p, const std::string& arm, std::int64_t seed);
// Its summary.json where it has ended; null otherwise.
ql::io::json::value summary_of(const plan& p, const std::string& arm, std::int64_t seed);

enum class outcome : std::uint8_t { done, interrupted, failed };

// Starts what has not ended, `jobs` at a time, an interrupted run again where it stood; calls `after` whenever one has
// ended well. Failures are told on stderr and do not keep the others. `stop` is asked often.
outcome run_all(const plan& p, const std::vector<arm>& arms, const std::function<bool()>& stop,
                const std::function<void()>& after);

}  // namespace claims
