// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/file.hpp>

#include <string_view>

namespace ql::io {

// Text that goes to a file: gzip where the name ends in .gz, standard output where it is "-". A file appears under its
// name only at commit(); without that nothing is left behind.
class text_writer {
 public:
  explicit text_writer(const file_path& path);
  ~text_writer();
  text_writer(const text_writer&) = delete;
  text_writer& operator=(const text_writer&) = delete;

  void write(std::string_view text);
  void commit();

 private:
  struct state;
  state* state_;
};

}  // namespace ql::io
