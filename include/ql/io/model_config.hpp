// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/error.hpp>
#include <ql/io/file.hpp>
#include <ql/scalar.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ql::model {
struct decoder_config;
}

namespace ql::io {

enum class architecture : std::uint8_t { qwen2, qwen3, llama };
enum class rope_scaling : std::uint8_t { none, linear, yarn, llama3 };

// config.json of a Qwen2, Qwen3 or Llama model, with Hugging Face's names.
struct model_config {
  architecture kind = architecture::qwen2;
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;  // Qwen2; no key says so
  bool qk_norm = false;   // Qwen3; no key says so
  double rope_theta = 10000;
  rope_scaling rope = rope_scaling::none;
  double rope_factor = 1;
  std::int64_t original_max_position_embeddings = 0;  // yarn, llama3
  double beta_fast = 32, beta_slow = 1;               // yarn
  double attention_factor = 0;                        // yarn; 0: not given
  double low_freq_factor = 1, high_freq_factor = 4;   // llama3
  std::string torch_dtype;                            // "bfloat16", ...; empty: not given
  std::optional<token> bos_token_id, pad_token_id;
  std::vector<token> eos_token_ids;
  std::string text;  // the document itself

  // Reads both generations of keys: rope_theta with rope_scaling (`type` or `rope_type`) and torch_dtype, and
  // rope_parameters and dtype. What would change the numbers but is not supported (sliding windows, quantised weights,
  // code from the repository, other rope types, further biases) throws format_error, naming the key and the remedy.
  static model_config parse(std::string_view text, std::string_view what = "config.json");
  static model_config read(const file_path& directory);

  // `text` with what differs between *this and parse(text) changed in place and every other byte kept: the context
  // length, the token ids, tied embeddings, dtype, rope_theta and rope scaling.
  std::string patched() const;
};

// The decoder that the configuration describes (include <ql/model/config.hpp> to use it).
model::decoder_config decoder_of(const model_config& c);

// A weight that the model has: its Hugging Face name and shape.
struct tensor_shape {
  std::string name;
  std::vector<std::int64_t> shape;
};
// All of them, in the order of the decoder's parameters.
std::vector<tensor_shape> tensors_of(const model_config& c);

// generation_config.json. What a file does not say is absent.
struct generation_config {
  std::vector<token> eos_token_ids;
  std::optional<token> bos_token_id, pad_token_id;
  std::optional<bool> do_sample;
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<std::int64_t> top_k, max_new_tokens, max_length;
  std::string text;

  static generation_config parse(std::string_view text, std::string_view what = "generation_config.json");
  // Empty where the folder has none; eos ids then come from config.json.
  static std::optional<generation_config> read(const file_path& directory);
};

// All ids that end an answer: of generation_config.json, else of config.json.
std::vector<token> stop_tokens(const model_config& c, const std::optional<generation_config>& g);

}  // namespace ql::io
