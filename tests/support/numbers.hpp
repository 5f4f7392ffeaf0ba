// SPDX-License-Identifier: Apache-2.0
#pragma once

// Numbers for tests: a small seeded generator of its own, so that a failure is reproduced by its seed alone, and
// comparisons bit by bit.

#include <ql/scalar.hpp>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

namespace ql::test {

class numbers {  // splitmix64
 public:
  explicit numbers(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}
  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // [0, n)
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(n)); }
  double uniform(double lo, double hi) { return lo + (hi - lo) * (static_cast<double>(bits() >> 11) * 0x1p-53); }
  // near enough to normal, variance 1
  double normal() {
    double s = 0;
    for (int i = 0; i < 6; ++i) s += uniform(-1, 1);
    return s * 0.70710678118654752;
  }
  // every finite float is possible, most of them near 1
  float awkward() {
    switch (below(12)) {
      case 0: return -0.0f;
      case 1: return 0.0f;
      case 2: return static_cast<float>(uniform(-1, 1)) * 0x1p-130f;  // subnormal
      case 3: return static_cast<float>(uniform(-1, 1)) * 0x1p-124f;  // products with it are
      case 4: return static_cast<float>(uniform(-1, 1)) * 0x1p60f;
      case 5: return static_cast<float>(uniform(-1, 1)) * 0x1p-70f;
      default: return static_cast<float>(normal());
    }
  }

 private:
  std::uint64_t state_;
};

template <class T>
T to(double x) {
  if constexpr (std::is_same_v<T, bf16>) {
    return bf16(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}
template <class T>
double wide(T x) {
  if constexpr (std::is_same_v<T, bf16>) {
    return static_cast<double>(static_cast<float>(x));
  } else {
    return static_cast<double>(x);
  }
}

template <class T>
std::vector<T> normals(numbers& r, std::int64_t n, double scale = 1) {
  std::vector<T> v(static_cast<std::size_t>(n));
  for (auto& x : v) x = to<T>(scale * r.normal());
  return v;
}
// Subnormals, zeros of both signs, large and small magnitudes among ordinary values.
template <class T>
std::vector<T> awkward(numbers& r, std::int64_t n) {
  std::vector<T> v(static_cast<std::size_t>(n));
  for (auto& x : v) {
    x = to<T>(static_cast<double>(r.awkward()));
    if constexpr (std::is_same_v<T, double>) {
      if (r.below(16) == 0) x = r.uniform(-1, 1) * 0x1p-1030;
    }
  }
  return v;
}

// Where two arrays differ first, as text; empty where every bit agrees.
template <class T>
std::string difference(std::span<const T> got, std::span<const T> expected) {
  std::ostringstream s;
  if (got.size() != expected.size()) {
    s << "sizes " << got.size() << " and " << expected.size();
    return s.str();
  }
  std::int64_t first = -1, count = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    if (std::memcmp(&got[i], &expected[i], sizeof(T)) != 0) {
      if (count++ == 0) first = static_cast<std::int64_t>(i);
    }
  if (count == 0) return {};
  s.precision(std::numeric_limits<double>::max_digits10);
  const auto i = static_cast<std::size_t>(first);
  s << count << " of " << got.size() << " differ, the first at " << first << ": " << wide(got[i]) << " and "
    << wide(expected[i]);
  return s.str();
}
template <class T>
std::string difference(const std::vector<T>& got, const std::vector<T>& expected) {
  return difference(std::span<const T>(got), std::span<const T>(expected));
}
template <class T>
  requires(std::is_floating_point_v<T>)
std::string difference(T got, T expected) {
  return difference(std::span<const T>(&got, 1), std::span<const T>(&expected, 1));
}

}  // namespace ql::test
