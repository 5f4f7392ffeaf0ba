// SPDX-License-Identifier: Apache-2.0
// The emulation itself: it must stop at what a device would get wrong.
#include <ql/backend/cuda/body/rows.hpp>
#include <ql/backend/cuda/emulated_launch.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace {

using namespace ql::cuda;

emulated_context checked(bool backwards = false) {
  return emulated_context(std::make_unique<emulated_device>(
      emulated_device::options{{.check_races = true, .backwards = backwards}, std::size_t{1} << 24}));
}

// Each thread writes its element and, with `barrier`, waits before it reads its neighbour's.
template <int Fault>
struct neighbour_body {
  struct arguments {
    float* y;
  };
  static constexpr launch_shape shape(const arguments&) {
    return {1, shared_size<float>(Fault == 3 ? 10 : block_threads)};
  }
  template <class Block>
  static void run(Block& b, const arguments& a) {
    auto s = b.template share<float>(block_threads);
    b.each([&](int t) {
      if (Fault != 2 || t != 5) s.set(t, static_cast<float>(t));
      if (Fault == 4 && t == 7) s.set(6, 1.0f);
    });
    if (Fault != 1) b.sync();
    b.each([&](int t) { a.y[t] = s.get(Fault == 5 ? t + 1 : (t + 1) % block_threads); });
  }
};

template <int Fault>
std::string complaint(bool backwards) {
  auto ctx = checked(backwards);
  auto scope = ctx.scratch();
  float* y = scope.template take<float>(block_threads);
  try {
    ctx.template launch<neighbour_body<Fault>>({y});
  } catch (const ql::state_error& e) {
    return e.what();
  }
  return {};
}

TEST(CudaEmulation, StopsAtRacesAndUnwrittenMemory) {
  using testing::HasSubstr;
  for (const bool backwards : {false, true}) {
    EXPECT_EQ(complaint<0>(backwards), "");
    EXPECT_THAT(complaint<1>(backwards),
                testing::AnyOf(HasSubstr("written before it is read"), HasSubstr("a barrier")));
    EXPECT_THAT(complaint<2>(backwards), HasSubstr("a value written before it is read, got element 5"));
    EXPECT_THAT(complaint<3>(backwards), HasSubstr("no more than the launch asked for"));
    EXPECT_THAT(complaint<4>(backwards), HasSubstr("one writer between two barriers"));
    EXPECT_THAT(complaint<5>(backwards), HasSubstr("an index below 128"));
  }
}

TEST(CudaEmulation, ReadsBeforeTheNextWriteNeedABarrier) {
  emulated_block b({.check_races = true}, 0, 4096);
  auto s = b.share<float>(block_threads);
  b.each([&](int t) { s.set(t, 0.0f); });
  b.sync();
  b.each([&](int t) { (void)s.get(block_threads - 1 - t); });
  EXPECT_THROW(b.each([&](int t) { s.set(t, 1.0f); }), ql::state_error);
  b.sync();
  EXPECT_NO_THROW(b.each([&](int t) { s.set(t, 1.0f); }));
}

TEST(CudaEmulation, WarpsSumAndCompareInATree) {
  emulated_block b({}, 0, 0);
  emulated_block::registers<float> x(b), y(b);
  b.each([&](int t) { x[t] = y[t] = static_cast<float>(t % 32 * (t / 32 + 1)); });
  b.warp_sum(x);
  b.warp_max(y);
  b.each([&](int t) {
    EXPECT_EQ(x[t], static_cast<float>(496 * (t / 32 + 1)));
    EXPECT_EQ(y[t], static_cast<float>(31 * (t / 32 + 1)));
  });
}

#if defined(__GNUC__) && !defined(__clang__)
TEST(CudaEmulation, AHostPointerNeverReachesAKernel) {
  auto ctx = checked();
  std::vector<float> host(8);
  EXPECT_THROW(ctx.launch<element_body<fold_element>>({{host.data(), host.data()}, 8}), ql::argument_error);
}
#endif

TEST(CudaEmulation, CopiesKnowWhoseMemoryItIs) {
  auto ctx = checked();
  std::vector<float> host{1, 2, 3}, back(3);
  auto scope = ctx.scratch();
  float* p = scope.copy(std::span<const float>(host));
  ctx.copy_out(static_cast<const float*>(p), 3, back.data());
  EXPECT_EQ(back, host);
  ctx.clear_bytes(p, 2);
  ctx.copy_out(static_cast<const float*>(p), 3, back.data());
  EXPECT_EQ(back, (std::vector<float>{0, 0, 3}));
  EXPECT_THROW(ctx.copy_out(static_cast<const float*>(host.data()), 3, back.data()), ql::argument_error);
  EXPECT_THROW(ctx.copy_in(static_cast<const float*>(host.data()), 3, back.data()), ql::argument_error);
}

TEST(CudaEmulationDeathTest, TheHostCannotTouchTheDevicesMemory) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        emulated_context ctx;
        auto* p = static_cast<volatile float*>(ctx.allocate(4));
        *p = 1;
      },
      "");
}

TEST(CudaEmulation, MemoryIsGivenBackAndRunsOut) {
  emulated_context ctx(std::make_unique<emulated_device>(emulated_device::options{{}, std::size_t{1} << 20}));
  std::vector<void*> blocks;
  for (int i = 0; i < 16; ++i) blocks.push_back(ctx.allocate(1 << 16));
  EXPECT_THROW(ctx.allocate(1), ql::backend_error);
  for (const int i : {3, 1, 2, 0, 15, 5}) ctx.deallocate(blocks[static_cast<std::size_t>(i)], 1 << 16);
  EXPECT_EQ(ctx.allocate(4 << 16), blocks[0]);
  EXPECT_EQ(ctx.peak_bytes(), 16 << 16);
  EXPECT_EQ(ctx.bytes_in_use(), 14 << 16);
}

// The PTX manual, "Matrix fragments for mma.m16n8k16 with floating point type": groupID = lane >> 2,
// threadID_in_group = lane % 4.
TEST(CudaMatrixUnit, FragmentsAreLaidOutAsTheManualSays) {
  std::set<std::pair<int, int>> a, b, c;
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2, in_group = lane % 4;
    for (int i = 0; i < 8; ++i) {
      const int row = (i == 0 || i == 1 || i == 4 || i == 5) ? group : group + 8;
      const int column = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
      EXPECT_EQ(mma_layout::a_row(lane, i), row);
      EXPECT_EQ(mma_layout::a_k(lane, i), column);
      a.emplace(row, column);
    }
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(mma_layout::b_k(lane, i), in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0));
      EXPECT_EQ(mma_layout::b_column(lane, i), group);
      b.emplace(mma_layout::b_k(lane, i), mma_layout::b_column(lane, i));
      EXPECT_EQ(mma_layout::c_row(lane, i), i < 2 ? group : group + 8);
      EXPECT_EQ(mma_layout::c_column(lane, i), in_group * 2 + (i & 1));
      c.emplace(mma_layout::c_row(lane, i), mma_layout::c_column(lane, i));
    }
  }
  EXPECT_EQ(a.size(), 256u);
  EXPECT_EQ(b.size(), 128u);
  EXPECT_EQ(c.size(), 128u);
}

}  // namespace
