// SPDX-License-Identifier: Apache-2.0
#pragma once

// A block of threads as kernel bodies see it, and its emulation on the CPU.
//
// A body is written once, as a template over a block:
//   struct scale_body {
//     struct arguments { const float* x; float* y; std::int64_t n; };
//     template <class Block> QL_DEVICE static void run(Block& b, const arguments& a) {
//       b.each([&](int t) { ... });    // every thread; no thread waits for another
//       b.sync();                      // a barrier
//     }
//   };
// What a thread keeps from one phase to the next stands in Block::registers<E>, what threads share in b.share<E>(n),
// and warps talk through warp_sum, warp_max and mma alone. On the device (block.cuh) a phase is the thread itself; here
// it is a loop over the threads, forwards or backwards. The emulation knows what each thread touched between two
// barriers and stops at a race, at a read of what was never written and at an index outside, so that a forgotten
// barrier fails on a machine without a GPU.

#include <ql/backend/cuda/mma.hpp>
#include <ql/backend/cuda/numerics.hpp>
#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/scalar.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace ql::cuda {

// How many blocks, and the bytes their threads share.
struct launch_shape {
  std::int64_t blocks = 0;
  std::int64_t shared_bytes = 0;
};

// Bytes that n elements take in a block's shared memory.
template <class E>
constexpr std::int64_t shared_size(std::int64_t n) {
  return round_up(n * static_cast<std::int64_t>(sizeof(E)), 16);
}

// How a launch is emulated. None of these may change a bit of any result.
struct emulation {
  bool check_races = false;  // slower, about tenfold
  bool backwards = false;    // last block and last thread first
};

namespace detail {
// Who touched an element of shared memory since when; an epoch ends at a barrier.
struct touch {
  std::uint32_t written = 0, read = 0;
  std::int16_t writer = -1, reader = -1;  // reader -2: several
};
}  // namespace detail

class emulated_block {
 public:
  emulated_block(const emulation& how, std::int64_t index, std::int64_t shared_bytes)
      : how_(how), index_(index), left_(shared_bytes) {}
  emulated_block(const emulated_block&) = delete;
  emulated_block& operator=(const emulated_block&) = delete;

  std::int64_t index() const { return index_; }

  template <class F>
  void each(F&& f) {
    for (int i = 0; i < block_threads; ++i) {
      thread_ = how_.backwards ? block_threads - 1 - i : i;
      f(thread_);
    }
  }
  void sync() { ++epoch_; }

  // One E a thread; NaN or garbage until it is set, as on a device.
  template <class E>
  class registers {
   public:
    explicit registers(emulated_block&) : value_(block_threads) {
      std::memset(static_cast<void*>(value_.data()), 0xff, value_.size() * sizeof(E));
    }
    E& operator[](int t) { return value_[static_cast<std::size_t>(t)]; }

   private:
    std::vector<E> value_;
  };

  template <class E>
  class shared {
   public:
    shared(emulated_block& b, std::int64_t n) : block_(&b), value_(static_cast<std::size_t>(n)) {
      if (n > 0) std::memset(static_cast<void*>(value_.data()), 0xff, value_.size() * sizeof(E));
      if (b.how_.check_races) touched_.resize(value_.size());
    }
    E get(std::int64_t i) const {
      if (block_->how_.check_races) block_->note_read(touched_, i);
      return value_[static_cast<std::size_t>(i)];
    }
    void set(std::int64_t i, E v) {
      if (block_->how_.check_races) block_->note_write(touched_, i);
      value_[static_cast<std::size_t>(i)] = v;
    }
    // Elements i and i + 1 of 16 bits, i even, as one register of a fragment.
    std::uint32_t pair(std::int64_t i) const {
      const E x = get(i), y = get(i + 1);
      return static_cast<std::uint32_t>(x.bits) | static_cast<std::uint32_t>(y.bits) << 16;
    }

   private:
    emulated_block* block_;
    std::vector<E> value_;
    mutable std::vector<detail::touch> touched_;
  };
  template <class E>
  shared<E> share(std::int64_t n) {
    left_ -= shared_size<E>(n);
    ql::detail::expects<state_error>(left_ >= 0, "emulated block", "shared memory", "no more than the launch asked for",
                                     std::to_string(-left_) + " bytes more");
    return shared<E>(*this, n);
  }

  // Every lane gets the sum over its warp: a butterfly, halves first.
  template <class R>
  void warp_sum(R& r) {
    butterfly(r, [](auto x, auto y) { return x + y; });
  }
  template <class R>
  void warp_max(R& r) {
    butterfly(r, [](auto x, auto y) { return math::max(x, y); });
  }

  // For each warp: c[first, first + 4) += a b, 16 x 16 by 16 x 8 (mma.hpp has the layout). The order within a step is
  // the matrix unit's own; here it is a sum in double that is rounded once.
  template <class C, class FA, class FB>
  void mma(C& c, int first, FA& a, FB& b) {
    for (int w = 0; w < block_threads; w += warp_lanes) {
      float x[16][16], y[16][8];
      for (int lane = 0; lane < warp_lanes; ++lane) {
        for (int i = 0; i < 8; ++i)
          x[mma_layout::a_row(lane, i)][mma_layout::a_k(lane, i)] = mma_layout::half(a[w + lane].x[i / 2], i % 2);
        for (int i = 0; i < 4; ++i)
          y[mma_layout::b_k(lane, i)][mma_layout::b_column(lane, i)] = mma_layout::half(b[w + lane].x[i / 2], i % 2);
      }
      for (int lane = 0; lane < warp_lanes; ++lane)
        for (int i = 0; i < 4; ++i) {
          float& to = c[w + lane].x[first + i];
          double sum = static_cast<double>(to);
          for (int k = 0; k < 16; ++k)
            sum += static_cast<double>(x[mma_layout::c_row(lane, i)][k]) *
                   static_cast<double>(y[k][mma_layout::c_column(lane, i)]);
          to = static_cast<float>(sum);
        }
    }
  }

 private:
  template <class R, class F>
  static void butterfly(R& r, F&& f) {
    using E = std::remove_cvref_t<decltype(r[0])>;
    for (int offset = warp_lanes / 2; offset > 0; offset /= 2) {
      E before[block_threads];
      for (int t = 0; t < block_threads; ++t) before[t] = r[t];
      for (int t = 0; t < block_threads; ++t) r[t] = f(before[t], before[t ^ offset]);
    }
  }
  detail::touch& at(std::vector<detail::touch>& touched, std::int64_t i) const {
    if (i < 0 || static_cast<std::size_t>(i) >= touched.size())
      complain("an index below " + std::to_string(touched.size()), i, -1);
    return touched[static_cast<std::size_t>(i)];
  }
  void note_read(std::vector<detail::touch>& touched, std::int64_t i) const {
    auto& e = at(touched, i);
    if (e.written == 0) complain("a value written before it is read", i, -1);
    if (e.written == epoch_ && e.writer != thread_) complain("a barrier between a write and a read", i, e.writer);
    e.reader = static_cast<std::int16_t>(e.read == epoch_ && e.reader != thread_ ? -2 : thread_);
    e.read = epoch_;
  }
  void note_write(std::vector<detail::touch>& touched, std::int64_t i) const {
    auto& e = at(touched, i);
    if (e.read == epoch_ && e.reader != thread_) complain("a barrier between a read and a write", i, e.reader);
    if (e.written == epoch_ && e.writer != thread_) complain("one writer between two barriers", i, e.writer);
    e.written = epoch_;
    e.writer = static_cast<std::int16_t>(thread_);
  }
  [[noreturn, gnu::noinline]] void complain(const std::string& expected, std::int64_t i, int other) const {
    ql::detail::fail<state_error>("emulated block", "shared memory", expected,
                                  "element " + std::to_string(i) + " touched by thread " + std::to_string(thread_) +
                                      (other >= 0 ? " and thread " + std::to_string(other) : std::string()));
  }

  emulation how_;
  std::int64_t index_;
  std::int64_t left_;
  std::uint32_t epoch_ = 1;
  int thread_ = 0;
};

}  // namespace ql::cuda
