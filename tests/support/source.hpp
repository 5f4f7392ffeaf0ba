// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace ql::test {

// A file of the repository, such as source_file("tests/golden/transformers"): in the folder that QL_TEST_SOURCE_DIR
// names (ctest sets it), or else in one above the working directory. Throws where there is none.
inline std::filesystem::path source_file(const std::string& relative) {
  namespace fs = std::filesystem;
  if (const char* root = std::getenv("QL_TEST_SOURCE_DIR")) {
    if (fs::exists(fs::path(root) / relative)) return fs::path(root) / relative;
  } else {
    for (fs::path at = fs::current_path(); at.has_relative_path(); at = at.parent_path())
      if (fs::exists(at / relative)) return at / relative;
  }
  throw std::runtime_error(relative + " is not found; set QL_TEST_SOURCE_DIR to the repository");
}

}  // namespace ql::test
