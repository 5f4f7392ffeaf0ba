// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/context.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace ql {

namespace detail {
template <class...>
inline constexpr bool always_false = false;

// A view (or tensor) that says where it lives, lives in Space; anything else passes.
template <class V, class Space>
inline constexpr bool lives_in = true;
template <class V, class Space>
  requires requires { typename V::memory_space; }
inline constexpr bool lives_in<V, Space> = std::same_as<typename V::memory_space, Space>;
}  // namespace detail

// What a backend specialises: kernel<linear_op, cpu::backend>::run(ctx, args...).
template <class Operation, class Backend>
struct kernel {
  static constexpr bool missing = true;
  template <class... A>
  static void run(A&&...) {
    static_assert(detail::always_false<Operation, Backend, A...>,
                  "ql: no kernel for this operation on this backend; include the backend's kernels before you use it: "
                  "<ql/backend/cpu/kernels.hpp> (and link ql::cpu), or <ql/backend/cuda/kernels.hpp> for CUDA");
  }
};

template <class Operation, class Backend>
concept has_kernel = !requires { kernel<Operation, Backend>::missing; };

// The one way to run anything: linear(ctx, ...) looks the kernel up by the context's backend.
template <class Operation>
struct operation {
  template <execution_context Context, class... A>
  decltype(auto) operator()(Context& ctx, A&&... args) const {
    if constexpr ((detail::lives_in<std::remove_cvref_t<A>, typename Context::memory_space> && ...)) {
      return kernel<Operation, typename Context::backend>::run(ctx, std::forward<A>(args)...);
    } else {
      static_assert(detail::always_false<Operation, Context, A...>,
                    "ql: an argument of this operation is a view of another memory than its context computes in; "
                    "copy the values into a ql::tensor of that context first (ql::copy_in, ql::copy_out)");
    }
  }
};

}  // namespace ql
