// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/tensor/operations.hpp>
#include <ql/tensor/tensor.hpp>

#include <string>

namespace ql::model {

// One weight under its Hugging Face name: master values in float (or double), what the kernels read, and its gradient.
// The kernels read T(master): a bf16 checkpoint of the policy is the policy that was trained.
template <class T, class Context>
struct parameter {
  using A = accumulate_t<T>;
  std::string name;
  std::int64_t rows = 0;  // 1 for vectors
  std::int64_t columns = 0;
  bool product = false;   // a product's operand: has a packed copy
  bool trainable = true;  // false: no gradient, no optimizer state
  tensor<A, 1, Context> master;
  tensor<T, 1, Context> packed;    // kernel order (products)
  tensor<A, 1, Context> rounded;   // A(T(master)) (vectors)
  tensor<A, 1, Context> gradient;  // of the finished lanes, row-major as master
  tensor<A, 1, Context> lane;      // of the lane in progress, once there are two lanes

  std::int64_t size() const { return rows * columns; }
  bool vector() const { return rows == 1 && !product; }
  matrix<T> as_matrix() const { return {rows, columns, master.data(), packed.empty() ? nullptr : packed.data()}; }
  view<const A, 2, typename Context::memory_space> values() const { return {master.data(), {rows, columns}}; }
};

}  // namespace ql::model
