// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/model_config.hpp>
#include <ql/scalar.hpp>
#include <ql/tensor/distribution.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ql::text {
class tokenizer;
class chat_template;
}  // namespace ql::text
namespace ql::eval {
struct generation_request;
struct generation;
struct protocol;
}  // namespace ql::eval

namespace ql::tool {

struct sampling {
  bool greedy = false;
  ql::distribution distribution{};
  std::int64_t answers = 1;
  std::int64_t max_new_tokens = 512;
  std::uint64_t seed = 0;
  std::uint32_t example = 0;  // of the key of random numbers
  std::vector<token> stop;
};

struct answer {
  std::vector<token> ids;
  std::vector<float> logprobs;
  const char* finish = "";  // "stop", "length" or "interrupted"
};

struct generation {
  std::vector<answer> answers;
  double prefill_seconds = 0, decode_seconds = 0;
};

// How an evaluation's prompts become tokens, and what ends an answer.
struct answering {
  const text::tokenizer* tokenizer = nullptr;
  const text::chat_template* chat = nullptr;  // may be null: the prompt stands for itself
  std::vector<token> stop;
};

// A model for verbs that read it: of either scalar type, with its context.
class policy {
 public:
  virtual ~policy() = default;
  virtual std::int64_t vocabulary() const = 0;
  virtual std::int64_t max_context() const = 0;
  // log p(ids[i] | ids before it), 0 for the first. With last_logits, the row of logits after the last id too.
  virtual std::vector<float> logprobs(std::span<const token> ids, std::vector<float>* last_logits) = 0;
  // Answers to one prompt, its keys stored once. each(answer, id) is called for every token as it is drawn; ends early
  // once interrupted().
  virtual generation generate(std::span<const token> prompt, const sampling& s,
                              const std::function<void(std::size_t, token)>& each) = 0;
  // Answers to the questions of one document, as an evaluation asks for them: ql::eval::local_policy.
  virtual std::vector<std::vector<eval::generation>> answer_all(std::span<const eval::generation_request> requests,
                                                                const eval::protocol& p, const answering& a) = 0;
};

// Loads a model folder. dtype: "float", "bf16", or "auto" for that of the file (float for F16). threads 0: all cores.
std::unique_ptr<policy> load_policy(const std::string& directory, const std::string& dtype, int threads);

// One of the two behind load_policy(): policy_float.cpp, policy_bf16.cpp.
template <class T>
std::unique_ptr<policy> make_policy(const std::string& directory, const io::model_config& config, int threads);

}  // namespace ql::tool
