// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/error.hpp>

#include <cstdint>

namespace ql::io {

// A file that cannot be opened, read or written; what() names the path and the system's reason.
class file_error : public error {
 public:
  using error::error;
  const char* id() const noexcept override { return "QL-E0301"; }
};

// A disk without room: what could not be written is not there, what was there before still is. After making room the
// same call may be tried again.
class disk_full_error : public file_error {
 public:
  // `needed` bytes of `what`, of which `missing` have no room in the folder.
  disk_full_error(const std::string& folder, std::string_view what, std::uint64_t needed, std::uint64_t missing)
      : file_error(folder + ": the disk is full: " + std::string(what) + " needs " + std::to_string(needed) +
                   " bytes, " + std::to_string(missing) +
                   " are missing; make room and continue, what was saved before is intact"),
        directory_(folder),
        needed_(needed),
        missing_(missing) {}

  const char* id() const noexcept override { return "QL-E0302"; }
  const std::string& directory() const { return directory_; }
  std::uint64_t needed_bytes() const { return needed_; }
  std::uint64_t missing_bytes() const { return missing_; }

 private:
  std::string directory_;
  std::uint64_t needed_, missing_;
};

// Bytes that are not what their format says: what() names the file or text, the place, the rule and the remedy.
class format_error : public error {
 public:
  using error::error;
  const char* id() const noexcept override { return "QL-E0303"; }
};

// A checkpoint that is damaged, is none, or holds something else than is wanted.
class checkpoint_error : public format_error {
 public:
  using format_error::format_error;
  const char* id() const noexcept override { return "QL-E0304"; }
};

}  // namespace ql::io
