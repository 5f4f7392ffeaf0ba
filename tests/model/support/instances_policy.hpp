// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::test {

template <class T>
decoder_ptr<T> make_decoder(cpu::context& ctx, const model::decoder_config& config, lane_options lanes,
                            std::uint64_t seed, double deviation) {
  decoder_ptr<T> policy(new decoder_of<T>(ctx, config, lanes));
  policy->initialise(ctx, seed, deviation);
  std::uint32_t n = 0;
  for (auto& p : policy->parameters()) {
    const random_key key{.seed = seed, .what = purpose::test, .example = n++};
    if (!p.vector()) continue;
    for (std::int64_t i = 0; i < p.size(); ++i)
      p.master.data()[i] += static_cast<accumulate_t<T>>(0.4 * (uniform(key, static_cast<std::uint64_t>(i)) - 0.5));
  }
  policy->publish(ctx);
  return policy;
}
template <class T>
void dispose<T>::operator()(decoder_of<T>* policy) const {
  delete policy;
}
template <class T>
void publish(cpu::context& ctx, decoder_of<T>& policy) {
  policy.publish(ctx);
}
template <class T>
void zero_gradients(cpu::context& ctx, decoder_of<T>& policy) {
  policy.zero_gradients(ctx);
}
template <class T>
void finish_gradients(cpu::context& ctx, decoder_of<T>& policy) {
  policy.finish_gradients(ctx);
}

}  // namespace ql::test
