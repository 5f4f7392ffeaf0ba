// SPDX-License-Identifier: Apache-2.0
#pragma once

// docs/numerics.md as scalar code: the documented order of every reduction, one element at a time, by std::fma. To be
// run under flush_subnormals, as the kernels are.

#include <ql/math.hpp>
#include <ql/scalar.hpp>
#include <ql/tensor/numerics.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

namespace ql::test::model {

template <class A>
A rounded(A x, bf16) {
  return static_cast<A>(static_cast<float>(bf16(x)));
}
template <class A, class T>
A rounded(A x, T) {
  return x;
}
template <class T>
accumulate_t<T> widened(T x) {
  if constexpr (std::is_same_v<T, bf16>) {
    return static_cast<float>(x);
  } else {
    return x;
  }
}

// Section 4. x(k) and w(k) give the operands, already rounded to T; `total` is where the sum starts.
template <class T, class X, class W>
accumulate_t<T> product(X&& x, W&& w, std::int64_t depth, accumulate_t<T> total = 0) {
  using A = accumulate_t<T>;
  if constexpr (std::is_same_v<T, bf16>) {
    for (std::int64_t k0 = 0; k0 < depth; k0 += 32) {
      A even = 0, odd = 0;
      for (std::int64_t k = k0; k < k0 + 32; k += 2) {
        even = std::fma(k < depth ? x(k) : A(0), k < depth ? w(k) : A(0), even);
        odd = std::fma(k + 1 < depth ? x(k + 1) : A(0), k + 1 < depth ? w(k + 1) : A(0), odd);
      }
      total = total + (even + odd);
    }
  } else {
    for (std::int64_t k0 = 0; k0 < depth; k0 += 256) {
      A chain = 0;
      for (std::int64_t k = k0; k < depth && k < k0 + 256; ++k) chain = std::fma(x(k), w(k), chain);
      total = total + chain;
    }
  }
  return total;
}

// Section 5: lane i with i + 8, then + 4, + 2, + 1.
template <class A>
A tree(A (&lane)[16]) {
  for (int w = 8; w > 0; w /= 2)
    for (int i = 0; i < w; ++i) lane[i] = lane[i] + lane[i + w];
  return lane[0];
}
// Sum of a(i) b(i), element i on lane i % 16, a tail of zeros.
template <class A, class X, class Y>
A lane_sum(X&& a, Y&& b, std::int64_t n) {
  A lane[16] = {};
  for (std::int64_t i = 0; i < round_up(n, 16); ++i)
    lane[i % 16] = std::fma(i < n ? a(i) : A(0), i < n ? b(i) : A(0), lane[i % 16]);
  return tree(lane);
}

// Section 7: the running log-sum-exp of one row.
template <class A>
struct running {
  A max = -INFINITY, sum = 0, weighted = 0;
  void block(A* z, std::int64_t n, A inverse_temperature) {
    A top = max;
    for (std::int64_t i = 0; i < n; ++i) {
      z[i] = z[i] * inverse_temperature;
      top = std::fmax(top, z[i]);
    }
    A sums[16] = {}, means[16] = {};
    for (std::int64_t i = 0; i < n; ++i) {
      const A e = math::exp(z[i] - top);
      sums[i % 16] = sums[i % 16] + e;
      means[i % 16] = std::fma(e, z[i], means[i % 16]);
    }
    const A f = math::exp(max - top);
    sum = std::fma(sum, f, tree(sums));
    weighted = std::fma(weighted, f, tree(means));
    max = top;
  }
  A lse() const { return max + math::log(sum); }
  A entropy() const { return lse() - weighted / sum; }
};

}  // namespace ql::test::model
