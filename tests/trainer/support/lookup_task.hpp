// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/rollout.hpp>

namespace ql::test {

// Documents of key-value pairs, some questions on each: the answer to a key is its value and the end token.
struct lookup_task {
  static constexpr token end = 0, ask = 1, first_key = 2, keys = 8, first_value = 10, values = 8, filler = 18,
                         vocabulary = 19;
  std::int64_t documents = 4, questions = 2;
  std::int64_t long_from = 1 << 20;  // documents from here on begin with ten tokens of filler
  bool shared = true;                // false: each question has the document in its own prompt
  std::vector<std::int64_t> asked;   // examples scored so far, in order
  bool judge_away = false;           // every third question gets no verdict

  std::int64_t examples() const { return documents * questions; }
  std::int64_t bundle(std::int64_t e) const { return shared ? e / questions : e; }
  token value_of(std::int64_t document, std::int64_t key) const {
    return first_value +
           static_cast<token>(
               uniform({.seed = 3, .what = purpose::generate, .example = static_cast<std::uint32_t>(document)},
                       static_cast<std::uint64_t>(key)) *
               values);
  }
  std::vector<token> document(std::int64_t d) const {
    std::vector<token> t(d >= long_from ? 10 : 0, filler);
    for (token k = 0; k < keys; ++k) t.push_back(first_key + k), t.push_back(value_of(d, k));
    return t;
  }
  std::int64_t key_of(std::int64_t e) const { return (e * 5 + 3) % keys; }
  std::vector<token> context(std::int64_t b) const { return shared ? document(b) : std::vector<token>{}; }
  std::vector<token> question(std::int64_t e) const {
    std::vector<token> q;
    if (!shared) q = document(e / questions);
    q.push_back(ask);
    q.push_back(first_key + static_cast<token>(key_of(e)));
    return q;
  }
  std::int32_t task(std::int64_t e) const { return static_cast<std::int32_t>(e % 2); }
  token gold(std::int64_t e) const { return value_of(e / questions, key_of(e)); }
  std::vector<rl::outcome> score(std::span<const answer_request> batch) {
    std::vector<rl::outcome> out;
    out.reserve(batch.size());
    for (const auto& a : batch) {
      asked.push_back(a.example);
      const bool right = a.tokens.size() == 2 && a.tokens[0] == gold(a.example) && a.tokens[1] == end;
      out.emplace_back(rl::scored{right ? 1.0 : 0.0});
    }
    static const rl::outcome none = rl::abstained{"judge: connection refused"};
    for (std::size_t i = 0; judge_away && i < out.size(); ++i)
      if (batch[i].example % 3 == 0) out[i] = none;
    return out;
  }
};

inline model::decoder_config small_shape(std::int64_t vocabulary = lookup_task::vocabulary) {
  model::decoder_config c;
  c.vocabulary = vocabulary, c.hidden = 32, c.layers = 2, c.heads = 2, c.kv_heads = 1, c.ffn = 64;
  c.max_context = 256, c.qkv_bias = true, c.tied_head = true;
  return c;
}

}  // namespace ql::test
