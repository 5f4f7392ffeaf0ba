// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/text/chat_template.hpp>

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ql::text::jinja {

struct expression;
using expression_ptr = std::unique_ptr<expression>;

struct argument {
  std::string name;  // empty: positional; "*", "**": a list or dict of them
  expression_ptr value;
};

struct expression {
  enum class kind {
    none,
    boolean,
    integer,
    real,
    string,
    name,
    list,
    tuple,
    dict,       // dict: keys and values alternate in `parts`
    attribute,  // parts[0].text
    item,       // parts[0][parts[1]]
    slice,      // parts[0][parts[1]:parts[2]:parts[3]], absent ones null
    call,
    filter,
    test,  // parts[0] with arguments; text: the filter's or test's name; truth: negated test
    negate,
    plus,
    logical_not,
    binary,   // text: + - * / // % ** ~
    compare,  // parts[0] then (operators[i], parts[i + 1])
    logical_and,
    logical_or,
    conditional,  // parts[0] if parts[1] else parts[2] (may be null)
  } what;
  int line = 0;
  int depth = 1;
  std::string text{};
  std::int64_t number = 0;
  double real = 0;
  bool truth = false;
  std::vector<expression_ptr> parts{};
  std::vector<argument> arguments{};
  std::vector<std::string> operators{};
};

struct statement;
using block = std::vector<std::unique_ptr<statement>>;

struct branch {
  expression_ptr condition;  // null: else
  block body;
};

struct statement {
  enum class kind {
    text,
    output,
    branches,
    loop,
    set,
    set_block,
    macro,
    loop_break,
    loop_continue,
    scope,
    filter
  } what;
  int line = 0;
  std::string text{};                      // text; macro's name; set: namespace attribute
  std::vector<std::string> targets{};      // set, loop; macro's parameters
  bool unpack = false;                     // targets is a tuple
  expression_ptr value{};                  // output, set, loop
  expression_ptr condition{};              // loop's filter
  std::vector<expression_ptr> defaults{};  // of the last parameters; scope: values of targets
  std::vector<branch> branches{};
  block body{};
  block otherwise{};  // of a loop
};

// Throws template_error.
block parse(std::string_view source, const std::string& what);

bool is_known_filter(std::string_view name);
bool is_known_test(std::string_view name);

std::string render(const block& program, const std::string& what, const template_limits& limits,
                   const io::json::value::object_type& variables, std::optional<std::int64_t> now);

}  // namespace ql::text::jinja
