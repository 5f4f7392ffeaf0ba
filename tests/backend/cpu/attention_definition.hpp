// SPDX-License-Identifier: Apache-2.0
#pragma once

// Attention over trees against its definition in long double.
#include "backend/cpu/attention_batch.hpp"
#include "support/numbers.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace ql::test::attention_definition {

using ql::cpu::context;

template <class T>
class AttentionDefinition : public testing::Test {};
TYPED_TEST_SUITE_P(AttentionDefinition);

inline std::vector<std::int64_t> seen_by(const token_tree& t, std::int32_t s, std::int64_t index) {
  std::vector<std::int64_t> v;
  for (auto p : t.path(s))
    for (std::int64_t i = t[p].first; i < t[p].first + t[p].count && i <= index; ++i) v.push_back(i);
  return v;
}

// The definition, from the unrotated inputs, every sum in long double.
template <class T>
std::vector<long double> reference(const attention_batch<T>& b, const token_tree& t,
                                   const std::vector<accumulate_t<T>>& qkv) {
  const auto& s = b.shape;
  const auto d = static_cast<std::size_t>(s.head_dim), half = d / 2,
             columns = static_cast<std::size_t>(s.qkv_columns());
  const auto vector = [&](std::int64_t row, std::int64_t head) {
    std::vector<long double> x(d), y(d);
    for (std::size_t i = 0; i < d; ++i)
      x[i] = qkv[static_cast<std::size_t>(row) * columns + static_cast<std::size_t>(head) * d + i];
    if (head >= s.heads + s.kv_heads) return x;  // a value
    if (b.normalised) {
      long double squares = 0;
      for (auto e : x) squares += e * e;
      const auto rstd =
          1 / std::sqrt(squares / static_cast<long double>(d) + static_cast<long double>(accumulate_t<T>(1e-3)));
      const auto& w = head < s.heads ? b.q_norm : b.k_norm;
      for (std::size_t i = 0; i < d; ++i) x[i] *= rstd * static_cast<long double>(w[i]);
    }
    for (std::size_t i = 0; i < half; ++i) {
      const auto at = static_cast<std::size_t>(b.position[static_cast<std::size_t>(row)]) * half + i;
      y[i] = x[i] * b.cosine[at] - x[i + half] * b.sine[at];
      y[i + half] = x[i + half] * b.cosine[at] + x[i] * b.sine[at];
    }
    return y;
  };
  std::vector<long double> out(b.out.size());
  for (std::int32_t g = 0; g < static_cast<std::int32_t>(t.segments().size()); ++g)
    for (std::int64_t row = t[g].first; row < t[g].first + t[g].count; ++row)
      for (std::int64_t h = 0; h < s.heads; ++h) {
        const auto q = vector(row, h);
        const auto keys = seen_by(t, g, row);
        std::vector<long double> p;
        for (auto key : keys) {
          const auto k = vector(key, s.heads + h / s.group());
          long double dot = 0;
          for (std::size_t i = 0; i < d; ++i) dot += q[i] * k[i];
          p.push_back(dot / std::sqrt(static_cast<long double>(d)));
        }
        const auto top = *std::max_element(p.begin(), p.end());
        long double sum = 0;
        for (auto& e : p) sum += e = std::exp(e - top);
        for (std::size_t j = 0; j < keys.size(); ++j) {
          const auto v = vector(keys[j], s.heads + s.kv_heads + h / s.group());
          for (std::size_t i = 0; i < d; ++i)
            out[(static_cast<std::size_t>(row * s.heads + h)) * d + i] += p[j] / sum * v[i];
        }
      }
  return out;
}

TYPED_TEST_P(AttentionDefinition, OverABranchingTree) {
  using T = TypeParam;
  for (const auto& shape : {attention_shape{2, 1, 10}, attention_shape{3, 3, 16}, attention_shape{4, 2, 34}})
    for (const bool norm : {false, true}) {
      context ctx;
      numbers r(1);
      const auto tree = ql::test::branching_tree(r);
      attention_batch<T> b(ctx, shape, tree, norm);
      const auto qkv = ql::test::normals<accumulate_t<T>>(r, b.rows * shape.qkv_columns());
      b.forward(qkv);
      const auto exact = reference(b, tree, qkv);
      double worst = 0;
      for (std::size_t i = 0; i < exact.size(); ++i)
        worst = std::max(worst, std::fabs(wide(b.out[i]) - static_cast<double>(exact[i])));
      EXPECT_LE(worst, ql::test::tolerance<T>("attention")) << shape.heads << " heads of " << shape.head_dim;
    }
}

REGISTER_TYPED_TEST_SUITE_P(AttentionDefinition, OverABranchingTree);

}  // namespace ql::test::attention_definition
