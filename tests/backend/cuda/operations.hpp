// SPDX-License-Identifier: Apache-2.0
#pragma once

// Operations of the emulated device against those of the CPU backend, and against themselves with fewer rows.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/backend/cuda/emulated.hpp>
#include <ql/backend/cuda/kernels.hpp>
#include <ql/tensor/tensor.hpp>

#include "support/numbers.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

namespace ql::test::device {

using ql::accumulate_t;
using ql::matrix;
using ql::view;
using ql::cuda::device_space;
using ql::cuda::emulated_context;
using ql::cuda::emulation;
using ql::test::difference;
using ql::test::normals;
using ql::test::numbers;

inline emulated_context device_context(emulation how = {.check_races = true}) {
  return emulated_context(
      std::make_unique<ql::cuda::emulated_device>(ql::cuda::emulated_device::options{how, std::size_t{1} << 29}));
}

// Host values on the device, and back.
template <class E>
class mirror {
 public:
  mirror(emulated_context& ctx, const std::vector<E>& host)
      : ctx_(&ctx), memory_(ctx, {static_cast<std::int64_t>(host.size())}) {
    ctx.copy_in(host.data(), memory_.size(), memory_.data());
  }
  E* data() { return memory_.data(); }
  view<E, 2, device_space> as(std::int64_t rows) { return {memory_.data(), {rows, memory_.size() / rows}}; }
  view<const E, 2, device_space> in(std::int64_t rows) { return as(rows); }
  std::vector<E> host() const {
    std::vector<E> v(static_cast<std::size_t>(memory_.size()));
    ctx_->copy_out(memory_.data(), memory_.size(), v.data());
    return v;
  }

 private:
  emulated_context* ctx_;
  ql::tensor<E, 1, emulated_context> memory_;
};

// The largest distance, relative to `size`.
template <class T>
double distance(const std::vector<T>& got, const std::vector<T>& expected, double size = 1) {
  double worst = got.size() == expected.size() ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < got.size() && i < expected.size(); ++i) {
    const double e = std::fabs(wide(got[i]) - wide(expected[i])) / size;
    if (!(e <= worst)) worst = e;
  }
  return worst;
}

}  // namespace ql::test::device
