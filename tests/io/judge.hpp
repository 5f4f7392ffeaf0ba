// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "fault_server.hpp"
#include "folder.hpp"

#include <ql/io/judge.hpp>

#include <deque>
#include <string>
#include <vector>

namespace ql::test {

// A judge with waits so short that a test can afford outages; `seconds` is what an answer may take.
inline io::judge_config quick_judge(const std::string& url, double seconds = 10) {
  io::judge_config c;
  c.url = url;
  c.model = "stub";
  c.fence_seed = 7;
  c.http.concurrency = 4;
  c.http.limit.connect_seconds = 5, c.http.limit.stall_seconds = seconds / 2, c.http.limit.total_seconds = seconds;
  c.http.limit.body_bytes = 1 << 20;
  c.retry.attempts = 2, c.retry.first_seconds = 0.005, c.retry.longest_seconds = 0.02, c.retry.patience_seconds = 30;
  c.retry.longest_retry_after = 0.05;
  c.breaker.failures = 1000, c.breaker.open_seconds = 0.05, c.breaker.longest_open_seconds = 0.1;
  return c;
}

// Queries and what an honest judge says of them: an answer is right iff its number is not a multiple of three.
struct questions {
  explicit questions(int n, int first = 0) {
    for (int i = first; i < first + n; ++i) {
      texts.push_back(std::string(i % 3 == 0 ? "zebra " : "giraffe ") + std::to_string(i));
      queries.push_back({"Which animal?", texts.back(), gold});
      truth.push_back(i % 3 != 0);
    }
  }
  questions(const questions&) = delete;
  questions& operator=(const questions&) = delete;

  std::vector<rl::outcome> ask(io::chat_judge& judge) const {
    std::vector<rl::outcome> out(queries.size(), rl::outcome{rl::scored{-1}});
    judge(queries, out);
    return out;
  }
  std::deque<std::string> texts;
  std::vector<std::string_view> gold{"the tall one"};
  std::vector<rl::judge_query> queries;
  std::vector<bool> truth;
};

// An honest server's answer.
inline plan honest(const fault_server::request& r) {
  plan p;
  p.says = r.body.find("zebra") != std::string::npos ? "Not [[YES]]: they differ. [[NO]]" : "They agree.\\n[[YES]]";
  return p;
}

}  // namespace ql::test
