// SPDX-License-Identifier: Apache-2.0
#pragma once

// An environment behind virtual functions: the trainer of a recipe is compiled once for all of them.

#include <ql/rollout.hpp>

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ql::qwenlong {

// The members of ql::environment.
class any_task {
 public:
  virtual ~any_task() = default;
  virtual std::int64_t examples() const = 0;
  virtual std::int64_t bundle(std::int64_t example) const = 0;
  virtual std::span<const token> context(std::int64_t bundle) const = 0;
  virtual std::span<const token> question(std::int64_t example) const = 0;
  virtual std::int32_t task(std::int64_t example) const = 0;
  virtual std::vector<rl::outcome> score(std::span<const answer_request> batch) = 0;
};

}  // namespace ql::qwenlong
