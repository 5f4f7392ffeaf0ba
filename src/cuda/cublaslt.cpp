// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cuda/fast.hpp>

#include <cublasLt.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "check.hpp"

namespace ql::cuda {
namespace {

constexpr std::size_t workspace_bytes = std::size_t{32} << 20;

void check(cublasStatus_t s, const char* what) {
  if (s != CUBLAS_STATUS_SUCCESS) ql::detail::fail<backend_error>("cuda", what, "success", cublasLtGetStatusString(s));
}

template <class Handle, cublasStatus_t (*Destroy)(Handle)>
struct destroyed {
  void operator()(Handle h) const { Destroy(h); }
};
template <class Handle, cublasStatus_t (*Destroy)(Handle)>
using owned = std::unique_ptr<std::remove_pointer_t<Handle>, destroyed<Handle, Destroy>>;
using layout = owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

layout layout_of(cudaDataType_t type, std::int64_t rows, std::int64_t columns, std::int64_t ld) {
  cublasLtMatrixLayout_t l = nullptr;
  check(cublasLtMatrixLayoutCreate(&l, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns), ld),
        "cublasLtMatrixLayoutCreate");
  return layout(l);
}

std::uint32_t alignment_of(const void* p) {
  std::uint32_t a = 256;
  while (reinterpret_cast<std::uintptr_t>(p) % a != 0) a /= 2;
  return a;
}

// The library's matrices are column-major: it is asked for the transpose of c, b times the transpose of a.
struct plan {
  owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> what;
  layout b, a, c;
  cublasLtMatmulAlgo_t algorithm;
};
using plan_key = std::array<std::int64_t, 14>;

plan_key key_of(const dense_product& p) {
  return {p.rows,
          p.columns,
          p.depth,
          p.a_row,
          p.a_k,
          p.b_row,
          p.b_k,
          p.ldc,
          p.bf16_in,
          p.bf16_out,
          p.add,
          alignment_of(p.a),
          alignment_of(p.b),
          alignment_of(p.c)};
}

plan make_plan(cublasLtHandle_t handle, const dense_product& p) {
  const cudaDataType_t in = p.bf16_in ? CUDA_R_16BF : CUDA_R_32F, out = p.bf16_out ? CUDA_R_16BF : CUDA_R_32F;
  cublasLtMatmulDesc_t what = nullptr;
  check(cublasLtMatmulDescCreate(&what, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
  plan r;
  r.what.reset(what);
  const cublasOperation_t b_op = p.b_k == 1 ? CUBLAS_OP_T : CUBLAS_OP_N, a_op = p.a_k == 1 ? CUBLAS_OP_N : CUBLAS_OP_T;
  check(cublasLtMatmulDescSetAttribute(what, CUBLASLT_MATMUL_DESC_TRANSA, &b_op, sizeof(b_op)), "TRANSA");
  check(cublasLtMatmulDescSetAttribute(what, CUBLASLT_MATMUL_DESC_TRANSB, &a_op, sizeof(a_op)), "TRANSB");
  r.b = p.b_k == 1 ? layout_of(in, p.depth, p.columns, p.b_row) : layout_of(in, p.columns, p.depth, p.b_k);
  r.a = p.a_k == 1 ? layout_of(in, p.depth, p.rows, p.a_row) : layout_of(in, p.rows, p.depth, p.a_k);
  r.c = layout_of(out, p.columns, p.rows, p.ldc);

  cublasLtMatmulPreference_t wanted = nullptr;
  check(cublasLtMatmulPreferenceCreate(&wanted), "cublasLtMatmulPreferenceCreate");
  const owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference(wanted);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check(cublasLtMatmulPreferenceSetAttribute(wanted, attribute, &value, sizeof(value)),
          "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_of(p.b));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment_of(p.a));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment_of(p.c));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment_of(p.c));
  cublasLtMatmulHeuristicResult_t found;
  int count = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle, what, r.b.get(), r.a.get(), r.c.get(), r.c.get(), wanted, 1, &found,
                                       &count),
        "cublasLtMatmulAlgoGetHeuristic");
  ql::detail::expects<backend_error>(
      count > 0, "cuda", "cuBLASLt", "an algorithm for this product",
      std::to_string(p.rows) + " x " + std::to_string(p.depth) + " x " + std::to_string(p.columns));
  r.algorithm = found.algo;
  return r;
}

}  // namespace

struct cublaslt::state {
  explicit state(device& d) : on(d) {
    cublasLtHandle_t h = nullptr;
    check(cublasLtCreate(&h), "cublasLtCreate");
    handle.reset(h);
    workspace = on.allocate(workspace_bytes);
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;
  ~state() { on.deallocate(workspace, workspace_bytes); }

  device& on;
  owned<cublasLtHandle_t, cublasLtDestroy> handle;
  void* workspace = nullptr;
  std::map<plan_key, plan> plans;
};

cublaslt::cublaslt(device& on) : state_(std::make_unique<state>(on)) {}
cublaslt::~cublaslt() = default;
std::int64_t cublaslt::version() { return static_cast<std::int64_t>(cublasLtGetVersion()); }

void cublaslt::multiply(const dense_product& p) {
  auto& s = *state_;
  const auto key = key_of(p);
  auto it = s.plans.find(key);
  if (it == s.plans.end()) it = s.plans.emplace(key, make_plan(s.handle.get(), p)).first;
  const plan& chosen = it->second;
  const float alpha = 1.0f, beta = p.add ? 1.0f : 0.0f;
  check(cublasLtMatmul(s.handle.get(), chosen.what.get(), &alpha, p.b, chosen.b.get(), p.a, chosen.a.get(), &beta, p.c,
                       chosen.c.get(), p.c, chosen.c.get(), &chosen.algorithm, s.workspace, workspace_bytes,
                       static_cast<cudaStream_t>(s.on.stream())),
        "cublasLtMatmul");
}

}  // namespace ql::cuda
