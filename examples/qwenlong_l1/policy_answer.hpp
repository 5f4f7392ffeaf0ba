// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cpu/kernels.hpp>
#include <ql/eval/local_policy.hpp>

#include "policy_of.hpp"

namespace ql::tool {

template <class T>
std::vector<std::vector<eval::generation>> policy_of<T>::answer_all(std::span<const eval::generation_request> requests,
                                                                    const eval::protocol& p, const answering& a) {
  typename eval::local_policy<T, cpu::context>::options o;
  o.stop = a.stop;
  o.add_special_tokens = true;
  eval::local_policy<T, cpu::context> generate(ctx_, *decoder_, *a.tokenizer, a.chat, o);
  return generate(requests, p);
}

}  // namespace ql::tool
