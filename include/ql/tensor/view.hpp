// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/context.hpp>
#include <ql/error.hpp>
#include <ql/scalar.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ql {

// A non-owning, strided view with mdspan's member names: the only thing algorithms take. Strides are in elements.
// Trivially copyable, so it can be passed to a kernel by value.
//   view<float, 2> logits{p, {rows, vocab}};   logits(1, 2)
template <class T, std::size_t Rank, class Space = host_space>
class view {
 public:
  using element_type = T;
  using value_type = std::remove_cv_t<T>;
  using index_type = std::int64_t;
  using memory_space = Space;
  using extents_type = std::array<std::int64_t, Rank>;

  constexpr view() = default;
  // Row-major and dense: the last index is adjacent in memory.
  constexpr view(T* data, extents_type extents) : data_(data), extents_(extents) {
    std::int64_t stride = 1;
    for (std::size_t d = Rank; d-- > 0;) {
      strides_[d] = stride;
      stride *= extents[d];
    }
  }
  constexpr view(T* data, extents_type extents, extents_type strides)
      : data_(data), extents_(extents), strides_(strides) {}
  constexpr view(T* data, std::integral auto size)
    requires(Rank == 1)
      : view(data, extents_type{static_cast<std::int64_t>(size)}) {}
  // From anything contiguous: std::span, std::vector.
  template <class R>
    requires(Rank == 1 && std::same_as<Space, host_space> && !std::same_as<std::remove_cvref_t<R>, view> &&
             std::constructible_from<std::span<T>, R>)
  constexpr view(R&& range)  // NOLINT: implicit by design
      : view(std::span<T>(range).data(), std::span<T>(range).size()) {}
  // view<float> -> view<const float>
  template <class U>
    requires(std::same_as<const U, T> && !std::same_as<U, T>)
  constexpr view(view<U, Rank, Space> v)  // NOLINT: implicit by design
      : data_(v.data_handle()), extents_(v.extents()), strides_(v.strides()) {}

  static constexpr std::size_t rank() { return Rank; }
  constexpr std::int64_t extent(std::size_t d) const { return extents_[d]; }
  constexpr std::int64_t stride(std::size_t d) const { return strides_[d]; }
  constexpr const extents_type& extents() const { return extents_; }
  constexpr const extents_type& strides() const { return strides_; }
  constexpr T* data_handle() const { return data_; }
  constexpr std::int64_t size() const {
    std::int64_t n = 1;
    for (auto e : extents_) n *= e;
    return n;
  }
  constexpr bool empty() const { return size() == 0; }
  // Adjacent rows of adjacent elements.
  constexpr bool dense() const {
    std::int64_t stride = 1;
    for (std::size_t d = Rank; d-- > 0;) {
      if (extents_[d] != 1 && strides_[d] != stride) return false;
      stride *= extents_[d];
    }
    return true;
  }

  template <std::integral... Index>
    requires(sizeof...(Index) == Rank)
  constexpr T& operator()(Index... i) const {
    std::int64_t offset = 0;
    std::size_t d = 0;
    ((offset += static_cast<std::int64_t>(i) * strides_[d++]), ...);
    return data_[offset];
  }
  constexpr T& operator[](std::integral auto i) const
    requires(Rank == 1)
  {
    return data_[static_cast<std::int64_t>(i) * strides_[0]];
  }

  // Row i of a matrix.
  constexpr auto row(std::int64_t i) const
    requires(Rank > 1)
  {
    std::array<std::int64_t, Rank - 1> e{}, s{};
    for (std::size_t d = 1; d < Rank; ++d) e[d - 1] = extents_[d], s[d - 1] = strides_[d];
    return view<T, Rank - 1, Space>(data_ + i * strides_[0], e, s);
  }
  // The slice [first, first + count) of the first dimension.
  constexpr view rows(std::int64_t first, std::int64_t count) const {
    auto e = extents_;
    e[0] = count;
    return view(data_ + first * strides_[0], e, strides_);
  }

 private:
  T* data_ = nullptr;
  extents_type extents_{};
  extents_type strides_{};
};

template <class V>
concept tensor_view = std::copyable<V> && requires(const V& v, std::size_t d) {
  typename V::element_type;
  typename V::index_type;
  requires(V::rank() > 0);
  { v.extent(d) } -> std::convertible_to<typename V::index_type>;
  { v.stride(d) } -> std::convertible_to<typename V::index_type>;
  { v.data_handle() } -> std::same_as<typename V::element_type*>;
};
template <class V>
concept mutable_view = tensor_view<V> && !std::is_const_v<typename V::element_type>;

template <class V>
struct memory_space_of {
  using type = host_space;
};
template <class V>
  requires requires { typename V::memory_space; }
struct memory_space_of<V> {
  using type = typename V::memory_space;
};
// V lives where Context computes.
template <class V, class Context>
concept view_for = tensor_view<V> && std::same_as<typename memory_space_of<V>::type, typename Context::memory_space>;

// ql's view of any other type with mdspan's members (std::mdspan, Kokkos::mdspan), same memory.
template <tensor_view V>
constexpr auto as_view(const V& v) {
  std::array<std::int64_t, V::rank()> e{}, s{};
  for (std::size_t d = 0; d < V::rank(); ++d) {
    e[d] = static_cast<std::int64_t>(v.extent(d));
    s[d] = static_cast<std::int64_t>(v.stride(d));
  }
  return view<typename V::element_type, V::rank(), typename memory_space_of<V>::type>(v.data_handle(), e, s);
}

namespace detail {
template <class T, std::size_t Rank, class Space>
void expects_dense(std::string_view operation, std::string_view argument, const view<T, Rank, Space>& v) {
  if (!v.dense()) [[unlikely]]
    fail<shape_error>(operation, argument, "adjacent elements (row-major strides)",
                      "shape " + show_shape(v.extents()) + " with strides " + show_shape(v.strides()));
}
// Rows may lie apart, the elements of a row may not.
template <class T, class Space>
void expects_adjacent(std::string_view operation, std::string_view argument, const view<T, 2, Space>& v) {
  if (v.stride(1) != 1 && v.extent(1) > 1) [[unlikely]]
    fail<shape_error>(operation, argument, "adjacent elements in a row", "a stride of " + show(v.stride(1)));
}
inline void expects_ids(std::string_view operation, std::string_view argument, std::span<const token> ids,
                        std::int64_t vocabulary, std::string_view of) {
  for (auto id : ids)
    if (id < 0 || id >= vocabulary) [[unlikely]]
      fail<argument_error>(operation, argument, "0 to " + std::to_string(vocabulary - 1) + std::string(of),
                           std::to_string(id));
}
}  // namespace detail

}  // namespace ql
