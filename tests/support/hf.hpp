// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reads the small Hugging Face models of the test data: config.json, model.safetensors, golden.jsonl.

#include <ql/model/config.hpp>
#include <ql/scalar.hpp>

#include <map>
#include <string>
#include <vector>

namespace ql::test {

model::decoder_config read_config(const std::string& model);

// Every tensor of the file by its name, widened to float.
std::map<std::string, std::vector<float>> read_weights(const std::string& model);

struct golden {
  std::string prompt;
  std::vector<token> ids, greedy_ids;
  std::vector<double> last_logits, prompt_logprobs;  // the first of prompt_logprobs is 0: nothing predicts it
};
std::vector<golden> read_goldens(const std::string& model);

}  // namespace ql::test
