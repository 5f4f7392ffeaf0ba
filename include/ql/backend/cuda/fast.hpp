// SPDX-License-Identifier: Apache-2.0
#pragma once

// The fast mode of CUDA: products by a library that chooses its order of summation by shape and row count, everything
// else as always. A policy on such a context is `inexact`: the trainer must compute old log-probs and correct for the
// mismatch. For comparison, and where the library's products are faster than ql's own.

#include <ql/backend/cuda/body/product.hpp>
#include <ql/backend/cuda/device.hpp>
#include <ql/backend/cuda/rows.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <memory>
#include <utility>

namespace ql::cuda {

// c[m, n] = the sum over k of a(m, k) b(n, k), and c before it where `add`; sums in float. Elements are at strides, of
// which one is 1.
struct dense_product {
  const void* a = nullptr;
  std::int64_t a_row = 0, a_k = 0;
  const void* b = nullptr;
  std::int64_t b_row = 0, b_k = 0;
  void* c = nullptr;
  std::int64_t ldc = 0;
  std::int64_t rows = 0, columns = 0, depth = 0;
  bool bf16_in = false;   // a and b are bf16, not float
  bool bf16_out = false;  // c is
  bool add = false;
};

// Launches products in the device's order of work.
template <class L, class Device>
concept product_library =
    std::constructible_from<L, Device&> && requires(L& library, const dense_product& p) { library.multiply(p); };

template <device_like Device, product_library<Device> Library>
class basic_fast_context : public basic_context<Device> {
 public:
  static constexpr bool exact = false;
  basic_fast_context() : basic_fast_context(std::make_unique<Device>()) {}
  explicit basic_fast_context(std::unique_ptr<Device> device)
      : basic_context<Device>(std::move(device)), library_(std::make_unique<Library>(this->device())) {}

  template <class Body, class T, class E>
  void multiply(const product_arguments<T, E>& a) {
    if (a.rows == 0 || a.columns == 0) return;
    auto scope = this->scratch();
    dense_product p{a.a, a.a_row, a.a_k, a.b, a.b_row, a.b_k, a.c, a.ldc, a.rows, a.columns, a.depth};
    p.bf16_in = std::same_as<T, bf16>;
    p.add = a.what == epilogue::add || a.what == epilogue::chain;
    if constexpr (!std::same_as<T, E>) {  // rounded where it enters the product, as docs/numerics.md has it
      const bool across = a.a_k != 1;
      const auto lines = across ? a.depth : a.rows, width = across ? a.rows : a.depth;
      T* rounded_a = scope.template take<T>(lines * width);
      detail::for_each_element(*this, lines * width,
                               round_rows_element<T>{a.a, across ? a.a_k : a.a_row, width, rounded_a});
      p.a = rounded_a;
      p.a_row = across ? 1 : width;
      p.a_k = across ? width : 1;
    }
    if (a.what != epilogue::round) {
      library_->multiply(p);
      if (a.bias != nullptr) finish(a, static_cast<const float*>(a.c), a.ldc, a.c, a.ldc);
    } else if (a.bias == nullptr) {
      p.c = a.t;
      p.ldc = a.ldt;
      p.bf16_out = std::same_as<T, bf16>;
      library_->multiply(p);
    } else {
      float* total = scope.template take<float>(a.rows * a.columns);
      p.c = total;
      p.ldc = a.columns;
      library_->multiply(p);
      finish(a, static_cast<const float*>(total), a.columns, a.t, a.ldt);
    }
  }

 private:
  template <class T, class E, class Y>
  void finish(const product_arguments<T, E>& a, const float* total, std::int64_t ld, Y* y, std::int64_t ldy) {
    detail::for_each_element(*this, a.rows * a.columns,
                             finish_product_element<Y>{total, ld, a.columns, a.bias, y, ldy});
  }
  std::unique_ptr<Library> library_;
};

// cuBLASLt (float without tensor cores, bf16 with them). An algorithm is chosen once for each shape and kept.
// ql::cuda_fast; errors are ql::backend_error.
class cublaslt {
 public:
  explicit cublaslt(device& on);
  cublaslt(const cublaslt&) = delete;
  cublaslt& operator=(const cublaslt&) = delete;
  ~cublaslt();
  void multiply(const dense_product& p);
  // The library's version, 130100 for 13.1.0; found without a driver.
  static std::int64_t version();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

using fast_context = basic_fast_context<device, cublaslt>;
static_assert(execution_context<fast_context>);

}  // namespace ql::cuda
