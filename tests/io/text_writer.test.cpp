// SPDX-License-Identifier: Apache-2.0
#include <ql/io/lines.hpp>
#include <ql/io/text_writer.hpp>

#include "io/folder.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace {

using ql::io::line_reader;
using ql::io::text_writer;

std::vector<std::string> lines_of(const std::string& path) {
  line_reader in(path);
  std::vector<std::string> all;
  for (std::string line; in.next(line);) all.push_back(line);
  return all;
}

TEST(TextWriter, WhatIsWrittenIsRead) {
  const ql::test::folder f;
  std::string text;
  std::vector<std::string> wanted;
  for (int i = 0; i < 3000; ++i) {
    wanted.push_back(std::to_string(i) + std::string(static_cast<std::size_t>(i % 700), 'x'));
    text += wanted.back() + "\n";
  }
  wanted.emplace_back(1'500'000, 'y');  // longer than any block
  text += wanted.back() + "\n";
  for (const char* name : {"plain", "packed.gz"}) {
    text_writer out(f / name);
    for (std::size_t at = 0; at < text.size(); at += 10'007) out.write(std::string_view(text).substr(at, 10'007));
    EXPECT_FALSE(exists(f / name));
    out.commit();
    EXPECT_EQ(lines_of(f / name), wanted) << name;
    EXPECT_EQ(ql::io::read_file(f / name), text);
  }
  EXPECT_EQ(ql::test::bytes_of(f / "plain"), text);
  EXPECT_LT(file_size(f / "packed.gz"), text.size() / 10);
}

TEST(TextWriter, WithoutCommitNothingIsLeft) {
  const ql::test::folder f;
  {
    text_writer(f / "a.gz").write("text");
  }
  EXPECT_TRUE(std::filesystem::is_empty(f.path()));
}

TEST(TextWriter, SameTextSameGzipBytes) {
  const ql::test::folder f;
  for (const char* name : {"a.gz", "b.gz"}) {
    text_writer out(f / name);
    out.write("one\ntwo\n");
    out.commit();
  }
  EXPECT_EQ(ql::test::bytes_of(f / "a.gz"), ql::test::bytes_of(f / "b.gz"));
}

}  // namespace
