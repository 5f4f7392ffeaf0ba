// SPDX-License-Identifier: Apache-2.0
#include "folder.hpp"

#include <ql/io/retry.hpp>
#include <ql/io/secret.hpp>
#include <ql/io/verdict_journal.hpp>

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <set>
#include <vector>

namespace {

using ql::io::sha256_digest;
using ql::io::verdict_journal;
using ql::test::folder;

sha256_digest key(const std::string& prediction) {
  const std::string_view gold[] = {"Oslo"};
  return ql::io::verdict_key("m", "1", "Where?", gold, prediction);
}
void append(verdict_journal& j, const std::string& prediction, bool yes) {
  const verdict_journal::verdict v{key(prediction), yes};
  j.append({&v, 1}, "m", "1");
}

// Vectors of FIPS 180-4's examples.
TEST(Sha256, PublishedVectors) {
  const auto of = [](std::string_view s) { return ql::io::hex(ql::io::sha256{}.add(s).finish()); };
  EXPECT_EQ(of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  ql::io::sha256 million;
  for (int i = 0; i < 1000; ++i) million.add(std::string(1000, 'a'));
  EXPECT_EQ(ql::io::hex(million.finish()), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  sha256_digest d{};
  EXPECT_TRUE(ql::io::from_hex(of("abc"), d));
  EXPECT_EQ(ql::io::hex(d), of("abc"));
  EXPECT_FALSE(ql::io::from_hex("xyz", d));
  EXPECT_FALSE(ql::io::from_hex(std::string(64, 'g'), d));
}

TEST(VerdictJournal, KeysSeeEveryFieldAndItsLimits) {
  const std::string_view one[] = {"ab"}, two[] = {"a", "b"}, none[] = {""};
  const auto k = [](auto m, auto p, auto q, std::span<const std::string_view> g, auto a) {
    return ql::io::verdict_key(m, p, q, g, a);
  };
  const std::set<sha256_digest> all{k("m", "1", "q", one, "a"),  k("m", "1", "q", two, "a"), k("m", "2", "q", one, "a"),
                                    k("n", "1", "q", one, "a"),  k("m", "1", "qa", one, ""), k("m", "1", "q", one, "b"),
                                    k("m", "1", "q", none, "a"), k("m", "1", "r", one, "a")};
  EXPECT_EQ(all.size(), 8u);
}

TEST(VerdictJournal, RemembersAndTheFirstOfDuplicatesWins) {
  const folder f;
  const auto path = f / "verdicts.jsonl";
  {
    verdict_journal j(path);
    append(j, "Oslo", true);
    append(j, "Oslo", false);
    append(j, "Rome", false);
    j.append_drop(12, 3, "judge: connection refused");
    j.append_drop(12, 3, "again");
    EXPECT_EQ(j.size(), 2u);
    EXPECT_EQ(j.find(key("Oslo")), true);
  }
  const std::string text = ql::test::bytes_of(path);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  // a line that another program appended later
  f.write("verdicts.jsonl", text + "{\"key\": \"" + ql::io::hex(key("Rome")) + "\", \"verdict\": \"yes\"}\n");
  verdict_journal j(path);
  EXPECT_EQ(j.find(key("Oslo")), true);
  EXPECT_EQ(j.find(key("Rome")), false);
  EXPECT_EQ(j.find(key("Paris")), std::nullopt);
  EXPECT_TRUE(j.dropped(12, 3) && !j.dropped(3, 12));
  EXPECT_EQ(j.drops(), 1u);
}

// A prefix of a journal is a journal: what a crash leaves can be read and written on.
TEST(VerdictJournal, TruncationIsTolerated) {
  const folder f;
  {
    verdict_journal j(f / "a");
    append(j, "Oslo", true);
    append(j, "Rome", false);
  }
  const std::string text = ql::test::bytes_of(f / "a");
  const auto first = text.find('\n') + 1;
  for (std::size_t n : {std::size_t{0}, std::size_t{1}, first - 2, first - 1, first, first + 1, first + 20,
                        text.size() - 2, text.size() - 1, text.size()}) {
    f.write("b", text.substr(0, n));
    {
      verdict_journal j(f / "b");
      const std::size_t whole = (n >= first ? 1u : 0u) + (n == text.size() ? 1u : 0u);
      ASSERT_EQ(j.size(), whole) << n;
      append(j, "Rome", false);
      append(j, "Oslo", true);
    }
    verdict_journal j(f / "b");
    ASSERT_EQ(j.size(), 2u) << n;
    ASSERT_EQ(j.find(key("Rome")), false) << n;
  }
  // unwritten pages after a power cut
  f.write("b", text + std::string(100, '\0'));
  EXPECT_EQ(verdict_journal(f / "b").size(), 2u);
  f.write("b", text + std::string(100, '\0') + "\n");
  EXPECT_EQ(verdict_journal(f / "b").size(), 2u);
}

TEST(VerdictJournal, DamageInTheMiddleIsNamed) {
  const folder f;
  const std::string good = "{\"key\": \"" + ql::io::hex(key("Oslo")) + "\", \"verdict\": \"yes\"}\n";
  std::vector<std::string> lines{"", "{}", "{\"key\": \"12\", \"verdict\": \"yes\"}", "{\"step\": -1, \"drop\": 0}"};
  lines.push_back(good.substr(0, good.find("yes")) + "may\"}");
  lines.emplace_back(200000, 'x');
  for (std::string bad : lines) {
    bad += '\n';
    f.write("j", good + bad + good);
    QL_EXPECT_MESSAGE(verdict_journal(f / "j"), ql::io::format_error, "j:2: not a record");
  }
}

TEST(VerdictJournal, OneProcessOneFileNoLinks) {
  const folder f;
  verdict_journal j(f / "j");
  QL_EXPECT_MESSAGE(verdict_journal(f / "j"), ql::io::file_error, "another process uses this journal");
  std::filesystem::create_symlink(f / "j", f / "link");
  QL_EXPECT_MESSAGE(verdict_journal(f / "link"), ql::io::file_error, "symbolic link");
  QL_EXPECT_MESSAGE(verdict_journal(f / "no" / "j"), ql::io::file_error, "cannot open the journal");
}

// A write that fails half way leaves nothing behind, in the file or in memory.
TEST(VerdictJournal, AFullDiskKeepsNothing) {
  const folder f;
  verdict_journal j(f / "j");
  append(j, "Oslo", true);
  const std::string before = ql::test::bytes_of(f / "j");
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = old;
  small.rlim_cur = before.size() + 40;
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string said;
  try {
    append(j, "Rome", false);
  } catch (const ql::io::file_error& e) {
    said = e.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  EXPECT_NE(said.find("cannot write"), std::string::npos) << said;
  EXPECT_EQ(j.find(key("Rome")), std::nullopt);
  EXPECT_EQ(ql::test::bytes_of(f / "j"), before);
  append(j, "Rome", false);
  EXPECT_EQ(j.find(key("Rome")), false);
}

TEST(Secret, FromTheEnvironmentOrAPrivateFile) {
  const folder f;
  using ql::io::secret;
  ::setenv("QL_TEST_KEY", "sk-canary", 1);
  EXPECT_EQ(secret::read("env:QL_TEST_KEY").reveal(), "sk-canary");
  EXPECT_TRUE(secret::read("").empty());
  const auto path = f.write("key", "sk-canary\n");
  const std::string where = "file:" + path.string();
  ::chmod(path.c_str(), 0640);
  QL_EXPECT_MESSAGE(secret::read(where), ql::io::file_error, "chmod 600");
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(secret::read(where).reveal(), "sk-canary");
  for (const char* bad : {"two words", "line\nend", "", "\xC3\xA4"}) {
    f.write("key", bad);
    const auto said = ql::test::message_of<ql::error>([&] { secret::read(where); });
    EXPECT_NE(said.find("the key "), std::string::npos) << said;
  }
  f.write("key", std::string(5000, 'x'));
  QL_EXPECT_MESSAGE(secret::read(where), ql::argument_error, "longer than");
  QL_EXPECT_MESSAGE(secret::read("file:" + f.path().string()), ql::io::file_error, "not a regular file");
  QL_EXPECT_MESSAGE(secret::read("env:QL_TEST_NO_KEY"), ql::argument_error, "no such variable");
  // a key given where its place was asked for is not repeated
  EXPECT_EQ(ql::test::message_of<ql::argument_error>([] { secret::read("sk-canary"); }).find("canary"),
            std::string::npos);
  ::unsetenv("QL_TEST_KEY");
}

TEST(Retry, WaitsGrowAndHonourTheServer) {
  const ql::io::retry_policy p;
  EXPECT_EQ(ql::io::retry_delay(p, 2, 0.0), 0.5);
  EXPECT_EQ(ql::io::retry_delay(p, 2, 0.5), 0.375);
  EXPECT_EQ(ql::io::retry_delay(p, 5, 0.0), 4.0);
  EXPECT_EQ(ql::io::retry_delay(p, 60, 0.0), 30.0);
  EXPECT_EQ(ql::io::retry_delay(p, 60, 1.0), 15.0);
  EXPECT_EQ(ql::io::retry_delay(p, 2, 0.5, 7.0), 7.0);
  EXPECT_EQ(ql::io::retry_delay(p, 2, 0.0, 0.0), 0.5);
  EXPECT_EQ(ql::io::retry_delay(p, 2, 0.5, 1e9), 120.0);
}

TEST(Retry, ReadsRetryAfter) {
  const std::int64_t now = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
  const auto after = [&](const char* s) { return ql::io::retry_after_seconds(s, now); };
  EXPECT_EQ(after("120"), 120.0);
  EXPECT_EQ(after(" 0 "), 0.0);
  EXPECT_EQ(after("Sun, 06 Nov 1994 08:50:37 GMT"), 60.0);
  EXPECT_EQ(after("Sunday, 06-Nov-94 08:50:37 GMT"), 60.0);
  EXPECT_EQ(after("Sun Nov  6 08:50:37 1994"), 60.0);
  EXPECT_EQ(after("Sun, 06 Nov 1994 08:40:37 GMT"), 0.0);
  for (const char* bad : {"", "soon", "-5", "1.5", "12 seconds", "1994-11-06"})
    EXPECT_EQ(after(bad), std::nullopt) << bad;
  EXPECT_EQ(ql::io::retry_after_seconds(std::string(1000, '9'), now), std::nullopt);
}

TEST(Retry, TheBreakerOpensProbesAndCloses) {
  ql::io::circuit_breaker b({.failures = 2, .open_seconds = 10, .longest_open_seconds = 30});
  EXPECT_TRUE(b.allows(0));
  b.failed(0);
  EXPECT_TRUE(b.allows(0));
  b.succeeded();
  b.failed(0);
  EXPECT_FALSE(b.open());
  b.failed(1);
  EXPECT_TRUE(b.open());
  EXPECT_FALSE(b.allows(10.9));
  b.failed(5);  // one of those that were on their way
  EXPECT_EQ(b.retry_at(), 11.0);
  EXPECT_TRUE(b.allows(11));
  b.sent();
  EXPECT_FALSE(b.allows(12));  // a single probe
  b.failed(12);
  EXPECT_EQ(b.retry_at(), 32.0);
  b.sent();
  b.failed(32);
  EXPECT_EQ(b.retry_at(), 62.0);  // 40 s are capped
  b.sent();
  b.succeeded();
  EXPECT_TRUE(b.allows(63) && !b.open());
}

}  // namespace
