// SPDX-License-Identifier: Apache-2.0
#include <ql/io/toml.hpp>

#include "io/folder.hpp"

#include <gtest/gtest.h>

namespace {

using ql::io::format_error;
using ql::io::json::dump;
using ql::io::toml::parse;
using ql::io::toml::print;

constexpr const char* text = R"(# a recipe
seed = 1
[optimizer]
lr = 1e-6
betas = [0.9, 0.95]

[[phases]]
length = 128

[[phases]]
  length = 256
  tags = ["a", 'b']
)";

TEST(Toml, BecomesATreeInTheFilesOrder) {
  const auto d = parse(text, "recipe.toml");
  EXPECT_EQ(dump(d.tree), R"({"seed": 1, "optimizer": {"lr": 1e-06, "betas": [0.9, 0.95]}, )"
                          R"("phases": [{"length": 128}, {"length": 256, "tags": ["a", "b"]}]})");
}

TEST(Toml, KnowsWhereItsKeysStand) {
  const auto d = parse(text, "recipe.toml");
  EXPECT_EQ(d.where("seed"), "recipe.toml:2:1");
  EXPECT_EQ(d.where("optimizer.lr"), "recipe.toml:4:1");
  EXPECT_EQ(d.where("optimizer.betas[1]"), "recipe.toml:5:15");
  EXPECT_EQ(d.where("phases[1].length"), "recipe.toml:11:3");
  EXPECT_EQ(d.where("optimizer.absent.deeper"), "recipe.toml:3:2");
  EXPECT_EQ(d.where("absent"), "recipe.toml");
}

TEST(Toml, RefusesByLineAndColumn) {
  QL_EXPECT_MESSAGE(parse("a = 1\na = 2", "r.toml"), format_error, "r.toml:2:5: ");
  QL_EXPECT_MESSAGE(parse("a = ", "r.toml"), format_error, "r.toml:1:");
  QL_EXPECT_MESSAGE(parse("a = 1979-05-27", "r.toml"), format_error, "r.toml:1:5: a: dates and times are not used");
  QL_EXPECT_MESSAGE(parse("\n\"a.b\" = 1", "r.toml"), format_error, "r.toml:2:1: keys are made of");
  QL_EXPECT_MESSAGE(parse("a = \"\xff\"", "r.toml"), format_error, "r.toml:1:");
  QL_EXPECT_MESSAGE(parse(std::string_view("a = 1\n [\0\0", 10), "r.toml"), format_error, "r.toml:2:3: a control");
  QL_EXPECT_MESSAGE(parse(std::string(2 << 20, '#'), "r.toml"), format_error, "more than the limit");
  QL_EXPECT_MESSAGE(parse("a = 1\n[/b]", "r.toml"), format_error, "r.toml:2:2: ");
  std::string deep = "a = ";
  for (int i = 0; i < 40; ++i) deep += '[';
  for (int i = 0; i < 40; ++i) deep += ']';
  QL_EXPECT_MESSAGE(parse(deep, "r.toml"), format_error, "more than 32 levels");
  deep = "a = ";
  deep.append(100'000, '[');
  EXPECT_THROW(parse(deep, "r.toml"), format_error);
}

TEST(Toml, CharactersBeyondAsciiStandInQuotesAndComments) {
  const auto d = parse(
      "\xef\xbb\xbf# \u00e9\na = \"\u00e9\\\"\u00e9\" # \u00e9\nb = '\u00e9\\' # '\n"
      "c = \"\"\"\u00e9\n\"\"\u00e9\"\"\"\"\"\nd = \"\"\ne = '''\u00e9'''''\nf = \"\u00e9\"\n");
  EXPECT_EQ(d.tree.at("a").string(), "\u00e9\"\u00e9");
  EXPECT_EQ(d.tree.at("b").string(), "\u00e9\\");
  EXPECT_EQ(d.tree.at("c").string(), "\u00e9\n\"\"\u00e9\"\"");
  EXPECT_EQ(d.tree.at("e").string(), "\u00e9''");
  EXPECT_EQ(d.tree.at("f").string(), "\u00e9");
  QL_EXPECT_MESSAGE(parse("a = 1\n\u018c = 2", "r.toml"), format_error, "r.toml:2:1: a character beyond ASCII");
  QL_EXPECT_MESSAGE(parse("a = 1 \u2028", "r.toml"), format_error, "r.toml:1:7: a character beyond ASCII");
}

TEST(Toml, PrintsWhatReadsBackEqual) {
  for (const char* json : {
           R"({"a": 1, "b": "x\"\\\n\u007f\u00e9", "c": [1, 2.5, "z"], "d": {"e": true, "f": {"g": []}}, "h": {}})",
           R"({"p": [{"x": 1, "q": [{"y": 2}, {"y": 3}], "t": {"z": 1}}, {}], "last": 1e-300})",
           R"({"mixed": [1, {"a": [2, {"b": "c"}]}], "big": -9223372036854775808, "real": 1e+20})",
           R"({"only": {"tables": {"here": 1}}})",
       }) {
    const auto tree = ql::io::json::parse(json);
    const auto back = parse(print(tree)).tree;
    EXPECT_TRUE(ql::io::differences(tree, back).empty()) << print(tree) << ql::io::differences(tree, back).front().key;
  }
  EXPECT_EQ(print(ql::io::json::parse(R"({"t": {"b": null, "a": 1}, "x": 2, "l": [{"k": 3}]})"),
                  {{"x", "the x"}, {"t.a", "the a"}, {"l[0].k", "the k"}}),
            "x = 2  # the x\n\n[t]\na = 1  # the a\n\n[[l]]\nk = 3  # the k\n");
}

TEST(Toml, AQuoteWithinAWordBeginsNoText) {
  for (const char* wrong : {"a = 1'59*\xc4\x8c", "a = 1.'x\xc4\x8c'", "a = [1, 2.'\xc4\x8c']", "a = 'x'y'\xc4\x8c'",
                            "a = \"x\" \"\xc4\x8c\"", "a'\xc4\x8c' = 1", "a = {b = 1.'\xc4\x8c'}", "a = 1=\"\xc4\x8c",
                            "a = 1, '\xc4\x8c'", "a = 1 ['\xc4\x8c']", "a['\xc4\x8c'] = 1", "a = [{ ], '\xc4\x8c'",
                            "{'\xc4\x8c' = 1}", "a = \"\"\"b\\\n  \xef\xbb\xbb\"\"\"", "a = \"\\\xef\xb3\xbf\""})
    EXPECT_THROW(parse(wrong), format_error) << wrong;
  EXPECT_EQ(parse("'a'.\"b\" = ['\xc4\x8c', \"x\",\n 'y'] # 1'2\n['c'.'d']\ne = {f.'g' = 'h', 'i' = \"\"}\n")
                .tree.find("a")
                ->find("b")
                ->array()
                .size(),
            3u);
}

}  // namespace
