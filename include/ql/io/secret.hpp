// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/error.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace ql::io {

// An API key. It is read from "env:NAME" or "file:PATH" and nowhere else, is never part of a message or of a
// configuration's text, and is handed out by reveal() alone.
class secret {
 public:
  secret() = default;
  // `where` is "env:NAME", "file:PATH", or empty for no key. The file must be a regular file of this user (or of root)
  // that nobody else may read (0600 or less). Throws file_error and argument_error; their texts name the place, not
  // the content.
  static secret read(std::string_view where);

  bool empty() const { return text_.empty(); }
  std::string_view reveal() const { return text_; }

 private:
  explicit secret(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace ql::io
