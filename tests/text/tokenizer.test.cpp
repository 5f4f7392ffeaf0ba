// SPDX-License-Identifier: Apache-2.0
#include <ql/text/tokenizer.hpp>

#include "text/lines.hpp"
#include "text/sha256.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <random>

namespace {

using ql::token;
using ql::io::json::value;
using ql::text::tokenizer;

const char* const names[] = {"qwen3", "deepseek_v3", "mistral_v0_1_spm", "gpt2"};

const tokenizer& load(const std::string& name) {
  static std::map<std::string, tokenizer> cache;
  const auto at = cache.find(name);
  if (at != cache.end()) return at->second;
  const auto one_of_its_files = name == "gpt2" ? "/vocab.json.gz" : "/tokenizer.json.gz";
  const auto folder = ql::test::data_file("tokenizers/" + name + one_of_its_files).parent_path();
  return cache.emplace(name, tokenizer::from_directory(folder)).first->second;
}

std::vector<token> ids_of(const value& v) {
  std::vector<token> ids;
  for (const auto& x : v.array()) ids.push_back(static_cast<token>(x.integer()));
  return ids;
}

class Tokenizer : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Files, Tokenizer, testing::ValuesIn(names),
                         [](const auto& i) { return std::string(i.param); });

TEST_P(Tokenizer, EncodesAndDecodesAsTheReference) {
  const tokenizer& t = load(GetParam());
  int lines = 0;
  for (const value& line : ql::test::json_lines(std::string("tokenizers/vectors/") + GetParam() + ".jsonl.gz")) {
    const std::string& text = line.at("text").string();
    const auto ids = t.encode(text);
    const auto expected = ids_of(line.at("ids"));
    if (const auto* other = line.find("ids_alt"))
      EXPECT_TRUE(ids == expected || ids == ids_of(*other)) << text;
    else
      EXPECT_EQ(ids, expected) << line.at("cat").string() << ": " << text;
    EXPECT_EQ(t.decode(expected), line.at("decoded").string()) << text;
    ql::text::stream_decoder stream(t);
    std::string streamed;
    for (token id : expected) {
      const std::string part = stream.push(id);
      EXPECT_NO_THROW(ql::io::json::parse(ql::io::json::dump_string(part))) << "a part of a character";
      streamed += part;
    }
    streamed += stream.finish();
    EXPECT_EQ(streamed, line.at("decoded").string()) << text;
    if (const auto* hex = line.find("bytes_hex")) {
      std::string raw;
      for (std::size_t i = 0; i + 1 < hex->string().size(); i += 2)
        raw += static_cast<char>(std::stoi(hex->string().substr(i, 2), nullptr, 16));
      EXPECT_EQ(t.encode(raw), expected) << hex->string();
    }
    ++lines;
  }
  EXPECT_EQ(lines, 390);
}

TEST_P(Tokenizer, EncodesWholeDocumentsAsTheReference) {
  const tokenizer& t = load(GetParam());
  std::map<std::string, std::string> documents;
  int lines = 0;
  for (const value& line : ql::test::json_lines(std::string("tokenizers/vectors/") + GetParam() + ".long.jsonl.gz")) {
    const std::string file = line.at("file").string();
    if (!documents.contains(file)) {
      documents[file];
      for (const value& row : ql::test::json_lines(file.starts_with("docqa/") ? file : "docqa/" + file))
        documents.emplace(file + "\n" + row.at("id").string(), row.at(line.at("field").string()).string());
    }
    const std::string& text = documents.at(file + "\n" + line.at("id").string());
    EXPECT_EQ(static_cast<std::int64_t>(text.size()), line.at("utf8_bytes").integer());
    const auto ids = t.encode(text);
    EXPECT_EQ(static_cast<std::int64_t>(ids.size()), line.at("n_tokens").integer());
    std::vector<std::uint8_t> bytes;
    for (token id : ids)
      for (int b = 0; b < 4; ++b) bytes.push_back(static_cast<std::uint8_t>(static_cast<std::uint32_t>(id) >> (8 * b)));
    EXPECT_EQ(ql::test::sha256(bytes), line.at("sha256_le_u32").string());
    ++lines;
  }
  EXPECT_EQ(lines, 22);
}

TEST(TokenizerReference, LlamaCppPairs) {
  int lines = 0;
  for (const value& line : ql::test::json_lines("tokenizers/vectors/llamacpp_hf_reference.jsonl.gz")) {
    const std::string& name = line.at("tokenizer").string();
    if (name != "qwen2" && name != "gpt2") continue;
    EXPECT_EQ(load(name == "qwen2" ? "qwen3" : "gpt2").encode(line.at("text").string()), ids_of(line.at("ids")))
        << name << ": " << line.at("text").string();
    ++lines;
  }
  EXPECT_EQ(lines, 92);
}

}  // namespace
