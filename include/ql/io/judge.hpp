// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/http.hpp>
#include <ql/io/retry.hpp>
#include <ql/io/verdict_journal.hpp>
#include <ql/rl/judge.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ql::io {

// How a verdict is read: the last bracketed token, [[YES]] or [[NO]]; or, as the released QwenLong-L1 does it, YES in
// capitals anywhere.
enum class verdict_reading { last_bracketed, released };

struct judge_config {
  // http://127.0.0.1:8000, .../v1 or .../v1/chat/completions of a server that speaks OpenAI's chat completions.
  std::string url;
  std::string model = "default";
  double temperature = 0;
  int max_tokens = 512;  // of the judge's reply
  verdict_reading reading = verdict_reading::last_bracketed;
  int unreadable_asks = 2;  // how often one query is put where the reply holds no verdict, each time with other fences
  bool gate = true;         // answers that do not pass ql::rl::judge_gate are wrong and are not sent
  std::string key;          // env:NAME or file:PATH (0600); empty: none
  bool allow_plain_http = false;  // send a key over http to a host that is not this one
  http::client_config http;
  retry_policy retry;
  breaker_policy breaker;
  file_path journal;             // empty: verdicts are remembered for the life of the judge
  std::uint64_t fence_seed = 0;  // secret seed of the fences; 0: drawn from the system
};

// What became of the queries of all batches so far.
struct judge_tally {
  std::size_t queries = 0;     // in all
  std::size_t gated = 0;       // wrong without being sent
  std::size_t repeated = 0;    // the same as another query of the batch
  std::size_t remembered = 0;  // from the journal
  std::size_t requests = 0, retries = 0;
  std::size_t yes = 0, no = 0;  // fresh verdicts
  std::size_t unreadable = 0;   // replies without a verdict
  std::size_t breaker_opened = 0;
  std::map<std::string, std::size_t> abstained;  // why, how many queries
};

// A judge behind any OpenAI-compatible server: a model of rl::answer_judge. Queries of a batch are sent concurrently,
// the same query once; verdicts go to the journal, synced, before they are returned; what fails is asked again and in
// the end abstains with a reason. It never turns a failure into a score, and never throws for one.
class chat_judge {
 public:
  // Throws argument_error for a configuration that cannot work (all mistakes at once), file_error and format_error for
  // the key's and the journal's file.
  explicit chat_judge(const judge_config& c);
  ~chat_judge();
  chat_judge(chat_judge&&) noexcept;
  chat_judge& operator=(chat_judge&&) noexcept;

  void operator()(std::span<const rl::judge_query> queries, std::span<rl::outcome> outcomes);

  const judge_tally& tally() const;
  // Seconds of the last request for each query of the last batch; 0 where none was sent.
  std::span<const double> seconds() const;
  verdict_journal& journal();
  // From any thread: the batch ends soon, what is not settled abstains. So do later batches, until resume().
  void stop() noexcept;
  void resume() noexcept;

 private:
  struct state;
  state* s_ = nullptr;
};

// The prompt of a query: fixed text, and the untrusted texts each between lines that hold the fence.
struct judge_prompt {
  std::string system, user;
};
inline constexpr std::string_view judge_prompt_version = "1";
judge_prompt make_judge_prompt(const rl::judge_query& q, std::string_view fence);
// 32 hexadecimal digits, a function of the secret seed, the query's key and how often it has been asked before, that
// occur in none of the query's texts.
std::string judge_fence(std::uint64_t seed, const sha256_digest& key, std::uint32_t asked, const rl::judge_query& q);

// What a server's reply says.
struct judge_reply {
  enum class kind { yes, no, unreadable, malformed } said = kind::malformed;
  std::string why;   // of the last two
  std::string text;  // what the judge wrote
};
judge_reply read_judge_reply(std::string_view body, verdict_reading reading = verdict_reading::last_bracketed);

}  // namespace ql::io
