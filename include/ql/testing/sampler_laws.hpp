// SPDX-License-Identifier: Apache-2.0
#pragma once

// Laws of samplers, for your own as well. A law returns an empty string, or the first thing that is wrong:
//   EXPECT_EQ(ql::testing::laws::sampler([] { return my_sampler{}; }), "");

#include <ql/math.hpp>
#include <ql/random.hpp>
#include <ql/rl/sampler.hpp>
#include <ql/tensor/distribution.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ql::testing {

// A row of logits with all that a sampler is given, summed in double.
struct logits {
  std::vector<float> z, partial;
  float max = 0;
  double sum = 0;

  explicit logits(std::vector<float> values) : z(std::move(values)) {
    max = *std::max_element(z.begin(), z.end());
    for (float x : z) sum += math::exp(static_cast<double>(x) - static_cast<double>(max));
    for (std::size_t b = 0; b < z.size(); b += 16) {
      float lane[16];
      for (std::size_t i = 0; i < 16; ++i) lane[i] = b + i < z.size() ? math::exp(z[b + i] - max) : 0.0f;
      for (std::size_t w = 8; w > 0; w /= 2)
        for (std::size_t i = 0; i < w; ++i) lane[i] = lane[i] + lane[i + w];
      partial.push_back(lane[0]);
    }
  }
  // n logits of the spread `scale`; some rows are rounded, so that they hold ties.
  static logits random(std::uint64_t seed, std::int64_t n, double scale, bool ties = false) {
    const random_key key{.seed = seed, .what = purpose::test};
    std::vector<float> z;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto at = static_cast<std::uint64_t>(3 * i);
      const double x = scale * (uniform(key, at) + uniform(key, at + 1) + uniform(key, at + 2) - 1.5);
      z.push_back(static_cast<float>(ties ? static_cast<double>(static_cast<std::int64_t>(x)) : x));
    }
    return logits(std::move(z));
  }
  logits_row<float> row() const { return {z, max, static_cast<float>(sum), {}}; }
  // As a session gives it: with the sums of 16 entries each.
  logits_row<float> summed_row() const { return {z, max, static_cast<float>(sum), partial}; }
  double probability(token id) const {
    return math::exp(static_cast<double>(z[static_cast<std::size_t>(id)]) - static_cast<double>(max)) / sum;
  }
};

// The support by its definition, in double: sort by probability, then id; keep top_k; keep the least prefix that
// reaches top_p of what is left; drop what is below min_p of the largest. `sure` is false where rounding could decide
// otherwise.
struct support_by_definition {
  std::vector<token> ids;
  double mass = 0;
  bool sure = true;

  support_by_definition(const logits& l, const distribution& d) {
    std::vector<token> order(l.z.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<token>(i);
    std::sort(order.begin(), order.end(), [&](token a, token b) {
      const float x = l.z[static_cast<std::size_t>(a)], y = l.z[static_cast<std::size_t>(b)];
      return x != y ? x > y : a < b;
    });
    if (d.top_k > 0 && static_cast<std::size_t>(d.top_k) < order.size())
      order.resize(static_cast<std::size_t>(d.top_k));
    double all = 0;
    for (token id : order) all += l.probability(id);
    const double top = l.probability(order[0]);
    for (token id : order) {
      const double p = l.probability(id);
      if (!ids.empty()) {
        sure = sure && math::abs(mass - d.top_p * all) > 1e-6 && math::abs(p - d.min_p * top) > 1e-7 * top;
        if ((d.top_p < 1 && mass >= d.top_p * all) || p < d.min_p * top) break;
      }
      ids.push_back(id);
      mass += p;
    }
  }
};

namespace detail {

// Upper bound of chi-square with n degrees of freedom at a chance of 1e-6 (Wilson and Hilferty).
inline double chi_square_bound(double n) {
  const double c = 2 / (9 * n), x = 1 - c + 4.7534 * math::sqrt(c);
  return n * x * x * x;
}
inline std::string numbered(std::string_view what, std::int64_t row) {
  return std::string(what) + " (row " + std::to_string(row) + ")";
}

}  // namespace detail

namespace laws {

// For each row and u: the kept ids are those of the distribution's definition, most likely first; the token is one of
// them; kept_mass is their probability; a second draw, another sampler of the same make, and sums that come with the
// row give the same. A greedy sampler keeps to its own rule: test that with greedy_sampler.
template <class Make>
  requires rl::sampler<std::invoke_result_t<Make>, float>
std::string sampler_supports(const Make& make, std::int64_t rows = 200) {
  auto one = make(), other = make();
  const ql::distribution d = one.distribution();
  std::int64_t compared = 0;
  for (std::int64_t k = 0; k < rows; ++k) {
    const auto seed = static_cast<std::uint64_t>(k) + 1;
    const auto l = logits::random(seed, 1 + (k * 37) % 311, k % 3 == 0 ? 1.0 : 12.0, k % 4 == 0);
    const double u = uniform({.seed = 77, .what = purpose::test}, seed);
    const rl::draw got = one(l.row(), u);
    const token id = got.id;
    const std::vector<token> kept(got.kept.begin(), got.kept.end());
    const double mass = got.kept_mass;
    if (id < 0 || static_cast<std::size_t>(id) >= l.z.size()) return detail::numbered("an id outside the row", k);
    if (one(l.row(), u).id != id || other(l.row(), u).id != id)
      return detail::numbered("the same row and number give two tokens", k);
    if (other(l.summed_row(), u).id != id) return detail::numbered("given partial sums change the token", k);
    if (!d.truncated()) {
      if (!kept.empty() || mass != 1) return detail::numbered("an untruncated draw reports a support", k);
      continue;
    }
    const support_by_definition want(l, d);
    if (!want.sure) continue;
    ++compared;
    if (kept != want.ids) return detail::numbered("the kept ids are not those of the definition", k);
    if (std::find(kept.begin(), kept.end(), id) == kept.end())
      return detail::numbered("a token outside the support", k);
    if (math::abs(mass - want.mass) > 1e-5) return detail::numbered("kept_mass is not the mass of the kept", k);
  }
  return d.truncated() && compared * 5 < rows ? "fewer than a fifth of the rows could be compared" : "";
}

// Draws at the numbers of one stream follow softmax, renormalised over the support: chi-square at a chance of 1e-6.
template <class Make>
  requires rl::sampler<std::invoke_result_t<Make>, float>
std::string sampler_draws(const Make& make, std::int64_t draws = 20'000) {
  auto draw = make();
  const ql::distribution d = draw.distribution();
  for (std::int64_t n : {2, 17, 300}) {
    const auto l = logits::random(static_cast<std::uint64_t>(n), n, 3);
    const support_by_definition support(l, d);
    std::vector<double> weight(l.z.size());
    for (token id : support.ids) weight[static_cast<std::size_t>(id)] = l.probability(id) / support.mass;
    std::vector<std::int64_t> seen(l.z.size());
    const random_key key{.seed = 7, .what = purpose::test, .example = static_cast<std::uint32_t>(n)};
    for (std::int64_t i = 0; i < draws; ++i)
      ++seen[static_cast<std::size_t>(draw(l.summed_row(), uniform(key, static_cast<std::uint64_t>(i))).id)];
    double chi = 0, cells = -1, rare = 0, rare_expected = 0;
    const auto cell = [&](double got, double expected) {
      chi += (got - expected) * (got - expected) / expected;
      ++cells;
    };
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const double expected = weight[i] * static_cast<double>(draws), got = static_cast<double>(seen[i]);
      if (expected == 0) {
        if (seen[i] != 0) return "id " + std::to_string(i) + " is drawn outside the support";
      } else if (expected < 10) {
        rare += got, rare_expected += expected;
      } else {
        cell(got, expected);
      }
    }
    if (rare_expected > 5) cell(rare, rare_expected);
    if (cells >= 1 && chi > detail::chi_square_bound(cells))
      return "chi-square of " + std::to_string(n) + " entries: " + std::to_string(chi) + ", expected at most " +
             std::to_string(detail::chi_square_bound(cells));
  }
  return "";
}

// Both of them.
template <class Make>
  requires rl::sampler<std::invoke_result_t<Make>, float>
std::string sampler(const Make& make) {
  auto bad = sampler_supports(make);
  return bad.empty() ? sampler_draws(make) : bad;
}

// The largest logit, the lower id of equals, whatever the number: the limit of temperature 0.
template <class Make>
  requires rl::sampler<std::invoke_result_t<Make>, float>
std::string greedy_sampler(const Make& make) {
  auto draw = make();
  for (std::int64_t k = 0; k < 100; ++k) {
    const auto l = logits::random(static_cast<std::uint64_t>(k) + 1, 1 + (k * 37) % 311, 4, k % 2 == 0);
    const auto want = std::max_element(l.z.begin(), l.z.end()) - l.z.begin();
    for (double u : {0x1p-53, 0.5, 1 - 0x1p-53})
      if (draw(l.row(), u).id != want) return detail::numbered("not the first of the largest", k);
  }
  return "";
}

}  // namespace laws
}  // namespace ql::testing
