// SPDX-License-Identifier: Apache-2.0
#pragma once

// Shaping of rewards by length. All of these act after the task score has been observed and filtered on.

#include <ql/config.hpp>
#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/view.hpp>

#include <cstdint>

namespace ql::rl {

// DAPO's soft overlong punishment (arXiv 2503.14476 eq. 13): 0 up to longest - cache, then falling linearly to -factor
// at `longest`, and -factor beyond. Lengths count all generated tokens with the end token.
//   QwenLong-L1, {10000, 1000}: 9000 -> 0, 9500 -> -0.5, 10000 -> -1
struct overlong_penalty {
  std::int64_t longest, cache;
  double factor = 1.0;
  constexpr void validate(rule_book& b) const {
    b.require(longest > 0, "overlong_penalty.longest", static_cast<double>(longest), "above 0", "the answer's cap");
    b.require(cache > 0 && cache <= longest, "overlong_penalty.cache", static_cast<double>(cache), "in [1, longest]",
              "use a tenth of longest");
    b.require(factor >= 0, "overlong_penalty.factor", factor, "at least 0", "use 1");
  }
  QL_HD constexpr double operator()(std::int64_t length) const {
    const std::int64_t over = length - (longest - cache);
    if (over <= 0) return 0.0;
    return over >= cache ? -factor : -(static_cast<double>(over) / static_cast<double>(cache) * factor);
  }
};

// Whether a truncated answer is kept in the loss: no. mask[t] = 0 for the tokens of truncated sequences.
inline void overlong_filter(view<const std::int64_t, 1> offsets, view<const std::uint8_t, 1> truncated,
                            view<std::uint8_t, 1> mask) {
  detail::expects<shape_error>(truncated.size() == offsets.size() - 1, "overlong_filter", "truncated",
                               offsets.size() - 1, truncated.size());
  detail::expects<shape_error>(offsets.size() >= 1 && offsets[offsets.size() - 1] == mask.size(), "overlong_filter",
                               "mask", offsets.empty() ? 0 : offsets[offsets.size() - 1], mask.size());
  for (std::int64_t i = 0; i < truncated.size(); ++i)
    if (truncated[i] != 0)
      for (std::int64_t t = offsets[i]; t < offsets[i + 1]; ++t) mask[t] = 0;
}

// ProRL's stop-properly: a truncated answer's reward times `coefficient`, or `constant` instead where that is below 0.
struct stop_properly {
  double coefficient = 0.0, constant = 0.0;
  constexpr void validate(rule_book& b) const {
    b.require(coefficient >= 0 && coefficient <= 1, "stop_properly.coefficient", coefficient, "in [0, 1]", "use 0");
    b.require(constant <= 0, "stop_properly.constant", constant, "at most 0", "use 0 to multiply instead");
  }
  QL_HD constexpr double operator()(double reward, bool truncated) const {
    if (!truncated) return reward;
    return constant < 0 ? constant : reward * coefficient;
  }
};

// Kimi-1.5's length reward within a group (arXiv 2501.12599, section 2.3.3), to be added with a weight of the caller's:
// lambda = 0.5 - (length - shortest) / (longest - shortest); correct answers get lambda, wrong ones min(0, lambda).
struct group_length_reward {
  QL_HD constexpr double operator()(std::int64_t length, std::int64_t shortest, std::int64_t longest,
                                    bool correct) const {
    if (longest <= shortest) return 0.0;
    const double lambda = 0.5 - static_cast<double>(length - shortest) / static_cast<double>(longest - shortest);
    return correct ? lambda : math::min(0.0, lambda);
  }
};

}  // namespace ql::rl
