// SPDX-License-Identifier: Apache-2.0
// sources: document_qa document_generator phrase_vocabulary lines file json
// sources: chat_template jinja_parse jinja_render unicode tokenizer bpe pattern
#include <ql/data/document_qa.hpp>
#include <ql/io/error.hpp>

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto e = ql::data::parse_example(text);
    if (e.question.empty() || e.answers.empty()) __builtin_trap();
    const auto prompt = ql::data::render_prompt(e, ql::data::prompt_template::qwenlong_l1());
    if (prompt.text.find(e.question) == std::string::npos) __builtin_trap();
    auto again = ql::data::parse_example(ql::data::row_of(e));
    again.gold_sentence = e.gold_sentence;
    again.messages = e.messages;
    if (again != e) __builtin_trap();
  } catch (const ql::io::format_error&) {
  }
  return 0;
}
