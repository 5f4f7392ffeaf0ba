// SPDX-License-Identifier: Apache-2.0
#pragma once

// The boundary between host code and the compiled ISA kernels: plain structs and function pointers.
// docs/numerics.md gives the order of every reduction below.

#include <ql/scalar.hpp>
#include <ql/tensor/numerics.hpp>
#include <ql/tensor/update.hpp>

#include <cstdint>
#include <span>
#include <string_view>

namespace ql::cpu {

// Storage of a weight panel: element (k, n) of T. bf16 keeps pairs {k, k + 1} of a column adjacent (as matrix units
// read them), so that a "row" of a panel is a pair of k.
template <class T>
inline constexpr std::int64_t panel_pair = 1;
template <>
inline constexpr std::int64_t panel_pair<bf16> = 2;

// k padded to what a panel stores: zero rows past the end.
template <class T>
constexpr std::int64_t padded_k(std::int64_t k) {
  return panel_pair<T> == 1 ? k : round_up(k, product_step);
}
// Elements of one packed panel of 32 columns.
template <class T>
constexpr std::int64_t panel_size(std::int64_t k) {
  return padded_k<T>(k) * panel_columns;
}
// Elements of a packed [n, k] weight.
template <class T>
constexpr std::int64_t packed_size(std::int64_t n, std::int64_t k) {
  return round_up(n, panel_columns) / panel_columns * panel_size<T>(k);
}

// Rows of a matrix, in groups: row r starts at data + (r / group) * outer + (r % group) * inner, element k at + k *
// step.
template <class E>
struct row_set {
  const E* data = nullptr;
  std::int64_t outer = 0;
  std::int64_t inner = 0;
  std::int64_t group = 1;
  std::int64_t step = 1;
  const E* row(std::int64_t r) const { return data + r / group * outer + r % group * inner; }
};

// What a panel product does with the total of each element.
enum class epilogue : std::uint8_t {
  store,      // c = total + bias
  round,      // t = T(total + bias)
  add,        // c = c + (total + bias)
  chain,      // total starts as c, and c = total: the chain of a gradient goes on
  scale_add,  // c = fma(c, scale[row], total)
};

// c[rows, columns] (op) a[rows, k] * panel[k, columns], columns <= 32.
template <class T>
struct product_args {
  using A = accumulate_t<T>;
  const void* a = nullptr;  // from pack_rows
  std::int64_t rows = 0;
  std::int64_t k = 0;
  const T* panel = nullptr;
  std::int64_t panel_stride = panel_columns * panel_pair<T>;  // from one (pair of) k to the next
  std::int64_t columns = panel_columns;
  epilogue what = epilogue::store;
  A* c = nullptr;
  std::int64_t ldc = 0;
  T* t = nullptr;
  std::int64_t ldt = 0;
  const A* bias = nullptr;
  const A* scale = nullptr;
};

template <class T>
struct kernel_table {
  using A = accumulate_t<T>;
  std::string_view name;

  // ---- products
  std::int64_t (*packed_rows_bytes)(std::int64_t rows, std::int64_t k);
  void (*pack_rows)(row_set<T> src, std::int64_t rows, std::int64_t k, void* dst);
  void (*pack_rows_rounded)(row_set<A> src, std::int64_t rows, std::int64_t k, void* dst);  // rounds to T
  void (*product)(const product_args<T>&);
  // panel[k, 32] from rows: panel(k, n) = T(src.row(k)[n]), n < columns <= 32, zeros elsewhere; stride = 32 (pairs).
  void (*pack_panel)(row_set<T> src, std::int64_t k, std::int64_t columns, T* panel, std::int64_t panel_stride);
  void (*pack_panel_rounded)(row_set<A> src, std::int64_t k, std::int64_t columns, T* panel, std::int64_t panel_stride);
  // panel(k, n) = T(w[n * ldw + k]) for k in [k0, k1) (even bounds unless at the end), n < columns <= 32.
  void (*pack_weights)(const A* w, std::int64_t ldw, std::int64_t columns, std::int64_t k0, std::int64_t k1, T* panel);

  // ---- rows
  void (*round)(const A* x, std::int64_t n, T* y);
  void (*widen)(const T* x, std::int64_t n, A* y);
  void (*add)(const A* x, std::int64_t n, A* y);                                             // y = y + x
  A (*dot)(const A* x, const T* y, std::int64_t n);                                          // sum T(x) y
  void (*rms_norm)(const A* x, const A* w, A eps, std::int64_t n, T* y, A* y_acc, A* rstd);  // y or y_acc may be null
  // dx += gradient
  void (*rms_norm_dx)(const A* dy, const A* x, const A* w, A rstd, std::int64_t n, A* dx);
  // dw[j0, j1) chained over rows in blocks of 256
  void (*rms_norm_dw)(row_set<A> dy, row_set<A> x, const A* rstd, std::int64_t rows, std::int64_t j0, std::int64_t j1,
                      A* dw);
  void (*column_sum)(row_set<A> dy, std::int64_t rows, std::int64_t j0, std::int64_t j1, A* db);
  // half-rotation of `heads` vectors of d: cosine and sine have d / 2 entries; `back` applies the transpose
  void (*rope)(const A* x, std::int64_t heads, std::int64_t d, const A* cosine, const A* sine, bool back, T* y,
               A* y_acc);
  void (*swiglu)(const T* gate, const T* up, std::int64_t n, T* y);
  void (*swiglu_dx)(const T* gate, const T* up, const A* dy, std::int64_t n, A* dgate, A* dup);

  // ---- attention, one block of 64 keys; s is [rows, 64]
  // s -> P; updates the running maximum and sum, writes the factor that old sums are scaled by.
  void (*softmax_block)(A* s, std::int64_t rows, const std::int32_t* visible, A scale, A* max, A* sum, A* factor);
  // s -> P and dp -> dS, given log-sum-exp and delta = sum(dO * O)
  void (*softmax_block_dx)(A* s, A* dp, std::int64_t rows, const std::int32_t* visible, A scale, const A* lse,
                           const A* delta);
  void (*divide)(const A* x, A by, std::int64_t n, T* y);

  // ---- vocabulary
  // z scaled by inverse temperature in place, then folded into {max, sum exp, sum exp * z} of the row
  void (*logsumexp_block)(A* z, std::int64_t n, A inverse_temperature, A* max, A* sum, A* weighted);
  // z (scaled) -> d loss / d logits: inverse_temperature * (-p (dlogp + dentropy (z - lse + entropy)))
  void (*logits_dx)(A* z, std::int64_t n, A inverse_temperature, A lse, A entropy, A dlogp, A dentropy);
  // sums[i] = sum of exp(z - max) over 16 entries
  void (*exp_sums)(const A* z, std::int64_t n, A max, A* sums);

  // ---- parameters
  void (*adamw)(A* w, const A* g, A* m, A* v, std::int64_t n, const adamw_args&);
  void (*sgd)(A* w, const A* g, A* momentum, std::int64_t n, const sgd_args&);  // momentum may be null
  double (*sum_of_squares)(const A* g, std::int64_t n);                         // of one norm_block
};

// The best kernels for this machine, or those of that name ("portable", "avx2", "avx512", "amx"; "amx-model" runs the
// AMX kernels over a scalar model of their instructions, on any AVX-512 machine). "avx512-bf16" (processors with
// AVX512_BF16 and no tiles) is twice as fast in bf16 and keeps the row rule, but has bits of its own: it is never
// chosen unasked, not among kernel_names(), and a checkpoint that records it is resumed bit for bit only with it.
template <class T>
const kernel_table<T>& kernels();
template <class T>
const kernel_table<T>& kernels(std::string_view name);  // throws backend_error naming those there are
// Names usable here, best last.
std::span<const std::string_view> kernel_names();
// Makes kernels<T>() answer with those of that name, for tests and comparisons; "" = best again. Not thread-safe.
void use_kernels(std::string_view name);

}  // namespace ql::cpu
