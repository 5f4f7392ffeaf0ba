// SPDX-License-Identifier: Apache-2.0
#include <ql/data/phrase_vocabulary.hpp>
#include <ql/error.hpp>

#include <array>
#include <utility>

namespace ql::data {
namespace {

using v = phrase_vocabulary;

constexpr std::string_view head[] = {"<eos>",
                                     "<unk>",
                                     "<doc>",
                                     "<q>",
                                     "<a>",
                                     ".",
                                     "?",
                                     ",",
                                     "+",
                                     "=",
                                     "so the answer is",
                                     "and",
                                     "or",
                                     "the boss of",
                                     "where lives",
                                     "what is the job of",
                                     "which pet has",
                                     "how many coins have",
                                     "who has more coins",
                                     "is more than",
                                     "(a)",
                                     "(b)",
                                     "(c)",
                                     "(d)"};
constexpr std::string_view names[] = {"alice", "bob",  "carol", "dan",   "emma",   "frank",  "grace", "henry",
                                      "irene", "jack", "karen", "leo",   "maria",  "nick",   "olga",  "paul",
                                      "quinn", "rosa", "sam",   "tina",  "ursula", "victor", "wendy", "xavier",
                                      "yara",  "zoe",  "adam",  "bella", "cyrus",  "diana",  "erik",  "fiona"};
constexpr std::string_view city_names[] = {"oslo",   "rome",   "paris",  "lima",    "cairo",  "delhi",
                                           "tokyo",  "seoul",  "berlin", "madrid",  "vienna", "prague",
                                           "dublin", "london", "lisbon", "athens",  "warsaw", "moscow",
                                           "havana", "quito",  "tunis",  "nairobi", "sydney", "boston"};
constexpr std::string_view job_names[] = {"baker",    "carpenter", "dentist", "doctor", "driver", "farmer",
                                          "gardener", "judge",     "lawyer",  "mason",  "nurse",  "painter",
                                          "pilot",    "sailor",    "teacher", "writer"};
constexpr std::string_view pet_names[] = {"cat",    "dog",  "goat",   "hamster", "horse",    "lizard",
                                          "parrot", "pony", "rabbit", "snake",   "tortoise", "duck"};
// "the", 7 adjectives, 12 nouns, 9 verbs, 5 prepositions, 3 plural nouns: filler sentences (document_generator.cpp).
constexpr std::string_view filler[] = {
    "the",    "old",    "quiet",  "green",   "tall",     "narrow", "empty",  "bright", "bridge",  "river",
    "tower",  "garden", "road",   "harbour", "forest",   "lamp",   "market", "wall",   "mill",    "field",
    "stood",  "lay",    "waited", "rested",  "remained", "glowed", "faded",  "turned", "gleamed", "near",
    "behind", "beside", "above",  "beyond",  "birds",    "clouds", "leaves"};

static_assert(std::size(head) == 24 && std::size(names) == v::people && std::size(city_names) == v::cities &&
              std::size(job_names) == v::jobs && std::size(pet_names) == v::pets && std::size(filler) == 37);

std::array<std::string, v::size> make_texts() {
  std::array<std::string, v::size> t;
  std::size_t n = 0;
  const auto put = [&](std::string s) { t.at(n++) = std::move(s); };
  for (auto s : head) put(std::string(s));
  for (auto s : names) put(std::string(s));
  for (auto s : names) put("reports to " + std::string(s));
  for (auto s : city_names) put("lives in " + std::string(s));
  for (auto s : job_names) put("works as a " + std::string(s));
  for (auto s : pet_names) put("keeps a " + std::string(s));
  for (int i = 1; i <= v::coins; ++i) put("has " + std::to_string(i) + (i == 1 ? " coin" : " coins"));
  for (auto s : city_names) put(std::string(s));
  for (auto s : job_names) put(std::string(s));
  for (auto s : pet_names) put(std::string(s));
  for (int i = 1; i <= v::largest_sum; ++i) put(std::to_string(i));
  for (auto s : filler) put(std::string(s));
  return t;
}

const std::array<std::string, v::size>& texts() {
  static const std::array<std::string, v::size> t = make_texts();
  return t;
}

bool is_mark(token t) { return t == v::full_stop || t == v::question_mark || t == v::comma; }

// Capitals of names and cities within a token's text.
std::string capitalised(token t) {
  std::string s(v::text(t));
  const token named = v::value_of(t);
  const bool proper =
      v::is_person(named) || (named >= v::value(relation::city, 0) && named < v::value(relation::city, 0) + v::cities);
  if (proper) {
    auto& c = s[s.rfind(' ') == std::string::npos ? 0 : s.rfind(' ') + 1];
    c = static_cast<char>(c - 'a' + 'A');
  }
  return s;
}

}  // namespace

std::string_view phrase_vocabulary::text(token t) {
  detail::expects(t >= 0 && t < size, "phrase_vocabulary", "token", "0 to 255", t);
  return texts()[static_cast<std::size_t>(t)];
}

std::string phrase_vocabulary::decode(std::span<const token> ids) {
  std::string s;
  for (const token t : ids) {
    if (!s.empty()) s += ' ';
    s += text(t);
  }
  return s;
}

std::string phrase_vocabulary::english(std::span<const token> ids) {
  std::string s;
  bool begins = true;
  for (const token t : ids) {
    if (is_special(t)) {
      begins = true;
      continue;
    }
    if (!s.empty() && !is_mark(t)) s += ' ';
    std::string word = capitalised(t);
    if (begins && word[0] >= 'a' && word[0] <= 'z') word[0] = static_cast<char>(word[0] - 'a' + 'A');
    s += word;
    begins = t == full_stop || t == question_mark;
  }
  return s;
}

}  // namespace ql::data
