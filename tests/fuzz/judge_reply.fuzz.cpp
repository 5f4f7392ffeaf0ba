// SPDX-License-Identifier: Apache-2.0
// sources: judge verdict_journal http retry secret file lines sha256 json
#include <ql/io/json.hpp>
#include <ql/io/judge.hpp>

#include <cstdint>

// What a judge's server says, and what an author writes: the reply is read, and the text is put between fences.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using kind = ql::io::judge_reply::kind;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto r = ql::io::read_judge_reply(text);
  const bool verdict = r.said == kind::yes || r.said == kind::no;
  if (verdict == !r.why.empty()) __builtin_trap();
  if (verdict && (r.text.find("[[") == std::string::npos || text.find("choices") == std::string_view::npos))
    __builtin_trap();
  const auto released = ql::io::read_judge_reply(text, ql::io::verdict_reading::released);
  if (released.said == kind::yes && released.text.find("YES") == std::string::npos) __builtin_trap();

  // the same text as a judge's words and as an answer
  const auto quoted = ql::io::read_judge_reply(
      "{\"choices\": [{\"message\": {\"content\": " + ql::io::json::dump_string(text) + "}}]}");
  const auto last = ql::rl::last_verdict(text);
  if (quoted.said == kind::yes && last != true) __builtin_trap();
  if (quoted.said == kind::no && last != false) __builtin_trap();
  const std::string_view gold[] = {text};
  const ql::rl::judge_query q{text, text, gold};
  const auto key = ql::io::verdict_key("m", "1", q.question, q.gold, q.prediction);
  const auto fence = ql::io::judge_fence(1, key, 0, q);
  const auto user = ql::io::make_judge_prompt(q, fence).user;
  std::size_t marks = 0;
  for (auto at = user.find(fence); at != std::string::npos; at = user.find(fence, at + 1)) ++marks;
  if (marks != 4 || user.find("<|") != std::string::npos) __builtin_trap();
  if (user.find("[[") != user.find("[[YES]]")) __builtin_trap();  // no bracketed token but those of the question itself
  if (const auto s = ql::io::retry_after_seconds(text, 0); s && !(*s >= 0)) __builtin_trap();
  return 0;
}
