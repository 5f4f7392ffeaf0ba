// SPDX-License-Identifier: Apache-2.0
#pragma once

// The decoder over the emulated CUDA device, compiled once for all tests: model/cuda/*.test.cpp.

#include <ql/backend/cuda/emulated.hpp>

#include "model/support/instances.hpp"

#include <memory>
#include <vector>

namespace ql::test {

template <class T>
class device_policy {
 public:
  using A = accumulate_t<T>;
  // A copy of a policy's weights on a device of its own.
  device_policy(const decoder_of<T>& policy, const cuda::emulation& how);
  ~device_policy();

  // One root, a leaf of each capacity; what a session samples.
  model::rollout<A> grow(std::span<const token> prompt, std::span<const std::int64_t> capacities,
                         any_sampler<A> sampler, std::int64_t prefill_chunk);
  // Keeps the tape for backward(), which starts from gradients of zero.
  void score(const token_tree& tree, const distribution& d, const frozen_support* support, model::keep keep,
             std::span<A> logp, std::span<A> entropy);
  void backward(std::span<const A> dlogp, std::span<const A> dentropy);
  void split_rows(comm::any ranks, model::attention_split how);
  std::vector<A> gradient(std::size_t parameter) const;
  std::vector<A> weights(std::size_t parameter) const;
  double gradient_norm() const;
  // One step of AdamW, clipped.
  bool update(double lr, double max_norm);

 private:
  struct state;
  std::unique_ptr<state> s_;
};

}  // namespace ql::test

namespace ql::model {
#define QL_TEST_EXTERN(T)                                                                                             \
  extern template void decoder<T, cuda::emulated_context>::unit_forward(cuda::emulated_context&, tape&, unit_work&,   \
                                                                        keep, bool, bool);                            \
  extern template void decoder<T, cuda::emulated_context>::unit_backward(cuda::emulated_context&, tape&, unit_work&,  \
                                                                         scores<const float>);                        \
  extern template void decoder<T, cuda::emulated_context>::layer_backward(                                            \
      cuda::emulated_context&, tape&, unit_work&, std::int64_t, float*, const layer_state&, key_store, float* const*, \
      const own_pages<float>&);                                                                                       \
  extern template decoder<T, cuda::emulated_context>::layer_state decoder<T, cuda::emulated_context>::recomputed(     \
      cuda::emulated_context&, tape&, unit_work&, std::int64_t, const own_pages<T>&,                                  \
      cuda::emulated_context::scratch_scope&);                                                                        \
  extern template void decoder<T, cuda::emulated_context>::attend_by_heads(                                           \
      cuda::emulated_context&, tape&, const unit_work&, std::int64_t, const own_pages<T>&, const layer_state&, bool); \
  extern template void decoder<T, cuda::emulated_context>::attend_by_heads_dx(                                        \
      cuda::emulated_context&, tape&, const unit_work&, std::int64_t, const layer_state&, const float*, float*,       \
      float* const*, const own_pages<float>&)
QL_TEST_EXTERN(float);
QL_TEST_EXTERN(bf16);
#undef QL_TEST_EXTERN
}  // namespace ql::model
