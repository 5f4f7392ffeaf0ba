// SPDX-License-Identifier: Apache-2.0
#pragma once

// Tokens chosen by the covariance of advantage and log-prob (arXiv 2505.22617). The choice is a mask: Clip-Cov applies
// a clipped loss to the tokens that are not chosen, with the counts of all; KL-Cov adds absolute_log_ratio on the
// chosen.

#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/random.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/view.hpp>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace ql::rl {

namespace detail {
// (A - mean A)(logp - mean logp) over loss tokens; 0 elsewhere
template <class T>
std::vector<double> covariances(std::string_view who, view<const T, 1> advantage, view<const T, 1> logp,
                                view<const std::uint8_t, 1> mask) {
  const std::int64_t n = logp.size();
  expects<shape_error>(advantage.size() == n, who, "advantage", n, advantage.size());
  expects<shape_error>(mask.empty() || mask.size() == n, who, "mask", n, mask.size());
  double a = 0, l = 0;
  std::int64_t count = 0;
  const auto loss_token = [&](std::int64_t t) { return mask.empty() || mask[t] != 0; };
  for (std::int64_t t = 0; t < n; ++t)
    if (loss_token(t)) a += static_cast<double>(advantage[t]), l += static_cast<double>(logp[t]), ++count;
  std::vector<double> out(static_cast<std::size_t>(n));
  if (count == 0) return out;
  a /= static_cast<double>(count), l /= static_cast<double>(count);
  for (std::int64_t t = 0; t < n; ++t)
    if (loss_token(t))
      out[static_cast<std::size_t>(t)] = (static_cast<double>(advantage[t]) - a) * (static_cast<double>(logp[t]) - l);
  return out;
}
}  // namespace detail

// Clip-Cov: a random share of the loss tokens (at least one) among those with covariance in (low, high) that a clip has
// not taken already; `clipped` marks the latter and may be empty. chosen[t] is 1 for them. The draw is a function of
// the key alone.
struct clip_cov {
  double share = 2e-4, low = 1.0, high = 5.0;
  constexpr void validate(rule_book& b) const {
    b.require(share > 0 && share <= 1, "clip_cov.share", share, "in (0, 1]", "use 2e-4");
    b.require(low < high, "clip_cov.low", low, "below high", "use 1 and 5");
  }
  template <class T>
  std::int64_t operator()(view<const T, 1> advantage, view<const T, 1> logp, view<const std::uint8_t, 1> mask,
                          view<const std::uint8_t, 1> clipped, const random_key& key,
                          view<std::uint8_t, 1> chosen) const {
    expects_valid(*this);
    constexpr std::string_view me = "clip_cov";
    const auto cov = detail::covariances(me, advantage, logp, mask);
    const std::int64_t n = logp.size();
    detail::expects<shape_error>(chosen.size() == n, me, "chosen", n, chosen.size());
    detail::expects<shape_error>(clipped.empty() || clipped.size() == n, me, "clipped", n, clipped.size());
    std::vector<std::pair<double, std::int64_t>> candidates;
    std::int64_t count = 0;
    for (std::int64_t t = 0; t < n; ++t) {
      chosen[t] = 0;
      if (!mask.empty() && mask[t] == 0) continue;
      ++count;
      const double c = cov[static_cast<std::size_t>(t)];
      if (c > low && c < high && (clipped.empty() || clipped[t] == 0))
        candidates.emplace_back(uniform(key, static_cast<std::uint64_t>(t)), t);
    }
    const auto wanted = static_cast<std::size_t>(math::max(share * static_cast<double>(count), 1.0));
    std::sort(candidates.begin(), candidates.end());
    if (candidates.size() > wanted) candidates.resize(wanted);
    for (const auto& [draw, t] : candidates) chosen[t] = 1;
    return static_cast<std::int64_t>(candidates.size());
  }
};

// KL-Cov: the share of loss tokens (at least one) with the greatest covariance; ties by lower index.
struct kl_cov {
  double share = 2e-4;
  constexpr void validate(rule_book& b) const {
    b.require(share > 0 && share <= 1, "kl_cov.share", share, "in (0, 1]", "use 2e-4");
  }
  template <class T>
  std::int64_t operator()(view<const T, 1> advantage, view<const T, 1> logp, view<const std::uint8_t, 1> mask,
                          view<std::uint8_t, 1> chosen) const {
    expects_valid(*this);
    const auto cov = detail::covariances("kl_cov", advantage, logp, mask);
    const std::int64_t n = logp.size();
    detail::expects<shape_error>(chosen.size() == n, "kl_cov", "chosen", n, chosen.size());
    std::vector<std::int64_t> order;
    for (std::int64_t t = 0; t < n; ++t) {
      chosen[t] = 0;
      if (mask.empty() || mask[t] != 0) order.push_back(t);
    }
    if (order.empty()) return 0;
    const auto wanted = static_cast<std::size_t>(math::max(share * static_cast<double>(order.size()), 1.0));
    std::sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      const double x = cov[static_cast<std::size_t>(a)], y = cov[static_cast<std::size_t>(b)];
      return x != y ? x > y : a < b;
    });
    order.resize(wanted);
    for (auto t : order) chosen[t] = 1;
    return static_cast<std::int64_t>(wanted);
  }
};

}  // namespace ql::rl
