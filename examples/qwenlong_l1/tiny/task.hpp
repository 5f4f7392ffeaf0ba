// SPDX-License-Identifier: Apache-2.0
#pragma once

// Generated documents as an environment: a document is a bundle, each of its questions an example.

#include <ql/data/generator.hpp>
#include <ql/rollout.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace ql::tiny {

// Rule and local judge: the token after the last "so the answer is" against gold, or against what means the same.
struct document_task {
  std::vector<data::generated_document> documents;
  std::vector<std::int32_t> document_of, question_of;  // by example
  bool lenient = true;                                 // ask the equivalence judge where the rule says no

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
  double judge(const answer_request& a) const { return data::equivalent_token_reward(a.tokens, asked(a.example).gold); }
  std::vector<rl::outcome> score(std::span<const answer_request> batch) const {
    std::vector<rl::outcome> out;
    out.reserve(batch.size());
    for (const auto& a : batch) {
      const double by_rule = rule(a);
      out.push_back(rl::scored{lenient && by_rule < 1 ? math::max(by_rule, judge(a)) : by_rule});
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
