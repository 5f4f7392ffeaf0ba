// SPDX-License-Identifier: Apache-2.0
#pragma once

// The policy of a scalar type. Its parts are compiled apart (policy_*.cpp, generate_*.cpp, answer_*.cpp), which takes a
// part of the time each.

#include <ql/backend/cpu/context.hpp>
#include <ql/model/decoder.hpp>

#include "policy.hpp"

namespace ql::tool {

template <class T>
class policy_of final : public policy {
 public:
  policy_of(const std::string& directory, const io::model_config& config, int threads);
  ~policy_of() override;
  std::int64_t vocabulary() const override { return shape_.vocabulary; }
  std::int64_t max_context() const override { return shape_.max_context; }
  std::vector<float> logprobs(std::span<const token> ids, std::vector<float>* last_logits) override;
  generation generate(std::span<const token> prompt, const sampling& s,
                      const std::function<void(std::size_t, token)>& each) override;
  std::vector<std::vector<eval::generation>> answer_all(std::span<const eval::generation_request> requests,
                                                        const eval::protocol& p, const answering& a) override;

 private:
  std::vector<float> logits_after(std::span<const token> ids);

  cpu::context ctx_;
  model::decoder_config shape_;
  std::unique_ptr<model::decoder<T, cpu::context>> decoder_;
};

}  // namespace ql::tool
