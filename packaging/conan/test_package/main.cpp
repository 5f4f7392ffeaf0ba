// SPDX-License-Identifier: Apache-2.0
// A user of the package: one operation of the CPU backend, compiled kernels included.
#include <ql/backend/cpu/kernels.hpp>

#include <vector>

int main() {
  ql::cpu::context ctx;
  std::vector<float> x{1, 2, 3};
  ql::clear(ctx, x.data(), 2);
  const std::vector<float> w{1, 0, 0, 0, 1, 1};
  std::vector<float> packed(static_cast<std::size_t>(ql::packed_elements(ctx, float{}, 2, 3))), y(2);
  ql::matrix<float> m{.rows = 2, .columns = 3, .master = w.data()};
  ql::pack(ctx, m, packed.data());
  m.packed = packed.data();
  ql::linear(ctx, ql::view<const float, 2>(x.data(), {1, 3}), m, static_cast<const float*>(nullptr),
             ql::view<float, 2>(y.data(), {1, 2}));
  return y[0] == 0 && y[1] == 3 ? 0 : 1;
}
