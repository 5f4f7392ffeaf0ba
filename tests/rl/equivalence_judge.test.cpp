// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/equivalence_judge.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {
using namespace ql::rl;

TEST(EquivalenceJudge, NumbersFillersAndSynonyms) {
  const equivalence_judge j{.synonyms = {{"the big apple", "New York"}}};
  for (const auto& [a, b] : std::vector<std::pair<std::string, std::string>>{{"14", "fourteen"},
                                                                             {"Fourteen.", "14"},
                                                                             {"oslo", "lives in Oslo"},
                                                                             {"She lives in OSLO", "Oslo"},
                                                                             {"twenty-one", "21"},
                                                                             {"two hundred and five", "205"},
                                                                             {"three thousand four hundred", "3,400"},
                                                                             {"zero", "0"},
                                                                             {"The Big Apple", "New York"},
                                                                             {"M\xC3\x9CNCHEN", "m\xC3\xBCnchen"},
                                                                             {"3.5", "3.5"}})
    EXPECT_TRUE(j.same(a, b) && j.same(b, a)) << a << " = " << b;
  for (const auto& [a, b] : std::vector<std::pair<std::string, std::string>>{{"14", "forty"},
                                                                             {"fourteen", "4"},
                                                                             {"one nine", "19"},
                                                                             {"oslo", "rome"},
                                                                             {"oslo", "oslo rome"},
                                                                             {"not oslo", "oslo"},
                                                                             {"", ""},
                                                                             {"lives in", "is the"},
                                                                             {"3.5", "35"},
                                                                             {"1,2", "12"}})
    EXPECT_FALSE(j.same(a, b)) << a << " = " << b;
  EXPECT_FALSE(j.same(std::string(1 << 20, 'x'), std::string(1 << 20, 'x')));
}
TEST(EquivalenceJudge, EveryNumberInWords) {
  static const char* low[] = {"zero",     "one",     "two",     "three",     "four",     "five",    "six",
                              "seven",    "eight",   "nine",    "ten",       "eleven",   "twelve",  "thirteen",
                              "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
  static const char* tens[] = {"", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};
  const auto below_hundred = [&](int n) {
    return n < 20 ? std::string(low[n])
                  : std::string(tens[n / 10]) + (n % 10 != 0 ? std::string("-") + low[n % 10] : "");
  };
  const auto below_thousand = [&](int n) {
    if (n < 100) return below_hundred(n);
    return std::string(low[n / 100]) + " hundred" + (n % 100 != 0 ? " and " + below_hundred(n % 100) : "");
  };
  const equivalence_judge j;
  for (int n = 0; n < 20000; n += n < 1200 ? 1 : 37) {
    const std::string words =
        n < 1000 ? below_thousand(n)
                 : below_thousand(n / 1000) + " thousand" + (n % 1000 != 0 ? " " + below_thousand(n % 1000) : "");
    EXPECT_EQ(j.meaning(words), std::vector<std::string>{std::to_string(n)}) << words;
  }
}

}  // namespace
