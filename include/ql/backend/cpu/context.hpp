// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/context.hpp>
#include <ql/detail/flush_subnormals.hpp>
#include <ql/error.hpp>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <type_traits>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ql::cpu {

struct backend {};

using ql::detail::flush_subnormals;

namespace detail {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Workers that spin for some microseconds after a job, then sleep. Jobs are loops over indices claimed one at a time.
class thread_pool {
 public:
  using body = void (*)(void*, std::int64_t index, int thread);

  explicit thread_pool(int threads) : threads_(threads) {
    for (int t = 1; t < threads; ++t) workers_.emplace_back([this, t] { work(t); });
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (auto& w : workers_) w.join();
  }

  int size() const { return threads_; }

  // Calls f(state, i, thread) for every i < n and returns when all are done. Not reentrant.
  void run(std::int64_t n, body f, void* state) {
    if (workers_.empty() || n <= 1) {
      flush_subnormals scope;
      for (std::int64_t i = 0; i < n; ++i) f(state, i, 0);
      return;
    }
    {
      std::lock_guard lock(mutex_);
      f_ = f;
      state_ = state;
      n_ = n;
      next_.store(0, std::memory_order_relaxed);
      running_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
      generation_.fetch_add(1, std::memory_order_release);
    }
    if (sleeping_.load(std::memory_order_acquire) > 0) wake_.notify_all();
    {
      flush_subnormals scope;
      drain(0);
    }
    for (int spin = 0; running_.load(std::memory_order_acquire) > 0; ++spin) {
      if (spin < spins) {
        relax();
      } else {
        std::this_thread::yield();
      }
    }
  }

 private:
  static constexpr int spins = 4000;  // about 50 microseconds

  void drain(int thread) {
    for (std::int64_t i = next_.fetch_add(1, std::memory_order_relaxed); i < n_;
         i = next_.fetch_add(1, std::memory_order_relaxed))
      f_(state_, i, thread);
  }
  void work(int thread) {
    flush_subnormals scope;
    std::uint64_t seen = 0;
    for (;;) {
      int spin = 0;
      while (generation_.load(std::memory_order_acquire) == seen && spin < spins) {
        relax();
        ++spin;
      }
      if (generation_.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex_);
        sleeping_.fetch_add(1, std::memory_order_release);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
        sleeping_.fetch_sub(1, std::memory_order_release);
      }
      seen = generation_.load(std::memory_order_acquire);
      if (stop_) return;
      drain(thread);
      running_.fetch_sub(1, std::memory_order_release);
    }
  }

  int threads_;
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<int> running_{0};
  std::atomic<std::int64_t> next_{0};
  bool stop_ = false;
  body f_ = nullptr;
  void* state_ = nullptr;
  std::int64_t n_ = 0;
};

// Blocks of two MiB and more ask for pages of that size: a stream of weights through pages of 4 KiB waits for their
// addresses (26 GB/s against 35 on a Zen 4).
inline constexpr std::size_t large_page = std::size_t{2} << 20;
constexpr std::align_val_t block_alignment(std::size_t size) {
  return std::align_val_t{size < large_page ? 64 : large_page};
}
inline void* new_block(std::size_t size) {
  void* p = ::operator new(size, block_alignment(size));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (size >= large_page) ::madvise(p, size / large_page * large_page, MADV_HUGEPAGE);  // a wish: refusal is no error
#endif
  return p;
}
inline void delete_block(void* p, std::size_t size) noexcept { ::operator delete(p, block_alignment(size)); }

// Large blocks given back are kept for the next tensor of about that size: returning them to the system costs page
// faults that a training step feels.
class block_cache {
 public:
  static constexpr std::size_t smallest = std::size_t{1} << 16;
  block_cache() = default;
  block_cache(const block_cache&) = delete;
  block_cache& operator=(const block_cache&) = delete;
  ~block_cache() { trim(); }
  static std::size_t rounded(std::size_t bytes) {
    if (bytes < smallest) return (bytes + 63) / 64 * 64;
    std::size_t unit = smallest / 8;
    while (unit * 16 < bytes) unit *= 2;  // at most an eighth is wasted
    return (bytes + unit - 1) / unit * unit;
  }
  void* take(std::size_t bytes) {
    const auto size = rounded(bytes);
    if (size >= smallest) {
      std::lock_guard lock(mutex_);
      for (std::size_t i = free_.size(); i-- > 0;)
        if (free_[i].size == size) {
          void* p = free_[i].data;
          free_[i] = free_.back();
          free_.pop_back();
          return p;
        }
    }
    return new_block(size);
  }
  void give(void* p, std::size_t bytes) noexcept {
    const auto size = rounded(bytes);
    if (size >= smallest) {
      std::lock_guard lock(mutex_);
      bool noted = true;
      try {
        free_.push_back({p, size});
      } catch (const std::bad_alloc&) {
        noted = false;  // no room for the note: the block goes back after all
      }
      if (noted) return;
    }
    delete_block(p, size);
  }
  void trim() {
    std::lock_guard lock(mutex_);
    for (auto& b : free_) delete_block(b.data, b.size);
    free_.clear();
  }

 private:
  struct block {
    void* data;
    std::size_t size;
  };
  std::mutex mutex_;
  std::vector<block> free_;
};

// A stack of memory that grows in blocks and never moves. After the first pass of a loop it allocates no more.
class arena {
 public:
  arena() = default;
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;
  ~arena() {
    for (auto& b : blocks_) delete_block(b.data, b.size);
  }
  struct mark {
    std::size_t block = 0, used = 0;
  };
  mark position() const { return {current_, blocks_.empty() ? 0 : blocks_[current_].used}; }
  void rewind(mark m) {
    if (blocks_.empty()) return;
    for (std::size_t b = m.block + 1; b < blocks_.size(); ++b) blocks_[b].used = 0;
    current_ = m.block;
    blocks_[current_].used = m.used;
    if (current_ == 0 && m.used == 0 && blocks_.size() > 1) coalesce();
  }
  void* take(std::size_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    while (current_ < blocks_.size() && blocks_[current_].used + bytes > blocks_[current_].size) {
      if (current_ + 1 == blocks_.size()) break;
      ++current_;
    }
    if (blocks_.empty() || blocks_[current_].used + bytes > blocks_[current_].size) {
      std::size_t size = blocks_.empty() ? std::size_t{1} << 16 : 2 * blocks_.back().size;
      if (size > (std::size_t{64} << 20)) size = std::size_t{64} << 20;
      if (size < bytes) size = bytes;
      blocks_.push_back({static_cast<std::byte*>(new_block(size)), size, 0});
      current_ = blocks_.size() - 1;
      capacity_ += size;
    }
    auto& b = blocks_[current_];
    void* p = b.data + b.used;
    b.used += bytes;
    return p;
  }
  std::size_t capacity() const { return capacity_; }
  // Makes room for `capacity` bytes without a further allocation, unless something is held.
  void reserve(std::size_t capacity) {
    for (const auto& b : blocks_)
      if (b.used > 0) return;
    if (capacity <= capacity_) return;
    capacity_ = capacity;
    current_ = 0;
    coalesce();
  }

 private:
  struct block {
    std::byte* data;
    std::size_t size, used;
  };
  // Empty again: one block of the whole capacity serves the next pass without holes.
  void coalesce() {
    for (auto& b : blocks_) delete_block(b.data, b.size);
    blocks_.clear();
    blocks_.push_back({static_cast<std::byte*>(new_block(capacity_)), capacity_, 0});
  }
  std::vector<block> blocks_;
  std::size_t current_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace detail

// Host memory, threads and scratch space. `threads` decides speed alone, never a result.
//   ql::cpu::context ctx{{.threads = 2}};
class context {
 public:
  struct options {
    int threads = 1;
  };
  using backend = cpu::backend;
  using memory_space = host_space;

  context() : context(options{}) {}
  explicit context(options o) {
    ql::detail::expects(o.threads >= 1 && o.threads <= 1024, "cpu::context", "threads", "1 to 1024", o.threads);
    pool_ = std::make_unique<detail::thread_pool>(o.threads);
    cache_ = std::make_unique<detail::block_cache>();
    arena_ = std::make_unique<detail::arena>();
    per_thread_.reserve(static_cast<std::size_t>(o.threads));
    for (int t = 0; t < o.threads; ++t) per_thread_.push_back(std::make_unique<detail::arena>());
    bytes_ = std::make_unique<std::atomic<std::int64_t>>(0);
    peak_ = std::make_unique<std::atomic<std::int64_t>>(0);
  }

  int threads() const { return pool_->size(); }

  // 64-byte aligned, uninitialised.
  void* allocate(std::size_t bytes) {
    void* p = cache_->take(bytes);
    const auto now = bytes_->fetch_add(static_cast<std::int64_t>(bytes)) + static_cast<std::int64_t>(bytes);
    auto peak = peak_->load();
    while (now > peak && !peak_->compare_exchange_weak(peak, now)) {
    }
    return p;
  }
  void deallocate(void* p, std::size_t bytes) noexcept {
    cache_->give(p, bytes);
    bytes_->fetch_sub(static_cast<std::int64_t>(bytes));
  }
  void synchronize() {}
  void trim() { cache_->trim(); }  // hands cached blocks back to the system

  // Bytes in tensors now, the most there ever were, and bytes of scratch space held.
  std::int64_t bytes_in_use() const { return bytes_->load(); }
  std::int64_t peak_bytes() const { return peak_->load(); }
  void reset_peak() { peak_->store(bytes_->load()); }
  std::int64_t scratch_bytes() const {
    auto n = arena_->capacity();
    for (auto& a : per_thread_) n += a->capacity();
    return static_cast<std::int64_t>(n);
  }

  // f(i) or f(i, thread) for every i < n, on all threads, with subnormals flushed. All arithmetic of ql happens inside.
  template <class F>
  void parallel_for(std::int64_t n, F&& f) {
    using Body = std::remove_reference_t<F>;
    pool_->run(
        n,
        [](void* state, std::int64_t i, int thread) {
          auto& body = *static_cast<Body*>(state);
          if constexpr (std::is_invocable_v<Body&, std::int64_t, int>) {
            body(i, thread);
          } else {
            body(i);
          }
        },
        const_cast<void*>(static_cast<const void*>(&f)));
    even_out();
  }

  // Scratch memory that lives as long as the scope; scopes nest like a stack.
  class scratch_scope {
   public:
    explicit scratch_scope(detail::arena& a) : arena_(a), mark_(a.position()) {}
    scratch_scope(const scratch_scope&) = delete;
    scratch_scope& operator=(const scratch_scope&) = delete;
    ~scratch_scope() { arena_.rewind(mark_); }
    template <class T>
    T* take(std::int64_t n) {
      return static_cast<T*>(arena_.take(static_cast<std::size_t>(n) * sizeof(T)));
    }

   private:
    detail::arena& arena_;
    detail::arena::mark mark_;
  };
  scratch_scope scratch() { return scratch_scope(*arena_); }
  scratch_scope scratch(int thread) { return scratch_scope(*per_thread_[static_cast<std::size_t>(thread)]); }

 private:
  // Which thread takes which index is chance: what one needed in this pass, another may need in the next.
  void even_out() {
    std::size_t most = 0;
    for (const auto& a : per_thread_) most = a->capacity() > most ? a->capacity() : most;
    for (auto& a : per_thread_)
      if (a->capacity() < most) a->reserve(most);
  }
  std::unique_ptr<detail::thread_pool> pool_;
  std::unique_ptr<detail::block_cache> cache_;
  std::unique_ptr<detail::arena> arena_;
  std::vector<std::unique_ptr<detail::arena>> per_thread_;
  std::unique_ptr<std::atomic<std::int64_t>> bytes_, peak_;
};

}  // namespace ql::cpu
