// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>

namespace ql {

// Memory a view points into. A host view given to a device operation is a compile error.
struct host_space {};

// Where and how operations run: the first argument of each of them.
template <class C>
concept execution_context = std::movable<C> && requires(C& c, void* p, std::size_t bytes) {
  typename C::backend;       // the tag that kernel<Operation, Backend> is specialised on
  typename C::memory_space;  // the space its tensors live in
  { c.allocate(bytes) } -> std::same_as<void*>;
  { c.deallocate(p, bytes) } noexcept;  // the size that was asked for
  { c.synchronize() };
};

}  // namespace ql
