// SPDX-License-Identifier: Apache-2.0
#pragma once

// What to do about each error, by the id that ql::error::id() gives: docs/errors.md.

#include <span>
#include <string>
#include <string_view>

namespace ql::io {

struct error_entry {
  const char* id;      // QL-E0302
  const char* type;    // ql::io::disk_full_error
  const char* what;    // what has happened
  const char* cause;   // why, most often
  const char* remedy;  // what to do
};

// Every entry, ascending by id.
std::span<const error_entry> error_guide();

// The entry of an id, in any case of letters, with or without "QL-"; null where there is none.
const error_entry* find_error(std::string_view id);

// An entry, and the whole page, in Markdown.
std::string text_of(const error_entry& e);
std::string error_page();

}  // namespace ql::io
