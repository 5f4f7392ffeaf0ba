// SPDX-License-Identifier: Apache-2.0
#pragma once

// Questions about documents: rows of JSON Lines files, the prompt made of them, and what is too long.

#include <ql/io/file.hpp>
#include <ql/io/lines.hpp>
#include <ql/scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ql::text {
class tokenizer;
class chat_template;
}  // namespace ql::text

namespace ql::data {

struct message {
  std::string role, content;
  friend bool operator==(const message&, const message&) = default;
};

// How an answer is compared.
enum class answer_type : std::uint8_t { text, numeric, choice };
// By the name of its source, as released: long_toc_choices is a choice, docmath is numeric, the rest text.
answer_type answer_type_of(std::string_view source);

struct qa_example {
  std::string id;                    // unique in a data set
  std::string source;                // "benchmark" or "data_source"
  std::string context, question;     // without white space around
  std::vector<std::string> answers;  // alternatives of one answer (of several spans where meta says so), one at least
  std::string gold_sentence;         // DocQA-RL's ground truth as it is stored: "Therefore, the answer is 4."
  std::vector<message> messages;     // DocQA-RL's prompt as it stands; empty where a template makes it
  std::string reasoning;             // "cot" of rows for supervised training
  std::string meta;                  // "meta" or "extra_info", as JSON

  friend bool operator==(const qa_example&, const qa_example&) = default;
};

// Reads one row of either schema:
//   {id, benchmark, context, question, answers: [...], cot?, meta?}
//   {data_source, prompt: [{role, content}], reward_model: {ground_truth}, extra_info?: {index}, id?}
// In the second, context and question are cut out of the user's message, which must hold <text>, </text> and the line
// "Format your response as follows:"; of each the outermost counts, so that a document may hold them too. A missing id
// is left empty. Throws io::format_error that says what is wrong with the row.
qa_example parse_example(std::string_view json);

// The row of an example in the first schema; reads back as the same example but for gold_sentence and messages.
std::string row_of(const qa_example& e);

// A question of a generated document in English; meta has its kind, key, evidence and chain of reasoning.
struct generated_document;
struct generated_question;
qa_example example_of(const generated_document& d, const generated_question& q);

// The answer of a sentence: "Therefore, the answer is 4." and "The correct answer is (B)" give "4" and "B"; a text
// without such words is the answer itself.
std::string bare_answer(std::string_view sentence);

struct reading_options {
  std::size_t row_bytes = std::size_t{64} << 20;  // a longer row is bad
  double bad_share = 0.01;                        // reading ends in an error from this share of bad rows on
};

// What became of the rows of one file or several. Of bad rows and duplicates the first ten are named.
struct reading_report {
  std::int64_t rows = 0, bad = 0, duplicates = 0, renamed = 0;
  std::vector<std::string> first_bad;         // "train.jsonl:17: \"answers\" is empty"
  std::vector<std::string> first_duplicates;  // "train.jsonl:18: the id \"a\" occurs again: left out"

  friend bool operator==(const reading_report&, const reading_report&) = default;
};

// A stream of examples from files, one after another, in memory of one row and some 32 bytes for each row read. Rows
// that cannot be read are counted, named and left out, and so is a row that was there before, word for word. Another
// row of the same id is named and gets its place added to its id ("a#18"); a row without an id gets source, index or
// line number ("musique-12").
class example_reader {
 public:
  explicit example_reader(const io::file_path& path, const reading_options& options = {});
  explicit example_reader(std::vector<io::file_path> paths, const reading_options& options = {});
  // False at the end. Throws io::format_error there if bad_share of the rows or more are bad, listing the first, or if
  // there is no row at all.
  bool next(qa_example& e);
  const reading_report& report() const { return report_; }

 private:
  struct seen_row {
    std::uint64_t id, row;
    friend bool operator==(const seen_row&, const seen_row&) = default;
  };
  bool seen(qa_example& e, const std::string& where);
  void insert(seen_row row);
  void finish() const;
  std::vector<io::file_path> paths_;
  std::size_t path_ = 0;
  std::vector<io::line_reader> in_;  // none or one
  reading_options options_;
  reading_report report_;
  std::string line_;
  std::vector<seen_row> table_;  // open addressing, a power of two; {0, 0} is free
  std::size_t used_ = 0;
};

struct data_set {
  std::vector<qa_example> examples;
  reading_report report;
};
// All rows at once; ids are unique over all files.
data_set read_examples(std::vector<io::file_path> paths, const reading_options& options = {});
data_set read_examples(const io::file_path& path, const reading_options& options = {});

// A text with {context} and {question}, each exactly once: argument_error otherwise, for a prompt without its question
// teaches nothing. Both are filled in without white space around; braces that they hold stay as they are.
class prompt_template {
 public:
  explicit prompt_template(std::string_view text);
  // QwenLong-L1's prompt for free text and numbers, and the same for multiple choice.
  static prompt_template qwenlong_l1();
  static prompt_template qwenlong_l1_choice();

  const std::string& text() const { return text_; }
  std::string render(std::string_view context, std::string_view question) const;
  friend bool operator==(const prompt_template&, const prompt_template&) = default;

 private:
  std::string text_;
};

// The messages that ask for the answer: the row's own, or one of the user made with the template.
std::vector<message> messages_of(const qa_example& e, const prompt_template& t);

// The prompt as the model reads it: the messages in the model's chat template, with the suffix that begins an answer;
// without a chat template the user's message alone. Throws argument_error where the question is not in it any more.
struct prompt_text {
  std::string text;
  bool opens_thinking = false;  // ends with an opened <think>
};
prompt_text render_prompt(const qa_example& e, const prompt_template& t, const text::chat_template* chat = nullptr);

// The first limit / 2 ids and the last limit - limit / 2; all where there are no more than limit.
//   truncate_middle({1, 2, 3, 4, 5}, 2)   is {1, 5}
std::vector<token> truncate_middle(std::span<const token> ids, std::int64_t limit);
// The same with a text, by way of its tokens, special ones left out, as the released evaluation does with a message.
std::string truncate_middle(const text::tokenizer& tokenizer, std::string_view text, std::int64_t limit);

// Of a prompt in tokens, as the model reads it.
struct length_limits {
  std::int64_t longer_than = 0;
  std::int64_t at_most = 60'000;
  enum class excess : std::uint8_t { drop, truncate } too_long = excess::drop;
};

// What the name of a special token means in a document or question ("<|im_end|>"): text like any other, so that no
// document can end its turn, or the token, as the Hugging Face tokenizers have it.
enum class special_names : std::uint8_t { text, tokens };

// An example that is ready for the policy.
struct tokenized_prompt {
  std::size_t example = 0;  // its place in the data set
  std::vector<token> ids;
  std::int64_t length = 0;  // before truncation
  bool opens_thinking = false;
};

struct prompt_set {
  std::vector<tokenized_prompt> prompts;
  std::int64_t too_short = 0, too_long = 0, truncated = 0;
  std::int64_t disarmed = 0;  // prompts whose document, question or message held the name of a special token
};

// Prompts of all examples within the limits, in order. What is too long is left out, or else its user's message is
// truncated in the middle to at_most tokens (the chat template comes on top, as released); where that cuts the question
// away it throws argument_error. So it does where nothing is left, and says how long the prompts are.
prompt_set tokenize(std::span<const qa_example> examples, const prompt_template& t, const text::chat_template* chat,
                    const text::tokenizer& tokenizer, const length_limits& limits, unsigned threads = 0,
                    special_names names = special_names::text);

}  // namespace ql::data
