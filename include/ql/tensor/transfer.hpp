// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/context.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>

namespace ql {

// Whether the host may touch the memory of a context.
template <class Context>
inline constexpr bool on_host = std::same_as<typename Context::memory_space, host_space>;
// Whether its operations compute. One that only counts (ql/backend/plan) has no memory: nothing is tabulated for it,
// and ranks exchange nothing.
template <class Context>
inline constexpr bool computes = !requires { typename Context::counts_only; };

// n values from the host's memory into a context's; the source may be reused when it returns.
template <execution_context Context, class E>
void copy_in(Context& ctx, const E* from, std::int64_t n, E* to) {
  if constexpr (on_host<Context>) {
    std::copy_n(from, n, to);
  } else {
    ctx.copy_in(from, n, to);
  }
}
// And back; waits for what computes them.
template <execution_context Context, class E>
void copy_out(Context& ctx, const E* from, std::int64_t n, E* to) {
  if constexpr (on_host<Context>) {
    std::copy_n(from, n, to);
  } else {
    ctx.copy_out(from, n, to);
  }
}

}  // namespace ql
