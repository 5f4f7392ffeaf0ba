// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sixteen lanes of float or double in some instruction set. Each kernel is written once over ops<T, Isa>; the
// instruction set changes the speed, never a bit: same operations, same order, no contraction, explicit fma.
// Everything here is a template on Isa or always inlined: a copy compiled for one instruction set can never be
// picked by the linker to serve another.

#include <ql/config.hpp>
#include <ql/math.hpp>
#include <ql/scalar.hpp>

#if defined(__AVX512F__) && defined(__AVX512BW__)
#include <immintrin.h>
#endif

namespace ql::cpu::simd {

struct portable {
  static constexpr const char* name = "portable";
};
struct avx2 {  // the portable lanes, compiled with hardware fma
  static constexpr const char* name = "avx2";
};
struct avx512 {
  static constexpr const char* name = "avx512";
};

inline constexpr int lanes = 16;

template <class T, class Isa>
struct ops {
  using value = T;
  struct vector {
    T v[lanes];
  };
  using bits = typename math::scalar_ops<T>::bits;
  static constexpr int tile_rows = 4;  // rows of a product tile
  static constexpr int tile_rows_bf16 = 4;

#define QL_LANES for (int i = 0; i < lanes; ++i)
  static QL_INLINE vector set(T x) {
    vector r;
    QL_LANES r.v[i] = x;
    return r;
  }
  static QL_INLINE vector zero() { return set(T(0)); }
  static QL_INLINE vector load(const T* p) {
    vector r;
    QL_LANES r.v[i] = p[i];
    return r;
  }
  static QL_INLINE void store(T* p, vector a) { QL_LANES p[i] = a.v[i]; }
  // the first n lanes; the others are zero, or left alone
  static QL_INLINE vector load_n(const T* p, int n) {
    vector r;
    QL_LANES r.v[i] = i < n ? p[i] : T(0);
    return r;
  }
  static QL_INLINE void store_n(T* p, vector a, int n) { QL_LANES if (i < n) p[i] = a.v[i]; }
  static QL_INLINE vector load(const bf16* p) {
    vector r;
    QL_LANES r.v[i] = static_cast<T>(static_cast<float>(p[i]));
    return r;
  }
  static QL_INLINE vector load_n(const bf16* p, int n) {
    vector r;
    QL_LANES r.v[i] = i < n ? static_cast<T>(static_cast<float>(p[i])) : T(0);
    return r;
  }
  static QL_INLINE void store(bf16* p, vector a) { QL_LANES p[i] = bf16(static_cast<float>(a.v[i])); }
  static QL_INLINE void store_n(bf16* p, vector a, int n) {
    QL_LANES if (i < n) p[i] = bf16(static_cast<float>(a.v[i]));
  }
  // sixteen pairs {even, odd}
  static QL_INLINE void load_pairs(const bf16* p, vector& even, vector& odd) {
    QL_LANES even.v[i] = static_cast<T>(static_cast<float>(p[2 * i])),
             odd.v[i] = static_cast<T>(static_cast<float>(p[2 * i + 1]));
  }
  static QL_INLINE vector fma(vector a, vector b, vector c) {
    QL_LANES c.v[i] = math::fma(a.v[i], b.v[i], c.v[i]);
    return c;
  }
  static QL_INLINE vector add(vector a, vector b) {
    QL_LANES a.v[i] = a.v[i] + b.v[i];
    return a;
  }
  static QL_INLINE vector sub(vector a, vector b) {
    QL_LANES a.v[i] = a.v[i] - b.v[i];
    return a;
  }
  static QL_INLINE vector mul(vector a, vector b) {
    QL_LANES a.v[i] = a.v[i] * b.v[i];
    return a;
  }
  static QL_INLINE vector div(vector a, vector b) {
    QL_LANES a.v[i] = a.v[i] / b.v[i];
    return a;
  }
  static QL_INLINE vector sqrt(vector a) {
    QL_LANES a.v[i] = math::sqrt(a.v[i]);
    return a;
  }
  static QL_INLINE vector min(vector a, vector b) {
    QL_LANES a.v[i] = math::min(a.v[i], b.v[i]);
    return a;
  }
  static QL_INLINE vector max(vector a, vector b) {
    QL_LANES a.v[i] = math::max(a.v[i], b.v[i]);
    return a;
  }
  static QL_INLINE vector half_scale(vector t) {
    QL_LANES t.v[i] = math::scalar_ops<T>::half_scale(t.v[i]);
    return t;
  }
  static QL_INLINE vector select_less(vector a, vector b, vector x, vector y) {
    QL_LANES y.v[i] = a.v[i] < b.v[i] ? x.v[i] : y.v[i];
    return y;
  }
  // lanes >= n replaced by x
  static QL_INLINE vector keep_first(vector a, int n, T x) {
    QL_LANES a.v[i] = i < n ? a.v[i] : x;
    return a;
  }
  // to the nearest bf16, kept in T
  static QL_INLINE vector round_bf16(vector a) {
    QL_LANES a.v[i] = static_cast<T>(static_cast<float>(bf16(static_cast<float>(a.v[i]))));
    return a;
  }
#undef QL_LANES
  static QL_INLINE T first_lane(vector a) { return a.v[0]; }
  // dst[j * rows + i] = lane j of x[i], for j < n
  template <int Rows>
  static QL_INLINE void store_transposed(const vector (&x)[lanes], T* dst, int n) {
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < Rows; ++i) dst[j * Rows + i] = x[i].v[j];
  }
  // lane i with lane i + 8, then + 4, + 2, + 1
  static QL_INLINE T reduce_add(vector a) {
    for (int w = lanes / 2; w > 0; w /= 2)
      for (int i = 0; i < w; ++i) a.v[i] = a.v[i] + a.v[i + w];
    return a.v[0];
  }
  static QL_INLINE T reduce_max(vector a) {
    for (int w = lanes / 2; w > 0; w /= 2)
      for (int i = 0; i < w; ++i) a.v[i] = math::max(a.v[i], a.v[i + w]);
    return a.v[0];
  }
};

#if defined(__AVX512F__) && defined(__AVX512BW__)

template <>
struct ops<float, avx512> {
  using value = float;
  using vector = __m512;
  static constexpr int tile_rows = 12;  // x 2 vectors: 24 accumulators, 2 weights, the rest for the compiler
  static constexpr int tile_rows_bf16 = 6;

  static QL_INLINE __mmask16 first(int n) {
    return static_cast<__mmask16>(n >= lanes ? 0xFFFFu : (1u << (n < 0 ? 0 : n)) - 1u);
  }
  static QL_INLINE vector set(float x) { return _mm512_set1_ps(x); }
  static QL_INLINE vector zero() { return _mm512_setzero_ps(); }
  static QL_INLINE vector load(const float* p) { return _mm512_loadu_ps(p); }
  static QL_INLINE void store(float* p, vector a) { _mm512_storeu_ps(p, a); }
  static QL_INLINE vector load_n(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static QL_INLINE void store_n(float* p, vector a, int n) { _mm512_mask_storeu_ps(p, first(n), a); }
  static QL_INLINE vector widen(__m256i h) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
  }
  static QL_INLINE __m256i narrow(vector a) {
    const __m512i u = _mm512_castps_si512(a);
    const __m512i lsb = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i r = _mm512_srli_epi32(_mm512_add_epi32(u, _mm512_add_epi32(lsb, _mm512_set1_epi32(0x7fff))), 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    r = _mm512_mask_or_epi32(r, nan, _mm512_srli_epi32(u, 16), _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(r);
  }
  static QL_INLINE vector load(const bf16* p) { return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
  static QL_INLINE vector load_n(const bf16* p, int n) { return widen(_mm256_maskz_loadu_epi16(first(n), p)); }
  static QL_INLINE void store(bf16* p, vector a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(a)); }
  static QL_INLINE void store_n(bf16* p, vector a, int n) { _mm256_mask_storeu_epi16(p, first(n), narrow(a)); }
  static QL_INLINE void load_pairs(const bf16* p, vector& even, vector& odd) {
    const __m512i u = _mm512_loadu_si512(p);
    even = _mm512_castsi512_ps(_mm512_slli_epi32(u, 16));
    odd = _mm512_castsi512_ps(_mm512_and_si512(u, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u))));
  }
  static QL_INLINE vector fma(vector a, vector b, vector c) { return _mm512_fmadd_ps(a, b, c); }
  static QL_INLINE vector add(vector a, vector b) { return _mm512_add_ps(a, b); }
  static QL_INLINE vector sub(vector a, vector b) { return _mm512_sub_ps(a, b); }
  static QL_INLINE vector mul(vector a, vector b) { return _mm512_mul_ps(a, b); }
  static QL_INLINE vector div(vector a, vector b) { return _mm512_div_ps(a, b); }
  static QL_INLINE vector sqrt(vector a) { return _mm512_sqrt_ps(a); }
  static QL_INLINE vector min(vector a, vector b) { return _mm512_min_ps(a, b); }
  static QL_INLINE vector max(vector a, vector b) { return _mm512_max_ps(a, b); }
  static QL_INLINE vector half_scale(vector t) {
    return _mm512_castsi512_ps(
        _mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23), _mm512_set1_epi32(126 << 23)));
  }
  static QL_INLINE vector select_less(vector a, vector b, vector x, vector y) {
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), x);
  }
  static QL_INLINE vector keep_first(vector a, int n, float x) {
    return _mm512_mask_mov_ps(_mm512_set1_ps(x), first(n), a);
  }
  static QL_INLINE vector round_bf16(vector a) { return widen(narrow(a)); }
  static QL_INLINE float first_lane(vector a) { return _mm512_cvtss_f32(a); }
  template <int Rows>
  static QL_INLINE void store_transposed(const vector (&x)[lanes], float* dst, int n) {
    __m512 a[lanes], b[lanes];
#pragma GCC unroll 8
    for (int i = 0; i < lanes; i += 2) {
      a[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
      a[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < lanes; i += 4) {
      const __m512d p = _mm512_castps_pd(a[i]), q = _mm512_castps_pd(a[i + 1]);
      const __m512d r = _mm512_castps_pd(a[i + 2]), s = _mm512_castps_pd(a[i + 3]);
      b[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(p, r));
      b[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(p, r));
      b[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(q, s));
      b[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(q, s));
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const __m512 p0 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0x88),
                   q0 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0x88);
      const __m512 p1 = _mm512_shuffle_f32x4(b[j], b[4 + j], 0xdd),
                   q1 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0xdd);
      a[j] = _mm512_shuffle_f32x4(p0, q0, 0x88);
      a[8 + j] = _mm512_shuffle_f32x4(p0, q0, 0xdd);
      a[4 + j] = _mm512_shuffle_f32x4(p1, q1, 0x88);
      a[12 + j] = _mm512_shuffle_f32x4(p1, q1, 0xdd);
    }
    if (n >= lanes) {
#pragma GCC unroll 16
      for (int j = 0; j < lanes; ++j) store_n(dst + j * Rows, a[j], Rows);
    } else {
      for (int j = 0; j < n; ++j) store_n(dst + j * Rows, a[j], Rows);
    }
  }
  static QL_INLINE __m256 upper(vector a) { return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1)); }
  static QL_INLINE float reduce_add(vector a) {
    const __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), upper(a));
    const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_shuffle_ps(d, d, 1)));
  }
  static QL_INLINE float reduce_max(vector a) {
    const __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), upper(a));
    const __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_shuffle_ps(d, d, 1)));
  }
};

template <>
struct ops<double, avx512> {
  using value = double;
  struct vector {
    __m512d lo, hi;
  };
  static constexpr int tile_rows = 6;

  static QL_INLINE __mmask8 first(int n) {
    return static_cast<__mmask8>(n >= 8 ? 0xFFu : (1u << (n < 0 ? 0 : n)) - 1u);
  }
  static QL_INLINE vector set(double x) { return {_mm512_set1_pd(x), _mm512_set1_pd(x)}; }
  static QL_INLINE vector zero() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
  static QL_INLINE vector load(const double* p) { return {_mm512_loadu_pd(p), _mm512_loadu_pd(p + 8)}; }
  static QL_INLINE void store(double* p, vector a) {
    _mm512_storeu_pd(p, a.lo);
    _mm512_storeu_pd(p + 8, a.hi);
  }
  static QL_INLINE vector load_n(const double* p, int n) {
    return {_mm512_maskz_loadu_pd(first(n), p), _mm512_maskz_loadu_pd(first(n - 8), p + 8)};
  }
  static QL_INLINE void store_n(double* p, vector a, int n) {
    _mm512_mask_storeu_pd(p, first(n), a.lo);
    _mm512_mask_storeu_pd(p + 8, first(n - 8), a.hi);
  }
  static QL_INLINE vector fma(vector a, vector b, vector c) {
    return {_mm512_fmadd_pd(a.lo, b.lo, c.lo), _mm512_fmadd_pd(a.hi, b.hi, c.hi)};
  }
  static QL_INLINE vector add(vector a, vector b) { return {_mm512_add_pd(a.lo, b.lo), _mm512_add_pd(a.hi, b.hi)}; }
  static QL_INLINE vector sub(vector a, vector b) { return {_mm512_sub_pd(a.lo, b.lo), _mm512_sub_pd(a.hi, b.hi)}; }
  static QL_INLINE vector mul(vector a, vector b) { return {_mm512_mul_pd(a.lo, b.lo), _mm512_mul_pd(a.hi, b.hi)}; }
  static QL_INLINE vector div(vector a, vector b) { return {_mm512_div_pd(a.lo, b.lo), _mm512_div_pd(a.hi, b.hi)}; }
  static QL_INLINE vector sqrt(vector a) { return {_mm512_sqrt_pd(a.lo), _mm512_sqrt_pd(a.hi)}; }
  static QL_INLINE vector min(vector a, vector b) { return {_mm512_min_pd(a.lo, b.lo), _mm512_min_pd(a.hi, b.hi)}; }
  static QL_INLINE vector max(vector a, vector b) { return {_mm512_max_pd(a.lo, b.lo), _mm512_max_pd(a.hi, b.hi)}; }
  static QL_INLINE __m512d half_scale(__m512d t) {
    return _mm512_castsi512_pd(
        _mm512_add_epi64(_mm512_slli_epi64(_mm512_castpd_si512(t), 52), _mm512_set1_epi64(1022ll << 52)));
  }
  static QL_INLINE vector half_scale(vector t) { return {half_scale(t.lo), half_scale(t.hi)}; }
  static QL_INLINE vector select_less(vector a, vector b, vector x, vector y) {
    return {_mm512_mask_mov_pd(y.lo, _mm512_cmp_pd_mask(a.lo, b.lo, _CMP_LT_OQ), x.lo),
            _mm512_mask_mov_pd(y.hi, _mm512_cmp_pd_mask(a.hi, b.hi, _CMP_LT_OQ), x.hi)};
  }
  static QL_INLINE vector keep_first(vector a, int n, double x) {
    return {_mm512_mask_mov_pd(_mm512_set1_pd(x), first(n), a.lo),
            _mm512_mask_mov_pd(_mm512_set1_pd(x), first(n - 8), a.hi)};
  }
  static QL_INLINE double first_lane(vector a) { return _mm512_cvtsd_f64(a.lo); }
  template <int Rows>
  static QL_INLINE void store_transposed(const vector (&x)[lanes], double* dst, int n) {
    double v[Rows][lanes];
    for (int i = 0; i < Rows; ++i) store(v[i], x[i]);
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < Rows; ++i) dst[j * Rows + i] = v[i][j];
  }
  static QL_INLINE double reduce_add(vector a) {
    const __m512d b = _mm512_add_pd(a.lo, a.hi);
    const __m256d c = _mm256_add_pd(_mm512_castpd512_pd256(b), _mm512_extractf64x4_pd(b, 1));
    const __m128d d = _mm_add_pd(_mm256_castpd256_pd128(c), _mm256_extractf128_pd(c, 1));
    return _mm_cvtsd_f64(_mm_add_sd(d, _mm_unpackhi_pd(d, d)));
  }
  static QL_INLINE double reduce_max(vector a) {
    const __m512d b = _mm512_max_pd(a.lo, a.hi);
    const __m256d c = _mm256_max_pd(_mm512_castpd512_pd256(b), _mm512_extractf64x4_pd(b, 1));
    const __m128d d = _mm_max_pd(_mm256_castpd256_pd128(c), _mm256_extractf128_pd(c, 1));
    return _mm_cvtsd_f64(_mm_max_sd(d, _mm_unpackhi_pd(d, d)));
  }
};

#endif

}  // namespace ql::cpu::simd
