// SPDX-License-Identifier: Apache-2.0
// expect: ql: no kernel for this operation on this backend
// max-lines: 8
// A third party's context is accepted; an operation that its backend does not implement says so.
#include <ql/dispatch.hpp>

#include <cstdlib>

namespace elsewhere {
struct tag {};
struct memory {};
struct context {
  using backend = tag;
  using memory_space = memory;
  void* allocate(std::size_t bytes) { return std::malloc(bytes); }
  void deallocate(void* p, std::size_t) noexcept { std::free(p); }
  void synchronize() {}
};
struct here_op {};
struct absent_op {};
inline constexpr ql::operation<here_op> here{};
inline constexpr ql::operation<absent_op> absent{};
}  // namespace elsewhere

template <>
struct ql::kernel<elsewhere::here_op, elsewhere::tag> {
  static int run(elsewhere::context&) { return 1; }
};

int use(elsewhere::context& ctx) {
#ifdef QL_NEGATIVE
  elsewhere::absent(ctx);
#endif
  return elsewhere::here(ctx);
}
