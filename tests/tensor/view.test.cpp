// SPDX-License-Identifier: Apache-2.0
#include <ql/tensor/view.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using ql::view;
using extents2 = std::array<std::int64_t, 2>;
using extents3 = std::array<std::int64_t, 3>;

static_assert(std::is_trivially_copyable_v<view<float, 3>>);
static_assert(ql::tensor_view<view<float, 2>> && ql::mutable_view<view<float, 2>>);
static_assert(ql::tensor_view<view<const float, 2>> && !ql::mutable_view<view<const float, 2>>);
static_assert(!ql::tensor_view<std::vector<float>> && !ql::tensor_view<float*>);
// const is added, never taken away; rank and element type never change
static_assert(std::is_convertible_v<view<float, 2>, view<const float, 2>>);
static_assert(!std::is_convertible_v<view<const float, 2>, view<float, 2>>);
static_assert(!std::is_convertible_v<view<float, 2>, view<float, 1>>);
static_assert(!std::is_convertible_v<view<float, 2>, view<const double, 2>>);

struct device_space {};
static_assert(!std::is_convertible_v<view<float, 1, device_space>, view<float, 1>>);
static_assert(!std::is_constructible_v<view<float, 1, device_space>, std::vector<float>&>);

std::vector<int> counted(std::size_t n) {
  std::vector<int> v(n);
  std::iota(v.begin(), v.end(), 0);
  return v;
}

TEST(View, DefaultIsEmpty) {
  constexpr view<float, 2> v;
  EXPECT_TRUE(v.empty());
  EXPECT_EQ(v.data_handle(), nullptr);
  EXPECT_EQ(v.size(), 0);
}

TEST(View, RowMajorByDefault) {
  auto data = counted(24);
  const view<int, 3> v(data.data(), {2, 3, 4});
  EXPECT_EQ(v.strides(), (extents3{12, 4, 1}));
  EXPECT_EQ(v.size(), 24);
  EXPECT_TRUE(v.dense());
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 4; ++k) ASSERT_EQ(v(i, j, k), i * 12 + j * 4 + k);
  v(1, 2, 3) = -1;
  EXPECT_EQ(data[23], -1);
}

TEST(View, AnyStrides) {
  auto data = counted(60);
  const view<int, 2> padded(data.data(), {3, 4}, {10, 1}), transposed(data.data(), {4, 3}, {1, 10}),
      every_second(data.data() + 1, {2, 3}, {20, 2}), backwards(data.data() + 9, {2, 3}, {10, -1});
  EXPECT_EQ(padded(2, 3), 23);
  EXPECT_EQ(transposed(3, 2), padded(2, 3));
  EXPECT_EQ(every_second(1, 2), 25);
  EXPECT_EQ(backwards(1, 2), 17);
  for (const auto& v : {padded, transposed, every_second, backwards}) EXPECT_FALSE(v.dense());
}

TEST(View, DenseMeansAdjacent) {
  int x[8] = {};
  EXPECT_TRUE((view<int, 2>(x, {2, 4}, {4, 1})).dense());
  EXPECT_FALSE((view<int, 2>(x, {2, 3}, {4, 1})).dense());
  EXPECT_TRUE((view<int, 2>(x, {1, 3}, {99, 1})).dense()) << "the stride of a single row is never used";
  EXPECT_TRUE((view<int, 2>(x, {3, 1}, {1, 77})).dense());
  EXPECT_FALSE((view<int, 2>(x, {3, 2}, {1, 3})).dense()) << "transposed";
  EXPECT_FALSE((view<int, 1>(x, {4}, {2})).dense());
  EXPECT_TRUE((view<int, 1>(x, {0})).dense());
}

TEST(View, RowAndRows) {
  auto data = counted(60);
  const view<int, 2> v(data.data(), {5, 6}, {12, 2});
  const auto r = v.row(3);
  static_assert(std::is_same_v<decltype(r), const view<int, 1>>);
  EXPECT_EQ(r.extent(0), 6);
  EXPECT_EQ(r.stride(0), 2);
  EXPECT_EQ(r[5], v(3, 5));
  const auto s = v.rows(2, 3);
  EXPECT_EQ(s.extents(), (extents2{3, 6}));
  EXPECT_EQ(s.strides(), v.strides());
  EXPECT_EQ(s(2, 4), v(4, 4));
  EXPECT_EQ(v.rows(5, 0).size(), 0);
  const view<int, 3> cube(data.data(), {3, 4, 5});
  EXPECT_EQ(cube.row(2).row(1)[3], cube(2, 1, 3));
  EXPECT_EQ(cube.rows(1, 2)(1, 0, 0), cube(2, 0, 0));
  EXPECT_EQ((view<int, 1>(data.data(), 60)).rows(10, 3)[2], 12);
}

int sum_of(view<const int, 1> v) {
  int s = 0;
  for (std::int64_t i = 0; i < v.extent(0); ++i) s += v[i];
  return s;
}

TEST(View, FromContiguousRangesAndPointers) {
  std::vector<int> a{1, 2, 3};
  const std::vector<int> b{4, 5};
  int c[] = {6, 7};
  EXPECT_EQ(sum_of(a), 6);
  EXPECT_EQ(sum_of(b), 9);
  EXPECT_EQ(sum_of(std::span<int>(c)), 13);
  EXPECT_EQ(sum_of(std::span<const int>(c, 1)), 6);
  EXPECT_EQ(sum_of({a.data(), 2}), 3);
  EXPECT_EQ(sum_of(view<int, 1>(a.data(), {2}, {2})), 4) << "const is added, strides are kept";
  static_assert(!std::is_constructible_v<view<int, 1>, const std::vector<int>&>);
}

// What std::mdspan and Kokkos::mdspan offer, in another house.
struct foreign_matrix {
  using element_type = double;
  using index_type = int;
  double* data;
  int rows, columns, pitch;
  static constexpr std::size_t rank() { return 2; }
  int extent(std::size_t d) const { return d == 0 ? rows : columns; }
  int stride(std::size_t d) const { return d == 0 ? pitch : 1; }
  double* data_handle() const { return data; }
};
struct foreign_on_device : foreign_matrix {
  using memory_space = device_space;
};
struct not_a_view {
  using element_type = double;
  using index_type = int;
  static constexpr std::size_t rank() { return 2; }
  int extent(std::size_t) const { return 0; }
  double* data_handle() const { return nullptr; }
};
static_assert(ql::tensor_view<foreign_matrix> && !ql::tensor_view<not_a_view>);
struct host_context {
  using memory_space = ql::host_space;
};
static_assert(ql::view_for<foreign_matrix, host_context> && !ql::view_for<foreign_on_device, host_context>);
static_assert(ql::view_for<view<int, 1>, host_context> && !ql::view_for<view<int, 1, device_space>, host_context>);

TEST(View, OfAThirdPartysMatrix) {
  std::vector<double> data(40);
  const foreign_matrix m{data.data(), 4, 7, 10};
  const auto v = ql::as_view(m);
  static_assert(std::is_same_v<decltype(v), const view<double, 2>>);
  static_assert(std::is_same_v<decltype(ql::as_view(foreign_on_device{})), view<double, 2, device_space>>);
  v(3, 6) = 2.5;
  EXPECT_EQ(data[36], 2.5);
  EXPECT_EQ(v.extents(), (extents2{4, 7}));
  EXPECT_FALSE(v.dense());
  const auto same = ql::as_view(v);
  EXPECT_EQ(same.strides(), v.strides());
  EXPECT_EQ(same.data_handle(), v.data_handle());
}

TEST(View, SaysWhatIsNotDense) {
  float x[8] = {};
  EXPECT_NO_THROW(ql::detail::expects_dense("adamw", "w", view<float, 2>(x, {2, 4})));
  try {
    ql::detail::expects_dense("adamw", "w", view<float, 2>(x, {2, 3}, {4, 1}));
    FAIL();
  } catch (const ql::shape_error& e) {
    EXPECT_STREQ(e.what(),
                 "adamw: w: expected adjacent elements (row-major strides), got shape (2, 3) with strides (4, 1)");
  }
}

}  // namespace
