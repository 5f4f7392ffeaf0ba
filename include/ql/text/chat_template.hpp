// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/error.hpp>
#include <ql/io/json.hpp>
#include <ql/io/shared.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ql::text {

// A template that is malformed, uses what is not supported, raises, or exceeds its budget.
class template_error : public error {
 public:
  template_error(const std::string& message, int line) : error(message), line_(line) {}
  const char* id() const noexcept override { return "QL-E0307"; }
  int line() const { return line_; }  // of the template, from 1; 0: none

 private:
  int line_;
};

struct template_limits {
  std::int64_t steps = 1'000'000;                     // statements and expressions evaluated
  std::size_t output = std::size_t{16} << 20;         // bytes of the rendered text
  std::size_t intermediate = std::size_t{256} << 20;  // bytes of values made on the way, above 64 times the input's
};

struct render_options {
  bool add_generation_prompt = true;
  const io::json::value* tools = nullptr;    // an array; absent: undefined in the template
  io::json::value::object_type variables{};  // enable_thinking, date_string, ...; these win over the tokenizer's
  std::optional<std::int64_t> now{};         // seconds since 1970 (UTC) for strftime_now, which is an error without
};

struct rendered_prompt {
  std::string text;
  // The text ends with an opened reasoning section (white space aside), so that the answer holds only its end tag.
  bool opens_thinking = false;
};

// A chat template: Jinja as Hugging Face's transformers sets it up (trim_blocks, lstrip_blocks, loop controls, tojson,
// raise_exception, strftime_now, generation blocks), as an interpreter of its own: a template reaches the given
// variables and nothing else, and its steps and memory are limited. What is outside the supported subset (imports,
// inheritance, call blocks, recursive loops, rarer filters) throws template_error with its name and line.
//   ql::text::chat_template t("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}");
//   t.render(ql::io::json::parse(R"([{"role": "user", "content": "Hi"}])")).text   is "<user>Hi"
class chat_template {
 public:
  explicit chat_template(std::string_view source, std::string_view what = "chat template",
                         const template_limits& limits = {});
  // chat_template.jinja of a model folder, or the template of its tokenizer_config.json (of that name, where there are
  // several), with the special tokens of tokenizer_config.json as variables.
  static chat_template from_directory(const std::string& directory, std::string_view name = "default",
                                      const template_limits& limits = {});

  const std::string& source() const;
  // Variables of every rendering: bos_token, eos_token, ...
  io::json::value::object_type variables;

  // `messages`: an array of {"role": ..., "content": ...}.
  rendered_prompt render(const io::json::value& messages, const render_options& options = {},
                         std::string_view thinking_open = "<think>") const;
  // With exactly the given variables.
  std::string render_variables(const io::json::value::object_type& all,
                               std::optional<std::int64_t> now = std::nullopt) const;

  struct program;

 private:
  io::detail::shared<program> program_;
};

}  // namespace ql::text
