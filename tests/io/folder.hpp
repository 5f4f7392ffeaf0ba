// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace ql::test {

// A folder of the running test, removed at its end.
class folder {
 public:
  folder() {
    std::string name = (std::filesystem::temp_directory_path() / "ql-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// What f throws as Error; "nothing thrown" otherwise.
template <class Error, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing thrown";
}

}  // namespace ql::test

// The message of an Error that the expression throws holds the text.
#define QL_EXPECT_MESSAGE(expression, Error, text) \
  EXPECT_PRED_FORMAT2(testing::IsSubstring, text, ql::test::message_of<Error>([&] { (void)(expression); }))
