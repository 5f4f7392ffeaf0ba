// SPDX-License-Identifier: Apache-2.0
#include <ql/data/generator.hpp>
#include <ql/rl/verify_strict.hpp>

#include <gtest/gtest.h>

#include <algorithm>

namespace {

using namespace ql::data;
using v = phrase_vocabulary;

// In English, the rules for texts say of generated answers what the rule for tokens says.
TEST(Generator, TextRulesAgreeWithTheTokenRule) {
  generator_config c;
  c.kinds = {1, 1, 1, 1, 1, 1};
  c.questions = 8;
  c.min_tokens = c.max_tokens = 200;
  ql::rl::strict::rule_reward<ql::rl::whole_response> rule;
  for (std::uint32_t i = 0; i < 40; ++i) {
    const auto d = generate(c, {.seed = 21, .index = i});
    for (std::size_t k = 0; k < d.questions.size(); ++k) {
      const auto& q = d.questions[k];
      const std::vector<std::string_view> gold(q.answers.begin(), q.answers.end());
      const auto verdict = [&](ql::token answer, bool terse) {
        auto t = terse ? q.terse() : q.step_by_step();
        t[t.size() - 2] = answer;
        const auto text = v::english(t), question = v::english(q.prompt);
        return ql::rl::value_or(rule({question, text, gold}), -1);
      };
      for (const bool terse : {false, true}) {
        EXPECT_EQ(verdict(q.gold, terse), 1) << v::english(q.prompt) << " " << v::english(q.step_by_step());
        for (const auto& other : d.questions) {
          if (v::equivalent(other.gold, q.gold)) continue;
          if (std::find(gold.begin(), gold.end(), v::text(other.gold)) != gold.end()) continue;  // of an option
          EXPECT_EQ(verdict(other.gold, terse), 0) << v::english(q.prompt) << " " << v::text(other.gold);
        }
        // What the judge of tokens takes for the same, the rule finds among the aliases.
        if (q.kind == question_kind::one_hop || q.kind == question_kind::bridge)
          for (int r = 0; r < 3; ++r)
            for (std::int32_t x = 0; x < v::values(static_cast<relation>(r)); ++x)
              if (v::value(static_cast<relation>(r), x) == q.gold) {
                EXPECT_EQ(verdict(v::predicate(static_cast<relation>(r), x), terse), 1);
              }
      }
    }
  }
}

}  // namespace
