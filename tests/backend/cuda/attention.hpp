// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backend/cuda/operations.hpp"

namespace ql::test::device {

template <class T>
class CudaAttention : public testing::Test {};
TYPED_TEST_SUITE_P(CudaAttention);

// Some tokens at the end of a path of more keys than a split holds: a tile of training, rows of decoding, splits folded
// in the kernel and from memory.
TYPED_TEST_P(CudaAttention, SplitsAndRunsChangeNoBit) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  for (const std::int64_t head_dim : {16, 80}) {
    const attention_shape shape = head_dim == 16 ? attention_shape{4, 2, head_dim} : attention_shape{2, 1, head_dim};
    const std::int64_t first = 64 * cuda::split_blocks - 3, rows = 8, blocks = (first + rows + 63) / 64;
    numbers r(6);
    auto ctx = device_context({});
    // the device's pages: [kv][keys, values][64][padded]; the CPU's from the same numbers
    auto page_values = normals<T>(r, blocks * shape.page_elements());
    for (std::size_t i = 0; i < page_values.size(); ++i)
      if (static_cast<std::int64_t>(i) % shape.padded_dim() >= head_dim) page_values[i] = T(0);
    const auto q = normals<T>(r, rows * shape.heads * head_dim);
    mirror<T> pages(ctx, page_values), dq(ctx, q), out(ctx, q);
    mirror<A> lse(ctx, std::vector<A>(static_cast<std::size_t>(rows * shape.heads)));
    std::vector<T*> base;
    std::vector<std::int32_t> ids;
    for (std::int64_t b = 0; b < blocks; ++b) {
      base.push_back(pages.data() + b * shape.page_elements());
      ids.push_back(static_cast<std::int32_t>(b));
    }
    std::vector<std::int64_t> position, path(static_cast<std::size_t>(rows), 0);
    for (std::int64_t i = 0; i < rows; ++i) position.push_back(first + i);

    struct result {
      std::vector<T> out;
      std::vector<A> lse;
    };
    const auto attend = [&](std::vector<query_run> runs, bool whole, std::int64_t from = 0, std::int64_t n = 8) {
      attention_args<T> a;
      a.shape = shape;
      a.places = {n, runs, position.data() + from, path.data() + from, ids.data()};
      a.q = dq.data() + from * shape.heads * head_dim;
      a.out = out.data() + from * shape.heads * head_dim;
      a.lse = lse.data() + from * shape.heads;
      a.page_base = base.data();
      if (!whole) {
        ql::attention(ctx, a);
      } else {
        auto scope = ctx.scratch();
        const cuda::detail::staged_places<T, emulated_context> places(scope, "test", shape, a.places, a.page_base, 0);
        cuda::attention_forward_arguments<T> f;
        f.places = places.device;
        f.q = a.q;
        f.out = a.out;
        f.lse = a.lse;
        cuda::detail::for_chunks(
            head_dim, [&](auto chunks) { ctx.template launch<cuda::attention_forward_body<T, chunks()>>(f); });
      }
      return result{out.host(), lse.host()};
    };
    const auto last = static_cast<std::int32_t>(blocks);
    std::vector<A> lse_before(static_cast<std::size_t>(rows * shape.heads));
    const auto training = attend({{0, 3, last - 1}, {3, 5, last}}, true);
    const auto same = [&](const result& got, const char* what) {
      EXPECT_EQ(difference(got.out, training.out), "") << what;
      EXPECT_EQ(difference(got.lse, training.lse), "") << what;
    };
    same(attend({{0, 3, last - 1}, {3, 5, last}}, false), "splits apart");
    same(attend({{0, 8, 30}}, false), "a decoding run that shares thirty blocks");
    same(attend({{0, 8, 28}}, true), "few blocks shared, folded in the kernel");
    std::fill(lse_before.begin(), lse_before.end(), A(0));
    ctx.copy_in(lse_before.data(), lse.in(1).size(), lse.data());
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto one = attend({{0, 1, last - 2}}, false, i, 1);
      if (i + 1 == rows) same(one, "rows one by one");
    }

    // the CPU: pages in its own layout
    cpu::context host;
    std::vector<T> cpu_pages(page_values.size()), cpu_out(q.size());
    std::vector<A> cpu_lse(static_cast<std::size_t>(rows * shape.heads));
    std::vector<T*> cpu_base;
    for (std::int64_t b = 0; b < blocks; ++b) {
      cpu_base.push_back(cpu_pages.data() + b * shape.page_elements());
      for (std::int64_t kv = 0; kv < shape.kv_heads; ++kv) {
        const cpu::detail::page_head<T> at(cpu_base.back(), shape, kv);
        const T* from = page_values.data() + b * shape.page_elements() + kv * 2 * key_block * shape.padded_dim();
        for (std::int64_t c = 0; c < key_block; ++c)
          for (std::int64_t i = 0; i < head_dim; ++i) {
            at.keys[cpu::detail::panel_index<T>(i, c, at.key_stride)] = from[c * shape.padded_dim() + i];
            at.values[cpu::detail::panel_index<T>(c, i, at.value_stride)] =
                from[(key_block + c) * shape.padded_dim() + i];
          }
      }
    }
    const std::vector<query_run> runs{{0, 3, last - 1}, {3, 5, last}};
    attention_args<T> a;
    a.shape = shape;
    a.places = {rows, runs, position.data(), path.data(), ids.data()};
    a.q = q.data();
    a.out = cpu_out.data();
    a.lse = cpu_lse.data();
    a.page_base = cpu_base.data();
    ql::attention(host, a);
    EXPECT_LT(distance(training.out, cpu_out), (std::is_same_v<T, float> ? 2e-6 : 8e-3));
    EXPECT_LT(distance(training.lse, cpu_lse), 1e-5);
  }
}

TYPED_TEST_P(CudaAttention, HeadsThatAreTooWideAreRefused) {
  auto ctx = device_context({});
  attention_args<TypeParam> a;
  a.shape = {2, 1, 160};
  const std::vector<query_run> runs{{0, 1, 1}};
  const std::int64_t position = 0, path = 0;
  const std::int32_t page = 0;
  TypeParam* base = nullptr;
  a.places = {1, runs, &position, &path, &page};
  a.page_base = &base;
  EXPECT_THROW(ql::attention(ctx, a), ql::backend_error);
}

REGISTER_TYPED_TEST_SUITE_P(CudaAttention, SplitsAndRunsChangeNoBit, HeadsThatAreTooWideAreRefused);

}  // namespace ql::test::device
