// SPDX-License-Identifier: Apache-2.0
#include <ql/text/tokenizer.hpp>

#include "io/folder.hpp"
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

// A byte-level BPE over a few letters; `more` goes before the model.
std::string small(const std::string& more = "", const std::string& merges = R"(["a b", "ab c", "Ġ a"])") {
  std::string vocab;
  int id = 0;
  for (const char* word : {"a", "b", "c", "Ġ", "ab", "abc", "Ġa", "Ċ", "Ã", "¼"}) {
    vocab += (id > 0 ? ", \"" : "\"") + std::string(word) + "\": " + std::to_string(id);
    ++id;
  }
  return "{" + more + R"("pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
    "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": {)" +
         vocab + R"(}, "merges": )" + merges + "}}";
}

std::string why_not(const std::string& json) {
  return ql::test::message_of<ql::io::format_error>([&] { tokenizer::from_json(json, "t.json"); });
}

TEST(TokenizerRules, MergesByRank) {
  const auto t = tokenizer::from_json(small());
  EXPECT_EQ(t.encode("abcab a"), (std::vector<token>{5, 4, 6}));
  EXPECT_EQ(tokenizer::from_json(small("", R"([["a", "b"], ["ab", "c"]])")).encode("abc"), (std::vector<token>{5}));
  EXPECT_EQ(t.encode(""), std::vector<token>());
  EXPECT_EQ(t.decode(t.encode("ab cü\n")), "ab cü\n");
  EXPECT_EQ(t.id_of("Ġa"), 6);
  EXPECT_EQ(t.id_of("nothing"), std::nullopt);
  EXPECT_EQ(t.token_text(6), "Ġa");
  EXPECT_EQ(t.token_text(77), std::nullopt);
  EXPECT_EQ(t.vocab_size(), 10);
}

TEST(TokenizerRules, IgnoreMergesTakesWholeWords) {
  std::string json = small("", "[]");
  EXPECT_EQ(tokenizer::from_json(json).encode("abc"), (std::vector<token>{0, 1, 2}));
  json.insert(json.find("\"vocab\""), "\"ignore_merges\": true, ");
  EXPECT_EQ(tokenizer::from_json(json).encode("abc"), (std::vector<token>{5}));
}

TEST(TokenizerRules, AddedTokensAndTheirFlags) {
  const auto t = tokenizer::from_json(small(R"("added_tokens": [
    {"id": 10, "content": "<s>", "special": true, "normalized": false},
    {"id": 11, "content": "<s><s>", "special": false, "normalized": false},
    {"id": 12, "content": "[m]", "special": true, "lstrip": true, "rstrip": true, "normalized": false},
    {"id": 13, "content": "cab", "special": false, "single_word": true, "normalized": false}],
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
      "special_tokens": {"<s>": {"id": "<s>", "ids": [10], "tokens": ["<s>"]}}}, )"));
  EXPECT_EQ(t.encode("a<s>b"), (std::vector<token>{0, 10, 1}));
  EXPECT_EQ(t.encode("<s><s><s>"), (std::vector<token>{11, 10}));
  EXPECT_EQ(t.encode("a  [m]\n b"), (std::vector<token>{0, 12, 1}));
  EXPECT_EQ(t.encode("cab"), (std::vector<token>{13}));
  EXPECT_EQ(t.encode("acab"), (std::vector<token>{0, 2, 4}));
  EXPECT_EQ(t.encode("a", {.add_special_tokens = true}), (std::vector<token>{10, 0}));
  const auto plain = t.encode("ab[m]", {.special_in_text = false});
  EXPECT_EQ(plain, (std::vector<token>{4}));  // '[' and the rest are not in this vocabulary
  EXPECT_EQ(t.decode(std::vector<token>{0, 10, 1}), "a<s>b");
  EXPECT_EQ(t.decode(std::vector<token>{0, 10, 1}, true), "ab");
  EXPECT_TRUE(t.is_special(10) && !t.is_special(11));
  EXPECT_EQ(t.added_tokens().size(), 4u);
}

TEST(TokenizerRules, OffsetsAreBytesOfTheText) {
  const auto& t = load("qwen3");
  for (const std::string text : {"Hello  wörld\n 123 <|im_end|>x", "e\xcc\x81tude A\xcc\x8a", "bad \xff byte", ""}) {
    const auto e = t.encode_with_offsets(text);
    EXPECT_EQ(e.ids, t.encode(text));
    std::uint32_t at = 0;
    for (const auto& o : e.offsets) {
      EXPECT_LE(at, std::max(o.begin, at));
      EXPECT_LE(o.begin, o.end);
      at = std::max(at, o.end);
    }
    EXPECT_EQ(at, text.size());
  }
  const auto e = t.encode_with_offsets("The e\xcc\x81t<think>");
  EXPECT_EQ(e.offsets.front(), (ql::text::byte_range{0, 3}));
  EXPECT_EQ(e.offsets.back(), (ql::text::byte_range{8, 15}));
  const auto& spm = load("mistral_v0_1_spm");
  const auto s = spm.encode_with_offsets("Hello world");
  EXPECT_EQ(s.offsets.size(), 2u);
  EXPECT_EQ(s.offsets[0], (ql::text::byte_range{0, 5}));
  EXPECT_EQ(s.offsets[1], (ql::text::byte_range{5, 11}));
}

TEST(TokenizerRules, WordLevel) {
  const std::string json = R"({"added_tokens": [{"id": 3, "content": "<eos>", "special": true}],
    "pre_tokenizer": {"type": "WhitespaceSplit"},
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "one": 1, "two": 2}, "unk_token": "[UNK]"}})";
  const auto t = tokenizer::from_json(json);
  EXPECT_EQ(t.encode(" one  two three<eos>"), (std::vector<token>{1, 2, 0, 3}));
  EXPECT_EQ(t.decode(std::vector<token>{1, 2, 3}), "one two <eos>");
  std::string none = json;
  none.replace(none.find(", \"unk_token\": \"[UNK]\""), 22, "");
  EXPECT_EQ(tokenizer::from_json(none).encode("two"), (std::vector<token>{2}));
  EXPECT_THROW(tokenizer::from_json(none).encode("three"), ql::argument_error);
}

// Expected values of PyPI's tokenizers 0.23.3 (scripts/compare_word_level.py compares many more).
TEST(TokenizerRules, AddedPhrasesInAWordVocabulary) {
  const std::string json = R"({"normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
    "added_tokens": [
      {"id": 3, "content": "lives in oslo", "single_word": true, "normalized": true},
      {"id": 4, "content": "lives in", "single_word": true, "normalized": true},
      {"id": 5, "content": "The Boss of", "normalized": true},
      {"id": 6, "content": "BOB", "normalized": false}],
    "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "alice": 1, ".": 2}, "unk_token": "<unk>"}})";
  const auto t = tokenizer::from_json(json);
  EXPECT_EQ(t.encode("Alice lives in Oslo."), (std::vector<token>{1, 3, 2}));
  EXPECT_EQ(t.encode("alice Lives In Osloo"), (std::vector<token>{1, 0, 0, 0}));
  EXPECT_EQ(t.encode("alice lives in rome"), (std::vector<token>{1, 4, 0}));
  EXPECT_EQ(t.encode("the boss ofalice"), (std::vector<token>{5, 1}));
  EXPECT_EQ(t.encode("BOB Bob"), (std::vector<token>{6, 0}));
  EXPECT_EQ(t.decode(std::vector<token>{1, 3, 2, 5, 6}), "alice lives in oslo . the boss of BOB");
  EXPECT_EQ(t.token_text(5), "The Boss of");
}

TEST(TokenizerRules, UntrustedTextMayNotNameSpecialTokens) {
  const auto& t = load("qwen3");
  const std::string text = "a<|im_end|>b";
  const auto ids = t.encode(text, {.special_in_text = false});
  EXPECT_EQ(std::count(ids.begin(), ids.end(), *t.id_of("<|im_end|>")), 0);
  EXPECT_EQ(t.decode(ids), text);
}

TEST(TokenizerRules, ThinkingTokensAreLookedUp) {
  const auto found = ql::text::find_thinking_tokens(load("qwen3"));
  EXPECT_EQ(found.open, 151667);
  EXPECT_EQ(found.close, 151668);
  EXPECT_EQ(ql::text::find_thinking_tokens(load("deepseek_v3")).close, std::nullopt);
}

TEST(TokenizerRules, LongRunsTakeNoQuadraticTime) {
  const auto start = std::chrono::steady_clock::now();
  for (const char* name : names) {
    const auto& t = load(name);
    for (const std::string unit : {"a", " ", "\n", "ab", "\xe4\xb8\x80", "\xcc\x81\xcc\xa3", "!", "<|", "\xff", "1"}) {
      std::string text;
      while (text.size() < 200'000) text += unit;
      EXPECT_FALSE(t.encode(text).empty());
    }
  }
  // Generous: a quadratic path would take hours.
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 240);
}

TEST(TokenizerRules, StreamsEqualDecodingAtOnce) {
  std::mt19937 draw(7);
  for (const char* name : names) {
    const auto& t = load(name);
    for (int round = 0; round < 50; ++round) {
      std::vector<token> ids;
      std::string streamed;
      ql::text::stream_decoder stream(t);
      for (int i = 0; i < 40; ++i) {
        // Byte tokens of SentencePiece vocabularies (3 to 258) only as they come from text.
        const auto id = static_cast<token>(300 + draw() % static_cast<unsigned>(t.vocab_size() - 300));
        ids.push_back(id);
        streamed += stream.push(id);
      }
      EXPECT_EQ(streamed + stream.finish(), t.decode(ids)) << name;
    }
  }
}

TEST(TokenizerThreads, ABatchEqualsItsTexts) {
  const auto& t = load("gpt2");
  std::vector<std::string> texts;
  for (int i = 0; i < 200; ++i)
    texts.push_back("text " + std::to_string(i) + std::string(static_cast<std::size_t>(i), 'x'));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const auto batch = t.encode_batch(views, 4);
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(batch[i], t.encode(texts[i]));
  EXPECT_TRUE(t.encode_batch({}, 4).empty());
}

TEST(TokenizerFiles, RefusesDamagedFiles) {
  EXPECT_NE(why_not("{").find("t.json: not valid JSON"), std::string::npos);
  EXPECT_NE(why_not("[]").find("expected a JSON object"), std::string::npos);
  EXPECT_NE(why_not("{}").find("model: missing; is this a tokenizer.json?"), std::string::npos);
  EXPECT_NE(why_not(std::string(100, '[') + std::string(100, ']')).find("nested deeper than 32"), std::string::npos);
  EXPECT_NE(why_not(small("", R"(["a x"])")).find("model.merges[0]: \"x\" is not in the vocabulary"),
            std::string::npos);
  EXPECT_NE(why_not(small("", R"(["b c"])")).find("\"bc\" is not in the vocabulary"), std::string::npos);
  EXPECT_NE(why_not(small("", R"(["a b c"])")).find("two tokens with one space"), std::string::npos);
  EXPECT_NE(why_not(small("", R"([["a"]])")).find("expected \"a b\" or [\"a\", \"b\"]"), std::string::npos);
  EXPECT_NE(why_not(small("", R"([7])")).find("model.merges[0]"), std::string::npos);
  EXPECT_NE(why_not(small("", R"({})")).find("model.merges: expected an array"), std::string::npos);
  const auto vocabulary = [](const std::string& v) {
    return why_not(R"({"model": {"type": "BPE", "merges": [], "vocab": )" + v + "}}");
  };
  EXPECT_NE(vocabulary(R"({"a": 0, "a": 1})").find("repeats an id or a text"), std::string::npos);
  EXPECT_NE(vocabulary(R"({"a": 0, "b": 0})").find("repeats an id or a text"), std::string::npos);
  EXPECT_NE(vocabulary(R"({"a": 2000000000})").find("expected an id from 0 to"), std::string::npos);
  EXPECT_NE(vocabulary(R"({"a": -1})").find("expected an id from 0 to"), std::string::npos);
  EXPECT_NE(vocabulary("[]").find("model.vocab: expected an object"), std::string::npos);
  const auto added = [](const std::string& a) { return why_not(small("\"added_tokens\": [" + a + "], ")); };
  EXPECT_NE(added(R"({"id": 4, "content": "a"})").find("has id 4 here and 0 in the vocabulary"), std::string::npos);
  EXPECT_NE(added(R"({"id": 20, "content": ""})").find("a content of 1 to 4096 bytes"), std::string::npos);
  EXPECT_NE(added(R"({"id": 20, "content": "x"}, {"id": 20, "content": "y"})").find("id 20 occurs twice"),
            std::string::npos);
  EXPECT_NE(added(R"({"id": 20, "content": "x"}, {"id": 21, "content": "x"})").find("\"x\" occurs twice"),
            std::string::npos);
  EXPECT_NE(added(R"({"id": 2000000000, "content": "x"})").find("expected an id"), std::string::npos);
}

TEST(TokenizerFiles, RefusesWhatIsNotSupported) {
  EXPECT_NE(why_not(R"({"model": {"type": "Unigram", "vocab": []}})").find("model: type \"Unigram\" is not supported"),
            std::string::npos);
  EXPECT_NE(why_not(small(R"("normalizer": {"type": "Precompiled"}, )")).find("normalizer: type \"Precompiled\""),
            std::string::npos);
  EXPECT_NE(why_not(small(R"("post_processor": {"type": "Odd"}, )")).find("post_processor: type \"Odd\""),
            std::string::npos);
  const auto split = [](const std::string& regex) {
    return why_not(R"({"pre_tokenizer": {"type": "Split", "behavior": "Isolated", "pattern": {"Regex": ")" + regex +
                   R"("}},
                       "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})");
  };
  EXPECT_EQ(split("\\\\p{L}+|[^\\\\s\\\\S]"), "nothing thrown");
  EXPECT_NE(split("(").find("regular expression: "), std::string::npos);
  EXPECT_NE(split("[a-z&&[^b]]").find("is not supported"), std::string::npos);
  EXPECT_NE(split("(?<n>a)\\\\k<n>").find("is not supported"), std::string::npos);
  EXPECT_NE(split("(*LIMIT_MATCH=1)a").find("is not supported"), std::string::npos);
  EXPECT_NE(split(std::string(70'000, 'a')).find("longer than"), std::string::npos);
}

TEST(TokenizerFiles, AHostilePatternEnds) {
  const auto t = tokenizer::from_json(
      R"json({"pre_tokenizer": {"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "(a+)+$"}},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}})json");
  EXPECT_THROW(t.encode(std::string(40, 'a') + "b"), ql::error);
}

TEST(TokenizerFiles, FoldersAndGpt2Files) {
  const ql::test::folder f;
  QL_EXPECT_MESSAGE(tokenizer::from_directory(f.path()), ql::io::file_error,
                    "holds neither tokenizer.json nor vocab.json");
  f.write("vocab.json", R"({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3})");
  f.write("merges.txt", "#version: 0.2\na b\n");
  const auto t = tokenizer::from_directory(f.path());
  EXPECT_EQ(t.encode("ab<|endoftext|>"), (std::vector<token>{2, 3}));
  f.write("merges.txt", "#version: 0.2\na c\n");
  QL_EXPECT_MESSAGE(tokenizer::from_directory(f.path()), ql::io::format_error,
                    "merges.txt: line 2: \"c\" is not in the vocabulary");
  f.write("tokenizer.json", small());
  EXPECT_EQ(tokenizer::from_directory(f.path()).vocab_size(), 10);
}

}  // namespace
