// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace ql::io::detail {

template <class T>
struct counted;

// A shared, immutable T, as std::shared_ptr<const T> would hold it; <memory> is too slow to compile for the headers
// that need this. Members are defined in src/io/counted.hpp and instantiated where T is complete.
template <class T>
class shared {
 public:
  shared() = default;
  explicit shared(const counted<T>* adopted) noexcept : p_(adopted) {}
  shared(const shared& o) noexcept;
  shared(shared&& o) noexcept : p_(o.p_) { o.p_ = nullptr; }
  shared& operator=(shared o) noexcept {
    const counted<T>* p = p_;
    p_ = o.p_;
    o.p_ = p;
    return *this;
  }
  ~shared();

  const T& operator*() const noexcept;
  const T* operator->() const noexcept;

 private:
  const counted<T>* p_ = nullptr;
};

}  // namespace ql::io::detail
