// SPDX-License-Identifier: Apache-2.0
#pragma once

// The bodies of the CPU kernels, once for every instruction set and scalar. Included by src/cpu/ alone.

#include <ql/backend/cpu/kernel_table.hpp>
#include <ql/backend/cpu/simd/ops.hpp>

#include <limits>

namespace ql::cpu::simd {

template <class T, class Isa>
struct bodies {
  using A = accumulate_t<T>;
  using O = ops<A, Isa>;
  using V = typename O::vector;
  static constexpr bool paired = panel_pair<T> == 2;
  static constexpr int tile = [] {
    if constexpr (paired) {
      return O::tile_rows_bf16;
    } else {
      return O::tile_rows;
    }
  }();

  // ------------------------------------------------------------------ products

  static std::int64_t packed_rows_bytes(std::int64_t rows, std::int64_t k) {
    return round_up(rows, tile) * padded_k<T>(k) * static_cast<std::int64_t>(sizeof(A));
  }

  // [row tile][k][tile], k padded with zeros
  template <class E>
  static void pack_rows_of(row_set<E> src, std::int64_t rows, std::int64_t k, A* dst) {
    const std::int64_t kp = padded_k<T>(k);
    for (std::int64_t r0 = 0; r0 < rows; r0 += tile, dst += tile * kp) {
      const int n = static_cast<int>(rows - r0 < tile ? rows - r0 : tile);
      const E* row[tile];
      for (int i = 0; i < tile; ++i) row[i] = src.row(r0 + (i < n ? i : 0));
      if (src.outer == 1 && src.group == 1) {
        // rows are adjacent: a transposed operand, already in the order of a tile
        for (std::int64_t kk = 0; kk < k; ++kk) {
          V x = O::load_n(row[0] + kk * src.step, n);
          if constexpr (paired && sizeof(E) == sizeof(A)) x = O::round_bf16(x);
          O::store_n(dst + kk * tile, x, tile);
        }
      } else if (src.step == 1) {
        // sixteen k at a time: read along rows, write along tiles
        V block[lanes];
        for (int i = n; i < lanes; ++i) block[i] = O::zero();
        for (std::int64_t kk = 0; kk < k; kk += lanes) {
          const int m = static_cast<int>(k - kk < lanes ? k - kk : lanes);
          for (int i = 0; i < n; ++i) {
            V x = m == lanes ? O::load(row[i] + kk) : O::load_n(row[i] + kk, m);
            if constexpr (paired && sizeof(E) == sizeof(A)) x = O::round_bf16(x);
            block[i] = x;
          }
          O::template store_transposed<tile>(block, dst + kk * tile, m);
        }
      } else {
        for (std::int64_t kk = 0; kk < k; ++kk)
          for (int i = 0; i < tile; ++i) dst[kk * tile + i] = i < n ? to_acc(row[i][kk * src.step]) : A(0);
      }
      for (std::int64_t j = k * tile; j < kp * tile; ++j) dst[j] = A(0);
    }
  }
  static QL_INLINE A to_acc(bf16 x) { return static_cast<A>(static_cast<float>(x)); }
  template <class E>
  static QL_INLINE A to_acc(E x) {
    if constexpr (paired) {
      return static_cast<float>(bf16(x));
    } else {
      return x;
    }
  }
  static void pack_rows(row_set<T> src, std::int64_t rows, std::int64_t k, void* dst) {
    pack_rows_of(src, rows, k, static_cast<A*>(dst));
  }
  static void pack_rows_rounded(row_set<A> src, std::int64_t rows, std::int64_t k, void* dst) {
    pack_rows_of(src, rows, k, static_cast<A*>(dst));
  }

  // total[R][32] += chains over k
  template <int R>
  static QL_INLINE void chains(const A* QL_RESTRICT a, const T* QL_RESTRICT w, std::int64_t ws, std::int64_t k,
                               A* QL_RESTRICT total) {
    if constexpr (!paired) {
      for (std::int64_t k0 = 0; k0 < k; k0 += product_block) {
        const std::int64_t k1 = k0 + product_block < k ? k0 + product_block : k;
        V acc[R][2];
        for (int i = 0; i < R; ++i) acc[i][0] = acc[i][1] = O::zero();
        for (std::int64_t kk = k0; kk < k1; ++kk, w += ws, a += tile) {
          const V w0 = O::load(w), w1 = O::load(w + lanes);
          for (int i = 0; i < R; ++i) {
            const V x = O::set(a[i]);
            acc[i][0] = O::fma(x, w0, acc[i][0]);
            acc[i][1] = O::fma(x, w1, acc[i][1]);
          }
        }
        for (int i = 0; i < R; ++i)
          for (int h = 0; h < 2; ++h) {
            A* c = total + i * panel_columns + h * lanes;
            O::store(c, O::add(O::load(c), acc[i][h]));
          }
      }
    } else {
      for (std::int64_t k0 = 0; k0 < k; k0 += product_step) {
        V even[R][2], odd[R][2];
        for (int i = 0; i < R; ++i) even[i][0] = even[i][1] = odd[i][0] = odd[i][1] = O::zero();
        for (int p = 0; p < product_step / 2; ++p, w += ws, a += 2 * tile) {
          V e0, o0, e1, o1;
          O::load_pairs(w, e0, o0);
          O::load_pairs(w + 2 * lanes, e1, o1);
          for (int i = 0; i < R; ++i) {
            const V x = O::set(a[i]), y = O::set(a[tile + i]);
            even[i][0] = O::fma(x, e0, even[i][0]);
            even[i][1] = O::fma(x, e1, even[i][1]);
            odd[i][0] = O::fma(y, o0, odd[i][0]);
            odd[i][1] = O::fma(y, o1, odd[i][1]);
          }
        }
        for (int i = 0; i < R; ++i)
          for (int h = 0; h < 2; ++h) {
            A* c = total + i * panel_columns + h * lanes;
            O::store(c, O::add(O::load(c), O::add(even[i][h], odd[i][h])));
          }
      }
    }
  }
  template <int R>
  static void chains_of(const A* a, const T* w, std::int64_t ws, std::int64_t k, A* total) {
    chains<R>(a, w, ws, k, total);
  }
  static QL_INLINE void chains_for(int rows, const A* a, const T* w, std::int64_t ws, std::int64_t k, A* total) {
    static_assert(tile <= 12);
    switch (rows) {
      case 1: return chains_of<1>(a, w, ws, k, total);
      case 2: return chains_of<2>(a, w, ws, k, total);
      case 3: return chains_of<3>(a, w, ws, k, total);
      case 4: return chains_of<4>(a, w, ws, k, total);
      case 5:
        if constexpr (tile >= 5)
          return chains_of<5>(a, w, ws, k, total);
        else
          return;
      case 6:
        if constexpr (tile >= 6)
          return chains_of<6>(a, w, ws, k, total);
        else
          return;
      case 7:
        if constexpr (tile >= 7)
          return chains_of<7>(a, w, ws, k, total);
        else
          return;
      case 8:
        if constexpr (tile >= 8)
          return chains_of<8>(a, w, ws, k, total);
        else
          return;
      case 9:
        if constexpr (tile >= 9)
          return chains_of<9>(a, w, ws, k, total);
        else
          return;
      case 10:
        if constexpr (tile >= 10)
          return chains_of<10>(a, w, ws, k, total);
        else
          return;
      case 11:
        if constexpr (tile >= 11)
          return chains_of<11>(a, w, ws, k, total);
        else
          return;
      case 12:
        if constexpr (tile >= 12)
          return chains_of<12>(a, w, ws, k, total);
        else
          return;
      default: return;
    }
  }

  static QL_INLINE void finish(const product_args<T>& p, std::int64_t row, const A* total) {
    const int columns = static_cast<int>(p.columns);
    for (int h = 0; h < 2; ++h) {
      const int n = columns - h * lanes;
      if (n <= 0) break;
      const std::int64_t j = h * lanes;
      V x = O::load(total + j);
      if (p.bias != nullptr) x = O::add(x, O::load_n(p.bias + j, n));
      if (p.what == epilogue::round) {
        T* t = p.t + row * p.ldt + j;
        if (n >= lanes) {
          O::store(t, x);
        } else {
          O::store_n(t, x, n);
        }
        continue;
      }
      A* c = p.c + row * p.ldc + j;
      if (p.what == epilogue::add) x = O::add(O::load_n(c, n), x);
      if (p.what == epilogue::scale_add) x = O::fma(O::load_n(c, n), O::set(p.scale[row]), x);
      if (n >= lanes) {
        O::store(c, x);
      } else {
        O::store_n(c, x, n);
      }
    }
  }

  static void product(const product_args<T>& p) {
    const std::int64_t kp = padded_k<T>(p.k);
    const A* a = static_cast<const A*>(p.a);
    alignas(64) A total[tile * panel_columns];
    for (std::int64_t r0 = 0; r0 < p.rows; r0 += tile, a += tile * kp) {
      const int n = static_cast<int>(p.rows - r0 < tile ? p.rows - r0 : tile);
      if (p.what == epilogue::chain) {
        for (int i = 0; i < n; ++i)
          for (int h = 0; h < 2; ++h)
            O::store(total + i * panel_columns + h * lanes,
                     O::load_n(p.c + (r0 + i) * p.ldc + h * lanes, static_cast<int>(p.columns) - h * lanes));
      } else {
        for (int i = 0; i < 2 * n; ++i) O::store(total + i * lanes, O::zero());
      }
      chains_for(n, a, p.panel, p.panel_stride, kp, total);
      for (int i = 0; i < n; ++i) finish(p, r0 + i, total + i * panel_columns);
    }
  }

  template <class E>
  static void pack_panel_of(row_set<E> src, std::int64_t k, std::int64_t columns, T* panel, std::int64_t stride) {
    const std::int64_t kp = padded_k<T>(k);
    for (std::int64_t kk = 0; kk < kp; kk += panel_pair<T>, panel += stride) {
      if constexpr (!paired) {
        const E* r = src.row(kk);
        for (int h = 0; h < 2; ++h)
          O::store(panel + h * lanes, O::load_n(r + h * lanes, static_cast<int>(columns) - h * lanes));
      } else {
        const E* r0 = kk < k ? src.row(kk) : nullptr;
        const E* r1 = kk + 1 < k ? src.row(kk + 1) : nullptr;
        bf16 x[2][panel_columns];
        for (int h = 0; h < 2; ++h) {
          const int n = static_cast<int>(columns) - h * lanes;
          O::store(x[0] + h * lanes, r0 != nullptr ? O::load_n(r0 + h * lanes, n) : O::zero());
          O::store(x[1] + h * lanes, r1 != nullptr ? O::load_n(r1 + h * lanes, n) : O::zero());
        }
        for (int j = 0; j < panel_columns; ++j) panel[2 * j] = x[0][j], panel[2 * j + 1] = x[1][j];
      }
    }
  }
  static void pack_panel(row_set<T> src, std::int64_t k, std::int64_t columns, T* panel, std::int64_t stride) {
    pack_panel_of(src, k, columns, panel, stride);
  }
  static void pack_panel_rounded(row_set<A> src, std::int64_t k, std::int64_t columns, T* panel, std::int64_t stride) {
    pack_panel_of(src, k, columns, panel, stride);
  }

  static void pack_weights(const A* w, std::int64_t ldw, std::int64_t columns, std::int64_t k0, std::int64_t k1,
                           T* panel) {
    constexpr std::int64_t step = lanes * panel_pair<T>;
    for (std::int64_t n = 0; n < panel_columns; ++n) {
      for (std::int64_t kk = k0; kk < k1; kk += step) {
        const std::int64_t m = k1 - kk < step ? k1 - kk : step;
        T x[step];
        for (std::int64_t h = 0; h < panel_pair<T>; ++h) {
          const int c = static_cast<int>(m - h * lanes);
          O::store(x + h * lanes, n < columns ? O::load_n(w + n * ldw + kk + h * lanes, c) : O::zero());
        }
        if constexpr (!paired) {
          for (std::int64_t j = 0; j < m; ++j) panel[(kk + j) * panel_columns + n] = x[j];
        } else {
          for (std::int64_t j = 0; j < m; j += 2) {
            T* p = panel + (kk + j) * panel_columns + 2 * n;
            p[0] = x[j];
            p[1] = x[j + 1];
          }
        }
      }
    }
  }

  // ------------------------------------------------------------------ rows

  static void round(const A* x, std::int64_t n, T* y) {
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes) O::store(y + i, O::load(x + i));
    if (i < n) O::store_n(y + i, O::load_n(x + i, static_cast<int>(n - i)), static_cast<int>(n - i));
  }
  static void widen(const T* x, std::int64_t n, A* y) {
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes) O::store(y + i, O::load(x + i));
    if (i < n) O::store_n(y + i, O::load_n(x + i, static_cast<int>(n - i)), static_cast<int>(n - i));
  }
  static void add(const A* x, std::int64_t n, A* y) {
    std::int64_t i = 0;
    for (; i + lanes <= n; i += lanes) O::store(y + i, O::add(O::load(y + i), O::load(x + i)));
    if (i < n) {
      const int m = static_cast<int>(n - i);
      O::store_n(y + i, O::add(O::load_n(y + i, m), O::load_n(x + i, m)), m);
    }
  }
  static QL_INLINE V rounded(V x) {
    if constexpr (paired) {
      return O::round_bf16(x);
    } else {
      return x;
    }
  }
  // chunks of sixteen in order, one chain a lane, then the tree
  template <class F>
  static QL_INLINE A lane_sum(std::int64_t n, F&& term) {
    V acc = O::zero();
    for (std::int64_t i = 0; i < n; i += lanes) acc = term(i, static_cast<int>(n - i < lanes ? n - i : lanes), acc);
    return O::reduce_add(acc);
  }
  static A dot(const A* x, const T* y, std::int64_t n) {
    return lane_sum(n, [&](std::int64_t i, int m, V acc) {
      return O::fma(rounded(O::load_n(x + i, m)), O::load_n(y + i, m), acc);
    });
  }
  static void rms_norm(const A* x, const A* w, A eps, std::int64_t n, T* y, A* y_acc, A* rstd) {
    const A squares = lane_sum(n, [&](std::int64_t i, int m, V acc) {
      const V v = O::load_n(x + i, m);
      return O::fma(v, v, acc);
    });
    const V mean = O::div(O::set(squares), O::set(static_cast<A>(n)));
    const V r = O::div(O::set(A(1)), O::sqrt(O::add(mean, O::set(eps))));
    if (rstd != nullptr) *rstd = O::first_lane(r);
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int m = static_cast<int>(n - i < lanes ? n - i : lanes);
      const V v = O::mul(O::mul(O::load_n(x + i, m), r), O::load_n(w + i, m));
      if (y != nullptr) O::store_n(y + i, v, m);
      if (y_acc != nullptr) O::store_n(y_acc + i, v, m);
    }
  }
  static void rms_norm_dx(const A* dy, const A* x, const A* w, A rstd, std::int64_t n, A* dx) {
    const A projection = lane_sum(n, [&](std::int64_t i, int m, V acc) {
      return O::fma(O::mul(O::load_n(dy + i, m), O::load_n(w + i, m)), O::load_n(x + i, m), acc);
    });
    const V r = O::set(rstd);
    // dx = r (dy w) - x r^3 projection / n
    const V f = O::div(O::mul(O::mul(O::mul(r, r), r), O::set(-projection)), O::set(static_cast<A>(n)));
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int m = static_cast<int>(n - i < lanes ? n - i : lanes);
      const V g = O::mul(O::load_n(dy + i, m), O::load_n(w + i, m));
      const V d = O::fma(O::load_n(x + i, m), f, O::mul(g, r));
      O::store_n(dx + i, O::add(O::load_n(dx + i, m), d), m);
    }
  }
  static void rms_norm_dw(row_set<A> dy, row_set<A> x, const A* rstd, std::int64_t rows, std::int64_t j0,
                          std::int64_t j1, A* dw) {
    for (std::int64_t j = j0; j < j1; j += lanes) {
      const int m = static_cast<int>(j1 - j < lanes ? j1 - j : lanes);
      V total = O::load_n(dw + j, m);
      for (std::int64_t r0 = 0; r0 < rows; r0 += product_block) {
        V acc = O::zero();
        for (std::int64_t r = r0; r < rows && r < r0 + product_block; ++r)
          acc = O::fma(O::load_n(dy.row(r) + j, m), O::mul(O::load_n(x.row(r) + j, m), O::set(rstd[r])), acc);
        total = O::add(total, acc);
      }
      O::store_n(dw + j, total, m);
    }
  }
  static void column_sum(row_set<A> dy, std::int64_t rows, std::int64_t j0, std::int64_t j1, A* db) {
    for (std::int64_t j = j0; j < j1; j += lanes) {
      const int m = static_cast<int>(j1 - j < lanes ? j1 - j : lanes);
      V total = O::load_n(db + j, m);
      for (std::int64_t r0 = 0; r0 < rows; r0 += product_block) {
        V acc = O::zero();
        for (std::int64_t r = r0; r < rows && r < r0 + product_block; ++r)
          acc = O::add(acc, O::load_n(dy.row(r) + j, m));
        total = O::add(total, acc);
      }
      O::store_n(db + j, total, m);
    }
  }
  static void rope(const A* x, std::int64_t heads, std::int64_t d, const A* cosine, const A* sine, bool back, T* y,
                   A* y_acc) {
    const std::int64_t half = d / 2;
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t i = 0; i < half; i += lanes) {
        const int m = static_cast<int>(half - i < lanes ? half - i : lanes);
        const std::int64_t lo = h * d + i, hi = lo + half;
        const V a = O::load_n(x + lo, m), b = O::load_n(x + hi, m), c = O::load_n(cosine + i, m);
        V s = O::load_n(sine + i, m);
        if (back) s = O::sub(O::zero(), s);
        const V u = O::fma(a, c, O::mul(O::sub(O::zero(), b), s)), v = O::fma(b, c, O::mul(a, s));
        if (y != nullptr) O::store_n(y + lo, u, m), O::store_n(y + hi, v, m);
        if (y_acc != nullptr) O::store_n(y_acc + lo, u, m), O::store_n(y_acc + hi, v, m);
      }
  }
  static QL_INLINE V sigmoid(V x) {
    const V one = O::set(A(1));
    return O::div(one, O::add(one, math::exp_over<O>(O::sub(O::zero(), x))));
  }
  static void swiglu(const T* gate, const T* up, std::int64_t n, T* y) {
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int m = static_cast<int>(n - i < lanes ? n - i : lanes);
      const V g = O::load_n(gate + i, m);
      O::store_n(y + i, O::mul(O::mul(g, sigmoid(g)), O::load_n(up + i, m)), m);
    }
  }
  static void swiglu_dx(const T* gate, const T* up, const A* dy, std::int64_t n, A* dgate, A* dup) {
    const V one = O::set(A(1));
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int m = static_cast<int>(n - i < lanes ? n - i : lanes);
      const V g = O::load_n(gate + i, m), u = O::load_n(up + i, m), d = O::load_n(dy + i, m), s = sigmoid(g);
      // silu'(g) = s (1 + g (1 - s))
      const V slope = O::mul(s, O::fma(g, O::sub(one, s), one));
      O::store_n(dup + i, O::mul(d, O::mul(g, s)), m);
      O::store_n(dgate + i, O::mul(O::mul(d, u), slope), m);
    }
  }

  // ------------------------------------------------------------------ attention

  static void softmax_block(A* s, std::int64_t rows, const std::int32_t* visible, A scale, A* max, A* sum, A* factor) {
    constexpr int vectors = static_cast<int>(key_block) / lanes;
    const A lowest = -std::numeric_limits<A>::infinity();
    for (std::int64_t r = 0; r < rows; ++r, s += key_block) {
      const int n = visible[r];
      V x[vectors];
      for (int i = 0; i < vectors; ++i)
        x[i] = O::keep_first(O::mul(O::load(s + i * lanes), O::set(scale)), n - i * lanes, lowest);
      V top = x[0];
      for (int i = 1; i < vectors; ++i) top = O::max(top, x[i]);
      const V m = O::max(O::set(max[r]), O::set(O::reduce_max(top)));
      V total = O::zero();
      for (int i = 0; i < vectors; ++i) {
        const V p = math::exp_over<O>(O::sub(x[i], m));
        O::store(s + i * lanes, p);
        total = O::add(total, p);
      }
      const V f = math::exp_over<O>(O::sub(O::set(max[r]), m));
      const V l = O::fma(O::set(sum[r]), f, O::set(O::reduce_add(total)));
      max[r] = O::first_lane(m);
      sum[r] = O::first_lane(l);
      factor[r] = O::first_lane(f);
    }
  }
  static void softmax_block_dx(A* s, A* dp, std::int64_t rows, const std::int32_t* visible, A scale, const A* lse,
                               const A* delta) {
    for (std::int64_t r = 0; r < rows; ++r, s += key_block, dp += key_block)
      for (int i = 0; i < key_block; i += lanes) {
        const V x = O::keep_first(O::fma(O::load(s + i), O::set(scale), O::set(-lse[r])), visible[r] - i,
                                  -std::numeric_limits<A>::infinity());
        const V p = math::exp_over<O>(x);
        O::store(s + i, p);
        O::store(dp + i, O::mul(O::mul(p, O::sub(O::load(dp + i), O::set(delta[r]))), O::set(scale)));
      }
  }
  static void divide(const A* x, A by, std::int64_t n, T* y) {
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int m = static_cast<int>(n - i < lanes ? n - i : lanes);
      O::store_n(y + i, O::div(O::load_n(x + i, m), O::set(by)), m);
    }
  }

  // ------------------------------------------------------------------ vocabulary

  static void logsumexp_block(A* z, std::int64_t n, A inverse_temperature, A* max, A* sum, A* weighted) {
    const A lowest = -std::numeric_limits<A>::infinity();
    V top = O::set(lowest);
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int m = static_cast<int>(n - i < lanes ? n - i : lanes);
      const V x = O::mul(O::load_n(z + i, m), O::set(inverse_temperature));
      O::store_n(z + i, x, m);
      top = O::max(top, O::keep_first(x, m, lowest));
    }
    const V m = O::max(O::set(*max), O::set(O::reduce_max(top)));
    V total = O::zero(), mean = O::zero();
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int c = static_cast<int>(n - i < lanes ? n - i : lanes);
      const V x = O::load_n(z + i, c);
      const V e = O::keep_first(math::exp_over<O>(O::sub(x, m)), c, A(0));
      total = O::add(total, e);
      mean = O::fma(e, x, mean);
    }
    const V f = math::exp_over<O>(O::sub(O::set(*max), m));
    *sum = O::first_lane(O::fma(O::set(*sum), f, O::set(O::reduce_add(total))));
    *weighted = O::first_lane(O::fma(O::set(*weighted), f, O::set(O::reduce_add(mean))));
    *max = O::first_lane(m);
  }
  static void logits_dx(A* z, std::int64_t n, A inverse_temperature, A lse, A entropy, A dlogp, A dentropy) {
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int m = static_cast<int>(n - i < lanes ? n - i : lanes);
      const V logp = O::sub(O::load_n(z + i, m), O::set(lse));
      const V p = math::exp_over<O>(logp);
      const V g = O::fma(O::set(dentropy), O::add(logp, O::set(entropy)), O::set(dlogp));
      O::store_n(z + i, O::mul(O::mul(O::sub(O::zero(), p), g), O::set(inverse_temperature)), m);
    }
  }
  static void exp_sums(const A* z, std::int64_t n, A max, A* sums) {
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int m = static_cast<int>(n - i < lanes ? n - i : lanes);
      sums[i / lanes] =
          O::reduce_add(O::keep_first(math::exp_over<O>(O::sub(O::load_n(z + i, m), O::set(max))), m, A(0)));
    }
  }

  // ------------------------------------------------------------------ parameters

  // The roundings of ql::rl::adamw::update and ql::rl::sgd::update, sixteen elements at a time.
  static void adamw(A* w, const A* g, A* m, A* v, std::int64_t n, const adamw_args& p) {
    const V b1 = O::set(static_cast<A>(p.beta1)), r1 = O::set(static_cast<A>(1.0 - p.beta1));
    const V b2 = O::set(static_cast<A>(p.beta2)), r2 = O::set(static_cast<A>(1.0 - p.beta2));
    const V rate = O::set(static_cast<A>(-(p.lr / p.correction1)));
    const V decay = O::set(static_cast<A>(-(p.lr * p.weight_decay)));
    const V root = O::set(static_cast<A>(1.0 / __builtin_sqrt(p.correction2)));
    const V eps = O::set(static_cast<A>(p.eps)), gs = O::set(static_cast<A>(p.gradient_scale));
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int c = static_cast<int>(n - i < lanes ? n - i : lanes);
      const V gi = O::mul(O::load_n(g + i, c), gs), wi = O::load_n(w + i, c);
      const V mi = O::fma(b1, O::load_n(m + i, c), O::mul(r1, gi));
      const V vi = O::fma(b2, O::load_n(v + i, c), O::mul(O::mul(r2, gi), gi));
      const V denominator = O::fma(O::sqrt(vi), root, eps);
      O::store_n(w + i, O::fma(rate, O::div(mi, denominator), O::fma(decay, wi, wi)), c);
      O::store_n(m + i, mi, c);
      O::store_n(v + i, vi, c);
    }
  }
  static void sgd(A* w, const A* g, A* momentum, std::int64_t n, const sgd_args& p) {
    const V mu = O::set(static_cast<A>(p.momentum)), decay = O::set(static_cast<A>(p.weight_decay));
    const V rate = O::set(static_cast<A>(-p.lr)), gs = O::set(static_cast<A>(p.gradient_scale));
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int c = static_cast<int>(n - i < lanes ? n - i : lanes);
      const V wi = O::load_n(w + i, c);
      V d = O::fma(decay, wi, O::mul(O::load_n(g + i, c), gs));
      if (momentum != nullptr) {
        const V b = O::fma(mu, O::load_n(momentum + i, c), d);
        O::store_n(momentum + i, b, c);
        d = p.nesterov ? O::fma(mu, b, d) : b;
      }
      O::store_n(w + i, O::fma(rate, d, wi), c);
    }
  }
  // squares in double: a sum of many float squares loses digits, and the norm decides a clip
  static double sum_of_squares(const A* g, std::int64_t n) {
    using D = ops<double, Isa>;
    auto acc = D::zero();
    for (std::int64_t i = 0; i < n; i += lanes) {
      const int m = static_cast<int>(n - i < lanes ? n - i : lanes);
      double x[lanes];
      for (int j = 0; j < lanes; ++j) x[j] = j < m ? static_cast<double>(g[i + j]) : 0.0;
      const auto d = D::load(x);
      acc = D::fma(d, d, acc);
    }
    return D::reduce_add(acc);
  }

  static constexpr kernel_table<T> table{
      .name = Isa::name,
      .packed_rows_bytes = packed_rows_bytes,
      .pack_rows = pack_rows,
      .pack_rows_rounded = pack_rows_rounded,
      .product = product,
      .pack_panel = pack_panel,
      .pack_panel_rounded = pack_panel_rounded,
      .pack_weights = pack_weights,
      .round = round,
      .widen = widen,
      .add = add,
      .dot = dot,
      .rms_norm = rms_norm,
      .rms_norm_dx = rms_norm_dx,
      .rms_norm_dw = rms_norm_dw,
      .column_sum = column_sum,
      .rope = rope,
      .swiglu = swiglu,
      .swiglu_dx = swiglu_dx,
      .softmax_block = softmax_block,
      .softmax_block_dx = softmax_block_dx,
      .divide = divide,
      .logsumexp_block = logsumexp_block,
      .logits_dx = logits_dx,
      .exp_sums = exp_sums,
      .adamw = adamw,
      .sgd = sgd,
      .sum_of_squares = sum_of_squares,
  };
};

}  // namespace ql::cpu::simd
