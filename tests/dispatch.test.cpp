// SPDX-License-Identifier: Apache-2.0
#include <ql/dispatch.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <type_traits>

// A third party's backend and context, with no line of ql's own.
namespace elsewhere {

struct backend {};
struct memory {};
struct context {
  using backend = elsewhere::backend;
  using memory_space = elsewhere::memory;
  void* allocate(std::size_t bytes) { return std::malloc(bytes); }
  void deallocate(void* p, std::size_t) noexcept { std::free(p); }
  void synchronize() {}
  int calls = 0;
};
static_assert(ql::execution_context<context>);

struct scale_op {};    // (ctx, x, by) -> x * by
struct replace_op {};  // (ctx, int&) -> the same int&
struct absent_op {};
inline constexpr ql::operation<scale_op> scale{};
inline constexpr ql::operation<replace_op> replace{};

// near misses of a context
struct no_backend : context {
  using backend = void;
  void synchronize() = delete;
};
struct throws_on_free {
  using backend = elsewhere::backend;
  using memory_space = elsewhere::memory;
  void* allocate(std::size_t) { return nullptr; }
  void deallocate(void*, std::size_t) {}  // not noexcept
  void synchronize() {}
};
struct wrong_pointer {
  using backend = elsewhere::backend;
  using memory_space = elsewhere::memory;
  char* allocate(std::size_t) { return nullptr; }
  void deallocate(void*, std::size_t) noexcept {}
  void synchronize() {}
};
struct no_space {
  using backend = elsewhere::backend;
  void* allocate(std::size_t) { return nullptr; }
  void deallocate(void*, std::size_t) noexcept {}
  void synchronize() {}
};
static_assert(!ql::execution_context<no_backend> && !ql::execution_context<throws_on_free>);
static_assert(!ql::execution_context<wrong_pointer> && !ql::execution_context<no_space> && !ql::execution_context<int>);

}  // namespace elsewhere

template <>
struct ql::kernel<elsewhere::scale_op, elsewhere::backend> {
  static double run(elsewhere::context& ctx, double x, double by) {
    ++ctx.calls;
    return x * by;
  }
};
template <>
struct ql::kernel<elsewhere::replace_op, elsewhere::backend> {
  static int& run(elsewhere::context&, int& x) {
    x = 7;
    return x;
  }
};

namespace {

static_assert(ql::has_kernel<elsewhere::scale_op, elsewhere::backend>);
static_assert(!ql::has_kernel<elsewhere::absent_op, elsewhere::backend>);
static_assert(!ql::has_kernel<elsewhere::scale_op, int>);

TEST(Dispatch, FindsTheKernelOfTheContextsBackend) {
  elsewhere::context ctx;
  EXPECT_EQ(elsewhere::scale(ctx, 3.0, 0.5), 1.5);
  EXPECT_EQ(ctx.calls, 1);
}

TEST(Dispatch, PassesReferencesThrough) {
  elsewhere::context ctx;
  int x = 1;
  decltype(auto) y = elsewhere::replace(ctx, x);
  static_assert(std::is_same_v<decltype(y), int&>);
  EXPECT_EQ(&y, &x);
  EXPECT_EQ(x, 7);
}

}  // namespace
