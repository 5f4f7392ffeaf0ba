// SPDX-License-Identifier: Apache-2.0
#include "fault_server.hpp"
#include "folder.hpp"
#include "tls.hpp"

#include <ql/io/http.hpp>

#include <set>

namespace {

namespace http = ql::io::http;
using http::failure;
using ql::test::fault;
using ql::test::fault_server;
using ql::test::plan;

http::client_config quick() {
  http::client_config c;
  c.limit.connect_seconds = 1, c.limit.stall_seconds = 0.3, c.limit.total_seconds = 0.6, c.limit.body_bytes = 1 << 20;
  return c;
}
http::reply ask(http::client& c, const std::string& url, const std::string& body = "{}") {
  const auto id = c.post({url, body, "sk-canary"});
  auto r = c.wait(10);
  EXPECT_TRUE(r.has_value() && r->id == id);
  return r.value_or(http::reply{});
}

TEST(Http, PostsJson) {
  std::string head, body;
  fault_server s([&](const fault_server::request& r) {
    head = r.head, body = r.body;
    return plan{};
  });
  http::client c(quick());
  const auto r = ask(c, s.url() + "/v1/x", std::string(100000, ' ') + "{}");
  EXPECT_EQ(r.error, failure::none) << r.why;
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.body, ql::test::completion("They agree. [[YES]]"));
  EXPECT_TRUE(head.starts_with("POST /v1/x HTTP/1.1\r\n")) << head;
  EXPECT_NE(head.find("Content-Type: application/json\r\n"), std::string::npos);
  EXPECT_NE(head.find("Authorization: Bearer sk-canary\r\n"), std::string::npos);
  EXPECT_EQ(head.find("Expect"), std::string::npos);
  EXPECT_EQ(head.find("Accept-Encoding"), std::string::npos);
  EXPECT_EQ(body.size(), 100002u);
  EXPECT_EQ(c.outstanding(), 0u);
}

TEST(Http, FailuresAreNamedAndBounded) {
  plan p;
  fault_server s([&](const fault_server::request&) { return p; });
  http::client c(quick());
  for (const auto& [kind, expected] :
       std::initializer_list<std::pair<fault, failure>>{{fault::reset, failure::reset},
                                                        {fault::drip, failure::stalled},
                                                        {fault::silence, failure::silent},
                                                        {fault::huge, failure::too_large},
                                                        {fault::huge, failure::too_large},  // with a length and without
                                                        {fault::garbage, failure::protocol},
                                                        {fault::headers, failure::too_large}}) {
    p.kind = kind;
    const auto began = std::chrono::steady_clock::now();
    const auto r = ask(c, s.url());
    EXPECT_EQ(r.error, expected) << static_cast<int>(kind) << ' ' << r.why;
    EXPECT_TRUE(r.body.empty());
    EXPECT_EQ(r.why.find("canary"), std::string::npos);
    EXPECT_NE(r.why.find(s.url()), std::string::npos) << r.why;
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  }
  s.close();
  EXPECT_EQ(ask(c, s.url()).error, failure::refused);
  EXPECT_EQ(ask(c, "http://nobody.invalid/").error, failure::resolve);
}

TEST(Http, RefusesWhatIsNoPlainUrl) {
  http::client c(quick());
  for (const char* url :
       {"", "x", "ftp://h/", "file:///etc/passwd", "http://", "http://u:p@127.0.0.1/", "http://a b/"}) {
    const auto r = ask(c, url);
    EXPECT_EQ(r.error, failure::bad_url) << url;
    EXPECT_EQ(r.why.find("u:p"), std::string::npos);
  }
  EXPECT_EQ(http::locate("https://h/x?y=1").origin, "https://h:443");
  EXPECT_TRUE(http::locate("http://127.0.0.1:80").loopback && http::locate("http://[::1]:80").loopback);
  EXPECT_FALSE(http::locate("http://127.0.0.1.evil.example").loopback);
  QL_EXPECT_MESSAGE(http::locate("gopher://h"), ql::argument_error, "neither http nor https");
}

TEST(Http, FollowsOnlyToItself) {
  int elsewhere_asked = 0;
  fault_server elsewhere([&](const fault_server::request&) {
    ++elsewhere_asked;
    return plan{};
  });
  std::string target;
  int code = 307;
  fault_server s([&](const fault_server::request& r) {
    if (r.head.starts_with("POST /done ")) return plan{};
    plan p;
    p.kind = fault::redirect, p.status = code, p.headers = "Location: " + target + "\r\n";
    return p;
  });
  http::client c(quick());
  target = "/done";
  EXPECT_EQ(ask(c, s.url() + "/x").error, failure::none);
  code = 308;
  target = s.url() + "/done";
  EXPECT_EQ(ask(c, s.url() + "/x").error, failure::none);
  for (const std::string& other : {elsewhere.url() + "/done", std::string("https://127.0.0.1/done"),
                                   std::string("file:///etc/passwd"), s.url("localhost") + "/done"}) {
    target = other;
    EXPECT_EQ(ask(c, s.url() + "/x").error, failure::redirect) << other;
  }
  EXPECT_EQ(elsewhere_asked, 0);
  target = "/x";  // for ever
  EXPECT_EQ(ask(c, s.url() + "/x").error, failure::redirect);
  code = 302, target = "/done";  // would become a GET
  EXPECT_EQ(ask(c, s.url() + "/x").error, failure::redirect);
}

TEST(Http, BoundedConcurrencyEveryIdOnce) {
  fault_server s([&](const fault_server::request&) {
    plan p;
    p.delay_ms = 10;
    return p;
  });
  auto config = quick();
  config.concurrency = 3;
  config.limit.total_seconds = 5;
  http::client c(config);
  std::set<std::uint64_t> ids, seen;
  for (int i = 0; i < 30; ++i) ids.insert(c.post({s.url(), "{}", ""}));
  while (const auto r = c.wait(5)) {
    EXPECT_EQ(r->error, failure::none);
    EXPECT_TRUE(seen.insert(r->id).second);
    if (seen.size() == ids.size()) break;
  }
  EXPECT_EQ(seen, ids);
  EXPECT_LE(s.most_at_once(), 4);  // a connection may still be closing
  EXPECT_FALSE(c.wait(0).has_value());
}

TEST(Http, CancelsOneAndAll) {
  fault_server s([](const fault_server::request& r) {
    plan p;
    if (r.body != "quick") p.kind = fault::silence;
    return p;
  });
  auto config = quick();
  config.concurrency = 2;
  config.limit.total_seconds = 30;
  http::client c(config);
  const auto slow = c.post({s.url(), "slow", ""}), fast = c.post({s.url(), "quick", ""});
  EXPECT_EQ(c.wait(5)->id, fast);
  c.cancel(slow);
  const auto r = c.wait(5);
  EXPECT_TRUE(r->id == slow && r->error == failure::cancelled);
  for (int i = 0; i < 4; ++i) c.post({s.url(), "slow", ""});
  c.cancel();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(c.wait(0)->error, failure::cancelled);
  EXPECT_EQ(c.outstanding(), 0u);
}

TEST(HttpThreads, StopWakesTheWaiter) {
  fault_server s([](const fault_server::request&) {
    plan p;
    p.kind = fault::silence;
    return p;
  });
  auto config = quick();
  config.limit.total_seconds = 30;
  http::client c(config);
  c.post({s.url(), "{}", ""});
  std::thread other([&] {
    while (s.requests() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    c.stop();
  });
  EXPECT_EQ(c.wait(30)->error, failure::cancelled);
  EXPECT_FALSE(c.wait(30).has_value());
  other.join();
  c.resume();
  EXPECT_FALSE(c.stopped());
}

TEST(Http, TlsIsVerified) {
  const ql::test::folder f;
  ql::test::tls_identity right("IP:127.0.0.1", f / "right.pem"), wrong("DNS:judge.example", f / "wrong.pem");
  const auto handler = [](const fault_server::request&) { return plan{}; };
  fault_server good(handler, right.context()), bad(handler, wrong.context());
  auto config = quick();
  config.limit.total_seconds = 5;
  config.ca_file = (f / "right.pem").string();
  http::client c(config);
  const auto r = ask(c, good.url());
  EXPECT_EQ(r.error, failure::none) << r.why;
  EXPECT_EQ(ask(c, bad.url()).error, failure::tls);  // nobody vouches for it
  config.ca_file = (f / "wrong.pem").string();
  http::client trusting(config);
  EXPECT_EQ(ask(trusting, bad.url()).error, failure::tls);  // its name is another
  http::client plain(quick());
  EXPECT_EQ(ask(plain, good.url()).error, failure::tls);  // the system does not know it
  EXPECT_EQ(bad.requests(), 0);
}

}  // namespace
