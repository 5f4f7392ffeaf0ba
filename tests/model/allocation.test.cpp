// SPDX-License-Identifier: Apache-2.0
// The decode loop allocates nothing after its first steps. This file counts what the whole program asks of operator new
// while `counting` is set.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "model/support/instances.hpp"
#include "model/support/shapes.hpp"
#include "support/random_tree.hpp"

namespace {
std::atomic<bool> counting{false};
std::atomic<long> counted{0};
void* counted_malloc(std::size_t bytes, std::size_t alignment) noexcept {
  if (counting) ++counted;
  return alignment == 0 ? std::malloc(bytes > 0 ? bytes : 1)
                        : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}
void* or_throw(void* p) {
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
}  // namespace

// NOLINTBEGIN
void* operator new(std::size_t n) { return or_throw(counted_malloc(n, 0)); }
void* operator new[](std::size_t n) { return or_throw(counted_malloc(n, 0)); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return counted_malloc(n, 0); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return counted_malloc(n, 0); }
void* operator new(std::size_t n, std::align_val_t a) {
  return or_throw(counted_malloc(n, static_cast<std::size_t>(a)));
}
void* operator new[](std::size_t n, std::align_val_t a) {
  return or_throw(counted_malloc(n, static_cast<std::size_t>(a)));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
// NOLINTEND

using namespace ql;
using namespace ql::test;

namespace {

// Leaves that cross several pages of 64 keys, at different steps, some ending on the way; allocations after the first
// steps, which size the workspaces.
template <class T, class Sampler>
long allocations(int threads, Sampler sampler) {
  cpu::context ctx({.threads = threads});
  const auto policy = make_decoder<T>(ctx, qwen2(300));
  dice d(2);
  grower<T> s(ctx, *policy, 64);
  const auto root = s.add_root(d.ids(70, 300));
  const auto question = s.add_segment(root, d.ids(21, 300));
  std::uint32_t n = 0;
  for (auto parent : {root, question, root}) {
    for (int g = 0; g < 4; ++g) s.add_leaf(parent, 150 + 20 * g, {.seed = 3, .sample = n++});
  }
  const model::stop_tokens stop{{7}};
  for (int i = 0; i < 3; ++i) s.step(sampler, stop);
  counted = 0;
  counting = true;
  std::int64_t steps = 0;
  while (s.step(sampler, stop) > 0) ++steps;
  counting = false;
  EXPECT_GT(steps, 64) << "a page is crossed";
  return counted;
}

}  // namespace

TEST(Allocation, IsCountedAtAll) {
  counted = 0;
  counting = true;
  delete new int(3);
  counting = false;
  EXPECT_GE(counted, 0);
  std::vector<int> v;
  counted = 0;
  counting = true;
  v.reserve(1000);
  counting = false;
  EXPECT_EQ(counted, 1);
}

TEST(Allocation, NoneInTheDecodeLoop) {
  EXPECT_EQ((allocations<float>(1, rl::stochastic{})), 0);
  EXPECT_EQ((allocations<bf16>(1, rl::stochastic{})), 0);
  EXPECT_EQ((allocations<float>(1, rl::greedy{})), 0);
}
TEST(Allocation, NoneWithATruncatedSampler) {
  EXPECT_EQ((allocations<float>(1, rl::stochastic({.temperature = 0.7, .top_k = 20, .top_p = 0.9}))), 0);
}
TEST(AllocationThreads, NoneInTheDecodeLoop) { EXPECT_EQ((allocations<bf16>(2, rl::stochastic{})), 0); }
