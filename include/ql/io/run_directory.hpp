// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/error.hpp>
#include <ql/io/file.hpp>
#include <ql/io/tree.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace ql::io {

// A run directory that was made by another recipe.
class recipe_error : public error {
 public:
  recipe_error(const std::string& what, difference d) : error(what), difference_(static_cast<difference&&>(d)) {}
  const char* id() const noexcept override { return "QL-E0306"; }
  const difference& first_difference() const { return difference_; }

 private:
  difference difference_;
};

// The folder of one run, held by one process at a time.
//
// Opening makes the folder (for its owner alone) and writes recipe.json; or, where the folder holds a run, compares its
// recipe with the given one, leaf by leaf. Keys in `may_differ` (and what lies below them) may have changed; any other
// change throws recipe_error, naming the first key with its old and its new value. Throws file_error where the folder
// cannot be written, is used by another process, or belongs to somebody else in a folder that all may write.
class run_directory {
 public:
  run_directory(const file_path& path, const json::value& recipe, const std::vector<std::string>& may_differ = {});
  ~run_directory();
  run_directory(const run_directory&) = delete;
  run_directory& operator=(const run_directory&) = delete;

  // The folder held this recipe before.
  bool existed() const { return existed_; }
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
  int lock_ = -1;
  bool existed_ = false;
};

}  // namespace ql::io
