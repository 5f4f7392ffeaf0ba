// SPDX-License-Identifier: Apache-2.0
#pragma once

// How sure a mean is, and whether two models differ. Questions on one document are not independent: whatever resamples
// draws whole clusters (documents). Random numbers are a function of the seed; nothing here depends on the order in
// which clusters are named.

#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/random.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace ql::eval {

namespace detail {
using namespace ql::detail;
}

struct interval {
  double estimate = 0, low = 0, high = 0;
  friend bool operator==(const interval&, const interval&) = default;
};

struct resampling {
  std::int32_t replicates = 10000;
  double confidence = 0.95;
  std::uint64_t seed = 1;
  friend bool operator==(const resampling&, const resampling&) = default;
};

namespace detail {

inline void check_resampling(const char* where, const resampling& r, std::size_t values, std::size_t clusters) {
  expects(r.replicates >= 1 && r.replicates <= 10'000'000, where, "replicates", "1 to 10000000", r.replicates);
  expects(r.confidence > 0 && r.confidence < 1, where, "confidence", "between 0 and 1", r.confidence);
  expects(clusters == 0 || clusters == values, where, "cluster", "none, or one for each of the values", clusters);
  expects(values < (std::size_t{1} << 31), where, "values", "less than 2^31", values);
}

struct cluster_sum {
  double sum = 0;
  std::int64_t count = 0;
};
// Sum and count of each cluster, in order of first appearance; without names each value is a cluster.
inline std::vector<cluster_sum> cluster_sums(std::span<const double> values, std::span<const std::uint32_t> cluster) {
  std::vector<cluster_sum> out;
  if (cluster.empty()) {
    for (double v : values) out.push_back({v, 1});
    return out;
  }
  std::vector<std::uint32_t> names(cluster.begin(), cluster.end()), place;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  place.assign(names.size(), std::numeric_limits<std::uint32_t>::max());
  for (std::size_t i = 0; i < values.size(); ++i) {
    auto& at =
        place[static_cast<std::size_t>(std::lower_bound(names.begin(), names.end(), cluster[i]) - names.begin())];
    if (at == std::numeric_limits<std::uint32_t>::max()) {
      at = static_cast<std::uint32_t>(out.size());
      out.push_back({});
    }
    out[at].sum += values[i];
    ++out[at].count;
  }
  return out;
}

// Means of clusters drawn with replacement, one for each replicate. Draw d of replicate r has the random key
// {seed, shuffle, r, sample 60001} at position d / 2, the half d % 2.
inline std::vector<double> bootstrap_means(const std::vector<cluster_sum>& c, const resampling& r) {
  const std::size_t n = c.size();
  std::vector<double> means(static_cast<std::size_t>(r.replicates));
  for (std::size_t b = 0; b < means.size(); ++b) {
    const random_key key{
        .seed = r.seed, .what = purpose::shuffle, .example = static_cast<std::uint32_t>(b), .sample = 60001};
    cluster_sum total;
    for (std::size_t d = 0; d < n; d += 2) {
      const auto bits = random_bits(key, d / 2);
      for (std::size_t half = 0; half < 2 && d + half < n; ++half) {
        const auto i = static_cast<std::size_t>(uniform(bits, static_cast<int>(half)) * static_cast<double>(n));
        const auto& drawn = c[std::min(i, n - 1)];
        total.sum += drawn.sum;
        total.count += drawn.count;
      }
    }
    means[b] = total.sum / static_cast<double>(total.count);
  }
  return means;
}

// Linear between order statistics, as NumPy's default.
inline double quantile(std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto i = static_cast<std::size_t>(at);
  if (i + 1 >= sorted.size()) return sorted.back();
  return math::fma(at - static_cast<double>(i), sorted[i + 1] - sorted[i], sorted[i]);
}

inline interval percentile_interval(double estimate, std::vector<double>& means, double confidence) {
  std::sort(means.begin(), means.end());
  return {estimate, quantile(means, (1 - confidence) / 2), quantile(means, (1 + confidence) / 2)};
}

inline double mean_of(std::span<const double> values) {
  double sum = 0;
  for (double v : values) sum += v;
  return values.empty() ? 0.0 : sum / static_cast<double>(values.size());
}

}  // namespace detail

// The mean with a percentile bootstrap over clusters (Efron and Tibshirani, 1993, ch. 13). Without values: all 0.
inline interval bootstrap_interval(std::span<const double> values, std::span<const std::uint32_t> cluster = {},
                                   const resampling& r = {}) {
  detail::check_resampling("bootstrap_interval", r, values.size(), cluster.size());
  if (values.empty()) return {};
  auto means = detail::bootstrap_means(detail::cluster_sums(values, cluster), r);
  return detail::percentile_interval(detail::mean_of(values), means, r.confidence);
}

struct paired_result {
  interval difference;  // second - first
  double p = 1;         // two-sided
  friend bool operator==(const paired_result&, const paired_result&) = default;
};

// The mean difference with its percentile bootstrap over clusters; p = 2 min(P(d* <= 0), P(d* >= 0)), one replicate
// added to each side, at most 1.
inline paired_result paired_bootstrap(std::span<const double> first, std::span<const double> second,
                                      std::span<const std::uint32_t> cluster = {}, const resampling& r = {}) {
  detail::expects(first.size() == second.size(), "paired_bootstrap", "second", std::to_string(first.size()) + " values",
                  second.size());
  detail::check_resampling("paired_bootstrap", r, first.size(), cluster.size());
  if (first.empty()) return {};
  std::vector<double> d(first.size());
  for (std::size_t i = 0; i < d.size(); ++i) d[i] = second[i] - first[i];
  auto means = detail::bootstrap_means(detail::cluster_sums(d, cluster), r);
  std::int64_t below = 1, above = 1;
  for (double m : means) below += m <= 0 ? 1 : 0, above += m >= 0 ? 1 : 0;
  paired_result out;
  out.difference = detail::percentile_interval(detail::mean_of(d), means, r.confidence);
  out.p = math::min(1.0, 2.0 * static_cast<double>(std::min(below, above)) / static_cast<double>(means.size() + 1));
  return out;
}

// Clusters up to which sign_flip_test goes through all 2^n signs.
inline constexpr std::size_t exact_sign_flips = 16;

// Two-sided p of "the differences are symmetric about 0": the share of sign patterns over the clusters whose absolute
// sum reaches the observed one. Exact up to 16 clusters that differ, else (1 + hits) / (1 + replicates).
inline double sign_flip_test(std::span<const double> differences, std::span<const std::uint32_t> cluster = {},
                             const resampling& r = {}) {
  detail::check_resampling("sign_flip_test", r, differences.size(), cluster.size());
  std::vector<double> s;
  double observed = 0, size = 0;
  for (const auto& c : detail::cluster_sums(differences, cluster)) {
    if (c.sum == 0) continue;
    s.push_back(c.sum);
    observed += c.sum;
    size += math::abs(c.sum);
  }
  if (s.empty()) return 1;
  const double reach = math::abs(observed) - 1e-12 * size;  // sums in another order are equal too
  if (s.size() <= exact_sign_flips) {
    const std::uint32_t patterns = std::uint32_t{1} << s.size();
    std::uint32_t hits = 0;
    for (std::uint32_t bits = 0; bits < patterns; ++bits) {
      double t = 0;
      for (std::size_t i = 0; i < s.size(); ++i) t += (bits >> i & 1u) != 0 ? s[i] : -s[i];
      hits += math::abs(t) >= reach ? 1u : 0u;
    }
    return static_cast<double>(hits) / static_cast<double>(patterns);
  }
  std::int64_t hits = 1;
  for (std::int32_t b = 0; b < r.replicates; ++b) {
    const random_key key{
        .seed = r.seed, .what = purpose::shuffle, .example = static_cast<std::uint32_t>(b), .sample = 60002};
    double t = 0;
    for (std::size_t i = 0; i < s.size();) {
      const auto bits = random_bits(key, i / 128);
      for (std::size_t k = 0; k < 128 && i < s.size(); ++k, ++i)
        t += (bits[k / 32] >> (k % 32) & 1u) != 0 ? s[i] : -s[i];
    }
    hits += math::abs(t) >= reach ? 1 : 0;
  }
  return static_cast<double>(hits) / (static_cast<double>(r.replicates) + 1);
}

// Exact McNemar test, two-sided: items that only the first model has right against those that only the second has.
// p = min(1, 2 P(X <= min)), X binomial(first + second, 1/2).
//   mcnemar_exact(2, 9)   is 0.0654296875
inline double mcnemar_exact(std::int64_t only_first, std::int64_t only_second) {
  detail::expects(only_first >= 0 && only_second >= 0, "mcnemar_exact", "counts", "0 or more",
                  std::min(only_first, only_second));
  const std::int64_t n = only_first + only_second, least = std::min(only_first, only_second);
  detail::expects(n <= 100'000'000, "mcnemar_exact", "counts", "at most 100000000 together", n);
  if (2 * least >= n) return 1;
  // terms from the largest down, relative to it
  double log_largest = -static_cast<double>(n) * math::log(2.0);
  for (std::int64_t i = 0; i < least; ++i)
    log_largest += math::log(static_cast<double>(n - i) / static_cast<double>(i + 1));
  double term = 1, sum = 0;
  for (std::int64_t i = least; i >= 0 && term > 1e-18; --i) {
    sum += term;
    term *= static_cast<double>(i) / static_cast<double>(n - i + 1);
  }
  return math::min(1.0, 2.0 * math::exp(log_largest) * sum);
}

// The standard normal quantile, relative error about 1e-16 (Wichura 1988, AS 241).
inline double normal_quantile(double p) {
  detail::expects(p > 0 && p < 1, "normal_quantile", "p", "between 0 and 1", p);
  const auto ratio = [](const double(&a)[8], const double(&b)[8], double x) {
    double top = a[7], bottom = b[7];
    for (int i = 6; i >= 0; --i) top = math::fma(top, x, a[i]), bottom = math::fma(bottom, x, b[i]);
    return top / bottom;
  };
  const double q = p - 0.5;
  if (math::abs(q) <= 0.425) {
    constexpr double a[] = {3.3871328727963666080e0,  1.3314166789178437745e+2, 1.9715909503065514427e+3,
                            1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                            3.3430575583588128105e+4, 2.5090809287301226727e+3};
    constexpr double b[] = {1.0,
                            4.2313330701600911252e+1,
                            6.8718700749205790830e+2,
                            5.3941960214247511077e+3,
                            2.1213794301586595867e+4,
                            3.9307895800092710610e+4,
                            2.8729085735721942674e+4,
                            5.2264952788528545610e+3};
    return q * ratio(a, b, 0.180625 - q * q);
  }
  double r = math::sqrt(-math::log(q < 0 ? p : 1 - p));
  double z = 0;
  if (r <= 5) {
    constexpr double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0, 5.76949722146069140550e0,
                            3.64784832476320460504e0,  1.27045825245236838258e0, 2.41780725177450611770e-1,
                            2.27238449892691845833e-2, 7.74545014278341407640e-4};
    constexpr double d[] = {1.0,
                            2.05319162663775882187e0,
                            1.67638483018380384940e0,
                            6.89767334985100004550e-1,
                            1.48103976427480074590e-1,
                            1.51986665636164571966e-2,
                            5.47593808499534494600e-4,
                            1.05075007164441684324e-9};
    z = ratio(c, d, r - 1.6);
  } else {
    constexpr double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,  1.78482653991729133580e0,
                            2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
                            2.71155556874348757815e-5, 2.01033439929228813265e-7};
    constexpr double f[] = {1.0,
                            5.99832206555887937690e-1,
                            1.36929880922735805310e-1,
                            1.48753612908506148525e-2,
                            7.86869131145613259100e-4,
                            1.84631831751005468180e-5,
                            1.42151175831644588870e-7,
                            2.04426310338993978564e-15};
    z = ratio(e, f, r - 5);
  }
  return q < 0 ? -z : z;
}

// The two-sided quantile t of Student's distribution: P(|T| <= t) = confidence with `freedom` degrees of freedom (the
// finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4, inverted by bisection).
//   student_quantile(4, 0.95)   is 2.7764
inline double student_quantile(std::int64_t freedom, double confidence) {
  detail::expects(freedom >= 1 && freedom <= 100'000, "student_quantile", "freedom", "1 to 100000", freedom);
  detail::expects(confidence > 0 && confidence < 1, "student_quantile", "confidence", "between 0 and 1", confidence);
  constexpr double half_pi = 1.57079632679489661923;
  const bool odd = freedom % 2 != 0;
  const auto within = [&](double angle) {  // P(|T| <= sqrt(freedom) tan(angle))
    const double s = math::sin(angle), c = math::cos(angle);
    double term = odd ? c : 1, sum = freedom == 1 ? 0 : term;
    for (std::int64_t k = odd ? 3 : 2; k <= freedom - 2; k += 2) {
      term *= c * c * static_cast<double>(k - 1) / static_cast<double>(k);
      sum += term;
    }
    return odd ? (angle + s * sum) / half_pi : s * sum;
  };
  double low = 0, high = half_pi;
  for (int i = 0; i < 100; ++i) {
    const double middle = 0.5 * (low + high);
    (within(middle) < confidence ? low : high) = middle;
  }
  return math::sqrt(static_cast<double>(freedom)) * math::sin(low) / math::cos(low);
}

// The mean of a few independent values (one a seed, say) with Student's interval; one value alone: all of the line.
//   student_interval({{1, 2, 3, 4, 5}})   is {3, 1.0368, 4.9632}
inline interval student_interval(std::span<const double> values, double confidence = 0.95) {
  detail::expects(!values.empty(), "student_interval", "values", "at least one", values.size());
  const auto n = static_cast<double>(values.size());
  const double mean = detail::mean_of(values);
  if (values.size() == 1) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    return {mean, -infinity, infinity};
  }
  double squares = 0;
  for (double v : values) squares = math::fma(v - mean, v - mean, squares);
  const double half =
      student_quantile(static_cast<std::int64_t>(values.size()) - 1, confidence) * math::sqrt(squares / (n - 1) / n);
  return {mean, mean - half, mean + half};
}

// A share with Wilson's score interval (1927): inside [0, 1], also at 0 and n. For independent items.
//   wilson_interval(8, 10)   is {0.8, 0.4902, 0.9433}
inline interval wilson_interval(std::int64_t successes, std::int64_t n, double confidence = 0.95) {
  detail::expects(n >= 1, "wilson_interval", "n", "1 or more", n);
  detail::expects(successes >= 0 && successes <= n, "wilson_interval", "successes", "0 to " + std::to_string(n),
                  successes);
  detail::expects(confidence > 0 && confidence < 1, "wilson_interval", "confidence", "between 0 and 1", confidence);
  const double z = normal_quantile((1 + confidence) / 2), count = static_cast<double>(n);
  const double p = static_cast<double>(successes) / count, zz = z * z / count;
  const double centre = (p + zz / 2) / (1 + zz);
  const double half = z * math::sqrt(p * (1 - p) / count + zz / (4 * count)) / (1 + zz);
  return {p, successes == 0 ? 0.0 : math::max(0.0, centre - half),
          successes == n ? 1.0 : math::min(1.0, centre + half)};
}

// p-values of several tests, each multiplied so that the chance of any false alarm stays below what is asked of one
// (Holm 1979); in the order given.
inline std::vector<double> holm(std::span<const double> p) {
  std::vector<std::size_t> order(p.size());
  for (std::size_t i = 0; i < p.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return p[a] < p[b] || (p[a] == p[b] && a < b); });
  std::vector<double> out(p.size());
  double least = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    least = math::max(least, math::min(1.0, p[order[i]] * static_cast<double>(order.size() - i)));
    out[order[i]] = least;
  }
  return out;
}

}  // namespace ql::eval
