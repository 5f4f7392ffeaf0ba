// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/file.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace ql::io {

// The lines of a text file or of a gzip file, one after another, in memory that does not depend on the file's size.
//   ql::io::line_reader in("rows.jsonl.gz");
//   for (std::string line; in.next(line);) ...
class line_reader {
 public:
  // "-" is standard input. Throws file_error where the file cannot be read. Lines of more than max_line bytes are not
  // kept.
  explicit line_reader(const file_path& path, std::size_t max_line = std::size_t{64} << 20);
  ~line_reader();
  line_reader(line_reader&& o) noexcept;
  line_reader& operator=(line_reader&& o) noexcept;

  // The next line without its end ("\n" or "\r\n"); false at the end of the file. Throws file_error or format_error,
  // naming the file, where it cannot be read on.
  bool next(std::string& line);
  // The line that next() gave, from 1.
  std::int64_t number() const { return number_; }
  // That line was longer than max_line: it is empty now.
  bool too_long() const { return too_long_; }
  const std::string& path() const { return path_; }

 private:
  struct state;
  state* state_ = nullptr;
  std::string path_;
  std::int64_t number_ = 0;
  bool too_long_ = false;
};

}  // namespace ql::io
