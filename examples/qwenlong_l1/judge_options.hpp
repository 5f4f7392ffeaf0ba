// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/judge.hpp>

#include <atomic>
#include <chrono>
#include <span>
#include <string>
#include <thread>

#include "verb.hpp"

namespace ql::tool {

// What verbs with a judge ask for.
struct judge_settings {
  std::string url, model = "default", key, journal, ca_file;
  int concurrency = 16, max_tokens = 512;
  double timeout = 120, patience = 600;
};

inline void declare_judge(options& o, judge_settings& s) {
  o.optional("--judge-model", s.model, "the judge's name at its server")
      .optional("--judge-key", s.key, "where its API key is: env:NAME or file:PATH (of mode 0600)")
      .optional("--judge-ca", s.ca_file, "PEM file of the authorities to trust; the system's where absent")
      .optional("--judge-max-tokens", s.max_tokens, "of one reply")
      .optional("--judge-concurrency", s.concurrency, "requests at once")
      .optional("--judge-timeout", s.timeout, "seconds for one request")
      .optional("--judge-patience", s.patience, "seconds for one question, its retries included");
}

inline io::judge_config judge_config_of(const judge_settings& s) {
  io::judge_config c;
  c.url = s.url;
  c.model = s.model;
  c.key = s.key;
  c.max_tokens = s.max_tokens;
  c.journal = s.journal;
  c.http.ca_file = s.ca_file;
  c.http.concurrency = s.concurrency;
  c.http.limit.total_seconds = c.http.limit.stall_seconds = s.timeout;
  c.retry.patience_seconds = s.patience;
  return c;
}

// Lends a judge to a reward.
template <class Judge>
struct lent {
  Judge* judge;
  void operator()(std::span<const rl::judge_query> q, std::span<rl::outcome> o) const { (*judge)(q, o); }
};

// While it lives, an interrupted program stops the judge.
class stop_on_interrupt {
 public:
  explicit stop_on_interrupt(io::chat_judge& judge)
      : watcher_([this, &judge] {
          while (!done_) {
            if (interrupted()) return judge.stop();
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
          }
        }) {}
  ~stop_on_interrupt() {
    done_ = true;
    watcher_.join();
  }

 private:
  std::atomic<bool> done_{false};
  std::thread watcher_;
};

}  // namespace ql::tool
