// SPDX-License-Identifier: Apache-2.0
#pragma once

// The seven benchmarks of QwenLong-L1 in the layouts in which they are published, as items. The sets of documents and
// questions that only stand in for them come through ql/data/document_qa.hpp and are called proxies.

#include <ql/eval/item.hpp>
#include <ql/io/file.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ql::data {
struct qa_example;
}

namespace ql::eval {

struct benchmark_facts {
  std::string_view name;
  std::int64_t items;             // that the paper evaluates
  std::string_view in_longbench;  // what LongBench calls it; empty: not of LongBench
};
// arXiv 2505.17667, table 3.
inline constexpr benchmark_facts the_seven[] = {
    {"docmath", 200, ""},          {"frames", 824, ""},         {"2wikimultihopqa", 200, "2wikimqa"},
    {"hotpotqa", 200, "hotpotqa"}, {"musique", 200, "musique"}, {"narrativeqa", 200, "narrativeqa"},
    {"qasper", 200, "qasper"}};

// The name of what is not the benchmark itself: "hotpotqa" becomes "hotpotqa_proxy", and so does every name that begins
// with that of one of the seven and does not say so yet. Other names stay.
//   proxy_name("qasper_oracle")   is "qasper_oracle_proxy"
std::string proxy_name(std::string_view name);

enum class layout : std::uint8_t {
  longbench,  // {input, context, answers[], dataset, _id, ...}
  frames,     // {Prompt, Answer, wiki_items[{title, text}]}
  docmath,    // {question_id, question, paragraphs[], ground_truth, ...}
};
std::string_view name_of(layout l);

struct load_options {
  std::string benchmark{};  // the name where the rows do not say it; empty: the file's name, up to its first dot
  bool number_paragraphs =
      false;  // docmath: "i: text" for each paragraph, as in the paper's case study; the released code joins them bare
  double bad_share = 0.01;                          // more bad rows than this are an error
  std::size_t longest_row = std::size_t{64} << 20;  // bytes
};

struct loaded {
  std::vector<item> items;
  std::int64_t rows = 0, bad = 0;
  std::vector<std::string> problems;  // of the first 20 bad rows: "FILE:LINE: what"
};

// Reads a file of one layout: JSON Lines, plain or gzip, or one JSON array. Contexts are put together as the released
// code does it: DocMath's paragraphs, and title and text of FRAMES' pages, one a line. A row that lacks a question, an
// answer or its documents is counted and named; too many of them throw io::format_error.
loaded load_benchmark(const io::file_path& path, layout l, const load_options& options = {});

// Rows of documents and questions (ql/data/document_qa.hpp) as items. The name is proxy_name(source), with what meta's
// "context_kind" says of the document, so that different tasks are not one: "qasper_oracle_proxy" (the evidence alone),
// "narrativeqa_summary_proxy", "frames_closed_book_proxy". The kind of answer goes by the source, but a sentence of
// gold in a set of numbers is text. The evidence is meta's "evidence_sentences"; answers that are spans
// ("answers_are_spans") may also be given all together.
item item_of(const data::qa_example& e);
std::vector<item> items_of(std::span<const data::qa_example> examples);

// The layout of a file, by the members of its first row; throws io::format_error where it is none of them.
layout detect_layout(const io::file_path& path);

// The items whose question and context both stand in some prompt of a list: how the paper's 200 DocMath items are
// picked from their four files.
std::vector<item> restricted_to(std::span<const item> items, std::span<const std::string> prompts);

// A name for a document by its text: the same for the same text.
std::string document_name(std::string_view context);

}  // namespace ql::eval
