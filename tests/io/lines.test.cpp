// SPDX-License-Identifier: Apache-2.0
#include <ql/io/lines.hpp>

#include "io/folder.hpp"
#include "io/gzip.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace {

using ql::io::line_reader;
using ql::test::gzip;

std::vector<std::string> lines(const std::filesystem::path& path, std::size_t max = 1 << 20) {
  line_reader in(path, max);
  std::vector<std::string> out;
  for (std::string s; in.next(s);) {
    EXPECT_EQ(in.number(), static_cast<std::int64_t>(out.size()) + 1);
    out.push_back(in.too_long() ? "too long" : s);
  }
  return out;
}

TEST(Lines, AreGivenOneByOne) {
  const ql::test::folder f;
  using list = std::vector<std::string>;
  for (const auto& [text, expected] : {std::pair<std::string, list>{"", {}},
                                       {"\n", {""}},
                                       {"one", {"one"}},
                                       {"one\n", {"one"}},
                                       {"one\r\n\ntwo", {"one", "", "two"}},
                                       {"one\rtwo\n", {"one\rtwo"}}}) {
    EXPECT_EQ(lines(f.write("plain", text)), expected);
    EXPECT_EQ(lines(f.write("packed", gzip(text))), expected);
  }
  EXPECT_EQ(lines(f.write("members", gzip("on") + gzip("e\ntwo\n") + gzip("") + gzip("three"))),
            (list{"one", "two", "three"}));
}

TEST(Lines, MayBeLongAndMany) {
  const ql::test::folder f;
  std::string text;
  std::vector<std::string> expected;
  for (std::size_t i = 0; i < 2000; ++i) {
    // Around the size of a block, and pseudo-random so that gzip does not make one block of it.
    const std::size_t n = i % 50 == 0 ? 65530 + i % 13 : i % 97;
    std::string s;
    for (std::size_t k = 0; k < n; ++k) s += static_cast<char>('a' + (k * k * 31 + i * 7 + k / 3) % 26);
    text += s + "\n";
    expected.push_back(s);
  }
  EXPECT_EQ(lines(f.write("plain", text)), expected);
  EXPECT_EQ(lines(f.write("packed", gzip(text))), expected);
}

TEST(Lines, AreBounded) {
  const ql::test::folder f;
  const auto expected = std::vector<std::string>{"ab", "too long", "cd", "too long"};
  const std::string text = "ab\n" + std::string(1 << 20, 'x') + "\ncd\nxyz";
  EXPECT_EQ(lines(f.write("plain", text), 2), expected);
  // A bomb of one line costs what a block costs.
  EXPECT_EQ(lines(f.write("packed", gzip(text)), 2), expected);
}

TEST(Lines, SayWhatIsDamaged) {
  const ql::test::folder f;
  const std::string whole = gzip(std::string(100'000, 'x').append("\nend"));
  QL_EXPECT_MESSAGE(lines(f.write("cut.gz", whole.substr(0, whole.size() - 3))), ql::io::format_error, "ends early");
  QL_EXPECT_MESSAGE(lines(f.write("cut.gz", whole.substr(0, 15))), ql::io::format_error, "ends early");
  std::string damaged = whole;
  damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);
  QL_EXPECT_MESSAGE(lines(f.write("bad.gz", damaged)), ql::io::format_error, "damaged gzip stream");
  QL_EXPECT_MESSAGE(lines(f.write("more.gz", whole + "garbage")), ql::io::format_error, "damaged gzip stream");
  QL_EXPECT_MESSAGE(lines(f / "absent"), ql::io::file_error, "cannot open: No such file");
  QL_EXPECT_MESSAGE(lines(f.path()), ql::io::file_error, "not a regular file");
}

TEST(Lines, MoveWithTheirPlace) {
  const ql::test::folder f;
  line_reader a(f.write("a", "one\ntwo\n"));
  std::string s;
  ASSERT_TRUE(a.next(s));
  line_reader b(std::move(a));
  ASSERT_TRUE(b.next(s));
  EXPECT_EQ(s, "two");
  EXPECT_EQ(b.number(), 2);
  b = line_reader(f / "a");
  ASSERT_TRUE(b.next(s));
  EXPECT_EQ(s, "one");
}

}  // namespace
