// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cuda/kernels.hpp>
#include <ql/policy_update.hpp>

#include "model/support/device_policy.hpp"

#include <optional>

namespace ql::test {

template <class T>
struct device_policy<T>::state {
  using decoder = model::decoder<T, cuda::emulated_context>;
  cuda::emulated_context ctx;
  decoder policy;
  std::optional<typename decoder::tape> tape;
  std::optional<policy_optimizer_state<decoder, rl::adamw>> optimizer;

  state(const decoder_of<T>& from, const cuda::emulation& how)
      : ctx(std::make_unique<cuda::emulated_device>(cuda::emulated_device::options{how, std::size_t{1} << 29})),
        policy(ctx, from.config(), from.lanes()) {}
};

template <class T>
device_policy<T>::device_policy(const decoder_of<T>& policy, const cuda::emulation& how)
    : s_(std::make_unique<state>(policy, how)) {
  for (std::size_t i = 0; i < policy.parameters().size(); ++i) {
    const auto& p = policy.parameters()[i];
    s_->ctx.copy_in(p.master.data(), p.size(), s_->policy.parameters()[i].master.data());
  }
  s_->policy.publish(s_->ctx);
}
template <class T>
device_policy<T>::~device_policy() {}

template <class T>
model::rollout<accumulate_t<T>> device_policy<T>::grow(std::span<const token> prompt,
                                                       std::span<const std::int64_t> capacities, any_sampler<A> sampler,
                                                       std::int64_t prefill_chunk) {
  model::session<T, cuda::emulated_context> session(s_->ctx, s_->policy, {.prefill_chunk = prefill_chunk});
  const auto root = session.add_root(prompt);
  for (std::uint32_t g = 0; g < capacities.size(); ++g) session.add_leaf(root, capacities[g], {.seed = 1, .sample = g});
  while (session.step(sampler, model::stop_tokens{{0}}) > 0) {
  }
  return session.finish();
}
template <class T>
void device_policy<T>::score(const token_tree& tree, const distribution& d, const frozen_support* support,
                             model::keep keep, std::span<A> logp, std::span<A> entropy) {
  s_->tape.emplace(
      s_->policy.score(s_->ctx, tree, {.distribution = d, .support = support, .keep = keep}, {logp, entropy}));
}
template <class T>
void device_policy<T>::backward(std::span<const A> dlogp, std::span<const A> dentropy) {
  s_->policy.zero_gradients(s_->ctx);
  s_->policy.backward(s_->ctx, *s_->tape, {dlogp, dentropy});
  s_->policy.finish_gradients(s_->ctx);
}
template <class T>
void device_policy<T>::split_rows(comm::any ranks, model::attention_split how) {
  s_->policy.split_rows(ranks, how);
}
template <class T>
std::vector<accumulate_t<T>> device_policy<T>::gradient(std::size_t i) const {
  const auto& p = s_->policy.parameters()[i];
  std::vector<A> g(static_cast<std::size_t>(p.size()));
  s_->ctx.copy_out(p.gradient.data(), p.size(), g.data());
  return g;
}
template <class T>
std::vector<accumulate_t<T>> device_policy<T>::weights(std::size_t i) const {
  const auto& p = s_->policy.parameters()[i];
  std::vector<A> w(static_cast<std::size_t>(p.size()));
  s_->ctx.copy_out(p.master.data(), p.size(), w.data());
  return w;
}
template <class T>
double device_policy<T>::gradient_norm() const {
  return ql::gradient_norm(s_->ctx, s_->policy);
}
template <class T>
bool device_policy<T>::update(double lr, double max_norm) {
  if (!s_->optimizer) s_->optimizer.emplace(make_optimizer_state(s_->ctx, s_->policy, rl::adamw{}));
  return update_policy(s_->ctx, s_->policy, rl::adamw{}, *s_->optimizer, lr, max_norm).applied;
}

}  // namespace ql::test
