// SPDX-License-Identifier: Apache-2.0
#include "support/hf.hpp"

#include <ql/io/file.hpp>
#include <ql/io/json.hpp>

#include <cstring>
#include <stdexcept>

#include "support/data.hpp"

namespace ql::test {

model::decoder_config read_config(const std::string& model) {
  const auto c = io::json::parse(io::read_file(data_file("models/" + model + "/config.json")));
  model::decoder_config d;
  d.vocabulary = c.at("vocab_size").integer();
  d.hidden = c.at("hidden_size").integer();
  d.layers = c.at("num_hidden_layers").integer();
  d.heads = c.at("num_attention_heads").integer();
  d.kv_heads = c.at("num_key_value_heads").integer();
  if (const auto* v = c.find("head_dim")) d.head_dim = v->integer();
  d.ffn = c.at("intermediate_size").integer();
  d.max_context = c.at("max_position_embeddings").integer();
  d.norm_eps = c.at("rms_norm_eps").real();
  d.tied_head = c.at("tie_word_embeddings").boolean();
  d.rope.theta = c.at("rope_theta").real();
  return d;
}

std::map<std::string, std::vector<float>> read_weights(const std::string& model) {
  const auto file = io::read_file(data_file("models/" + model + "/model.safetensors"));
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  const auto header = io::json::parse(std::string_view(file).substr(8, length));
  const char* data = file.data() + 8 + length;
  std::map<std::string, std::vector<float>> all;
  for (const auto& [name, t] : header.object()) {
    if (name == "__metadata__") continue;
    const auto first = static_cast<std::size_t>(t.at("data_offsets").array().at(0).integer());
    const auto last = static_cast<std::size_t>(t.at("data_offsets").array().at(1).integer());
    const bool half = t.at("dtype").string() == "BF16";
    std::size_t n = 1;
    for (const auto& e : t.at("shape").array()) n *= static_cast<std::size_t>(e.integer());
    if (last - first != n * (half ? 2 : 4) || last > file.size() - 8 - length)
      throw std::runtime_error("tensor " + name + " has another size");
    auto& values = all[name];
    for (std::size_t i = 0; i < n; ++i) {
      std::uint32_t bits = 0;
      if (half) {
        std::uint16_t upper = 0;
        std::memcpy(&upper, data + first + 2 * i, 2);
        bits = static_cast<std::uint32_t>(upper) << 16;
      } else {
        std::memcpy(&bits, data + first + 4 * i, 4);
      }
      values.push_back(__builtin_bit_cast(float, bits));
    }
  }
  return all;
}

std::vector<golden> read_goldens(const std::string& model) {
  const auto text = io::read_file(data_file("models/" + model + "/golden.jsonl"));
  std::vector<golden> all;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    const auto v = io::json::parse(std::string_view(text).substr(at, end - at));
    at = end + 1;
    golden g{.prompt = v.at("prompt").string(), .ids = {}, .greedy_ids = {}, .last_logits = {}, .prompt_logprobs = {}};
    for (const auto& x : v.at("ids").array()) g.ids.push_back(static_cast<token>(x.integer()));
    for (const auto& x : v.at("greedy_ids").array()) g.greedy_ids.push_back(static_cast<token>(x.integer()));
    for (const auto& x : v.at("last_logits").array()) g.last_logits.push_back(x.real());
    if (const auto* p = v.find("prompt_logprobs"))
      for (const auto& x : p->array()) g.prompt_logprobs.push_back(x.is_null() ? 0 : x.real());
    all.push_back(std::move(g));
  }
  return all;
}

}  // namespace ql::test
