// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/shared.hpp>

#include <atomic>
#include <cstddef>

namespace ql::io::detail {

template <class T>
struct counted : T {
  mutable std::atomic<std::size_t> owners{1};
};

template <class T>
shared<T>::shared(const shared& o) noexcept : p_(o.p_) {
  if (p_ != nullptr) p_->owners.fetch_add(1, std::memory_order_relaxed);
}

template <class T>
shared<T>::~shared() {
  if (p_ != nullptr && p_->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) delete p_;
}

template <class T>
const T& shared<T>::operator*() const noexcept {
  return *p_;
}

template <class T>
const T* shared<T>::operator->() const noexcept {
  return p_;
}

}  // namespace ql::io::detail
