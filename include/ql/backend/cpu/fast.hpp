// SPDX-License-Identifier: Apache-2.0
#pragma once

// The fast mode of the CPU: products by Eigen, everything else as always. Eigen chooses its order of summation by shape
// and row count, so a policy on this context is `inexact`: the trainer must compute old log-probs and correct for the
// mismatch. For comparison, and for machines whose own kernels lose to it.

#include <ql/backend/cpu/kernels.hpp>

#ifndef EIGEN_DONT_PARALLELIZE
#define EIGEN_DONT_PARALLELIZE  // threads are the context's
#endif
#include <Eigen/Core>

namespace ql {
namespace cpu {

struct fast_backend {};

class fast_context : public context {
 public:
  using backend = fast_backend;
  static constexpr bool exact = false;
  using context::context;
};

namespace detail {
template <class A>
using eigen_rows =
    Eigen::Map<Eigen::Matrix<A, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0, Eigen::OuterStride<>>;
template <class A>
using const_eigen_rows =
    Eigen::Map<const Eigen::Matrix<A, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0, Eigen::OuterStride<>>;
template <class A>
eigen_rows<A> eigen(view<A, 2> v) {
  return {v.data_handle(), v.extent(0), v.extent(1), Eigen::OuterStride<>(v.stride(0))};
}
template <class A>
const_eigen_rows<A> eigen(view<const A, 2> v) {
  return {v.data_handle(), v.extent(0), v.extent(1), Eigen::OuterStride<>(v.stride(0))};
}
template <class T>
const_eigen_rows<T> eigen(const matrix<T>& w) {
  return {w.master, w.rows, w.columns, Eigen::OuterStride<>(w.columns)};
}
// f(first, count) over blocks of rows: threads split rows, Eigen works on one thread
template <class F>
void split_rows(context& ctx, std::int64_t rows, F&& f) {
  const auto block = std::max<std::int64_t>(1, (rows + ctx.threads() - 1) / ctx.threads());
  ctx.parallel_for((rows + block - 1) / block,
                   [&](std::int64_t b) { f(b * block, std::min(block, rows - b * block)); });
}
}  // namespace detail
}  // namespace cpu

// Everything that is not named below is the exact backend's.
template <class Operation>
struct kernel<Operation, cpu::fast_backend> : kernel<Operation, cpu::backend> {};

template <>
struct kernel<linear_sum_op, cpu::fast_backend> {
  template <class T>
  static void run(cpu::context& ctx, view<const T, 2> x, const matrix<T>& w, const accumulate_t<T>* bias,
                  view<accumulate_t<T>, 2> y) {
    if constexpr (std::same_as<T, bf16>) {  // Eigen's bf16 products are slower than ours
      kernel<linear_sum_op, cpu::backend>::run(ctx, x, w, bias, y);
    } else {
      cpu::detail::check_linear("linear_sum", x, w, y);
      cpu::detail::split_rows(ctx, x.extent(0), [&](std::int64_t r, std::int64_t n) {
        auto out = cpu::detail::eigen(y.rows(r, n));
        out.noalias() = cpu::detail::eigen(x.rows(r, n)) * cpu::detail::eigen(w).transpose();
        if (bias != nullptr) out.rowwise() += Eigen::Map<const Eigen::RowVectorX<T>>(bias, w.rows);
      });
    }
  }
};

template <>
struct kernel<linear_op, cpu::fast_backend> {
  template <class T>
  static void run(cpu::context& ctx, view<const T, 2> x, const matrix<T>& w, const accumulate_t<T>* bias,
                  view<T, 2> y) {
    if constexpr (std::same_as<T, bf16>) {
      kernel<linear_op, cpu::backend>::run(ctx, x, w, bias, y);
    } else {
      kernel<linear_sum_op, cpu::fast_backend>::run(ctx, x, w, bias, y);
    }
  }
};

template <>
struct kernel<linear_add_op, cpu::fast_backend> {
  template <class T>
  static void run(cpu::context& ctx, view<const T, 2> x, const matrix<T>& w, view<accumulate_t<T>, 2> y) {
    if constexpr (std::same_as<T, bf16>) {
      kernel<linear_add_op, cpu::backend>::run(ctx, x, w, y);
    } else {
      cpu::detail::check_linear("linear_add", x, w, y);
      cpu::detail::split_rows(ctx, x.extent(0), [&](std::int64_t r, std::int64_t n) {
        cpu::detail::eigen(y.rows(r, n)).noalias() +=
            cpu::detail::eigen(x.rows(r, n)) * cpu::detail::eigen(w).transpose();
      });
    }
  }
};

template <>
struct kernel<linear_dx_op, cpu::fast_backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, view<const A, 2> dy, const matrix<T>& w, view<A, 2> dx, bool add) {
    if constexpr (std::same_as<T, bf16>) {
      kernel<linear_dx_op, cpu::backend>::run(ctx, dy, w, dx, add);
    } else {
      cpu::detail::split_rows(ctx, dy.extent(0), [&](std::int64_t r, std::int64_t n) {
        auto out = cpu::detail::eigen(dx.rows(r, n));
        if (!add) out.setZero();
        out.noalias() += cpu::detail::eigen(dy.rows(r, n)) * cpu::detail::eigen(w);
      });
    }
  }
};

template <>
struct kernel<linear_dw_op, cpu::fast_backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, view<const A, 2> dy, view<const T, 2> x, view<A, 2> dw) {
    if constexpr (std::same_as<T, bf16>) {
      kernel<linear_dw_op, cpu::backend>::run(ctx, dy, x, dw);
    } else {
      cpu::detail::split_rows(ctx, dw.extent(0), [&](std::int64_t r, std::int64_t n) {
        cpu::detail::eigen(dw.rows(r, n)).noalias() +=
            cpu::detail::eigen(dy).middleCols(r, n).transpose() * cpu::detail::eigen(x);
      });
    }
  }
};

}  // namespace ql
