// SPDX-License-Identifier: Apache-2.0
#pragma once

// Learning rates as functions of the step number (0 is the first). Nothing is kept between calls, so a resumed run
// needs no state.

#include <ql/math.hpp>
#include <ql/rl/rules.hpp>

#include <concepts>
#include <cstdint>

namespace ql::rl {

template <class S>
concept schedule = std::copyable<S> && requires(const S& s, std::int64_t step) {
  { s(step) } -> std::same_as<double>;
};

namespace detail {
// (step + 1) / warmup up to 1: the first step is not wasted at rate 0.
constexpr double warm(std::int64_t step, std::int64_t warmup) {
  return step + 1 >= warmup ? 1.0 : static_cast<double>(step + 1) / static_cast<double>(warmup);
}
// 0 at the end of the warm-up, 1 at `total`.
constexpr double progress(std::int64_t step, std::int64_t from, std::int64_t total) {
  if (step <= from) return 0.0;
  return step >= total ? 1.0 : static_cast<double>(step - from) / static_cast<double>(total - from);
}
constexpr void check_schedule(rule_book& b, double rate, std::int64_t warmup) {
  b.require(rate >= 0, "schedule.rate", rate, "at least 0", "a learning rate");
  b.require(warmup >= 0, "schedule.warmup", static_cast<double>(warmup), "at least 0", "use 0 for none");
}
constexpr void check_total(rule_book& b, std::int64_t warmup, std::int64_t total, double floor) {
  b.require(total > warmup, "schedule.total", static_cast<double>(total), "above warmup", "the number of steps");
  b.require(floor >= 0 && floor <= 1, "schedule.floor", floor, "in [0, 1]", "a fraction of rate");
}
}  // namespace detail

struct constant_schedule {
  double rate;
  std::int64_t warmup = 0;
  constexpr void validate(rule_book& b) const { detail::check_schedule(b, rate, warmup); }
  constexpr double operator()(std::int64_t step) const { return rate * detail::warm(step, warmup); }
};

// Falls from rate to floor * rate between the end of the warm-up and `total`.
struct linear_schedule {
  double rate;
  std::int64_t warmup, total;
  double floor = 0.0;
  constexpr void validate(rule_book& b) const {
    detail::check_schedule(b, rate, warmup);
    detail::check_total(b, warmup, total, floor);
  }
  constexpr double operator()(std::int64_t step) const {
    if (step < warmup) return rate * detail::warm(step, warmup);
    return rate * math::fma(floor - 1.0, detail::progress(step, warmup, total), 1.0);
  }
};

// floor + (1 - floor) (1 + cos(pi x)) / 2, arXiv 1608.03983 without restarts.
struct cosine_schedule {
  double rate;
  std::int64_t warmup, total;
  double floor = 0.0;
  constexpr void validate(rule_book& b) const {
    detail::check_schedule(b, rate, warmup);
    detail::check_total(b, warmup, total, floor);
  }
  constexpr double operator()(std::int64_t step) const {
    if (step < warmup) return rate * detail::warm(step, warmup);
    const double c = math::cos(3.14159265358979323846 * detail::progress(step, warmup, total));
    return rate * math::fma(1.0 - floor, math::fma(0.5, c, 0.5), floor);
  }
};

// Warm-up, stable, and a linear decay over the last `decay` steps (arXiv 2404.06395).
struct wsd_schedule {
  double rate;
  std::int64_t warmup, total, decay;
  double floor = 0.0;
  constexpr void validate(rule_book& b) const {
    detail::check_schedule(b, rate, warmup);
    detail::check_total(b, warmup, total, floor);
    b.require(decay >= 0 && decay <= total - warmup, "schedule.decay", static_cast<double>(decay),
              "in [0, total - warmup]", "use a tenth of total");
  }
  constexpr double operator()(std::int64_t step) const {
    if (step < warmup) return rate * detail::warm(step, warmup);
    return rate * math::fma(floor - 1.0, detail::progress(step, total - decay, total), 1.0);
  }
};

}  // namespace ql::rl
