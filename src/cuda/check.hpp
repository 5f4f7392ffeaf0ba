// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/error.hpp>

#include <cuda_runtime_api.h>

#include <string>

namespace ql::cuda {

inline std::string error_text(cudaError_t e) {
  return std::string(cudaGetErrorName(e)) + " (" + cudaGetErrorString(e) + ")";
}
inline void check(cudaError_t e, const char* what) {
  if (e != cudaSuccess) ql::detail::fail<backend_error>("cuda", what, "success", error_text(e));
}

}  // namespace ql::cuda
