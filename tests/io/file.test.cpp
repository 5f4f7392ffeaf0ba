// SPDX-License-Identifier: Apache-2.0
#include <ql/io/file.hpp>

#include "io/folder.hpp"
#include "io/gzip.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

namespace {

using ql::io::file_error;
using ql::io::format_error;
using ql::test::bytes_of;
using ql::test::gzip;

TEST(File, ReadsPlainAndGzip) {
  const ql::test::folder f;
  const std::string text(300'000, 'q');
  EXPECT_EQ(ql::io::read_file(f.write("a", text)), text);
  EXPECT_EQ(ql::io::read_file(f.write("b.gz", gzip(text))), text);
  EXPECT_EQ(ql::io::read_file(f.write("c.gz", gzip("one") + gzip("two"))), "onetwo");
  EXPECT_EQ(ql::io::read_file(f.write("d", "")), "");
}

TEST(File, BoundsWhatItReads) {
  const ql::test::folder f;
  QL_EXPECT_MESSAGE(ql::io::read_file(f.write("a", "12345"), 4), format_error, "5 bytes, more than the limit of 4");
  QL_EXPECT_MESSAGE(ql::io::read_file(f.write("bomb.gz", gzip(std::string(1 << 20, '0'))), 1 << 16), format_error,
                    "inflates to more than the limit");
  const std::string whole = gzip(std::string(1000, 'x').append("y"));
  QL_EXPECT_MESSAGE(ql::io::read_file(f.write("cut.gz", whole.substr(0, whole.size() - 9))), format_error,
                    "ends early");
  std::string damaged = whole;
  damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);
  QL_EXPECT_MESSAGE(ql::io::read_file(f.write("bad.gz", damaged)), format_error, "damaged gzip stream");
}

TEST(File, RefusesWhatIsNoRegularFile) {
  const ql::test::folder f;
  QL_EXPECT_MESSAGE(ql::io::read_file(f / "absent"), file_error, "cannot open: No such file");
  QL_EXPECT_MESSAGE(ql::io::read_file(f.path()), file_error, "not a regular file");
  ::mkfifo((f / "pipe").c_str(), 0600);
  QL_EXPECT_MESSAGE(ql::io::read_file(f / "pipe"), file_error, "not a regular file");
}

TEST(File, WritesWholeOrNothing) {
  const ql::test::folder f;
  ql::io::write_file(f / "a", "old");
  {
    ql::io::atomic_file half(f / "a");
    half.write("new");
  }
  EXPECT_EQ(bytes_of(f / "a"), "old");
  ql::io::write_file(f / "a", "new");
  EXPECT_EQ(bytes_of(f / "a"), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(f.path()), {}), 1);
  QL_EXPECT_MESSAGE(ql::io::write_file(f / "no/a", "x"), file_error, "cannot create");
}

TEST(File, OpensPlainNamesOnly) {
  const ql::test::folder f;
  f.write("a", "text");
  EXPECT_EQ(ql::io::mapped_file(f.path(), "a", {}).size(), 4u);
  for (const char* name : {"", ".", "..", "../a", "/etc/passwd", "b\\a"})
    QL_EXPECT_MESSAGE(ql::io::mapped_file(f.path(), name, {}), format_error, "expected a plain file name");
  QL_EXPECT_MESSAGE(ql::io::mapped_file(f.path(), std::string_view("a\0b", 3), {}), format_error, "plain file name");
}

TEST(File, FollowsLinksOnlyWithinAGivenFolder) {
  const ql::test::folder f, outside;
  std::filesystem::create_directory(f / "blobs");
  std::filesystem::create_directory(f / "snapshot");
  f.write("blobs/1", "weights");
  outside.write("secret", "secret");
  std::filesystem::create_symlink("../blobs/1", f / "snapshot/a");
  std::filesystem::create_symlink(outside / "secret", f / "snapshot/b");
  QL_EXPECT_MESSAGE(ql::io::mapped_file(f / "snapshot", "a", {}), file_error, "a symbolic link; allow links");
  EXPECT_EQ(ql::io::mapped_file(f / "snapshot", "a", f.path()).size(), 7u);
  QL_EXPECT_MESSAGE(ql::io::mapped_file(f / "snapshot", "b", f.path()), file_error, "a symbolic link that leaves");
}

}  // namespace
