// SPDX-License-Identifier: Apache-2.0
#pragma once

// The context of CUDA operations over any device that can copy and launch: a real one (device.hpp), or its emulation
// on the CPU (emulated.hpp), which runs the same operations and the same kernel bodies.

#include <ql/backend/cuda/block.hpp>
#include <ql/context.hpp>
#include <ql/error.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace ql::cuda {

struct backend {};

// Memory of a device. A host view given to one of its operations does not compile.
struct device_space {};

// What a context needs of a device: memory, copies in stream order, launches.
template <class D>
concept device_like = requires(D& d, void* p, const void* q, std::size_t bytes, const float* z, std::int64_t n,
                               float* sorted, std::int32_t* ids) {
  { d.allocate(bytes) } -> std::same_as<void*>;
  { d.deallocate(p, bytes) } noexcept;
  d.copy_in(p, q, bytes);                  // from the host, whose memory may be reused afterwards
  d.copy_out(p, q, bytes);                 // to the host; waits for what was launched before
  d.clear(p, bytes);                       // to zero bytes
  d.sort_rows(z, n, n, sorted, ids, ids);  // z[rows, columns] -> each row descending, and the columns it came from
  d.synchronize();
};

namespace detail {

// A stack of device memory that grows in blocks and never moves. Work is in stream order, so that memory given back may
// be taken again at once.
template <class Device>
class arena {
 public:
  explicit arena(Device& device) : device_(&device) {}
  arena(const arena&) = delete;
  arena& operator=(const arena&) = delete;
  ~arena() {
    for (auto& b : blocks_) device_->deallocate(b.data, b.size);
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
  }
  void* take(std::size_t bytes) {
    bytes = (std::max<std::size_t>(bytes, 1) + 255) / 256 * 256;
    while (current_ < blocks_.size() && blocks_[current_].used + bytes > blocks_[current_].size) ++current_;
    if (current_ == blocks_.size()) {
      const std::size_t size = std::max(bytes, std::max(smallest, capacity_));
      blocks_.push_back({static_cast<std::byte*>(device_->allocate(size)), size, 0});
      capacity_ += size;
    }
    auto& b = blocks_[current_];
    void* p = b.data + b.used;
    b.used += bytes;
    return p;
  }
  std::size_t capacity() const { return capacity_; }

 private:
  static constexpr std::size_t smallest = std::size_t{1} << 20;
  struct block {
    std::byte* data;
    std::size_t size, used;
  };
  Device* device_;
  std::vector<block> blocks_;
  std::size_t current_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace detail

// Device memory, a stream and scratch space. Operations are launched in order and not waited for, except where a result
// comes back to the host.
template <device_like Device>
class basic_context {
 public:
  using backend = cuda::backend;
  using memory_space = device_space;
  using device_type = Device;

  basic_context() : basic_context(std::make_unique<Device>()) {}
  explicit basic_context(std::unique_ptr<Device> device)
      : device_(std::move(device)), arena_(std::make_unique<detail::arena<Device>>(*device_)) {}

  Device& device() { return *device_; }

  // Uninitialised device memory, at multiples of 256 bytes.
  void* allocate(std::size_t bytes) {
    void* p = device_->allocate(bytes);
    bytes_ += static_cast<std::int64_t>(bytes);
    peak_ = std::max(peak_, bytes_);
    return p;
  }
  void deallocate(void* p, std::size_t bytes) noexcept {
    device_->deallocate(p, bytes);
    bytes_ -= static_cast<std::int64_t>(bytes);
  }
  void synchronize() { device_->synchronize(); }

  // Bytes in tensors now, the most there ever were, and bytes of scratch space held.
  std::int64_t bytes_in_use() const { return bytes_; }
  std::int64_t peak_bytes() const { return peak_; }
  void reset_peak() { peak_ = bytes_; }
  std::int64_t scratch_bytes() const { return static_cast<std::int64_t>(arena_->capacity()); }

  template <class E>
  void copy_in(const E* from, std::int64_t n, E* to) {
    if (n > 0) device_->copy_in(to, from, static_cast<std::size_t>(n) * sizeof(E));
  }
  template <class E>
  void copy_out(const E* from, std::int64_t n, E* to) {
    if (n > 0) device_->copy_out(to, from, static_cast<std::size_t>(n) * sizeof(E));
  }
  template <class E>
  void clear_bytes(E* p, std::int64_t n) {
    if (n > 0) device_->clear(p, static_cast<std::size_t>(n) * sizeof(E));
  }

  // Scratch memory of the device that lives as long as the scope; scopes nest like a stack.
  class scratch_scope {
   public:
    explicit scratch_scope(basic_context& ctx) : ctx_(ctx), mark_(ctx.arena_->position()) {}
    scratch_scope(const scratch_scope&) = delete;
    scratch_scope& operator=(const scratch_scope&) = delete;
    ~scratch_scope() { ctx_.arena_->rewind(mark_); }
    template <class E>
    E* take(std::int64_t n) {
      return static_cast<E*>(ctx_.arena_->take(static_cast<std::size_t>(n) * sizeof(E)));
    }
    // A copy of host values on the device.
    template <class E>
    E* copy(std::span<const E> from) {
      E* p = take<E>(static_cast<std::int64_t>(from.size()));
      ctx_.copy_in(from.data(), static_cast<std::int64_t>(from.size()), p);
      return p;
    }

   private:
    basic_context& ctx_;
    typename detail::arena<Device>::mark mark_;
  };
  scratch_scope scratch() { return scratch_scope(*this); }

  // Runs Body over Body::shape(a); nothing is launched for no blocks.
  template <class Body>
  void launch(const typename Body::arguments& a) {
    const launch_shape shape = Body::shape(a);
    if (shape.blocks > 0) device_->template launch<Body>(shape, a);
  }
  // A product; a context that is not exact has another way (fast.hpp).
  template <class Body>
  void multiply(const typename Body::arguments& a) {
    launch<Body>(a);
  }

 private:
  std::unique_ptr<Device> device_;
  std::unique_ptr<detail::arena<Device>> arena_;
  std::int64_t bytes_ = 0, peak_ = 0;
};

template <class C>
concept any_context = execution_context<C> && std::same_as<typename C::backend, cuda::backend>;

}  // namespace ql::cuda
