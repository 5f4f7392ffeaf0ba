// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/context.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using ql::cpu::context;

// A product that is subnormal, computed where the compiler cannot do it beforehand.
float tiny_product() {
  volatile float x = 1e-30f, y = 1e-10f;
  return x * y;
}
// An operand that is subnormal.
float tiny_operand() {
  volatile float x = 1e-40f, y = 0x1p100f;
  return x * y;
}

TEST(CpuContextThreads, EachIndexRunsOnce) {
  for (const int threads : {1, 2, 4}) {
    context ctx{{.threads = threads}};
    ASSERT_EQ(ctx.threads(), threads);
    for (const std::int64_t n : {0, 1, 2, 3, 7, 64, 1000}) {
      std::vector<std::atomic<int>> times(static_cast<std::size_t>(n));
      std::atomic<int> strangers{0};
      ctx.parallel_for(n, [&](std::int64_t i, int thread) {
        ++times[static_cast<std::size_t>(i)];
        if (thread < 0 || thread >= threads) ++strangers;
      });
      ASSERT_TRUE(std::all_of(times.begin(), times.end(), [](auto& t) { return t == 1; })) << threads << " " << n;
      ASSERT_EQ(strangers, 0);
    }
  }
}

TEST(CpuContextThreads, ManyShortJobsAndSleepsBetween) {
  context ctx{{.threads = 4}};
  std::int64_t sum = 0;
  for (int job = 0; job < 600; ++job) {
    std::int64_t part[4] = {};
    ctx.parallel_for(9, [&](std::int64_t i, int thread) { part[thread] += i; });
    sum += part[0] + part[1] + part[2] + part[3];
    // longer than workers spin, so that they fall asleep and are woken
    if (job % 100 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(sum, 600 * 36);
}

TEST(CpuContextThreads, SeveralContextsAtOnce) {
  std::vector<std::thread> users;
  std::atomic<std::int64_t> sum{0};
  for (int u = 0; u < 3; ++u)
    users.emplace_back([&] {
      context ctx{{.threads = 2}};
      for (int job = 0; job < 200; ++job) ctx.parallel_for(10, [&](std::int64_t i) { sum += i; });
    });
  for (auto& u : users) u.join();
  EXPECT_EQ(sum, 3 * 200 * 45);
}

TEST(CpuContextThreads, SubnormalsAreZeroInsideOnEveryThread) {
  ASSERT_GT(tiny_product(), 0.0f) << "the test needs a caller with subnormals";
  for (const int threads : {1, 2, 4}) {
    context ctx{{.threads = threads}};
    for (const std::int64_t n : {1, 64}) {
      std::atomic<int> seen{0};
      ctx.parallel_for(n, [&](std::int64_t) {
        if (tiny_product() != 0.0f || tiny_operand() != 0.0f) ++seen;
      });
      EXPECT_EQ(seen, 0) << threads << " " << n;
      EXPECT_GT(tiny_product(), 0.0f) << "restored for the caller";
      EXPECT_GT(tiny_operand(), 0.0f);
    }
  }
}

#if defined(__x86_64__)
TEST(CpuContext, TheCallersRoundingModeIsKeptAndNotUsed) {
  const auto before = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr((before & ~0x6000u) | 0x4000u);  // upwards
  const auto upwards = __builtin_ia32_stmxcsr();
  unsigned inside = 0;
  float sum = 0;
  context ctx;
  ctx.parallel_for(1, [&](std::int64_t) {
    inside = __builtin_ia32_stmxcsr();
    volatile float one = 1.0f, little = 1e-10f;
    sum = one + little;
  });
  const auto after = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(before);
  EXPECT_EQ(inside & 0x6000u, 0u) << "to nearest";
  EXPECT_EQ(inside & 0x8040u, 0x8040u) << "FTZ and DAZ";
  EXPECT_EQ(sum, 1.0f);
  // the sticky exception flags (low six bits) are the caller's as well
  EXPECT_EQ(after & 0xFFC0u, upwards & 0xFFC0u);
}

TEST(CpuContext, RestoredWhenTheBodyThrows) {
  const auto before = __builtin_ia32_stmxcsr();
  context ctx;
  EXPECT_THROW(ctx.parallel_for(3, [](std::int64_t) { throw std::runtime_error("from inside"); }), std::runtime_error);
  EXPECT_EQ(__builtin_ia32_stmxcsr() & 0xFFC0u, before & 0xFFC0u);
}
#endif

TEST(CpuContext, SaysWhatDoesNotFit) {
  for (const int threads : {0, -3, 1025}) try {
      context ctx{{.threads = threads}};
      FAIL();
    } catch (const ql::argument_error& e) {
      EXPECT_EQ(std::string(e.what()), "cpu::context: threads: expected 1 to 1024, got " + std::to_string(threads));
    }
}

TEST(CpuContext, MovesWithItsMemory) {
  context a{{.threads = 2}};
  void* p = a.allocate(100);
  context b(std::move(a));
  EXPECT_EQ(b.bytes_in_use(), 100);
  b.deallocate(p, 100);
  EXPECT_EQ(b.bytes_in_use(), 0);
  EXPECT_EQ(b.peak_bytes(), 100);
}

TEST(CpuScratch, NestsAndNeverMoves) {
  context ctx;
  auto outer = ctx.scratch();
  auto* a = outer.take<std::int64_t>(1000);
  std::fill_n(a, 1000, 7);
  std::int64_t* inside = nullptr;
  {
    auto inner = ctx.scratch();
    inside = inner.take<std::int64_t>(1 << 20);  // a block of its own
    std::fill_n(inside, 1 << 20, 8);
    {
      auto innermost = ctx.scratch();
      auto* c = innermost.take<std::int64_t>(1 << 21);
      std::fill_n(c, 1 << 21, 9);
    }
    EXPECT_EQ(inside[0], 8);
    EXPECT_EQ(inside[(1 << 20) - 1], 8);
  }
  auto* again = outer.take<std::int64_t>(10);
  std::fill_n(again, 10, 1);
  EXPECT_TRUE(std::all_of(a, a + 1000, [](auto x) { return x == 7; }));
  EXPECT_TRUE(again + 10 <= a || a + 1000 <= again);
}

TEST(CpuScratch, PiecesAreAlignedAndApart) {
  context ctx;
  for (int pass = 0; pass < 3; ++pass) {
    auto scope = ctx.scratch();
    char* end = nullptr;
    for (std::int64_t n : {1, 63, 64, 65, 5000, 100000, 3}) {
      char* p = scope.take<char>(n);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % 64, 0u);
      if (pass > 0 && end != nullptr) {
        EXPECT_GE(p, end) << "one block after the first pass";
      }
      end = p + n;
      std::fill(p, end, 'x');
    }
  }
}

TEST(CpuScratch, AllocatesNothingAfterTheFirstPass) {
  context ctx{{.threads = 2}};
  const auto pass = [&] {
    auto outer = ctx.scratch();
    outer.take<float>(5000);
    for (std::int64_t n : {100, 40000, 7, 300000}) {
      auto inner = ctx.scratch();
      inner.take<double>(n);
      inner.take<char>(n);
    }
    ctx.parallel_for(2, [&](std::int64_t, int thread) {
      auto local = ctx.scratch(thread);
      local.take<float>(123456);
    });
    // both threads' arenas, whoever took the indices
    for (int t = 0; t < 2; ++t) ctx.scratch(t).take<float>(123456);
  };
  pass();
  const auto after_one = ctx.scratch_bytes();
  void* first = ctx.scratch().take<char>(1);
  for (int i = 0; i < 5; ++i) pass();
  EXPECT_EQ(ctx.scratch_bytes(), after_one);
  EXPECT_EQ(ctx.scratch().take<char>(1), first) << "and the block is the same";
}

// Which thread takes which index is chance: what one of them needed in the first pass, another may need in the next.
TEST(CpuScratchThreads, WhatOneThreadNeededEveryThreadHas) {
  context ctx{{.threads = 4}};
  const auto pass = [&](int hungry) {
    std::atomic<int> waiting{0};
    ctx.parallel_for(4, [&](std::int64_t, int thread) {
      ++waiting;
      while (waiting < 4) std::this_thread::yield();  // every thread has one index
      auto scope = ctx.scratch(thread);
      if (thread == hungry) std::fill_n(scope.take<float>(1 << 20), 1 << 20, 1.0f);
    });
  };
  pass(2);
  const auto after_one = ctx.scratch_bytes();
  for (const int hungry : {0, 1, 3}) pass(hungry);
  EXPECT_EQ(ctx.scratch_bytes(), after_one);
  // a scope that is open on the caller's thread keeps what it holds
  auto open = ctx.scratch(0);
  auto* kept = open.take<int>(100);
  std::fill_n(kept, 100, 7);
  ctx.parallel_for(4, [&](std::int64_t, int thread) {
    if (thread != 0) ctx.scratch(thread).take<char>(1 << 24);
  });
  EXPECT_TRUE(std::all_of(kept, kept + 100, [](int x) { return x == 7; }));
}

TEST(CpuMemory, LargeBlocksAreKeptAndReused) {
  context ctx;
  const std::size_t large = 3 << 20;
  void* a = ctx.allocate(large);
  ctx.deallocate(a, large);
  EXPECT_EQ(ctx.allocate(large), a);
  void* b = ctx.allocate(large);
  EXPECT_NE(b, a);
  ctx.deallocate(b, large);
  ctx.deallocate(a, large);
  // about the same size serves too; an eighth more does not
  EXPECT_EQ(ctx.allocate(large - 100), a);
  void* c = ctx.allocate(large + large / 4);
  EXPECT_NE(c, b);
  ctx.deallocate(c, large + large / 4);
  ctx.deallocate(a, large - 100);
  ctx.trim();
  EXPECT_EQ(ctx.bytes_in_use(), 0);
}

TEST(CpuMemory, RoundingWastesAtMostAnEighth) {
  using cache = ql::cpu::detail::block_cache;
  std::size_t before = 0;
  for (std::size_t bytes = 1; bytes < (std::size_t{1} << 40); bytes += bytes / 7 + 1) {
    const auto size = cache::rounded(bytes);
    ASSERT_GE(size, bytes);
    ASSERT_EQ(size % 64, 0u);
    ASSERT_GE(size, before) << "monotone";
    if (bytes >= cache::smallest) {
      ASSERT_LE(size - bytes, bytes / 8) << bytes;
    }
    ASSERT_EQ(cache::rounded(size), size);
    before = size;
  }
}

TEST(CpuMemoryThreads, CountsFromSeveralThreads) {
  context ctx;
  std::vector<std::thread> users;
  for (int u = 0; u < 4; ++u)
    users.emplace_back([&ctx, u] {
      const auto bytes = static_cast<std::size_t>(1000 + u) << (u % 2 == 0 ? 0 : 8);
      for (int i = 0; i < 200; ++i) {
        void* p = ctx.allocate(bytes);
        *static_cast<volatile char*>(p) = 1;
        ctx.deallocate(p, bytes);
      }
    });
  for (auto& u : users) u.join();
  EXPECT_EQ(ctx.bytes_in_use(), 0);
  EXPECT_GT(ctx.peak_bytes(), 1000 << 8);
}

}  // namespace
