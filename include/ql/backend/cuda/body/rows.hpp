// SPDX-License-Identifier: Apache-2.0
#pragma once

// Bodies row by row (one warp a row, whatever the number of rows) and element by element.

#include <ql/backend/cuda/block.hpp>
#include <ql/backend/cuda/body/tile.hpp>
#include <ql/math.hpp>
#include <ql/tensor/update.hpp>

#include <cstdint>

namespace ql::cuda {

// Function(i) for every i < n: Function holds the pointers and says what one element is.
template <class Function>
struct element_body {
  struct arguments {
    Function f;
    std::int64_t n = 0;
  };
  static constexpr std::int64_t per_block = 4 * block_threads;
  static constexpr launch_shape shape(const arguments& a) { return {(a.n + per_block - 1) / per_block, 0}; }
  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    b.each([&](int t) {
      for (std::int64_t i = b.index() * per_block + t; i < (b.index() + 1) * per_block && i < a.n; i += block_threads)
        a.f(i);
    });
  }
};

// The row a thread's warp works on, and its lane.
struct row_lane {
  std::int64_t row;
  std::int64_t lane;
};
QL_DEVICE row_lane row_of(std::int64_t block, int t) { return {block * block_warps + t / warp_lanes, t % warp_lanes}; }
constexpr launch_shape shape_of_rows(std::int64_t rows) { return {(rows + block_warps - 1) / block_warps, 0}; }

template <class T>
struct embed_element {
  const std::int32_t* ids;
  const float* master;
  std::int64_t columns;
  float* x;
  std::int64_t ldx;
  QL_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t r = i / columns, c = i % columns;
    x[r * ldx + c] = widened(rounded<T>(master[ids[r] * columns + c]));
  }
};
template <class E>
struct gather_element {
  const E* x;
  const std::int32_t* rows;
  std::int64_t columns;
  E* y;
  QL_DEVICE void operator()(std::int64_t i) const { y[i] = x[rows[i / columns] * columns + i % columns]; }
};
// Column c of every row of dw gathers its tokens in order.
struct embed_dw_element {
  const std::int32_t* ids;
  std::int64_t tokens;
  const float* dx;
  std::int64_t ldx;
  float* dw;
  std::int64_t ldw;
  QL_DEVICE void operator()(std::int64_t c) const {
    for (std::int64_t r = 0; r < tokens; ++r) {
      float* to = dw + ids[r] * ldw + c;
      *to = *to + dx[r * ldx + c];
    }
  }
};

template <class T>
struct rms_norm_body {
  struct arguments {
    const float* x;
    std::int64_t ldx;
    const float* w;
    float eps;
    std::int64_t rows, columns;
    T* y;
    std::int64_t ldy;
    float* rstd;  // or null
  };
  static constexpr launch_shape shape(const arguments& a) { return shape_of_rows(a.rows); }
  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    typename Block::template registers<float> squares(b);
    b.each([&](int t) {
      const auto [row, lane] = row_of(b.index(), t);
      squares[t] = 0;
      if (row >= a.rows) return;
      for (std::int64_t c = lane; c < a.columns; c += warp_lanes) {
        const float v = a.x[row * a.ldx + c];
        squares[t] = math::fma(v, v, squares[t]);
      }
    });
    b.warp_sum(squares);
    b.each([&](int t) {
      const auto [row, lane] = row_of(b.index(), t);
      if (row >= a.rows) return;
      const float r = 1.0f / math::sqrt(squares[t] / static_cast<float>(a.columns) + a.eps);
      if (lane == 0 && a.rstd != nullptr) a.rstd[row] = r;
      for (std::int64_t c = lane; c < a.columns; c += warp_lanes)
        a.y[row * a.ldy + c] = rounded<T>(a.x[row * a.ldx + c] * r * a.w[c]);
    });
  }
};

// Rows of a vector inside wider rows: row i stands at (i / group) * outer + (i % group) * inner.
struct grouped_rows {
  std::int64_t outer, inner, group;
  QL_DEVICE std::int64_t at(std::int64_t i) const { return i / group * outer + i % group * inner; }
};

// dx (+)= r (dy w) - x r^3 projection / n; `write` in place of adding.
struct rms_norm_dx_body {
  struct arguments {
    const float* dy;
    grouped_rows dy_rows;
    const float* x;
    grouped_rows x_rows;
    const float* w;
    const float* rstd;
    grouped_rows rstd_rows;
    std::int64_t rows, columns;
    float* dx;
    grouped_rows dx_rows;
    bool write;
  };
  static constexpr launch_shape shape(const arguments& a) { return shape_of_rows(a.rows); }
  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    typename Block::template registers<float> projection(b);
    b.each([&](int t) {
      const auto [row, lane] = row_of(b.index(), t);
      projection[t] = 0;
      if (row >= a.rows) return;
      const float *dy = a.dy + a.dy_rows.at(row), *x = a.x + a.x_rows.at(row);
      for (std::int64_t c = lane; c < a.columns; c += warp_lanes)
        projection[t] = math::fma(dy[c] * a.w[c], x[c], projection[t]);
    });
    b.warp_sum(projection);
    b.each([&](int t) {
      const auto [row, lane] = row_of(b.index(), t);
      if (row >= a.rows) return;
      const float *dy = a.dy + a.dy_rows.at(row), *x = a.x + a.x_rows.at(row);
      float* dx = a.dx + a.dx_rows.at(row);
      const float r = a.rstd[a.rstd_rows.at(row)];
      const float f = r * r * r * -projection[t] / static_cast<float>(a.columns);
      for (std::int64_t c = lane; c < a.columns; c += warp_lanes) {
        const float d = math::fma(x[c], f, dy[c] * a.w[c] * r);
        dx[c] = a.write ? d : dx[c] + d;
      }
    });
  }
};

// Column c: dw chained over rows in blocks of product_block. With x null: the sum of dy alone.
struct column_element {
  const float* dy;
  grouped_rows dy_rows;
  const float* x;
  grouped_rows x_rows;
  const float* rstd;
  grouped_rows rstd_rows;
  std::int64_t rows;
  float* dw;
  QL_DEVICE void operator()(std::int64_t c) const {
    float total = dw[c];
    for (std::int64_t r0 = 0; r0 < rows; r0 += product_block) {
      float chain = 0;
      for (std::int64_t r = r0; r < rows && r < r0 + product_block; ++r) {
        const float d = dy[dy_rows.at(r) + c];
        chain = x == nullptr ? chain + d : math::fma(d, x[x_rows.at(r) + c] * rstd[rstd_rows.at(r)], chain);
      }
      total = total + chain;
    }
    dw[c] = total;
  }
};

QL_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + math::exp(-x)); }

template <class T>
struct swiglu_element {
  const T* gate;
  std::int64_t ldg;
  const T* up;
  std::int64_t ldu;
  std::int64_t columns;
  T* y;
  std::int64_t ldy;
  QL_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t r = i / columns, c = i % columns;
    const float g = widened(gate[r * ldg + c]);
    y[r * ldy + c] = rounded<T>(g * sigmoid(g) * widened(up[r * ldu + c]));
  }
};
template <class T>
struct swiglu_dx_element {
  const T* gate;
  std::int64_t ldg;
  const T* up;
  std::int64_t ldu;
  const float* dy;
  std::int64_t ldy;
  std::int64_t columns;
  float* dgate;
  std::int64_t lddg;
  float* dup;
  std::int64_t lddu;
  QL_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t r = i / columns, c = i % columns;
    const float g = widened(gate[r * ldg + c]), u = widened(up[r * ldu + c]), d = dy[r * ldy + c], s = sigmoid(g);
    const float slope = s * math::fma(g, 1.0f - s, 1.0f);  // silu'(g) = s (1 + g (1 - s))
    dup[r * lddu + c] = d * (g * s);
    dgate[r * lddg + c] = d * u * slope;
  }
};

template <class T>
struct round_element {
  const float* x;
  float* y;
  QL_DEVICE void operator()(std::int64_t i) const { y[i] = widened(rounded<T>(x[i])); }
};
template <class T>
struct pack_element {  // the device's kernel order is row-major
  const float* w;
  T* packed;
  QL_DEVICE void operator()(std::int64_t i) const { packed[i] = rounded<T>(w[i]); }
};
// What a product by a library is given, and what becomes of its total.
template <class T>
struct round_rows_element {
  const float* x;
  std::int64_t ldx;
  std::int64_t columns;
  T* y;  // dense
  QL_DEVICE void operator()(std::int64_t i) const { y[i] = rounded<T>(x[i / columns * ldx + i % columns]); }
};
template <class Y>
struct finish_product_element {
  const float* total;
  std::int64_t ld;
  std::int64_t columns;
  const float* bias;
  Y* y;  // may be `total`
  std::int64_t ldy;
  QL_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t r = i / columns, c = i % columns;
    y[r * ldy + c] = rounded<Y>(total[r * ld + c] + bias[c]);
  }
};
struct fold_element {
  const float* x;
  float* y;
  QL_DEVICE void operator()(std::int64_t i) const { y[i] = y[i] + x[i]; }
};

// Keys of a page, and gradients of keys.
template <class T>
struct copy_keys_element {
  const T* from;
  T* to;
  std::int64_t keys, padded_dim;
  // i counts (layer and plane of keys or values, key, dimension)
  QL_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t n = keys * padded_dim, at = i / n * key_block * padded_dim + i % n;
    to[at] = from[at];
  }
};
struct return_keys_element {
  const float* from;
  float* to;
  std::int64_t keys, padded_dim;
  QL_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t n = keys * padded_dim, at = i / n * key_block * padded_dim + i % n;
    to[at] = to[at] + from[at];
  }
};

// The roundings of ql::rl::adamw::update.
template <class T>
struct adamw_element {
  float b1, r1, b2, r2, rate, decay, root, eps, scale;
  float *w, *m, *v;
  const float* g;
  T* packed;  // or null
  adamw_element() = default;
  adamw_element(const adamw_args& p, float* w_, const float* g_, float* m_, float* v_, T* packed_)
      : b1(static_cast<float>(p.beta1)),
        r1(static_cast<float>(1.0 - p.beta1)),
        b2(static_cast<float>(p.beta2)),
        r2(static_cast<float>(1.0 - p.beta2)),
        rate(static_cast<float>(-(p.lr / p.correction1))),
        decay(static_cast<float>(-(p.lr * p.weight_decay))),
        root(static_cast<float>(1.0 / __builtin_sqrt(p.correction2))),
        eps(static_cast<float>(p.eps)),
        scale(static_cast<float>(p.gradient_scale)),
        w(w_),
        m(m_),
        v(v_),
        g(g_),
        packed(packed_) {}
  QL_DEVICE void operator()(std::int64_t i) const {
    const float gi = g[i] * scale, wi = w[i];
    const float mi = math::fma(b1, m[i], r1 * gi);
    const float vi = math::fma(b2, v[i], r2 * gi * gi);
    const float denominator = math::fma(math::sqrt(vi), root, eps);
    const float next = math::fma(rate, mi / denominator, math::fma(decay, wi, wi));
    w[i] = next;
    m[i] = mi;
    v[i] = vi;
    if (packed != nullptr) packed[i] = rounded<T>(next);
  }
};
template <class T>
struct sgd_element {
  float mu, decay, rate, scale;
  bool nesterov;
  float* w;
  float* momentum;  // or null
  const float* g;
  T* packed;  // or null
  QL_DEVICE void operator()(std::int64_t i) const {
    const float wi = w[i];
    float d = math::fma(decay, wi, g[i] * scale);
    if (momentum != nullptr) {
      const float m = math::fma(mu, momentum[i], d);
      momentum[i] = m;
      d = nesterov ? math::fma(mu, m, d) : m;
    }
    const float next = math::fma(rate, d, wi);
    w[i] = next;
    if (packed != nullptr) packed[i] = rounded<T>(next);
  }
};

// Sums of squares of blocks of norm_block elements, in double: one block of threads each.
struct squares_body {
  struct arguments {
    const float* x;
    std::int64_t n;
    double* sums;
  };
  static constexpr launch_shape shape(const arguments& a) {
    return {(a.n + norm_block - 1) / norm_block, shared_size<double>(block_warps)};
  }
  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    typename Block::template registers<double> sum(b);
    auto warps = b.template share<double>(block_warps);
    b.each([&](int t) {
      sum[t] = 0;
      for (std::int64_t i = b.index() * norm_block + t; i < (b.index() + 1) * norm_block && i < a.n;
           i += block_threads) {
        const double v = static_cast<double>(a.x[i]);
        sum[t] = math::fma(v, v, sum[t]);
      }
    });
    b.warp_sum(sum);
    b.each([&](int t) {
      if (t % warp_lanes == 0) warps.set(t / warp_lanes, sum[t]);
    });
    b.sync();
    b.each([&](int t) {
      if (t != 0) return;
      double total = 0;
      for (int w = 0; w < block_warps; ++w) total = total + warps.get(w);
      a.sums[b.index()] = total;
    });
  }
};

}  // namespace ql::cuda
