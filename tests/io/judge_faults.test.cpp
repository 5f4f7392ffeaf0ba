// SPDX-License-Identifier: Apache-2.0
// What a judge's server may do wrong, before, during and after a batch: no reward is invented, no batch is aborted, and
// everything that is not scored says why.
#include "judge.hpp"
#include "tls.hpp"

#include <atomic>
#include <map>

namespace {

using namespace ql::test;
using ql::io::chat_judge;
using ql::rl::abstained;
using ql::rl::is_scored;
using ql::rl::outcome;
using ql::rl::scored;

struct kind_of_fault {
  const char* name;
  plan answer;
  const char* why;
};
plan of_kind(fault k, int status = 200, std::string headers = {}) {
  plan p;
  p.kind = k, p.status = status, p.headers = std::move(headers);
  return p;
}
const kind_of_fault faults[] = {
    {"refused", of_kind(fault::refused), "judge: connection refused"},
    {"reset", of_kind(fault::reset), "judge: connection lost"},
    {"drip", of_kind(fault::drip), "judge: answer stalled"},
    {"silence", of_kind(fault::silence), "judge: no answer in time"},
    {"http408", of_kind(fault::status, 408), "judge: HTTP 408"},
    {"http429", of_kind(fault::status, 429, "Retry-After: 1\r\n"), "judge: HTTP 429"},
    {"http429date", of_kind(fault::status, 429, "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "judge: HTTP 429"},
    {"http500", of_kind(fault::status, 500), "judge: HTTP 500"},
    {"http503", of_kind(fault::status, 503, "Retry-After: 99999999999999999999999\r\n"), "judge: HTTP 503"},
    {"http401", of_kind(fault::status, 401), "judge: HTTP 401"},
    {"http400", of_kind(fault::status, 400), "judge: HTTP 400"},
    {"http204", of_kind(fault::status, 204), "judge: HTTP 204"},
    {"html", of_kind(fault::html), "judge: not JSON"},
    {"schema", of_kind(fault::schema), "judge: not a chat completion"},
    {"truncated", of_kind(fault::truncated), "judge: not JSON"},
    {"huge", of_kind(fault::huge), "judge: answer too large"},
    {"redirect", of_kind(fault::redirect, 307, "Location: http://judge.example/\r\n"), "judge: redirected elsewhere"},
    {"garbage", of_kind(fault::garbage), "judge: not HTTP"},
    {"headers", of_kind(fault::headers), "judge: answer too large"},
};

class JudgeFaults : public testing::TestWithParam<kind_of_fault> {};
INSTANTIATE_TEST_SUITE_P(All, JudgeFaults, testing::ValuesIn(faults),
                         [](const auto& i) { return std::string(i.param.name); });

bool takes_time(const plan& p) { return p.kind == fault::drip || p.kind == fault::silence; }
ql::io::judge_config judge_for(const std::string& url, const plan& p) {
  auto c = quick_judge(url, takes_time(p) ? 0.2 : 10);
  c.http.concurrency = takes_time(p) ? 8 : 4;
  return c;
}

// Every outcome is the truth, or an abstention for `why` that the tally counts. How many are scored.
std::size_t check(const questions& q, const std::vector<outcome>& out, const std::string& why) {
  std::size_t done = 0;
  EXPECT_EQ(out.size(), q.queries.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (const auto* a = std::get_if<abstained>(&out[i])) {
      EXPECT_EQ(a->why, why) << i;
    } else {
      EXPECT_EQ(out[i], outcome{scored{q.truth[i] ? 1.0 : 0.0}}) << i;
      ++done;
    }
  }
  return done;
}

TEST_P(JudgeFaults, BeforeABatch) {
  const auto& f = GetParam();
  fault_server s([&](const fault_server::request&) { return f.answer; });
  if (f.answer.kind == fault::refused) s.close();
  chat_judge judge(judge_for(s.url(), f.answer));
  const questions q(8);
  EXPECT_EQ(check(q, q.ask(judge), f.why), 0u);
  EXPECT_EQ(judge.tally().abstained.at(f.why), 8u);
  EXPECT_EQ(judge.tally().yes + judge.tally().no, 0u);
  EXPECT_EQ(judge.journal().size(), 0u);
}

TEST_P(JudgeFaults, DuringABatch) {
  const auto& f = GetParam();
  std::unique_ptr<fault_server> s;
  std::atomic<bool> shut{false};
  s = std::make_unique<fault_server>([&](const fault_server::request& r) {
    plan p = honest(r);
    if (r.number < 6) return p;
    if (f.answer.kind == fault::refused) {
      shut = true;
      p.kind = fault::reset;
      return p;
    }
    return f.answer;
  });
  auto c = judge_for(s->url(), f.answer);
  if (f.answer.kind == fault::refused) c.retry.attempts = 4, c.retry.first_seconds = c.retry.longest_seconds = 0.06;
  chat_judge judge(c);
  std::thread closer([&] {
    if (f.answer.kind != fault::refused) return;
    while (!shut) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    s->close();
  });
  const questions q(12);
  const auto out = q.ask(judge);
  closer.join();
  const auto done = check(q, out, f.why);
  // where time decides, a busy machine may look like the fault
  EXPECT_TRUE(takes_time(f.answer) ? done <= 6 : done == 6) << done;
  EXPECT_EQ(judge.tally().abstained.at(f.why), 12 - done);
  EXPECT_EQ(judge.journal().size(), done);
}

// The server is well again by the second try: everything is scored, and what a faulty reply said is not in it.
TEST_P(JudgeFaults, OnceOnly) {
  const auto& f = GetParam();
  if (f.answer.kind == fault::refused) return;  // in AwayAndBack
  std::mutex m;
  std::map<std::string, int> tries;
  fault_server s([&](const fault_server::request& r) {
    const std::lock_guard lock(m);
    return tries[r.body]++ == 0 ? f.answer : honest(r);
  });
  chat_judge judge(judge_for(s.url(), f.answer));
  const questions q(6);
  const auto done = check(q, q.ask(judge), f.why);
  // what asking again does not mend is not asked again
  const bool final = f.answer.kind == fault::huge || f.answer.kind == fault::headers ||
                     f.answer.kind == fault::redirect || f.answer.status == 401 || f.answer.status == 400 ||
                     f.answer.status == 204;
  EXPECT_TRUE(takes_time(f.answer) ? done <= 6 : done == (final ? 0 : 6)) << done;
}

TEST_P(JudgeFaults, AfterABatch) {
  const auto& f = GetParam();
  std::atomic<bool> broken{false};
  fault_server s([&](const fault_server::request& r) { return broken ? f.answer : honest(r); });
  chat_judge judge(judge_for(s.url(), f.answer));
  const questions first(6), second(6, 6);
  while (check(first, first.ask(judge), f.why) < 6) ASSERT_TRUE(takes_time(f.answer));
  const auto before = [&] {
    auto t = judge.tally();
    return t.abstained[f.why];
  }();
  broken = true;
  if (f.answer.kind == fault::refused) s.close();
  EXPECT_EQ(check(first, first.ask(judge), ""), 6u);  // remembered
  EXPECT_EQ(check(second, second.ask(judge), f.why), 0u);
  EXPECT_EQ(judge.tally().abstained.at(f.why), before + 6);
  broken = false;
  s.open();
  while (check(second, second.ask(judge), f.why) < 6) ASSERT_TRUE(takes_time(f.answer));  // and back
}

TEST(JudgeOutage, AwayAndBackWithinTheBatch) {
  fault_server s(honest);
  auto c = quick_judge(s.url());
  c.retry.attempts = 50;
  c.breaker.failures = 4;
  s.close();
  std::thread returns([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    s.open();
  });
  chat_judge judge(c);
  const questions q(20);
  EXPECT_EQ(check(q, q.ask(judge), ""), 20u);
  returns.join();
  EXPECT_EQ(judge.tally().breaker_opened, 1u);
}

TEST(JudgeTls, WrongNameBeforeDuringAndAfterABatch) {
  const folder f;
  tls_identity right("IP:127.0.0.1", f / "right.pem"), wrong("DNS:judge.example", f / "wrong.pem");
  // both authorities are trusted: only the name is wrong
  f.write("both.pem", bytes_of(f / "right.pem") + bytes_of(f / "wrong.pem"));
  const std::string why = "judge: TLS not trusted";
  {
    fault_server s(honest, wrong.context());
    auto c = quick_judge(s.url());
    c.http.limit.total_seconds = 5;
    c.http.ca_file = (f / "both.pem").string();
    chat_judge judge(c);
    const questions q(6);
    EXPECT_EQ(check(q, q.ask(judge), why), 0u);
    EXPECT_EQ(s.requests(), 0);
  }
  // the server at the address changes under the judge
  auto s = std::make_unique<fault_server>(honest, right.context());
  auto c = quick_judge(s->url());
  c.http.limit.total_seconds = 5;
  c.http.concurrency = 1;
  c.http.ca_file = (f / "both.pem").string();
  chat_judge judge(c);
  const questions first(4), second(4, 4);
  EXPECT_EQ(check(first, first.ask(judge), ""), 4u);
  s->use(wrong.context());
  EXPECT_EQ(check(first, first.ask(judge), ""), 4u);
  EXPECT_EQ(check(second, second.ask(judge), why), 0u);
  s->use(right.context());
  std::atomic<int> left{2};
  s->on_request([&](const fault_server::request& r) {
    if (--left == 0) s->use(wrong.context());
    return honest(r);
  });
  EXPECT_EQ(check(second, second.ask(judge), why), 2u);
}

}  // namespace
