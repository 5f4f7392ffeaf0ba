// SPDX-License-Identifier: Apache-2.0
#pragma once

// Seeded documents with questions: shuffled sentences of facts about people among filler and hard distractors. Every
// question's answer, evidence and chain of reasoning is known; a document is a pure function of configuration and key.
//
//   auto d = ql::data::generate({.min_tokens = 128, .max_tokens = 256}, {.seed = 1, .index = 7});
//   ql::data::phrase_vocabulary::english(d.tokens)               "The lamp faded. Alice lives in Oslo. ..."
//   ql::data::phrase_vocabulary::english(d.questions[0].prompt)  "Where lives the boss of Carol?"

#include <ql/data/phrase_vocabulary.hpp>
#include <ql/scalar.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ql::data {

enum class question_kind : std::uint8_t {
  one_hop,     // where lives alice ?
  bridge,      // where lives the boss of alice ?
  sum,         // how many coins have alice and bob ?
  bridge_sum,  // how many coins have alice and the boss of alice ?
  comparison,  // who has more coins , alice or bob ?
  choice       // where lives alice ? (a) rome (b) oslo (c) lima (d) cairo
};
inline constexpr int question_kinds = 6;
std::string_view name_of(question_kind k);  // "one_hop", ...

// Documents of two splits never share a random number.
enum class split : std::uint8_t { train, warm_up, drill, validation, test };

// Which document.
struct document_key {
  std::uint64_t seed = 0;
  split of = split::train;
  std::uint32_t index = 0;

  friend bool operator==(const document_key&, const document_key&) = default;
};

struct generator_config {
  // Length of a document in tokens, <doc> included, drawn evenly from [min_tokens, max_tokens] (4 to 65535) and met
  // exactly. There are 160 facts at most, one for each person and relation: above some 1100 tokens filler grows.
  std::int32_t min_tokens = 128, max_tokens = 128;
  std::int32_t questions = 4;  // at most; fewer where a short document has no more distinct ones
  // Weights of the kinds, in the order of question_kind. Where a short document has no room for a question's evidence,
  // a question that the facts already there answer takes its place, of the drawn kind if there is one.
  std::array<double, question_kinds> kinds{3, 3, 2, 2, 0, 0};
  std::array<bool, 3> asked{true, true, true};  // city, job, pet: what one_hop, bridge and choice may ask
  double filler = 0.4;                          // share of the sentences that say nothing of anybody
  double hard = 0.7;   // share of the distractors whose relation some question of the document needs
  double terse = 0.2;  // share of the questions whose training target is terse

  friend bool operator==(const generator_config&, const generator_config&) = default;
};

// One sentence of a document: tokens [first, first + count), the full stop included. A fact reads "alice lives in oslo
// ."; filler has person -1.
struct sentence {
  std::int32_t first = 0, count = 0;
  std::int32_t person = -1;
  relation what = relation::city;
  std::int32_t value = 0;

  bool filler() const { return person < 0; }
  friend bool operator==(const sentence&, const sentence&) = default;
};

struct generated_question {
  question_kind kind = question_kind::one_hop;
  std::vector<token> prompt;           // <q> where lives alice ? <a>
  std::vector<token> reasoning;        // the chain: facts in order, arithmetic
  token gold = 0;                      // the one token that answers
  std::vector<std::string> answers;    // gold's text, then what means the same ("lives in oslo", "eight")
  std::vector<std::int32_t> evidence;  // sentences of the document, each needed, in the order of the chain
  bool prefers_terse = false;          // the style drawn for training

  // reasoning so the answer is GOLD <eos>
  std::vector<token> step_by_step() const;
  // so the answer is GOLD <eos>
  std::vector<token> terse() const;
  std::vector<token> target() const { return prefers_terse ? terse() : step_by_step(); }

  friend bool operator==(const generated_question&, const generated_question&) = default;
};

struct generated_document {
  document_key key;
  std::vector<token> tokens;  // <doc>, then the sentences
  std::vector<sentence> sentences;
  std::vector<generated_question> questions;

  std::span<const token> tokens_of(const sentence& s) const {
    return std::span(tokens).subspan(static_cast<std::size_t>(s.first), static_cast<std::size_t>(s.count));
  }
  friend bool operator==(const generated_document&, const generated_document&) = default;
};

// Throws argument_error where the configuration is outside what is said above.
generated_document generate(const generator_config& config, const document_key& key);

// The rule: 1 if the response ends with "so the answer is" GOLD <eos>, else 0.
double token_reward(std::span<const token> response, token gold);
// The same, where a token that means the same as gold ("lives in oslo" for "oslo") is right too.
double equivalent_token_reward(std::span<const token> response, token gold);

// How many sentences of the question's evidence a response quotes (name and predicate, side by side); grounding is
// exact here.
std::int32_t quoted_evidence(std::span<const token> response, const generated_document& d, const generated_question& q);

// Documents that teach to recall: facts of ONE relation, and all of them said again, in other orders.
struct drill_config {
  std::int32_t tokens = 28;  // exactly, 4 to 65535, 32 facts at most
  double filler = 0.1;
  std::int32_t restatements = 2;
  std::array<bool, relations> relation_used{true, true, true, true, true};

  friend bool operator==(const drill_config&, const drill_config&) = default;
};

struct restatement {
  std::vector<token> tokens;         // the facts, each "alice lives in oslo ."
  std::vector<std::uint8_t> recall;  // 1 for what the document alone tells: the predicate after a name

  friend bool operator==(const restatement&, const restatement&) = default;
};

struct drill_document {
  document_key key;
  relation what = relation::city;
  std::vector<token> tokens;
  std::vector<sentence> sentences;
  std::vector<restatement> restatements;

  friend bool operator==(const drill_document&, const drill_document&) = default;
};

drill_document generate_drill(const drill_config& config, const document_key& key);

}  // namespace ql::data
