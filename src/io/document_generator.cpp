// SPDX-License-Identifier: Apache-2.0
#include <ql/data/generator.hpp>
#include <ql/error.hpp>
#include <ql/random.hpp>

#include <algorithm>
#include <optional>
#include <utility>

namespace ql::data {
namespace {

using v = phrase_vocabulary;

constexpr std::int32_t fact_tokens = 3;
constexpr std::int32_t longest_document = 65535;  // a key holds the length in 16 bits

// The draws of one document, in order.
class draws {
 public:
  explicit draws(const random_key& k) : key_(k) {}
  // Even in [0, n).
  std::int32_t below(std::int32_t n) {
    return static_cast<std::int32_t>((std::uint64_t{next()[0]} * static_cast<std::uint32_t>(n)) >> 32);
  }
  double unit() { return uniform(next()); }
  bool chance(double p) { return unit() < p; }
  template <class T>
  void shuffle(std::vector<T>& list) {
    for (std::size_t i = list.size(); i > 1; --i)
      std::swap(list[i - 1], list[static_cast<std::size_t>(below(static_cast<std::int32_t>(i)))]);
  }
  // Index of a weight, of which one at least is above 0.
  template <std::size_t N>
  int pick(const std::array<double, N>& weights) {
    double total = 0;
    for (double w : weights) total += w;
    double x = unit() * total;
    int last = 0;
    for (std::size_t i = 0; i < N; ++i) {
      if (!(weights[i] > 0)) continue;
      last = static_cast<int>(i);
      if (x < weights[i]) break;
      x -= weights[i];
    }
    return last;
  }

 private:
  std::array<std::uint32_t, 4> next() { return random_bits(key_, position_++); }
  random_key key_;
  std::uint64_t position_ = 0;
};

random_key stream(const document_key& k, std::uint32_t tokens) {
  return {.seed = k.seed,
          .what = purpose::generate,
          .example = k.index,
          .visit = static_cast<std::uint32_t>(k.of),
          .sample = tokens};
}

struct fact {
  std::int32_t person = 0;
  relation what = relation::city;
  std::int32_t value = 0;
};

// A filler sentence of 3 to 9 tokens:
//   birds sang . | the lamp faded . | the old lamp faded . | birds rested near the mill . | the mill stood near the
//   river . | the old mill stood near the river . | the old mill stood near the quiet river .
void put_filler(draws& d, std::int32_t length, std::vector<token>& out) {
  constexpr token the = 219, adjective = 220, noun = 227, verb = 239, preposition = 248, plural = 253;
  const auto any = [&](token first, std::int32_t n) { out.push_back(first + d.below(n)); };
  const auto subject = [&](bool adjectives) {
    out.push_back(the);
    if (adjectives) any(adjective, 7);
    any(noun, 12);
  };
  if (length == 3 || length == 6) {
    any(plural, 3);
  } else {
    subject(length == 5 || length >= 8);
  }
  any(verb, 9);
  if (length >= 6) {
    any(preposition, 5);
    subject(length == 9);
  }
  out.push_back(v::full_stop);
}

// What a sentence may be so that the rest of the document can be filled exactly: `left` is never 1 or 2 afterwards.
bool fits(std::int32_t length, std::int32_t left) { return length == left || left - length >= fact_tokens; }

std::int32_t filler_length(draws& d, std::int32_t left) {
  const std::int32_t length = 5 + d.below(4);
  if (fits(length, left)) return length;
  // left is 3 to 10 here: all of it, or a half where it is 10.
  return left <= 9 ? left : 5;
}

struct plan {
  // value[relation][person], -1 where nothing is said
  std::array<std::array<std::int32_t, v::people>, relations> value;
  std::vector<fact> facts;
  std::int32_t left = 0;  // tokens not yet spoken for

  explicit plan(std::int32_t tokens) : left(tokens) {
    for (auto& r : value) r.fill(-1);
  }
  std::int32_t of(relation r, std::int32_t person) const {
    return value[static_cast<std::size_t>(r)][static_cast<std::size_t>(person)];
  }
  bool has_room(std::int32_t more_facts) const {
    const std::int32_t rest = left - more_facts * fact_tokens;
    return more_facts == 0 || rest == 0 || rest >= fact_tokens;
  }
  void add(std::int32_t person, relation r, std::int32_t x) {
    value[static_cast<std::size_t>(r)][static_cast<std::size_t>(person)] = x;
    facts.push_back({person, r, x});
    left -= fact_tokens;
  }
};

// A question before it is put into words: about `a`, and `b` where two people are named or the boss of `a` is meant.
struct asked_question {
  question_kind kind = question_kind::one_hop;
  relation about = relation::city;
  std::int32_t a = 0, b = -1;

  bool same(const asked_question& o) const {
    if (kind != o.kind) return false;
    const bool pair = kind == question_kind::sum || kind == question_kind::comparison;
    if (pair) return (a == o.a && b == o.b) || (a == o.b && b == o.a);
    return a == o.a && about == o.about;
  }
};

struct needed_fact {
  std::int32_t person;
  relation what;
};
// The evidence in the order of the chain; returns how many.
int evidence_of(const asked_question& q, needed_fact (&out)[3]) {
  switch (q.kind) {
    case question_kind::one_hop:
    case question_kind::choice: out[0] = {q.a, q.about}; return 1;
    case question_kind::bridge:
      out[0] = {q.a, relation::boss};
      out[1] = {q.b, q.about};
      return 2;
    case question_kind::sum:
    case question_kind::comparison:
      out[0] = {q.a, relation::coins};
      out[1] = {q.b, relation::coins};
      return 2;
    case question_kind::bridge_sum: break;
  }
  out[0] = {q.a, relation::coins};
  out[1] = {q.a, relation::boss};
  out[2] = {q.b, relation::coins};
  return 3;
}

bool in(const asked_question& q, const std::vector<asked_question>& list) {
  return std::any_of(list.begin(), list.end(), [&](const auto& o) { return q.same(o); });
}

class planner {
 public:
  planner(const generator_config& c, draws& d, plan& p) : config_(c), d_(d), plan_(p) {}

  std::vector<asked_question> questions() {
    for (std::int32_t i = 0; i < config_.questions; ++i) {
      const auto kind = static_cast<question_kind>(d_.pick(config_.kinds));
      auto q = fresh(kind);
      if (!q) q = answerable(kind);
      for (int k = 0; !q && k < question_kinds; ++k)
        if (config_.kinds[static_cast<std::size_t>(k)] > 0) q = answerable(static_cast<question_kind>(k));
      if (!q) break;
      asked_.push_back(*q);
    }
    return std::move(asked_);
  }

 private:
  relation topic() {
    std::array<double, 3> w{};
    for (std::size_t i = 0; i < 3; ++i) w[i] = config_.asked[i] ? 1 : 0;
    return static_cast<relation>(d_.pick(w));
  }
  std::int32_t other_than(std::int32_t a) {
    const auto b = d_.below(v::people - 1);
    return b < a ? b : b + 1;
  }

  // A question about people drawn at random; facts that it needs are added.
  std::optional<asked_question> fresh(question_kind kind) {
    for (int attempt = 0; attempt < 8; ++attempt) {
      asked_question q{kind, topic(), d_.below(v::people), -1};
      if (kind == question_kind::bridge_sum) q.about = relation::city;  // coins are meant
      const bool bridge = kind == question_kind::bridge || kind == question_kind::bridge_sum;
      if (bridge) q.b = plan_.of(relation::boss, q.a);
      if (kind != question_kind::one_hop && kind != question_kind::choice && q.b < 0) q.b = other_than(q.a);
      if (in(q, asked_)) continue;
      needed_fact need[3];
      const int n = evidence_of(q, need);
      std::int32_t missing = 0;
      for (int i = 0; i < n; ++i) missing += plan_.of(need[i].what, need[i].person) < 0 ? 1 : 0;
      if (!plan_.has_room(missing)) continue;
      std::array<std::int32_t, 3> values{};
      for (int i = 0; i < n; ++i) {
        auto& x = values[static_cast<std::size_t>(i)];
        x = plan_.of(need[i].what, need[i].person);
        if (x < 0) x = need[i].what == relation::boss ? q.b : d_.below(v::values(need[i].what));
      }
      if (kind == question_kind::comparison && values[0] == values[1]) continue;
      for (int i = 0; i < n; ++i)
        if (plan_.of(need[i].what, need[i].person) < 0)
          plan_.add(need[i].person, need[i].what, values[static_cast<std::size_t>(i)]);
      return q;
    }
    return std::nullopt;
  }

  // A question that is not asked yet and that the facts answer already.
  std::optional<asked_question> answerable(question_kind kind) {
    std::vector<asked_question> can;
    const auto consider = [&](asked_question q) {
      if (!in(q, asked_)) can.push_back(q);
    };
    const auto has = [&](relation r, std::int32_t person) { return plan_.of(r, person) >= 0; };
    for (std::int32_t a = 0; a < v::people; ++a) {
      const auto boss = plan_.of(relation::boss, a);
      for (int t = 0; t < 3; ++t) {
        const auto about = static_cast<relation>(t);
        if (!config_.asked[static_cast<std::size_t>(t)]) continue;
        if ((kind == question_kind::one_hop || kind == question_kind::choice) && has(about, a))
          consider({kind, about, a, -1});
        if (kind == question_kind::bridge && boss >= 0 && has(about, boss)) consider({kind, about, a, boss});
      }
      if (!has(relation::coins, a)) continue;
      if (kind == question_kind::bridge_sum && boss >= 0 && has(relation::coins, boss))
        consider({kind, relation::city, a, boss});
      if (kind != question_kind::sum && kind != question_kind::comparison) continue;
      for (std::int32_t b = a + 1; b < v::people; ++b)
        if (has(relation::coins, b) &&
            (kind == question_kind::sum || plan_.of(relation::coins, a) != plan_.of(relation::coins, b)))
          consider({kind, relation::city, a, b});
    }
    if (can.empty()) return std::nullopt;
    return can[static_cast<std::size_t>(d_.below(static_cast<std::int32_t>(can.size())))];
  }

  const generator_config& config_;
  draws& d_;
  plan& plan_;
  std::vector<asked_question> asked_;
};

std::int32_t any_value(draws& d, relation r, std::int32_t person) {
  if (r != relation::boss) return d.below(v::values(r));
  const auto b = d.below(v::people - 1);  // nobody reports to himself
  return b < person ? b : b + 1;
}

// A person of whom `r` says nothing yet, or -1.
std::int32_t free_person(draws& d, const plan& p, relation r) {
  std::array<std::int32_t, v::people> who{};
  std::int32_t n = 0;
  for (std::int32_t i = 0; i < v::people; ++i)
    if (p.of(r, i) < 0) who[static_cast<std::size_t>(n++)] = i;
  return n == 0 ? -1 : who[static_cast<std::size_t>(d.below(n))];
}

// A distractor of a relation in `wanted` (a bit each), of any other if those are all said; false: no fact is left.
bool add_distractor(draws& d, plan& p, unsigned wanted) {
  for (const unsigned from : {wanted, ~wanted}) {
    std::array<double, relations> w{};
    bool some = false;
    for (int r = 0; r < relations; ++r) {
      const auto& said = p.value[static_cast<std::size_t>(r)];
      const bool open = (from >> r & 1) != 0 && std::find(said.begin(), said.end(), -1) != said.end();
      w[static_cast<std::size_t>(r)] = open ? 1 : 0;
      some = some || open;
    }
    if (!some) continue;
    const auto r = static_cast<relation>(d.pick(w));
    const auto person = free_person(d, p, r);
    p.add(person, r, any_value(d, r, person));
    return true;
  }
  return false;
}

// Sentences in an order of its own: facts and filler are shuffled together. place[i] is where fact i went.
struct laid_out {
  std::vector<token> tokens;
  std::vector<sentence> sentences;
  std::vector<std::int32_t> place;
};
laid_out lay_out(draws& d, const std::vector<fact>& facts, const std::vector<std::int32_t>& filler) {
  std::vector<std::int32_t> order(facts.size() + filler.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int32_t>(i);
  d.shuffle(order);
  laid_out out;
  out.tokens.push_back(v::document);
  out.place.resize(facts.size());
  for (const auto which : order) {
    sentence s;
    s.first = static_cast<std::int32_t>(out.tokens.size());
    const auto i = static_cast<std::size_t>(which);
    if (i < facts.size()) {
      s.person = facts[i].person, s.what = facts[i].what, s.value = facts[i].value;
      out.place[i] = static_cast<std::int32_t>(out.sentences.size());
      for (token t : {v::person(s.person), v::predicate(s.what, s.value), v::full_stop}) out.tokens.push_back(t);
    } else {
      put_filler(d, filler[i - facts.size()], out.tokens);
    }
    s.count = static_cast<std::int32_t>(out.tokens.size()) - s.first;
    out.sentences.push_back(s);
  }
  return out;
}

constexpr std::string_view number_words[] = {
    "",    "one",    "two",    "three",    "four",     "five",    "six",     "seven",     "eight",   "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"};

// Options of a choice: the gold value and three others, those that the document mentions first.
std::array<std::int32_t, 4> options_of(draws& d, const plan& p, relation r, std::int32_t gold) {
  std::vector<std::int32_t> said, rest;
  for (std::int32_t x = 0; x < v::values(r); ++x) {
    if (x == gold) continue;
    const auto& values = p.value[static_cast<std::size_t>(r)];
    (std::find(values.begin(), values.end(), x) != values.end() ? said : rest).push_back(x);
  }
  d.shuffle(said);
  d.shuffle(rest);
  said.insert(said.end(), rest.begin(), rest.end());
  std::vector<std::int32_t> four{gold, said[0], said[1], said[2]};
  d.shuffle(four);
  return {four[0], four[1], four[2], four[3]};
}

// Puts a question into words, with answer and chain.
generated_question worded(draws& d, const plan& p, const asked_question& q, const std::vector<std::int32_t>& place) {
  generated_question out;
  out.kind = q.kind;
  const auto tokens = [](std::vector<token>& to, std::initializer_list<token> t) { to.insert(to.end(), t); };
  constexpr token asks[] = {v::where_lives, v::what_is_the_job_of, v::which_pet_has};
  const token ask = asks[static_cast<int>(q.about)];
  const token a = v::person(q.a), b = q.b < 0 ? 0 : v::person(q.b);
  auto& prompt = out.prompt;
  prompt.push_back(v::question);
  switch (q.kind) {
    case question_kind::one_hop:
    case question_kind::choice: tokens(prompt, {ask, a, v::question_mark}); break;
    case question_kind::bridge: tokens(prompt, {ask, v::the_boss_of, a, v::question_mark}); break;
    case question_kind::sum: tokens(prompt, {v::how_many_coins_have, a, v::and_, b, v::question_mark}); break;
    case question_kind::bridge_sum:
      tokens(prompt, {v::how_many_coins_have, a, v::and_, v::the_boss_of, a, v::question_mark});
      break;
    case question_kind::comparison:
      tokens(prompt, {v::who_has_more_coins, v::comma, a, v::or_, b, v::question_mark});
      break;
  }

  needed_fact need[3];
  const int n = evidence_of(q, need);
  for (int i = 0; i < n; ++i) {
    const auto x = p.of(need[i].what, need[i].person);
    tokens(out.reasoning, {v::person(need[i].person), v::predicate(need[i].what, x), v::full_stop});
    for (std::size_t f = 0; f < p.facts.size(); ++f)
      if (p.facts[f].person == need[i].person && p.facts[f].what == need[i].what) out.evidence.push_back(place[f]);
  }

  const auto text = [](token t) { return std::string(v::text(t)); };
  const auto coins = [&](std::int32_t person) { return p.of(relation::coins, person) + 1; };
  switch (q.kind) {
    case question_kind::one_hop:
    case question_kind::bridge: {
      const auto x = p.of(q.about, q.kind == question_kind::bridge ? q.b : q.a);
      out.gold = v::value(q.about, x);
      out.answers = {text(out.gold), text(v::predicate(q.about, x))};
      break;
    }
    case question_kind::choice: {
      const auto x = p.of(q.about, q.a);
      const auto four = options_of(d, p, q.about, x);
      for (std::int32_t i = 0; i < 4; ++i) {
        const auto o = four[static_cast<std::size_t>(i)];
        tokens(prompt, {v::option(i), v::value(q.about, o)});
        if (o == x) out.gold = v::option(i);
      }
      out.answers = {text(out.gold), text(out.gold).substr(1, 1), text(v::value(q.about, x))};
      break;
    }
    case question_kind::sum:
    case question_kind::bridge_sum: {
      const auto x = coins(q.a), y = coins(q.b);
      out.gold = v::number(x + y);
      tokens(out.reasoning, {v::number(x), v::plus, v::number(y), v::equals, out.gold});
      const std::string word(number_words[x + y]);
      out.answers = {text(out.gold), word, text(out.gold) + " coins", word + " coins"};
      break;
    }
    case question_kind::comparison: {
      const auto x = coins(q.a), y = coins(q.b);
      out.gold = x > y ? a : b;
      tokens(out.reasoning, {v::number(std::max(x, y)), v::is_more_than, v::number(std::min(x, y)), v::full_stop});
      out.answers = {text(out.gold)};
      break;
    }
  }
  prompt.push_back(v::answer);
  return out;
}

void check_share(const char* who, const char* name, double x) {
  detail::expects(x >= 0 && x <= 1, who, name, "a share from 0 to 1", x);
}

}  // namespace

std::string_view name_of(question_kind k) {
  constexpr std::string_view names[] = {"one_hop", "bridge", "sum", "bridge_sum", "comparison", "choice"};
  detail::expects(static_cast<int>(k) < question_kinds, "name_of", "kind", "a question_kind", static_cast<int>(k));
  return names[static_cast<int>(k)];
}

std::vector<token> generated_question::step_by_step() const {
  std::vector<token> t = reasoning;
  for (token x : {v::so_the_answer_is, gold, v::eos}) t.push_back(x);
  return t;
}

std::vector<token> generated_question::terse() const { return {v::so_the_answer_is, gold, v::eos}; }

generated_document generate(const generator_config& c, const document_key& key) {
  constexpr const char* me = "generate";
  detail::expects(c.min_tokens >= 1 + fact_tokens && c.min_tokens <= c.max_tokens && c.max_tokens <= longest_document,
                  me, "min_tokens, max_tokens", "4 <= min_tokens <= max_tokens <= 65535",
                  std::to_string(c.min_tokens) + ", " + std::to_string(c.max_tokens));
  detail::expects(c.questions >= 0 && c.questions <= 64, me, "questions", "0 to 64", c.questions);
  double total = 0;
  for (double w : c.kinds) {
    detail::expects(w >= 0 && w <= 1e6, me, "kinds", "weights from 0 to 1e6", w);
    total += w;
  }
  detail::expects(total > 0, me, "kinds", "one weight above 0 at least", total);
  detail::expects(c.asked[0] || c.asked[1] || c.asked[2], me, "asked", "city, job or pet", "none of them");
  check_share(me, "filler", c.filler);
  check_share(me, "hard", c.hard);
  check_share(me, "terse", c.terse);

  draws first(stream(key, 0));
  const std::int32_t length = c.min_tokens + first.below(c.max_tokens - c.min_tokens + 1);
  draws d(stream(key, static_cast<std::uint32_t>(length)));

  plan p(length - 1);
  const auto asked = planner(c, d, p).questions();
  unsigned needed = 0;
  for (const auto& q : asked) {
    needed_fact need[3];
    const int n = evidence_of(q, need);
    for (int i = 0; i < n; ++i) needed |= 1u << static_cast<int>(need[i].what);
  }

  // Sentences that the document will have, filler of 6.5 tokens and facts of 3: S (6.5 f + 3 (1 - f)) = length - 1.
  // The filler among the sentences still to come then makes up for the evidence. In integers: the same everywhere.
  const auto share = static_cast<std::int64_t>(c.filler * 65536);
  const std::int64_t total_sentences = (std::int64_t{length - 1} << 17) / (6 * 65536 + 7 * share);
  const std::int64_t fillers = total_sentences * share;  // times 65536
  const std::int64_t to_come = std::max<std::int64_t>(
      (total_sentences - static_cast<std::int64_t>(p.facts.size())) << 16, std::max<std::int64_t>(fillers, 1));
  const double filler_chance = static_cast<double>(fillers) / static_cast<double>(to_come);

  std::vector<std::int32_t> filler;
  while (p.left > 0) {
    bool fact = !d.chance(filler_chance) && p.has_room(1);
    if (fact) {
      const bool hard = d.chance(c.hard);
      fact = add_distractor(d, p, hard ? needed : ~needed);
    }
    if (fact) continue;
    filler.push_back(filler_length(d, p.left));
    p.left -= filler.back();
  }

  auto laid = lay_out(d, p.facts, filler);
  generated_document out{key, std::move(laid.tokens), std::move(laid.sentences), {}};
  for (const auto& q : asked) {
    out.questions.push_back(worded(d, p, q, laid.place));
    out.questions.back().prefers_terse = d.chance(c.terse);
  }
  return out;
}

double token_reward(std::span<const token> r, token gold) {
  const std::size_t n = r.size();
  return n >= 3 && r[n - 3] == v::so_the_answer_is && r[n - 2] == gold && r[n - 1] == v::eos ? 1 : 0;
}

double equivalent_token_reward(std::span<const token> r, token gold) {
  const std::size_t n = r.size();
  return n >= 3 && r[n - 3] == v::so_the_answer_is && v::equivalent(r[n - 2], gold) && r[n - 1] == v::eos ? 1 : 0;
}

std::int32_t quoted_evidence(std::span<const token> r, const generated_document& d, const generated_question& q) {
  std::int32_t quoted = 0;
  for (const auto e : q.evidence) {
    detail::expects(e >= 0 && static_cast<std::size_t>(e) < d.sentences.size(), "quoted_evidence", "question",
                    "one of the document", "another one's");
    const auto fact = d.tokens_of(d.sentences[static_cast<std::size_t>(e)]).first(2);
    quoted += std::search(r.begin(), r.end(), fact.begin(), fact.end()) != r.end() ? 1 : 0;
  }
  return quoted;
}

drill_document generate_drill(const drill_config& c, const document_key& key) {
  constexpr const char* me = "generate_drill";
  detail::expects(c.tokens >= 1 + fact_tokens && c.tokens <= longest_document, me, "tokens", "4 to 65535", c.tokens);
  detail::expects(c.restatements >= 0 && c.restatements <= 64, me, "restatements", "0 to 64", c.restatements);
  check_share(me, "filler", c.filler);
  std::array<double, relations> w{};
  bool some = false;
  for (std::size_t r = 0; r < w.size(); ++r) {
    w[r] = c.relation_used[r] ? 1 : 0;
    some = some || c.relation_used[r];
  }
  detail::expects(some, me, "relation_used", "one relation at least", "none");

  draws d(stream(key, static_cast<std::uint32_t>(c.tokens)));
  const auto what = static_cast<relation>(d.pick(w));
  plan p(c.tokens - 1);
  std::vector<std::int32_t> filler;
  while (p.left > 0) {
    const bool wants_filler = d.chance(c.filler);
    const auto person = free_person(d, p, what);
    if (!wants_filler && p.has_room(1) && person >= 0) {
      p.add(person, what, any_value(d, what, person));
    } else {
      filler.push_back(filler_length(d, p.left));
      p.left -= filler.back();
    }
  }
  auto laid = lay_out(d, p.facts, filler);
  drill_document out{key, what, std::move(laid.tokens), std::move(laid.sentences), {}};
  for (std::int32_t i = 0; i < c.restatements; ++i) {
    auto facts = p.facts;
    d.shuffle(facts);
    restatement r;
    for (const auto& f : facts) {
      for (token t : {v::person(f.person), v::predicate(f.what, f.value), v::full_stop}) r.tokens.push_back(t);
      r.recall.insert(r.recall.end(), {0, 1, 0});
    }
    out.restatements.push_back(std::move(r));
  }
  return out;
}

}  // namespace ql::data
