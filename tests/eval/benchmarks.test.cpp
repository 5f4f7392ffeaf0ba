// SPDX-License-Identifier: Apache-2.0
#include <ql/data/document_qa.hpp>
#include <ql/eval/benchmarks.hpp>

#include <gtest/gtest.h>

#include <map>

#include "io/folder.hpp"
#include "support/data.hpp"

namespace {
using namespace ql::eval;
using ql::io::format_error;
using ql::rl::answer_kind;

// Rows as LongBench publishes them, one for each of its five sets.
std::string longbench_row(const std::string& set, const std::string& answers, const std::string& id) {
  return R"({"input": " Who built the mill? ", "context": "\nPassage 1:\nThe mill\nAda built the mill.\n", "answers": )" +
         answers + R"(, "length": 9, "dataset": ")" + set + R"(", "language": "en", "all_classes": null, "_id": ")" +
         id + "\"}\n";
}

TEST(Benchmarks, LongBench) {
  ql::test::folder f;
  std::string rows;
  for (const char* set : {"2wikimqa", "hotpotqa", "musique", "narrativeqa", "qasper"})
    rows += longbench_row(set, R"(["Ada", "Ada the miller"])", std::string(set) + "-1");
  const auto path = f.write("test.jsonl", rows);
  EXPECT_EQ(detect_layout(path), layout::longbench);
  const auto l = load_benchmark(path, layout::longbench);
  ASSERT_EQ(l.items.size(), 5u);
  EXPECT_EQ(l.rows, 5);
  EXPECT_EQ(l.bad, 0);
  EXPECT_EQ(l.items[0].benchmark, "2wikimultihopqa");
  EXPECT_EQ(l.items[4].benchmark, "qasper");
  const auto& i = l.items[1];
  EXPECT_EQ(i.benchmark, "hotpotqa");
  EXPECT_EQ(i.id, "hotpotqa-1");
  EXPECT_EQ(i.question, "Who built the mill?");
  EXPECT_EQ(i.context, "Passage 1:\nThe mill\nAda built the mill.");
  EXPECT_EQ(i.gold, (std::vector<std::string>{"Ada", "Ada the miller"}));
  EXPECT_EQ(i.kind, answer_kind::text);
  EXPECT_EQ(i.document, l.items[0].document);  // the same context
  EXPECT_EQ(i.document, document_name(i.context));
}

TEST(Benchmarks, Frames) {
  ql::test::folder f;
  const auto path = f.write(
      "frames.jsonl",
      R"({"Unnamed: 0": 7, "Prompt": "How old was Ada when the mill burnt?", "Answer": "37", "reasoning_types": "Temporal reasoning", "wiki_links": "['https://example.org/a']", "wiki_items": [{"title": "Ada", "text": "Ada was born in 1800."}, {"title": "The mill", "text": "It burnt in 1837."}]})"
      "\n"
      R"({"Prompt": "In which year?", "Answer": 1837, "wiki_items": [{"title": "The mill", "text": "It burnt in 1837."}]})"
      "\n");
  EXPECT_EQ(detect_layout(path), layout::frames);
  const auto l = load_benchmark(path, layout::frames);
  ASSERT_EQ(l.items.size(), 2u);
  EXPECT_EQ(l.items[0].benchmark, "frames");
  EXPECT_EQ(l.items[0].id, "7");
  EXPECT_EQ(l.items[0].context, "Ada\nAda was born in 1800.\nThe mill\nIt burnt in 1837.");
  EXPECT_EQ(l.items[0].gold, std::vector<std::string>{"37"});
  EXPECT_EQ(l.items[1].id, "2");  // the line
  EXPECT_EQ(l.items[1].gold, std::vector<std::string>{"1837"});
}

TEST(Benchmarks, FramesWithoutDocumentsIsNamed) {
  ql::test::folder f;
  const auto path = f.write("frames.jsonl", R"({"Prompt": "q", "Answer": "a", "wiki_links": "[]"})");
  QL_EXPECT_MESSAGE(load_benchmark(path, layout::frames), format_error, "links instead of documents");
}

TEST(Benchmarks, DocMath) {
  ql::test::folder f;
  // one array, as it is published; ground truths are numbers and truth values
  const auto path = f.write(
      "complong_testmini.json",
      R"([{"question_id": "complong-testmini-0", "source": "x", "question": "What is the total?", "paragraphs": ["Sales were 10.", "| a | b |"], "table_evidence": [1], "paragraph_evidence": [0], "python_solution": "def solution(): return 32.5", "ground_truth": 32.5},
          {"question_id": "complong-testmini-1", "question": "Did it rise?", "paragraphs": ["Yes."], "ground_truth": true},
          {"question_id": "complong-testmini-2", "question": "How many?", "paragraphs": ["Many."], "ground_truth": 1000000},
          {"question_id": "complong-testmini-3", "question": "How many?", "paragraphs": ["Many."], "ground_truth": "2.50"}])");
  EXPECT_EQ(detect_layout(path), layout::docmath);
  const auto l = load_benchmark(path, layout::docmath, {.benchmark = "docmath"});
  ASSERT_EQ(l.items.size(), 4u);
  EXPECT_EQ(l.items[0].benchmark, "docmath");
  EXPECT_EQ(l.items[0].id, "complong-testmini-0");
  EXPECT_EQ(l.items[0].context, "Sales were 10.\n| a | b |");
  EXPECT_EQ(l.items[0].gold, std::vector<std::string>{"32.5"});
  EXPECT_EQ(l.items[0].kind, answer_kind::numeric);
  EXPECT_EQ(l.items[1].gold, std::vector<std::string>{"True"});
  EXPECT_EQ(l.items[1].kind, answer_kind::text);
  EXPECT_EQ(l.items[2].gold, std::vector<std::string>{"1000000"});
  EXPECT_EQ(l.items[3].gold, std::vector<std::string>{"2.50"});
  const auto numbered = load_benchmark(path, layout::docmath, {.number_paragraphs = true});
  EXPECT_EQ(numbered.items[0].context, "0: Sales were 10.\n1: | a | b |");
  EXPECT_EQ(numbered.items[0].benchmark, "complong_testmini");

  const std::vector<std::string> prompts{"Read: Sales were 10.\n| a | b | and say: What is the total?", "How many?"};
  const auto kept = restricted_to(l.items, prompts);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].id, "complong-testmini-0");
}

TEST(Benchmarks, BadRowsAreCountedAndNamed) {
  ql::test::folder f;
  std::string rows;
  for (int i = 0; i < 199; ++i) rows += longbench_row("hotpotqa", R"(["Ada"])", std::to_string(i));
  const auto good_enough = f.write("a.jsonl", rows + "{\"input\": \"q\"}\n");
  const auto l = load_benchmark(good_enough, layout::longbench);
  EXPECT_EQ(l.items.size(), 199u);
  EXPECT_EQ(l.bad, 1);
  ASSERT_EQ(l.problems.size(), 1u);
  EXPECT_NE(l.problems[0].find("a.jsonl:200: no \"context\""), std::string::npos) << l.problems[0];

  QL_EXPECT_MESSAGE(load_benchmark(f.write("b.jsonl", rows + "not JSON\n{}\n{}\n"), layout::longbench), format_error,
                    "3 of 202 rows");
  QL_EXPECT_MESSAGE(load_benchmark(f.write("c.jsonl", longbench_row("qasper", "[]", "1")), layout::longbench),
                    format_error, "no answer");
  QL_EXPECT_MESSAGE(load_benchmark(f.write("d.jsonl", longbench_row("qasper", "[\"a\"]", "1") +
                                                          longbench_row("qasper", "[\"a\"]", "1")),
                                   layout::longbench),
                    format_error, "two rows have the id \"1\"");
  QL_EXPECT_MESSAGE(load_benchmark(f.write("e.jsonl", "\n\n"), layout::longbench), format_error, "no rows");
  QL_EXPECT_MESSAGE(detect_layout(f.write("g.jsonl", R"({"prompt": 1, "label": 2})")), format_error,
                    "the first row has the members prompt, label");
  QL_EXPECT_MESSAGE(load_benchmark(f.write("h.jsonl", rows), layout::longbench, {.longest_row = 100}), format_error,
                    "a row of more than 100 bytes");
  EXPECT_THROW(load_benchmark(f / "absent.jsonl", layout::frames), ql::io::file_error);
}

TEST(Benchmarks, Proxies) {
  EXPECT_EQ(proxy_name("hotpotqa"), "hotpotqa_proxy");
  EXPECT_EQ(proxy_name("docmath_proxy_tatqa"), "docmath_proxy_tatqa");
  EXPECT_EQ(proxy_name("qasper_oracle"), "qasper_oracle_proxy");
  EXPECT_EQ(proxy_name("kv_retrieval"), "kv_retrieval");
  EXPECT_TRUE(is_proxy(proxy_name("musique")));
  EXPECT_FALSE(is_proxy("musique"));
}

TEST(Benchmarks, EverySetOfTheTestData) {
  std::map<std::string, std::pair<std::size_t, std::size_t>> sets;  // items, of which numeric
  for (const char* name : {"2wikimultihopqa", "cuad_contracts", "docmath_proxy_financebench", "docmath_proxy_tatqa",
                           "frames", "hotpotqa", "kv_retrieval", "multidoc2dial", "musique", "narrativeqa",
                           "nq_longpage", "nq_open_oracle", "qasper", "qasper_oracle"}) {
    const auto read = ql::data::read_examples(ql::test::data_file("docqa/" + std::string(name) + ".jsonl.gz"));
    EXPECT_EQ(read.report.bad, 0) << name;
    for (const auto& i : items_of(read.examples)) {
      auto& s = sets[i.benchmark];
      ++s.first;
      s.second += i.kind == answer_kind::numeric ? 1u : 0u;
      EXPECT_FALSE(i.gold.empty());
    }
  }
  using row = std::pair<std::size_t, std::size_t>;
  EXPECT_EQ(sets.size(), 14u);
  EXPECT_EQ(sets["hotpotqa_proxy"], row(160, 0));
  EXPECT_EQ(sets["qasper_proxy"].first, 97u);
  EXPECT_EQ(sets["qasper_oracle_proxy"].first, 150u);
  EXPECT_EQ(sets["narrativeqa_summary_proxy"].first, 26u);
  EXPECT_EQ(sets["frames_closed_book_proxy"].first, 200u);
  EXPECT_EQ(sets["docmath_proxy_tatqa"], row(200, 200));
  EXPECT_EQ(sets["kv_retrieval"], row(40, 0));
  EXPECT_GT(sets["docmath_proxy_financebench"].second, 5u);   // figures
  EXPECT_LT(sets["docmath_proxy_financebench"].second, 42u);  // and sentences
}
}  // namespace
