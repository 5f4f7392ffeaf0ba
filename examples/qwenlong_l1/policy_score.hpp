// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cpu/kernels.hpp>
#include <ql/io/weights.hpp>

#include "policy_of.hpp"

namespace ql::tool {

template <class T>
policy_of<T>::policy_of(const std::string& directory, const io::model_config& config, int threads)
    : ctx_({.threads = threads}), shape_(model::checked(io::decoder_of(config))) {
  const auto weights = io::checkpoint::open(directory);
  decoder_ = std::make_unique<model::decoder<T, cpu::context>>(ctx_, shape_);
  io::load_weights(ctx_, weights, *decoder_);
}

template <class T>
policy_of<T>::~policy_of() {}  // not defaulted: it is instantiated by name

template <class T>
std::vector<float> policy_of<T>::logprobs(std::span<const token> ids, std::vector<float>* last_logits) {
  token_tree tree;
  tree.add_root(ids, role::action, true);
  tree.validate(vocabulary(), max_context());
  std::vector<float> logp(ids.size(), 0.0f);
  typename model::decoder<T, cpu::context>::score_options o;
  o.keep = model::keep::nothing;
  o.backward = false;
  if (ids.size() > 1) decoder_->score(ctx_, tree, o, {logp, {}});
  if (last_logits != nullptr) *last_logits = logits_after(ids);
  return logp;
}

template <class T>
std::unique_ptr<policy> make_policy(const std::string& directory, const io::model_config& config, int threads) {
  return std::make_unique<policy_of<T>>(directory, config, threads);
}

}  // namespace ql::tool
