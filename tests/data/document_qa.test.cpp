// SPDX-License-Identifier: Apache-2.0
#include <ql/data/document_qa.hpp>
#include <ql/data/generator.hpp>
#include <ql/io/json.hpp>

#include "io/folder.hpp"
#include "support/data.hpp"

#include <gtest/gtest.h>

#include <set>

namespace {

using namespace ql::data;
using ql::io::format_error;
using strings = std::vector<std::string>;

constexpr const char* chat_row =
    R"x({"data_source": "musique_0_20000", "ability": "doc-qa", "prompt": [{"role": "user", "content": )x"
    R"x("Please read the following text and answer the question below.\n\n<text>\nA </text> B\nFormat your response as )x"
    R"x(follows: no\n</text>\n\nWho is it?\n\nFormat your response as follows: \"Therefore, the answer is (insert answer )x"
    R"x(here)\"."}], "reward_model": {"style": "rule", "ground_truth": "Therefore, the answer is Steve Jobs."}, )x"
    R"x("extra_info": {"index": 12}})x";

TEST(DocumentQa, ReadsTheSchemaOfItsOwn) {
  const auto e = parse_example(
      R"({"id": "a-1", "benchmark": "hotpotqa", "context": " text\n", "question": "\nWho? ", "answers": ["x", " y "],
          "cot": "because", "meta": {"hops": 2}, "source_repo": "any"})");
  EXPECT_EQ(e.id, "a-1");
  EXPECT_EQ(e.source, "hotpotqa");
  EXPECT_EQ(e.context, "text");
  EXPECT_EQ(e.question, "Who?");
  EXPECT_EQ(e.answers, (strings{"x", "y"}));
  EXPECT_EQ(e.reasoning, "because");
  EXPECT_EQ(e.meta, "{\"hops\": 2}");
  EXPECT_TRUE(e.messages.empty() && e.gold_sentence.empty());
}

TEST(DocumentQa, ReadsTheSchemaOfDocQaRl) {
  const auto e = parse_example(chat_row);
  EXPECT_EQ(e.id, "musique_0_20000-12");
  EXPECT_EQ(e.source, "musique_0_20000");
  EXPECT_EQ(e.context, "A </text> B\nFormat your response as follows: no");
  EXPECT_EQ(e.question, "Who is it?");
  EXPECT_EQ(e.answers, (strings{"Steve Jobs"}));
  EXPECT_EQ(e.gold_sentence, "Therefore, the answer is Steve Jobs.");
  ASSERT_EQ(e.messages.size(), 1u);
  EXPECT_EQ(e.messages[0].role, "user");
  // Its prompt is the one that the template makes of its parts.
  EXPECT_EQ(e.messages[0].content, prompt_template::qwenlong_l1().render(e.context, e.question));
}

TEST(DocumentQa, KnowsTypesAndBareAnswers) {
  EXPECT_EQ(answer_type_of("long_toc_choices_0_20000"), answer_type::choice);
  EXPECT_EQ(answer_type_of("docmath_v1"), answer_type::numeric);
  EXPECT_EQ(answer_type_of("multihoprag_v1"), answer_type::text);
  EXPECT_EQ(bare_answer("Therefore, the answer is 4.5."), "4.5");
  EXPECT_EQ(bare_answer("The correct answer is (B)"), "B");
  EXPECT_EQ(bare_answer("THE ANSWER IS: Par."), "Par");
  EXPECT_EQ(bare_answer("the answer is no. So the answer is (yes)"), "(yes)");
  EXPECT_EQ(bare_answer(" Paris. "), "Paris.");
}

TEST(DocumentQa, SaysWhatIsWrongWithARow) {
  const auto why = [](const char* row) {
    return ql::test::message_of<format_error>([&] { (void)parse_example(row); });
  };
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "not valid JSON", why("{"));
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "expected an object, got array", why("[]"));
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "\"context\" is missing", why(R"({"question": "q", "answers": ["a"]})"));
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "\"question\" is missing", why(R"({"context": "c", "answers": ["a"]})"));
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "\"question\" is empty",
                      why(R"({"context": "c", "question": " ", "answers": ["a"]})"));
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "\"answers\" is missing", why(R"({"context": "c", "question": "q"})"));
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "\"answers\" is empty",
                      why(R"({"context": "c", "question": "q", "answers": []})"));
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "\"answers\" is empty",
                      why(R"({"context": "c", "question": "q", "answers": ["\n"]})"));
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "expected an array, got string",
                      why(R"({"context": "c", "question": "q", "answers": "a"})"));
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "expected a text, got integer",
                      why(R"({"context": "c", "question": "q", "answers": [1]})"));
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "\"data_source\" is missing", why(R"({"reward_model": {}})"));
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "no message of the user",
                      why(R"({"reward_model": {}, "data_source": "s", "prompt": []})"));
  EXPECT_PRED_FORMAT2(
      testing::IsSubstring, "must hold <text>, </text>",
      why(R"({"reward_model": {}, "data_source": "s", "prompt": [{"role": "user", "content": "hi"}]})"));
  std::string no_gold = chat_row;
  no_gold.replace(no_gold.find("Therefore, the answer is Steve Jobs."), 36, "Therefore, the answer is .");
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "\"ground_truth\" is empty", why(no_gold.c_str()));
}

std::string row(const std::string& id, const std::string& question) {
  return R"({"id": ")" + id + R"(", "context": "c", "question": ")" + question + R"(", "answers": ["a"]})" + "\n";
}

TEST(DocumentQa, CountsAndNamesBadRows) {
  const ql::test::folder f;
  std::string rows;
  for (int i = 0; i < 150; ++i) rows += i == 70 ? "{}\n" : row(std::to_string(i), "q");
  rows += "\n  \n";
  const auto path = f.write("rows.jsonl", rows);
  const auto set = read_examples(path);
  EXPECT_EQ(set.examples.size(), 149u);
  EXPECT_EQ(set.report.rows, 150);
  EXPECT_EQ(set.report.bad, 1);
  EXPECT_EQ(set.report.first_bad, (strings{path.string() + ":71: \"context\" is missing"}));
  // At 1 % it ends.
  const auto bad = f.write("bad.jsonl", rows.substr(0, rows.find('\n', rows.find("{}")) + 1) + "nonsense\n");
  QL_EXPECT_MESSAGE(read_examples(bad), format_error, "2 of 72 rows are bad");
  QL_EXPECT_MESSAGE(read_examples(bad), format_error, bad.string() + ":72: row: not valid JSON");
  EXPECT_EQ(read_examples(bad, {.bad_share = 0.05}).examples.size(), 70u);
  QL_EXPECT_MESSAGE(read_examples(path, {.bad_share = 0}), format_error, "1 of 150 rows are bad");
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += "{}\n";
  const auto why = ql::test::message_of<format_error>([&] { (void)read_examples(f.write("many", many)); });
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "100000 of 100000 rows are bad", why);
  EXPECT_LT(why.size(), 3000u);
  QL_EXPECT_MESSAGE(read_examples(f.write("empty", "\n\n")), format_error, "holds no row");
  QL_EXPECT_MESSAGE(read_examples(f / "absent"), ql::io::file_error, "cannot open");
  QL_EXPECT_MESSAGE(read_examples(path, {.row_bytes = 60}), format_error, "longer than the limit of 60 bytes");
}

TEST(DocumentQa, NamesDuplicates) {
  const ql::test::folder f;
  const auto one = f.write("one", row("a", "q") + row("b", "q") + row("a", "q") + row("a", "other"));
  const auto two = f.write("two", row("b", "q") + row("a", "third") + row("c", "q") +
                                      "{\"context\": \"c\", \"question\": \"q\", \"answers\": [\"a\"]}\n");
  const auto set = read_examples({one.string(), two.string()});
  std::vector<std::string> ids;
  for (const auto& e : set.examples) ids.push_back(e.id);
  EXPECT_EQ(ids, (strings{"a", "b", "a#4", "a#2", "c", "row-4"}));
  EXPECT_EQ(set.report.duplicates, 2);
  EXPECT_EQ(set.report.renamed, 2);
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "one:3: the row of id \"a\" occurs again: left out",
                      set.report.first_duplicates[0]);
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "one:4: another row has the id \"a\": this one is now \"a#4\"",
                      set.report.first_duplicates[1]);
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "two:1: the row of id \"b\" occurs again", set.report.first_duplicates[2]);
  std::string thousand;
  for (int i = 0; i < 3000; ++i) thousand += row(std::to_string(i % 1000), "q");
  const auto third = read_examples(f.write("three", thousand));
  EXPECT_EQ(third.examples.size(), 1000u);
  EXPECT_EQ(third.report.duplicates, 2000);
  EXPECT_EQ(third.report.first_duplicates.size(), 10u);
}

TEST(DocumentQa, ReadsEveryPublicSet) {
  std::size_t all = 0;
  for (const auto& [file, n] : {std::pair("docqa/hotpotqa", 160),
                                {"docqa/musique", 160},
                                {"docqa/2wikimultihopqa", 160},
                                {"docqa/frames", 200},
                                {"docqa/narrativeqa", 26},
                                {"docqa/qasper", 97},
                                {"docqa/qasper_oracle", 150},
                                {"docqa/docmath_proxy_tatqa", 200},
                                {"docqa/docmath_proxy_financebench", 42},
                                {"docqa/nq_longpage", 30},
                                {"docqa/cuad_contracts", 20},
                                {"docqa/multidoc2dial", 30},
                                {"docqa/kv_retrieval", 40},
                                {"docqa/nq_open_oracle", 200},
                                {"sft/cot_warmup", 69}}) {
    example_reader in(ql::test::data_file(std::string(file) + ".jsonl.gz"));
    std::size_t here = 0;
    for (qa_example e; in.next(e); ++here) {
      EXPECT_FALSE(e.id.empty() || e.question.empty() || e.answers.empty());
      EXPECT_EQ(e.reasoning.empty(), !std::string(file).starts_with("sft"));
    }
    EXPECT_EQ(in.report().bad + in.report().duplicates + in.report().renamed, 0) << file;
    EXPECT_EQ(here, static_cast<std::size_t>(n)) << file;
    all += here;
  }
  EXPECT_EQ(all, 1584u);
}

// The same rows in both schemas say the same.
TEST(DocumentQa, SchemasAgree) {
  for (const auto* file : {"docqa/musique", "docqa/nq_longpage", "docqa/docmath_proxy_tatqa", "docqa/qasper"}) {
    for (const auto& e : read_examples(ql::test::data_file(std::string(file) + ".jsonl.gz")).examples) {
      using ql::io::json::value;
      const auto message = prompt_template::qwenlong_l1().render(e.context, e.question);
      const value row = value::object_type{
          {"data_source", e.source},
          {"prompt", value::array_type{value::object_type{{"role", "user"}, {"content", message}}}},
          {"reward_model", value::object_type{{"ground_truth", "Therefore, the answer is " + e.answers[0] + "."}}},
          {"id", e.id}};
      const auto same = parse_example(ql::io::json::dump(row));
      EXPECT_EQ(same.id, e.id);
      EXPECT_EQ(same.context, e.context);
      EXPECT_EQ(same.question, e.question);
      EXPECT_EQ(same.answers[0], e.answers[0]);
      EXPECT_EQ(parse_example(row_of(e)), e);
    }
  }
}

TEST(DocumentQa, GeneratedQuestionsAreExamples) {
  generator_config c;
  c.kinds = {1, 1, 1, 1, 1, 1};
  c.questions = 6;
  const auto d = generate(c, {.seed = 7, .of = split::test, .index = 3});
  std::set<std::string> ids;
  for (const auto& q : d.questions) {
    const auto e = example_of(d, q);
    EXPECT_TRUE(ids.insert(e.id).second);
    EXPECT_EQ(parse_example(row_of(e)), e);
    EXPECT_EQ(e.answers, q.answers);
    const auto meta = ql::io::json::parse(e.meta);
    EXPECT_EQ(meta.at("type").string(), name_of(q.kind));
    EXPECT_EQ(meta.at("evidence").array().size(), q.evidence.size());
    for (const auto& s : meta.at("evidence").array()) {
      EXPECT_PRED_FORMAT2(testing::IsSubstring, s.string(), e.context);
      EXPECT_PRED_FORMAT2(testing::IsSubstring, s.string(), e.reasoning);
    }
  }
}

}  // namespace
