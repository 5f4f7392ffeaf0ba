// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::test {

template <class T>
grower<T>::grower(cpu::context& ctx, decoder_of<T>& policy, std::int64_t prefill_chunk)
    : session_(std::make_unique<model::session<T, cpu::context>>(
          ctx, policy, typename model::session<T, cpu::context>::options{.prefill_chunk = prefill_chunk})) {}
template <class T>
grower<T>::~grower() = default;
template <class T>
std::int32_t grower<T>::add_root(std::span<const token> tokens) {
  return session_->add_root(tokens);
}
template <class T>
std::int32_t grower<T>::add_segment(std::int32_t parent, std::span<const token> tokens, role what) {
  return session_->add_segment(parent, tokens, what);
}
template <class T>
std::int32_t grower<T>::add_leaf(std::int32_t parent, std::int64_t capacity, const random_key& key) {
  return session_->add_leaf(parent, capacity, key);
}
template <class T>
std::int64_t grower<T>::live() const {
  return session_->live();
}
template <class T>
std::int64_t grower<T>::forwarded() const {
  return session_->forwarded();
}
template <class T>
std::int64_t grower<T>::step(any_sampler<A> sampler, const model::stop_tokens& stop) {
  return session_->step(sampler, stop);
}
template <class T>
model::rollout<accumulate_t<T>> grower<T>::finish() {
  return session_->finish();
}

}  // namespace ql::test
