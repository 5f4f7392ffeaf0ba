// SPDX-License-Identifier: Apache-2.0
#include <ql/io/file.hpp>
#include <ql/io/json.hpp>
#include <ql/io/model_config.hpp>
#include <ql/model/config.hpp>

#include "io/folder.hpp"
#include "support/data.hpp"

#include <gtest/gtest.h>

namespace {

using ql::io::architecture;
using ql::io::format_error;
using ql::io::generation_config;
using ql::io::model_config;
using ql::io::rope_scaling;

const std::string qwen2 = R"({
  "architectures": ["Qwen2ForCausalLM"],
  "attention_dropout": 0.0,
  "bos_token_id": 151643,
  "eos_token_id": 151645,
  "hidden_act": "silu",
  "hidden_size": 64,
  "intermediate_size": 128,
  "max_position_embeddings": 32768,
  "max_window_layers": 2,
  "model_type": "qwen2",
  "num_attention_heads": 4,
  "num_hidden_layers": 2,
  "num_key_value_heads": 2,
  "rms_norm_eps": 1e-06,
  "rope_theta": 1000000.0,
  "sliding_window": 131072,
  "tie_word_embeddings": true,
  "torch_dtype": "bfloat16",
  "use_sliding_window": false,
  "vocab_size": 151936
}
)";

std::string with(const std::string& key, const std::string& v, const std::string& base = qwen2) {
  return ql::io::json::patch(base, key, v);
}

TEST(ModelConfig, ReadsQwen2) {
  const auto c = model_config::parse(qwen2);
  EXPECT_EQ(c.kind, architecture::qwen2);
  EXPECT_EQ(c.head_dim, 16);
  EXPECT_TRUE(c.qkv_bias);
  EXPECT_FALSE(c.qk_norm);
  EXPECT_TRUE(c.tie_word_embeddings);
  EXPECT_EQ(c.rope_theta, 1e6);
  EXPECT_EQ(c.rope, rope_scaling::none);
  EXPECT_EQ(c.torch_dtype, "bfloat16");
  EXPECT_EQ(c.eos_token_ids, std::vector<ql::token>{151645});
  const auto d = ql::io::decoder_of(c);
  EXPECT_EQ(d.vocabulary, 151936);
  EXPECT_EQ(d.kv_heads, 2);
  EXPECT_TRUE(d.qkv_bias && d.tied_head && !d.qk_norm);
}

TEST(ModelConfig, ReadsQwen3) {
  auto text = with("architectures", R"(["Qwen3ForCausalLM"])");
  EXPECT_EQ(model_config::parse(text).head_dim, 128);
  text = with("head_dim", "32", text);
  text = with("layer_types", R"(["full_attention", "full_attention"])", text);
  const auto c = model_config::parse(text);
  EXPECT_EQ(c.head_dim, 32);
  EXPECT_TRUE(c.qk_norm && !c.qkv_bias);
  QL_EXPECT_MESSAGE(model_config::parse(with("layer_types", R"(["full_attention", "sliding_attention"])", text)),
                    format_error, "layer_types: \"sliding_attention\" is not supported");
}

TEST(ModelConfig, ReadsBothGenerationsOfRopeKeys) {
  const auto old = model_config::parse(
      with("rope_scaling", R"({"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"})"));
  const auto fresh = model_config::parse(with("rope_parameters",
                                              R"({"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 4.0,
                                                  "original_max_position_embeddings": 32768})"));
  for (const auto& c : {old, fresh}) {
    EXPECT_EQ(c.rope, rope_scaling::yarn);
    EXPECT_EQ(c.rope_factor, 4);
    EXPECT_EQ(c.rope_theta, 1e6);
    EXPECT_EQ(c.original_max_position_embeddings, 32768);
    EXPECT_EQ(ql::io::decoder_of(c).rope.kind, ql::model::rope_kind::yarn);
  }
  const auto llama3 =
      model_config::parse(with("rope_scaling", R"({"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                               "original_max_position_embeddings": 8192, "rope_type": "llama3"})",
                               with("architectures", R"(["LlamaForCausalLM"])", with("sliding_window", "null"))));
  EXPECT_EQ(llama3.rope, rope_scaling::llama3);
  EXPECT_EQ(llama3.high_freq_factor, 4);
  EXPECT_FALSE(llama3.qkv_bias);
  EXPECT_EQ(model_config::parse(with("rope_scaling", R"({"type": "linear", "factor": 2})")).rope, rope_scaling::linear);
  EXPECT_EQ(model_config::parse(with("rope_scaling", R"({"rope_type": "default"})")).rope, rope_scaling::none);
  EXPECT_EQ(model_config::parse(with("rope_scaling", "null")).rope, rope_scaling::none);
}

TEST(ModelConfig, RefusesWhatWouldChangeNumbers) {
  const auto refused = [](const std::string& key, const std::string& v) {
    return ql::test::message_of<format_error>([&] { model_config::parse(with(key, v), "m/config.json"); });
  };
  const std::pair<std::string, std::string> cases[] = {
      {"use_sliding_window", "true"},
      {"auto_map", R"({"AutoModel": "evil.py"})"},
      {"quantization_config", R"({"quant_method": "gptq"})"},
      {"hidden_act", "\"gelu\""},
      {"mlp_bias", "true"},
      {"partial_rotary_factor", "0.5"},
  };
  for (const auto& [key, v] : cases) {
    const std::string why = refused(key, v);
    EXPECT_TRUE(why.starts_with("m/config.json: " + key + ": ")) << why;
    EXPECT_TRUE(why.find("support") != std::string::npos || why.find("never run") != std::string::npos) << why;
  }
  EXPECT_NE(refused("rope_scaling", R"({"type": "dynamic", "factor": 2})").find("\"dynamic\" is not supported"),
            std::string::npos);
  EXPECT_NE(refused("rope_scaling", R"({"type": "yarn"})").find("rope_scaling.factor: missing"), std::string::npos);
  EXPECT_NE(refused("rope_scaling", R"({"type": "yarn", "rope_type": "linear", "factor": 2})").find("make them agree"),
            std::string::npos);
  EXPECT_NE(refused("rope_parameters", R"({"rope_type": "default", "rope_theta": 5})").find("make them agree"),
            std::string::npos);
  EXPECT_NE(refused("architectures", R"(["GPT2LMHeadModel"])").find("\"GPT2LMHeadModel\" is not supported"),
            std::string::npos);
  const std::string llama = with("architectures", R"(["LlamaForCausalLM"])", with("sliding_window", "null"));
  QL_EXPECT_MESSAGE(model_config::parse(with("attention_bias", "true", llama)), format_error, "attention_bias");
}

TEST(ModelConfig, ChecksEverySize) {
  const auto refused = [](const std::string& key, const std::string& v) {
    return ql::test::message_of<format_error>([&] { model_config::parse(with(key, v)); });
  };
  for (const char* key :
       {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"}) {
    for (const char* v : {"0", "-1", "99999999999999", "1.5", "\"7\"", "null"})
      EXPECT_TRUE(refused(key, v).starts_with(std::string("config.json: ") + key + ": "))
          << key << " " << v << " " << refused(key, v);
  }
  EXPECT_NE(refused("num_key_value_heads", "3").find("does not divide"), std::string::npos);
  EXPECT_NE(refused("head_dim", "7").find("an even number"), std::string::npos);
  EXPECT_NE(refused("rms_norm_eps", "1e999").find("not valid JSON"), std::string::npos);
  EXPECT_NE(refused("eos_token_id", "[1, -5]").find("expected a token id"), std::string::npos);
  QL_EXPECT_MESSAGE(model_config::parse("[]"), format_error, "expected a JSON object, got array");
  QL_EXPECT_MESSAGE(model_config::parse("{}"), format_error, "architectures: missing");
}

TEST(ModelConfig, PatchesOnlyWhatChanged) {
  auto c = model_config::parse(qwen2);
  EXPECT_EQ(c.patched(), qwen2);
  c.max_position_embeddings = 131072;
  c.rope = rope_scaling::yarn;
  c.rope_factor = 4;
  c.original_max_position_embeddings = 32768;
  c.eos_token_ids = {151645, 151643};
  c.torch_dtype = "float32";
  const std::string text = c.patched();
  const auto again = model_config::parse(text);
  EXPECT_EQ(again.rope, rope_scaling::yarn);
  EXPECT_EQ(again.rope_factor, 4);
  EXPECT_EQ(again.eos_token_ids, c.eos_token_ids);
  EXPECT_EQ(again.torch_dtype, "float32");
  EXPECT_EQ(again.patched(), text);
  EXPECT_NE(text.find("\"attention_dropout\": 0.0,\n"), std::string::npos);
  EXPECT_TRUE(
      text.ends_with("\"vocab_size\": 151936,\n  \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4.0, "
                     "\"original_max_position_embeddings\": 32768}\n}\n"))
      << text;
}

TEST(ModelConfig, ReadsTheModelsOfTheTestData) {
  for (const char* name : {"models/stories260K", "models/verl_digit_completion"}) {
    const auto folder = ql::test::data_file(std::string(name) + "/config.json").parent_path();
    const auto c = model_config::read(folder);
    EXPECT_EQ(c.kind, architecture::llama);
    EXPECT_EQ(c.patched(), ql::io::read_file(folder / "config.json"));
    const bool tied = c.tie_word_embeddings;
    EXPECT_EQ(tied, std::string(name).ends_with("260K"));
    const auto g = generation_config::read(folder);
    EXPECT_EQ(ql::io::stop_tokens(c, g), std::vector<ql::token>{tied ? 2 : 1});
    EXPECT_EQ(ql::io::decoder_of(c).head_dim, tied ? 8 : 32);
  }
}

TEST(GenerationConfig, ReadsSeveralEndTokens) {
  const auto g = generation_config::parse(
      R"({"do_sample": true, "eos_token_id": [128001, 128008, 128009], "temperature": 0.6, "top_p": 0.95, "top_k": 20})");
  EXPECT_EQ(g.eos_token_ids, (std::vector<ql::token>{128001, 128008, 128009}));
  EXPECT_EQ(g.temperature, 0.6);
  EXPECT_EQ(g.top_k, 20);
  EXPECT_EQ(g.do_sample, true);
  EXPECT_FALSE(g.min_p.has_value());
  QL_EXPECT_MESSAGE(generation_config::parse(R"({"temperature": -1})"), format_error, "temperature: expected a number");
  QL_EXPECT_MESSAGE(generation_config::parse(R"({"eos_token_id": "2"})"), format_error,
                    "eos_token_id: expected a token id");
}

}  // namespace
