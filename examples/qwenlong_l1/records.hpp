// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/json.hpp>
#include <ql/io/text_writer.hpp>
#include <ql/scalar.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ql::tool {

// What is read line by line: JSON objects, one a line, plain or gzip ("-": standard input).
struct record {
  io::json::value::object_type fields;
  std::string place;  // FILE:LINE

  const io::json::value* find(std::string_view name) const;
  // Throws format_error where it is absent.
  const io::json::value& at(std::string_view name) const;
  // Takes `name` away and puts `result` at the end.
  void replace(std::string_view name, std::string_view by, io::json::value result);
  void put(std::string_view name, io::json::value v);
};

struct record_counts {
  std::int64_t good = 0, bad = 0;
};

// Calls use(record) for every line that is not blank. A line that is no JSON object, or for which `use` throws
// ql::error, is counted and named on standard error, and skipped; when more than one in a hundred are bad, it throws
// io::format_error at the end of the input (so that nothing is committed). Ends early, quietly, once interrupted().
record_counts for_each_record(const std::string& path, const std::function<void(record&)>& use);

// An array of token ids; throws format_error for anything else.
std::vector<token> token_list(const io::json::value& v);

// One JSON line.
void write_record(io::text_writer& out, const io::json::value::object_type& fields);

}  // namespace ql::tool
