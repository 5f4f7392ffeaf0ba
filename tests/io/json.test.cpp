// SPDX-License-Identifier: Apache-2.0
#include <ql/io/json.hpp>

#include <gtest/gtest.h>

namespace {

namespace json = ql::io::json;
using ql::io::format_error;

std::string message(std::string_view text) {
  try {
    json::parse(text, "x.json");
  } catch (const format_error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(Json, ReadsWhatItWrites) {
  const std::string text =
      R"({"a": [1, -2, 2.5, 1e-06, 1e+16, 123456789012.0, true, false, null], "b": {"c\n\"": "\u0001ü€😀"}, "d": [], "e": {}})";
  const json::value v = json::parse(text);
  EXPECT_EQ(json::dump(v), text);
  EXPECT_EQ(json::parse(json::dump(v)), v);
  EXPECT_EQ(v.at("a").array()[2].real(), 2.5);
  EXPECT_EQ(v.at("a").array()[0].integer(), 1);
  EXPECT_EQ(v.at("b").object()[0].first, "c\n\"");
}

TEST(Json, WritesAsPython) {
  EXPECT_EQ(json::dump_real(0.1), "0.1");
  EXPECT_EQ(json::dump_real(1), "1.0");
  EXPECT_EQ(json::dump_real(-0.0), "-0.0");
  EXPECT_EQ(json::dump_real(1e15), "1000000000000000.0");
  EXPECT_EQ(json::dump_real(1e16), "1e+16");
  EXPECT_EQ(json::dump_real(0.0001), "0.0001");
  EXPECT_EQ(json::dump_real(0.00001234), "1.234e-05");
  EXPECT_EQ(json::dump_real(5e-324), "5e-324");
  EXPECT_EQ(json::dump_string("\xf0\x9f\x98\x80\x7f", true), R"("\ud83d\ude00\u007f")");
  json::style s;
  s.indent = 2;
  s.sort_keys = true;
  EXPECT_EQ(json::dump(json::parse(R"({"b":[1,{}],"a":""})"), s),
            "{\n  \"a\": \"\",\n  \"b\": [\n    1,\n    {}\n  ]\n}");
}

TEST(Json, RefusesWhatIsNoJson) {
  for (const char* text : {"", "{", "[1,]", "{\"a\":}", "nul", "\"\xff\"", "[1] 2", "01", "\"\\ud800\""})
    EXPECT_NE(message(text).find("x.json: not valid JSON"), std::string::npos) << text;
  EXPECT_EQ(message(R"({"a":1,"b":2,"a":3})"), "x.json: the key \"a\" occurs twice");
}

TEST(Json, RefusesDepthAndSize) {
  EXPECT_EQ(message(std::string(64, '[') + std::string(64, ']')), "accepted");
  EXPECT_EQ(message(std::string(66, '[') + std::string(66, ']')),
            "x.json: arrays and objects nested deeper than 64 levels");
  EXPECT_EQ(message(std::string(2'000'000, '[') + std::string(2'000'000, ']')),
            "x.json: arrays and objects nested deeper than 64 levels");
  json::limits l;
  l.bytes = 3;
  EXPECT_THROW(json::parse("[1, 2]", "x", l), format_error);
}

TEST(Json, NamesTheKindThatWasExpected) {
  const json::value v = json::parse("{\"a\": 1}");
  EXPECT_THROW(v.at("b"), format_error);
  EXPECT_THROW(v.at("a").string(), format_error);
  EXPECT_THROW(v.array(), format_error);
  EXPECT_EQ(v.find("b"), nullptr);
}

TEST(Json, PatchesOneMember) {
  EXPECT_EQ(json::patch("{\"a\": 1,  \"b\": [2, {\"x\": \"}\"}] ,\n\"c\":3 }", "b", "9"),
            "{\"a\": 1,  \"b\": 9 ,\n\"c\":3 }");
  EXPECT_EQ(json::patch("{\"a\":\"x\\\"y\",\"b\":null}\n", "a", "true"), "{\"a\":true,\"b\":null}\n");
  EXPECT_EQ(json::patch("{\n  \"a\": 1\n}", "b", "2"), "{\n  \"a\": 1,\n  \"b\": 2\n}");
  EXPECT_EQ(json::patch("{}", "b", "2"), "{\"b\": 2}");
  EXPECT_EQ(json::patch("{\"\\u0061\":1}", "a", "2"), "{\"\\u0061\":2}");
  EXPECT_THROW(json::patch("[]", "b", "2"), format_error);
}

}  // namespace
