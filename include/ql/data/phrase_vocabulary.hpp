// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/scalar.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ql::data {

// What a sentence of a generated document states of a person.
enum class relation : std::uint8_t { city, job, pet, coins, boss };
inline constexpr int relations = 5;

// The 256 tokens of generated documents: English words, and whole predicates as one token each ("lives in oslo"), so
// that a name and what is said of it stand side by side. Every token is lower-case text; the ids are fixed for ever.
struct phrase_vocabulary {
  static constexpr std::int32_t size = 256;
  static constexpr std::int32_t people = 32, cities = 24, jobs = 16, pets = 12, coins = 9, largest_sum = 18;

  static constexpr token eos = 0, unknown = 1, document = 2, question = 3, answer = 4;
  static constexpr token full_stop = 5, question_mark = 6, comma = 7, plus = 8, equals = 9;
  static constexpr token so_the_answer_is = 10, and_ = 11, or_ = 12, the_boss_of = 13;
  static constexpr token where_lives = 14, what_is_the_job_of = 15, which_pet_has = 16;
  static constexpr token how_many_coins_have = 17, who_has_more_coins = 18, is_more_than = 19;
  static constexpr token option_a = 20;  // (a), (b), (c), (d)

  // How many values a relation has: 24, 16, 12, 9 and 32.
  static constexpr std::int32_t values(relation r) {
    constexpr std::int32_t n[] = {cities, jobs, pets, coins, people};
    return n[static_cast<int>(r)];
  }
  static constexpr token person(std::int32_t i) { return 24 + i; }
  // "lives in oslo", "works as a baker", "keeps a cat", "has 3 coins" (value 2), "reports to dan".
  static constexpr token predicate(relation r, std::int32_t value) {
    constexpr token first[] = {88, 112, 128, 140, 56};
    return first[static_cast<int>(r)] + value;
  }
  // 1 to 18.
  static constexpr token number(std::int32_t n) { return 200 + n; }
  // "oslo", "baker", "cat", "3", "dan".
  static constexpr token value(relation r, std::int32_t v) {
    constexpr token first[] = {149, 173, 189, 201, 24};
    return first[static_cast<int>(r)] + v;
  }
  static constexpr token option(std::int32_t i) { return option_a + i; }
  static constexpr bool is_special(token t) { return t >= eos && t <= answer; }
  static constexpr bool is_person(token t) { return t >= 24 && t < 56; }
  static constexpr bool is_predicate(token t) { return t >= 56 && t < 149; }
  // The value that a predicate states ("oslo" of "lives in oslo"); any other token itself.
  static constexpr token value_of(token t) {
    for (int r = 0; r < relations; ++r) {
      const token first = predicate(static_cast<relation>(r), 0);
      if (t >= first && t < first + values(static_cast<relation>(r))) return value(static_cast<relation>(r), t - first);
    }
    return t;
  }
  // Both name the same value: "oslo" and "lives in oslo".
  static constexpr bool equivalent(token a, token b) { return value_of(a) == value_of(b); }

  // "lives in oslo"; throws argument_error outside [0, 256).
  static std::string_view text(token t);
  // The texts with one space between, as tokenizer_json() makes tokenizers decode them.
  static std::string decode(std::span<const token> ids);
  // For readers: special tokens left out, capitals, no space before a mark. Encodes to the same ids without specials.
  //   "Alice lives in Oslo. Bob works as a baker."
  static std::string english(std::span<const token> ids);

  // An ordinary tokenizer.json of the Hugging Face tokenizers library (WordLevel; phrases are added tokens) and its
  // tokenizer_config.json: encodes decode(ids) and english(ids) to ids.
  static std::string tokenizer_json();
  static std::string tokenizer_config_json();
};

}  // namespace ql::data
