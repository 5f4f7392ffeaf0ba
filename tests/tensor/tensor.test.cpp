// SPDX-License-Identifier: Apache-2.0
#include <ql/tensor/tensor.hpp>

#include <ql/backend/cpu/context.hpp>

#include "support/sanitizers.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>

namespace {

using ql::cpu::context;
template <class T, std::size_t Rank>
using tensor = ql::tensor<T, Rank, context>;

static_assert(ql::execution_context<context>);
static_assert(std::is_nothrow_move_constructible_v<tensor<float, 2>> &&
              std::is_nothrow_move_assignable_v<tensor<float, 2>>);
static_assert(!std::is_copy_constructible_v<tensor<float, 2>> && !std::is_copy_assignable_v<tensor<float, 2>>);
static_assert(std::is_same_v<decltype(std::declval<const tensor<float, 1>&>().view()), ql::view<const float, 1>>);
static_assert(std::is_same_v<decltype(std::declval<const tensor<float, 1>&>().data()), const float*>);

TEST(Tensor, DenseAlignedAndCounted) {
  context ctx;
  EXPECT_EQ(ctx.bytes_in_use(), 0);
  {
    tensor<float, 2> a(ctx, {3, 5});
    EXPECT_EQ(ctx.bytes_in_use(), 60);
    EXPECT_EQ(a.bytes(), 60);
    EXPECT_EQ(a.size(), 15);
    EXPECT_EQ(a.extent(1), 5);
    EXPECT_TRUE(a.view().dense());
    a.view()(2, 4) = 7;
    EXPECT_EQ(a.data()[14], 7);
    tensor<double, 1> b(ctx, {1000});
    EXPECT_EQ(ctx.bytes_in_use(), 8060);
  }
  EXPECT_EQ(ctx.bytes_in_use(), 0);
  EXPECT_EQ(ctx.peak_bytes(), 8060);
  ctx.reset_peak();
  EXPECT_EQ(ctx.peak_bytes(), 0);
  for (std::int64_t n : {1, 3, 63, 64, 65, 1 << 14, (1 << 16) + 1, 1 << 20}) {
    tensor<char, 1> t(ctx, {n});
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.data()) % 64, 0u) << n;
    t.data()[n - 1] = 1;
  }
  EXPECT_EQ(ctx.peak_bytes(), 1 << 20);
}

TEST(Tensor, MovesItsMemory) {
  context ctx, other;
  tensor<int, 1> a(ctx, {10});
  int* const p = a.data();
  tensor<int, 1> b(std::move(a));
  EXPECT_EQ(b.data(), p);
  EXPECT_TRUE(a.empty());  // NOLINT: a moved-from tensor is empty
  EXPECT_EQ(a.size(), 0);
  tensor<int, 1> c(other, {20});
  EXPECT_EQ(other.bytes_in_use(), 80);
  c = std::move(b);
  EXPECT_EQ(c.data(), p);
  EXPECT_EQ(other.bytes_in_use(), 0) << "what it held went back to the context it came from";
  EXPECT_EQ(ctx.bytes_in_use(), 40);
  auto& self = c;
  c = std::move(self);
  EXPECT_EQ(c.data(), p);
  c = {};
  EXPECT_EQ(ctx.bytes_in_use(), 0);
}

TEST(Tensor, EmptyOnesHoldNoMemory) {
  context ctx;
  const tensor<float, 1> never;
  const tensor<float, 3> none(ctx, {4, 0, 5});
  EXPECT_TRUE(never.empty() && none.empty());
  EXPECT_EQ(none.size(), 0);
  EXPECT_EQ(none.extent(2), 5);
  EXPECT_EQ(ctx.bytes_in_use(), 0);
}

template <class F>
std::string shape_message(F&& f) {
  try {
    f();
  } catch (const ql::shape_error& e) {
    return e.what();
  }
  return "nothing thrown";
}

TEST(Tensor, RefusesExtentsThatDoNotFit) {
  context ctx;
  EXPECT_EQ(shape_message([&] { tensor<float, 2>(ctx, {3, -1}); }),
            "tensor: extents: expected non-negative extents, got -1");
  constexpr auto large = std::numeric_limits<std::int64_t>::max();
  const std::string fits = "tensor: extents: expected a size that fits in memory, got overflow";
  EXPECT_EQ(shape_message([&] { tensor<float, 2>(ctx, {std::int64_t{1} << 40, std::int64_t{1} << 40}); }), fits);
  EXPECT_EQ(shape_message([&] { tensor<float, 2>(ctx, {large, large}); }), fits);
  EXPECT_EQ(shape_message([&] { tensor<double, 1>(ctx, {large}); }), fits);
  EXPECT_EQ(shape_message([&] { tensor<double, 3>(ctx, {1 << 30, 1 << 30, 2}); }), fits);
  // fits in 64 bits unsigned, but is no size of an object
  EXPECT_EQ(shape_message([&] { tensor<float, 1>(ctx, {(std::int64_t{1} << 61) + 1}); }), fits);
  EXPECT_EQ(ctx.bytes_in_use(), 0);
  EXPECT_EQ(ctx.peak_bytes(), 0);
}

// The address sanitizer ends the program where operator new would throw.
#ifndef QL_TEST_SANITIZED
TEST(Tensor, AFailedAllocationIsNotCounted) {
  context ctx;
  EXPECT_THROW((tensor<char, 1>(ctx, {std::int64_t{1} << 62})), std::bad_alloc);
  EXPECT_EQ(ctx.bytes_in_use(), 0);
  EXPECT_EQ(ctx.peak_bytes(), 0);
}
#endif

}  // namespace
