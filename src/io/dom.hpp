// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/json.hpp>

#include <simdjson.h>

namespace ql::io::json::detail {

// A parsed text and what keeps it alive. Throws format_error.
struct document {
  simdjson::dom::parser parser;
  simdjson::padded_string text;
  simdjson::dom::element root;

  document(std::string_view source, std::string_view what, const limits& l = {});
  document(const document&) = delete;
  document& operator=(const document&) = delete;
};

value convert(simdjson::dom::element e, std::string_view what);

}  // namespace ql::io::json::detail
