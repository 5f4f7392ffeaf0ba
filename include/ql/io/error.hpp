// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/error.hpp>

namespace ql::io {

// A file that cannot be opened, read or written; what() names the path and the system's reason.
class file_error : public error {
 public:
  using error::error;
};

// Bytes that are not what their format says: what() names the file or text, the place, the rule and the remedy.
class format_error : public error {
 public:
  using error::error;
};

}  // namespace ql::io
