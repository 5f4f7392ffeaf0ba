// SPDX-License-Identifier: Apache-2.0
#pragma once

// A device that is the CPU: for tests where there is no GPU. Not fast, not for use.

#include <ql/backend/cuda/context.hpp>
#include <ql/detail/stable_sort.hpp>

#include <cstring>
#include <map>
#include <new>
#include <string>

#include <sys/mman.h>

namespace ql::cuda {

// Its memory cannot be touched by the host: outside copies and launches the pages are locked, and an access stops the
// program. A kernel whose arguments hold a pointer into host memory is refused before it runs.
class emulated_device {
 public:
  struct options {
    emulation how;
    std::size_t bytes = std::size_t{1} << 30;  // of address space; memory is taken as it is touched
  };
  emulated_device() : emulated_device(options{}) {}
  explicit emulated_device(const options& o) : how(o.how), size_(o.bytes) {
    void* p = ::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(p);
    free_.emplace(0, size_);
  }
  emulated_device(const emulated_device&) = delete;
  emulated_device& operator=(const emulated_device&) = delete;
  ~emulated_device() { ::munmap(base_, size_); }

  emulation how;
  std::int64_t launches = 0;

  void* allocate(std::size_t bytes) {
    bytes = rounded(bytes);
    for (auto it = free_.begin(); it != free_.end(); ++it) {
      if (it->second < bytes) continue;
      const auto [at, room] = *it;
      free_.erase(it);
      if (room > bytes) free_.emplace(at + bytes, room - bytes);
      open o(*this);
      std::memset(base_ + at, 0xff, bytes);  // NaN: nobody may count on zeros
      return base_ + at;
    }
    ql::detail::fail<backend_error>("cuda", "device memory", "room for " + std::to_string(bytes) + " bytes",
                                    "an emulated device of " + std::to_string(size_) + " bytes that is too full");
  }
  void deallocate(void* p, std::size_t bytes) noexcept {
    auto at = static_cast<std::size_t>(static_cast<std::byte*>(p) - base_);
    bytes = rounded(bytes);
    auto next = free_.lower_bound(at);
    if (next != free_.end() && at + bytes == next->first) {
      bytes += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      auto before = std::prev(next);
      if (before->first + before->second == at) {
        before->second += bytes;
        return;
      }
    }
    free_.emplace(at, bytes);
  }
  void copy_in(void* to, const void* from, std::size_t bytes) {
    expects_device(to, bytes, "copy_in");
    open o(*this);
    std::memcpy(to, from, bytes);
  }
  void copy_out(void* to, const void* from, std::size_t bytes) {
    expects_device(from, bytes, "copy_out");
    open o(*this);
    std::memcpy(to, from, bytes);
  }
  void clear(void* p, std::size_t bytes) {
    expects_device(p, bytes, "clear");
    open o(*this);
    std::memset(p, 0, bytes);
  }
  void synchronize() {}
  void sort_rows(const float* z, std::int64_t rows, std::int64_t columns, float* sorted, std::int32_t* ids,
                 std::int32_t* scratch) {
    const auto bytes = static_cast<std::size_t>(rows * columns) * sizeof(float);
    expects_device(z, bytes, "sort_rows");
    expects_device(sorted, bytes, "sort_rows");
    expects_device(ids, bytes, "sort_rows");
    expects_device(scratch, bytes, "sort_rows");
    open o(*this);
    for (std::int64_t r = 0; r < rows; ++r) {
      const float* row = z + r * columns;
      std::int32_t* id = ids + r * columns;
      for (std::int64_t c = 0; c < columns; ++c) id[c] = static_cast<std::int32_t>(c);
      ql::detail::stable_sort(id, id + columns, [&](std::int32_t a, std::int32_t b) { return row[a] > row[b]; });
      for (std::int64_t c = 0; c < columns; ++c) sorted[r * columns + c] = row[id[c]];
    }
  }

  // Defined in emulated_launch.hpp: that header compiles a body, this one does not.
  template <class Body>
  void launch(const launch_shape& shape, const typename Body::arguments& a);

 private:
  // The memory may be touched while this lives.
  struct open {
    explicit open(emulated_device& d) : device(d) { ::mprotect(d.base_, d.size_, PROT_READ | PROT_WRITE); }
    open(const open&) = delete;
    open& operator=(const open&) = delete;
    ~open() { ::mprotect(device.base_, device.size_, PROT_NONE); }
    emulated_device& device;
  };
  static std::size_t rounded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }
  bool owns(const void* p) const {
    const auto at = reinterpret_cast<std::uintptr_t>(p), base = reinterpret_cast<std::uintptr_t>(base_);
    return at >= base && at <= base + size_;
  }
  void expects_device(const void* p, std::size_t bytes, const char* what) const {
    ql::detail::expects(owns(p) && owns(static_cast<const std::byte*>(p) + bytes), "cuda", what, "device memory",
                        "a pointer into host memory");
  }
  // Words that are addresses of mapped memory must be ours. Padding may hold anything, hence the question to the
  // system.
  void expects_device_pointers(const void* arguments, std::size_t bytes) const {
    for (std::size_t i = 0; i + sizeof(std::uintptr_t) <= bytes; i += sizeof(std::uintptr_t)) {
      std::uintptr_t word = 0;
      std::memcpy(&word, static_cast<const std::byte*>(arguments) + i, sizeof(word));
      if (word < (std::uintptr_t{0x55} << 40) || word >= (std::uintptr_t{1} << 47)) continue;
      ql::detail::expects(
          owns(reinterpret_cast<const void*>(word)),  // NOLINT(performance-no-int-to-ptr): only compared
          "cuda", "kernel arguments", "pointers into device memory",
          "a pointer into host memory at byte " + std::to_string(i) + " of the arguments");
    }
  }

  std::size_t size_;
  std::byte* base_ = nullptr;
  std::map<std::size_t, std::size_t> free_;  // offset -> bytes
};

using emulated_context = basic_context<emulated_device>;
static_assert(execution_context<emulated_context>);

}  // namespace ql::cuda
