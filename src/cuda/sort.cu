// SPDX-License-Identifier: Apache-2.0
// Rows of logits in descending order: what a truncated sampler walks.
#include <ql/backend/cuda/device.hpp>

#include <cuda_runtime.h>
#include <thrust/execution_policy.h>
#include <thrust/iterator/counting_iterator.h>
#include <thrust/iterator/transform_iterator.h>
#include <thrust/tabulate.h>
#include <cub/device/device_segmented_radix_sort.cuh>

#include <limits>

#include "check.hpp"

namespace ql::cuda {
namespace {

struct column_of {
  std::int32_t columns;
  __device__ std::int32_t operator()(std::int64_t i) const { return static_cast<std::int32_t>(i % columns); }
};
struct start_of {
  std::int32_t columns;
  __host__ __device__ std::int32_t operator()(std::int32_t row) const { return row * columns; }
};

}  // namespace

void device::sort_rows(const float* z, std::int64_t rows, std::int64_t columns, float* sorted, std::int32_t* ids,
                       std::int32_t* scratch) {
  if (rows <= 0 || columns <= 0) return;
  ql::detail::expects(rows * columns <= std::numeric_limits<std::int32_t>::max(), "cuda::sort_rows", "rows x columns",
                      "at most 2^31 - 1", rows * columns);
  const auto stream = static_cast<cudaStream_t>(stream_);
  const auto n = static_cast<std::int32_t>(columns);
  thrust::tabulate(thrust::cuda::par_nosync.on(stream), scratch, scratch + rows * columns, column_of{n});
  // Radix sort is stable: of equal logits the lower id comes first.
  const auto first = thrust::make_transform_iterator(thrust::counting_iterator<std::int32_t>(0), start_of{n});
  std::size_t bytes = 0;
  const auto sort = [&](void* workspace) {
    return cub::DeviceSegmentedRadixSort::SortPairsDescending(
        workspace, bytes, z, sorted, scratch, ids, static_cast<std::int32_t>(rows * columns),
        static_cast<std::int32_t>(rows), first, first + 1, 0, static_cast<int>(8 * sizeof(float)), stream);
  };
  check(sort(nullptr), "sort_rows");
  void* workspace = allocate(bytes);
  const auto failed = sort(workspace);
  deallocate(workspace, bytes);  // in stream order, after the sort
  check(failed, "sort_rows");
}

}  // namespace ql::cuda
