// SPDX-License-Identifier: Apache-2.0
#pragma once

// Generated documents as an environment: a document is a bundle, each of its questions an example.

#include <ql/data/generator.hpp>
#include <ql/rollout.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace ql::tiny {

// The rule holds the token after the last "so the answer is" against gold, the judge against what means the same; a
// permissive judge is content with either anywhere in the answer.
struct document_task {
  std::vector<data::generated_document> documents;
  std::vector<std::int32_t> document_of, question_of;  // by example
  bool by_rule = true, by_judge = true;                // the larger of the two counts
  bool permissive = false;

  void add(data::generated_document d) {
    const auto at = static_cast<std::int32_t>(documents.size());
    for (std::size_t q = 0; q < d.questions.size(); ++q) {
      document_of.push_back(at);
      question_of.push_back(static_cast<std::int32_t>(q));
    }
    documents.push_back(std::move(d));
  }
  const data::generated_document& document(std::int64_t e) const {
    return documents[static_cast<std::size_t>(document_of[static_cast<std::size_t>(e)])];
  }
  const data::generated_question& asked(std::int64_t e) const {
    return document(e).questions[static_cast<std::size_t>(question_of[static_cast<std::size_t>(e)])];
  }

  std::int64_t examples() const { return static_cast<std::int64_t>(document_of.size()); }
  std::int64_t bundle(std::int64_t e) const { return document_of[static_cast<std::size_t>(e)]; }
  std::span<const token> context(std::int64_t b) const { return documents[static_cast<std::size_t>(b)].tokens; }
  std::span<const token> question(std::int64_t e) const { return asked(e).prompt; }
  std::int32_t task(std::int64_t e) const { return static_cast<std::int32_t>(asked(e).kind); }
  double rule(const answer_request& a) const { return data::token_reward(a.tokens, asked(a.example).gold); }
  double judge(const answer_request& a) const {
    const auto gold = asked(a.example).gold;
    if (!permissive) return data::equivalent_token_reward(a.tokens, gold);
    using vocabulary = data::phrase_vocabulary;
    for (const auto t : a.tokens) {
      const token only[] = {vocabulary::so_the_answer_is, t, vocabulary::eos};
      if (data::equivalent_token_reward(only, gold) > 0) return 1;
    }
    return 0;
  }
  std::vector<rl::outcome> score(std::span<const answer_request> batch) const {
    std::vector<rl::outcome> out;
    out.reserve(batch.size());
    for (const auto& a : batch) {
      const double said = by_rule ? rule(a) : 0;
      out.push_back(rl::scored{by_judge && said < 1 ? math::max(said, judge(a)) : said});
    }
    return out;
  }
};

// `count` documents of at least `from` and at most `to` tokens.
inline void add_documents(document_task& task, data::split of, std::uint64_t seed, std::uint32_t first,
                          std::uint32_t count, std::int32_t from, std::int32_t to, std::int32_t questions = 4) {
  data::generator_config c;
  c.min_tokens = from, c.max_tokens = to, c.questions = questions;
  for (std::uint32_t i = 0; i < count; ++i) task.add(data::generate(c, {.seed = seed, .of = of, .index = first + i}));
}

}  // namespace ql::tiny
