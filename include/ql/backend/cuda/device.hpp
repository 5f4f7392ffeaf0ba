// SPDX-License-Identifier: Apache-2.0
#pragma once

// A CUDA device. Light: no header of CUDA is needed, and a program that links ql::cuda starts where there is no driver.

#include <ql/backend/cuda/context.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace ql::cuda {

// Whether a device can be used here; if not, why, and what would help.
struct availability {
  int devices = 0;
  std::string why;  // empty when there is one
  explicit operator bool() const { return devices > 0; }
};
availability available();

// A stream of one device and its pool of memory. Errors are ql::backend_error and say what to do.
class device {
 public:
  struct options {
    int index = 0;  // among the visible devices
  };
  device() : device(options{}) {}
  explicit device(const options& o);
  device(const device&) = delete;
  device& operator=(const device&) = delete;
  ~device();

  const std::string& name() const { return name_; }
  int compute_capability() const { return capability_; }  // 90 for sm_90
  std::int64_t memory_bytes() const { return memory_; }
  void* stream() const { return stream_; }  // a cudaStream_t

  void* allocate(std::size_t bytes);
  void deallocate(void* p, std::size_t bytes) noexcept;
  void copy_in(void* to, const void* from, std::size_t bytes);
  void copy_out(void* to, const void* from, std::size_t bytes);
  void clear(void* p, std::size_t bytes);
  void synchronize();
  // Each row of z in descending order, with the columns it came from; of equal values the lower column first. `scratch`
  // has rows x columns elements too.
  void sort_rows(const float* z, std::int64_t rows, std::int64_t columns, float* sorted, std::int32_t* ids,
                 std::int32_t* scratch);

  // Defined in launch.cuh; ql's own bodies are in ql::cuda_kernels.
  template <class Body>
  void launch(const launch_shape& shape, const typename Body::arguments& a);

 private:
  // Makes `kernel` ready for so much shared memory.
  void prepare(const void* kernel, const launch_shape& shape);
  void launched(const char* what);

  int index_ = 0;
  int capability_ = 0;
  std::int64_t memory_ = 0;
  std::int64_t shared_bytes_ = 0;  // that a block may ask for
  std::string name_;
  void* stream_ = nullptr;
};

using context = basic_context<device>;
static_assert(execution_context<context>);

}  // namespace ql::cuda
