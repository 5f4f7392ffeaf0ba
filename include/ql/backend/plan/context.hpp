// SPDX-License-Identifier: Apache-2.0
#pragma once

// A backend that computes nothing: it counts what the CPU backend would hold and do. The model's own code runs on it,
// on addresses that nobody reads, so that an estimate cannot forget what the code does.

#include <ql/context.hpp>
#include <ql/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ql::plan {

struct backend {};
struct nowhere {};  // its memory space

namespace detail {

// cpu::detail::arena without its memory: the same blocks, the same capacity.
class arena {
 public:
  struct mark {
    std::size_t block = 0, used = 0;
  };
  mark position() const { return {current_, blocks_.empty() ? 0 : blocks_[current_].used}; }
  void rewind(mark m) {
    if (blocks_.empty()) return;
    for (std::size_t b = m.block + 1; b < blocks_.size(); ++b) blocks_[b].used = 0;
    current_ = m.block;
    blocks_[current_].used = m.used;
    if (current_ == 0 && m.used == 0 && blocks_.size() > 1) blocks_ = {{capacity_, 0}};
  }
  void take(std::size_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    while (current_ < blocks_.size() && blocks_[current_].used + bytes > blocks_[current_].size) {
      if (current_ + 1 == blocks_.size()) break;
      ++current_;
    }
    if (blocks_.empty() || blocks_[current_].used + bytes > blocks_[current_].size) {
      std::size_t size = blocks_.empty() ? std::size_t{1} << 16 : 2 * blocks_.back().size;
      size = std::max(std::min(size, std::size_t{64} << 20), bytes);
      blocks_.push_back({size, 0});
      current_ = blocks_.size() - 1;
      capacity_ += size;
    }
    blocks_[current_].used += bytes;
  }
  std::size_t capacity() const { return capacity_; }

 private:
  struct block {
    std::size_t size, used;
  };
  std::vector<block> blocks_;
  std::size_t current_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace detail

// What was asked of the operations.
struct work {
  double products = 0;   // floating-point operations of linear layers and the vocabulary, forward and backward
  double attention = 0;  // of attention
  double weights = 0;    // elements of weights read by products
  double updated = 0;    // elements moved by the optimizer
  friend work operator+(const work& a, const work& b) {
    return {a.products + b.products, a.attention + b.attention, a.weights + b.weights, a.updated + b.updated};
  }
  friend work operator*(const work& a, double f) {
    return {a.products * f, a.attention * f, a.weights * f, a.updated * f};
  }
  friend work operator-(const work& a, const work& b) { return a + b * -1; }
};

class context {
 public:
  using backend = plan::backend;
  using memory_space = nowhere;
  using counts_only = void;

  // threads: of the CPU context that is planned for.
  explicit context(int threads = 1) : all_(std::make_unique<everything>()) {
    ql::detail::expects(threads >= 1 && threads <= 1024, "plan::context", "threads", "1 to 1024", threads);
    all_->threads = threads;
  }

  void* allocate(std::size_t bytes) {
    all_->bytes += static_cast<std::int64_t>(bytes);
    all_->peak = std::max(all_->peak, all_->bytes);
    return address(bytes);
  }
  void deallocate(void*, std::size_t bytes) noexcept { all_->bytes -= static_cast<std::int64_t>(bytes); }
  void synchronize() {}
  template <class E>
  void copy_in(const E*, std::int64_t, E*) {}
  template <class E>
  void copy_out(const E*, std::int64_t, E*) {}

  int threads() const { return all_->threads; }
  std::int64_t bytes_in_use() const { return all_->bytes; }
  std::int64_t peak_bytes() const { return all_->peak; }
  void reset_peak() { all_->peak = all_->bytes; }
  // All threads' scratch ends as large as the largest.
  std::int64_t scratch_bytes() const {
    return static_cast<std::int64_t>(all_->shared.capacity()) +
           all_->threads * static_cast<std::int64_t>(all_->own.capacity());
  }
  plan::work& work() { return all_->done; }
  // Pieces of memory asked for, and runs of rows looked at: what counting took.
  std::int64_t looked_at() const { return all_->looked_at; }
  void look(std::int64_t n) { all_->looked_at += n; }

  class scratch_scope {
   public:
    scratch_scope(context& ctx, detail::arena& a) : ctx_(ctx), arena_(a), mark_(a.position()) {}
    scratch_scope(const scratch_scope&) = delete;
    scratch_scope& operator=(const scratch_scope&) = delete;
    ~scratch_scope() { arena_.rewind(mark_); }
    template <class T>
    T* take(std::int64_t n) {
      const auto bytes = static_cast<std::size_t>(n) * sizeof(T);
      arena_.take(bytes);
      return static_cast<T*>(ctx_.address(bytes));
    }

   private:
    context& ctx_;
    detail::arena& arena_;
    detail::arena::mark mark_;
  };
  scratch_scope scratch() { return {*this, all_->shared}; }
  scratch_scope scratch(int) { return {*this, all_->own}; }

 private:
  // Never read or written; different from one another, as code compares them.
  void* address(std::size_t bytes) {
    look(1);
    const auto at = all_->next;
    all_->next += (bytes + 127) / 64 * 64;
    return reinterpret_cast<void*>(at);  // NOLINT(performance-no-int-to-ptr)
  }
  struct everything {
    int threads = 1;
    std::int64_t bytes = 0, peak = 0, looked_at = 0;
    std::uintptr_t next = std::uintptr_t{1} << 20;
    detail::arena shared, own;
    plan::work done;
  };
  std::unique_ptr<everything> all_;
};

}  // namespace ql::plan
