// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/tensor/view.hpp>

#include <utility>

namespace ql {

// Owns dense, row-major memory of a context; hands out views. Movable, not copyable: copies are asked for by name.
// The context must outlive the tensor. Elements are not initialised.
template <class T, std::size_t Rank, execution_context Context>
class tensor {
 public:
  using value_type = T;
  using memory_space = typename Context::memory_space;
  using view_type = ql::view<T, Rank, memory_space>;
  using const_view_type = ql::view<const T, Rank, memory_space>;

  tensor() = default;
  tensor(Context& ctx, std::array<std::int64_t, Rank> extents) : ctx_(&ctx) {
    for (auto e : extents) detail::expects<shape_error>(e >= 0, "tensor", "extents", "non-negative extents", e);
    // strides must fit too, so an empty dimension does not excuse the others
    std::int64_t bytes = sizeof(T);
    bool overflow = false, none = false;
    for (auto e : extents) {
      overflow |= __builtin_mul_overflow(bytes, e == 0 ? 1 : e, &bytes);
      none |= e == 0;
    }
    detail::expects<shape_error>(!overflow, "tensor", "extents", "a size that fits in memory", "overflow");
    view_ = view_type(none ? nullptr : static_cast<T*>(ctx.allocate(static_cast<std::size_t>(bytes))), extents);
  }
  tensor(tensor&& o) noexcept : ctx_(o.ctx_), view_(std::exchange(o.view_, {})) {}
  tensor& operator=(tensor&& o) noexcept {
    if (this != &o) {
      release();
      ctx_ = o.ctx_;
      view_ = std::exchange(o.view_, {});
    }
    return *this;
  }
  ~tensor() { release(); }

  view_type view() { return view_; }
  const_view_type view() const { return view_; }
  T* data() { return view_.data_handle(); }
  const T* data() const { return view_.data_handle(); }
  std::int64_t extent(std::size_t d) const { return view_.extent(d); }
  std::int64_t size() const { return view_.size(); }
  bool empty() const { return view_.data_handle() == nullptr; }
  std::int64_t bytes() const { return size() * static_cast<std::int64_t>(sizeof(T)); }

 private:
  void release() noexcept {
    if (view_.data_handle() != nullptr) ctx_->deallocate(view_.data_handle(), static_cast<std::size_t>(bytes()));
    view_ = {};
  }
  Context* ctx_ = nullptr;
  view_type view_{};
};

}  // namespace ql
