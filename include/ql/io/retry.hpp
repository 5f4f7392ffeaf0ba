// SPDX-License-Identifier: Apache-2.0
#pragma once

// When to ask a server again, and when to leave it alone. Pure values: time and random numbers are arguments.

#include <ql/error.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace ql::io {

// Waits grow as first, 2 first, 4 first, ... up to `longest`, each times a random factor in [1 - jitter, 1].
struct retry_policy {
  int attempts = 6;  // in all, the first included
  double first_seconds = 0.5;
  double longest_seconds = 30;
  double jitter = 0.5;
  double longest_retry_after = 120;  // what a server asks for is honoured up to here
  double patience_seconds = 600;     // for one query, from the beginning of its batch
};

// Seconds before attempt `next` (2, 3, ...); `random` is uniform in (0, 1), `retry_after` what the server asked for.
//   retry_delay({}, 2, 0.5)          is 0.375: 0.5 s less a quarter
//   retry_delay({}, 2, 0.5, 7.0)     is 7
inline double retry_delay(const retry_policy& p, int next, double random, std::optional<double> retry_after = {}) {
  double wait = p.first_seconds;
  for (int i = 2; i < next && wait < p.longest_seconds; ++i) wait *= 2;
  wait = (wait < p.longest_seconds ? wait : p.longest_seconds) * (1 - p.jitter * random);
  if (!retry_after) return wait;
  const double asked = *retry_after < p.longest_retry_after ? *retry_after : p.longest_retry_after;
  return asked > wait ? asked : wait;
}

// The seconds that a Retry-After header asks for: a number of seconds or a date (any of the three forms of RFC 9110,
// 5.6.7), `now` being the present in Unix seconds. Nothing for anything else; 0 for a date in the past.
std::optional<double> retry_after_seconds(std::string_view header, std::int64_t now);

// After `failures` failures in a row nothing is sent for `open_seconds`; then a single probe, whose success closes the
// breaker and whose failure opens it for twice as long, up to `longest_open_seconds`.
struct breaker_policy {
  int failures = 8;
  double open_seconds = 5;
  double longest_open_seconds = 60;
};

class circuit_breaker {
 public:
  explicit circuit_breaker(const breaker_policy& p = {}) : policy_(p) {}

  // May a request be sent at `now`? While half open the first that asks is the probe: it must be followed by sent().
  bool allows(double now) const { return failures_ < policy_.failures || (!probing_ && now >= retry_at_); }
  void sent() { probing_ = failures_ >= policy_.failures; }
  void succeeded() { *this = circuit_breaker(policy_); }
  void failed(double now) {
    const bool was_open = failures_ >= policy_.failures;
    if (was_open && !probing_) return;  // an answer to what was sent before the breaker opened
    probing_ = false;
    if (!was_open && ++failures_ < policy_.failures) return;
    open_for_ = open_for_ == 0 ? policy_.open_seconds : 2 * open_for_;
    if (open_for_ > policy_.longest_open_seconds) open_for_ = policy_.longest_open_seconds;
    retry_at_ = now + open_for_;
  }
  // A probe that was given up without an answer.
  void forget_probe() { probing_ = false; }
  bool open() const { return failures_ >= policy_.failures; }
  double retry_at() const { return retry_at_; }

 private:
  breaker_policy policy_;
  int failures_ = 0;
  bool probing_ = false;
  double open_for_ = 0, retry_at_ = 0;
};

}  // namespace ql::io
