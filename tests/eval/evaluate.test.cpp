// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/evaluate.hpp>
#include <ql/eval/summary.hpp>

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>

#include "eval/support/byte_tokenizer.hpp"
#include "io/folder.hpp"

namespace {
using namespace ql::eval;
using ql::rl::answer_kind;

item made(std::string id, std::string document, std::string gold) {
  item i;
  i.id = std::move(id);
  i.benchmark = "made";
  i.document = document;
  i.context = "About " + document + ".";
  i.question = "What is " + i.id + "?";
  i.gold = {std::move(gold)};
  return i;
}
std::vector<item> six() {
  return {made("a", "one", "Oslo"),  made("b", "one", "Rome"),    made("c", "two", "Lima"),
          made("d", "two", "Cairo"), made("e", "three", "Paris"), made("f", "four", "Bern")};
}

// Answers by a table: question id to response; counts what it is asked.
struct scripted {
  std::map<std::string, std::string> answers;
  std::map<std::string, int> fails;  // how often an item fails first
  std::vector<std::size_t> calls = {};
  std::vector<std::uint32_t> examples = {};
  std::vector<std::vector<generation>> operator()(std::span<const generation_request> requests, const protocol& p) {
    calls.push_back(requests.size());
    std::vector<std::vector<generation>> out;
    for (const auto& r : requests) {
      examples.push_back(r.example);
      const auto at = r.prompt.find("What is ");
      const std::string id(r.prompt.substr(at + 8, 1));
      out.emplace_back();
      for (int s = 0; s < p.samples; ++s) {
        if (fails[id] > 0) {
          out.back().push_back({.stopped = false, .failure = "server away"});
        } else {
          out.back().push_back({answers[id], static_cast<std::int64_t>(answers[id].size()) + 1, true, ""});
        }
      }
      if (fails[id] > 0) --fails[id];
    }
    return out;
  }
};
scripted policy() {
  return {{{"a", "the answer is Oslo."},
           {"b", "the answer is the city of seven hills."},
           {"c", "no idea"},
           {"d", "the answer is El Cairo."},
           {"e", "the answer is London."},
           {"f", "the answer is the Swiss capital."}},
          {}};
}
// Says yes to what holds a word; away while `away` is not 0.
struct scripted_judge {
  std::vector<std::string> right;
  int away = 0;
  std::size_t queries = 0, batches = 0;
  void operator()(std::span<const ql::rl::judge_query> q, std::span<ql::rl::outcome> out) {
    ++batches;
    for (std::size_t i = 0; i < q.size(); ++i) {
      ++queries;
      out[i] = ql::rl::scored{0};
      for (const auto& r : right)
        if (q[i].prediction.find(r) != std::string_view::npos) out[i] = ql::rl::scored{1};
      if (away > 0) out[i] = ql::rl::abstained{"judge: connection refused"};
    }
    if (away > 0) --away;
  }
};
const auto on = [](const evaluation_progress&) { return true; };

protocol simple() {
  protocol p;
  p.lengths = {100, 200};
  return p;
}
evaluation_header header_for(const std::vector<item>& items, const protocol& p) {
  return {"scripted", "", p, static_cast<std::int64_t>(items.size()), hash_of(items)};
}

TEST(Evaluate, RuleAlone) {
  const auto t = ql::test::byte_tokenizer();
  const auto items = six();
  auto g = policy();
  no_judge none;
  std::size_t seen = 0;
  const auto records = evaluate(items, t, simple(), g, none, nullptr, [&](const evaluation_progress& p) {
    EXPECT_EQ(p.done, ++seen);
    EXPECT_EQ(p.total, 6u);
    return true;
  });
  ASSERT_EQ(records.size(), 6u);
  const double want[] = {1, 0, 0, 1, 0, 0};
  for (std::size_t i = 0; i < 6; ++i) {
    ASSERT_TRUE(records[i].complete());
    EXPECT_EQ(records[i].samples[0].score, want[i]) << i;
    EXPECT_EQ(records[i].samples[0].judge, std::nullopt);
  }
  EXPECT_EQ(records[1].samples[0].answer, "the city of seven hills");
  EXPECT_EQ(records[2].samples[0].answer, std::nullopt);
  EXPECT_EQ(records[3].samples[0].cover, 1);
  EXPECT_EQ(records[3].samples[0].exact, 0);
  EXPECT_EQ(g.calls, (std::vector<std::size_t>{2, 2, 1, 1}));  // by document
  EXPECT_EQ(g.examples, (std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5}));
}

TEST(Evaluate, MaxOfRuleAndJudge) {
  const auto t = ql::test::byte_tokenizer();
  auto g = policy();
  scripted_judge j{{"seven hills", "London"}};
  const auto records = evaluate(six(), t, simple(), g, j, nullptr, on);
  const double want[] = {1, 1, 0, 1, 1, 0};
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(records[i].samples[0].score, want[i]) << i;
  EXPECT_EQ(j.queries, 4u);  // not what the rule says yes to
  EXPECT_EQ(j.batches, 1u);
  EXPECT_EQ(records[0].samples[0].judge, std::nullopt);
  EXPECT_EQ(records[1].samples[0].rule, 0);
  EXPECT_EQ(records[1].samples[0].judge, 1);
}

TEST(Evaluate, AJudgeThatIsAwayInventsNothing) {
  const auto t = ql::test::byte_tokenizer();
  for (const auto mode : {rule_mode::repo_eval, rule_mode::strict_eval}) {
    auto p = simple();
    p.rule = mode;
    auto g = policy();
    scripted_judge j{{"seven hills"}, 1000};
    const auto items = six();
    const auto records = evaluate(items, t, p, g, j, nullptr, on);
    const auto s = summarise(header_for(items, p), records);
    EXPECT_EQ(s.all.items, 6);
    EXPECT_EQ(s.all.samples, 6);
    int known = 0;
    for (const auto& r : records) {
      known += r.complete() ? 1 : 0;
      if (!r.complete()) {
        EXPECT_EQ(r.samples[0].why, "judge: connection refused");
        EXPECT_EQ(r.samples[0].rule, 0);
      }
    }
    EXPECT_EQ(known, 2);  // a and d: the rule says yes
    EXPECT_EQ(s.all.abstained, 4);
    EXPECT_NEAR(s.all.score.estimate, 2.0 / 6, 1e-15);  // over all six
    EXPECT_EQ(s.all.at_most, 1);
    ASSERT_EQ(s.reasons.size(), 1u);
    EXPECT_EQ(s.reasons[0], (std::pair<std::string, std::int64_t>{"judge: connection refused", 4}));
  }
}

TEST(Evaluate, FailedGenerationsStayInTheDenominator) {
  const auto t = ql::test::byte_tokenizer();
  const auto items = six();
  auto p = simple();
  p.attempts = 3;
  auto g = policy();
  g.fails = {{"a", 2}, {"d", 100}};
  no_judge none;
  const auto records = evaluate(items, t, p, g, none, nullptr, on);
  EXPECT_EQ(records[0].samples[0].score, 1);  // the third attempt
  EXPECT_EQ(records[3].samples[0].finish, "failed");
  EXPECT_EQ(records[3].samples[0].score, std::nullopt);
  EXPECT_EQ(records[3].samples[0].why, "generation: server away");
  EXPECT_EQ(g.fails["d"], 97);
  const auto s = summarise(header_for(items, p), records);
  EXPECT_EQ(s.all.failed, 1);
  EXPECT_NEAR(s.all.score.estimate, 1.0 / 6, 1e-15);
  EXPECT_NEAR(s.all.at_most, 2.0 / 6, 1e-15);
}

TEST(Evaluate, AGeneratorThatGivesTooFewIsAMistake) {
  const auto t = ql::test::byte_tokenizer();
  struct silent {
    std::vector<std::vector<generation>> operator()(std::span<const generation_request> r, const protocol&) {
      return std::vector<std::vector<generation>>(r.size());
    }
  } g;
  no_judge none;
  const auto items = six();
  QL_EXPECT_MESSAGE(evaluate(items, t, simple(), g, none, nullptr, on), ql::state_error, "generations of an item");
}

TEST(Evaluate, PromptAndMiddleTruncation) {
  const auto t = ql::test::byte_tokenizer();
  auto i = made("x", "one", "g");
  i.context = std::string(2000, 'c') + "MIDDLE" + std::string(2000, 'd');
  auto p = simple();
  const auto whole = prepare(i, t, p);
  EXPECT_FALSE(whole.truncated);
  EXPECT_EQ(whole.tokens, static_cast<std::int64_t>(whole.text.size()));
  EXPECT_EQ(whole.text.find("Please read the following text"), 0u);
  p.max_input = 1001;
  const auto cut = prepare(i, t, p);
  EXPECT_TRUE(cut.truncated);
  EXPECT_EQ(cut.tokens, whole.tokens);
  EXPECT_EQ(cut.text, whole.text.substr(0, 500) + whole.text.substr(whole.text.size() - 501));
  EXPECT_NE(cut.text.find("What is x?"), std::string::npos);  // the question survives
  EXPECT_EQ(cut.text.find("MIDDLE"), std::string::npos);
  i.kind = answer_kind::choice;
  EXPECT_NE(prepare(i, t, simple()).text.find("The correct answer is"), std::string::npos);
}

TEST(Evaluate, ProtocolThatCannotBe) {
  protocol p;
  p.samples = 4;
  p.temperature = 0;
  p.top_p = 0;
  p.lengths = {10, 10};
  const auto said = ql::test::message_of<ql::argument_error>([&] { checked(p); });
  EXPECT_NE(said.find("protocol.samples"), std::string::npos) << said;
  EXPECT_NE(said.find("protocol.top_p"), std::string::npos) << said;
  EXPECT_NE(said.find("protocol.lengths"), std::string::npos) << said;
}

// --- the log

TEST(EvaluationLog, GoesOnWhereItWasInterrupted) {
  const auto t = ql::test::byte_tokenizer();
  const auto items = six();
  const auto p = simple();
  ql::test::folder f;
  auto undisturbed = policy();
  scripted_judge judge{{"seven hills"}};
  const auto want = evaluate(items, t, p, undisturbed, judge, nullptr, on);
  const auto path = f / "log.jsonl";
  for (std::size_t stop_after = 1; stop_after <= 5; ++stop_after) {
    std::filesystem::remove(path);
    {
      record_log log(path, header_for(items, p));
      auto g = policy();
      scripted_judge j{{"seven hills"}};
      const auto some =
          evaluate(items, t, p, g, j, &log, [&](const evaluation_progress& q) { return q.done < stop_after; });
      EXPECT_GE(some.size(), stop_after);
    }
    // and a line that was being written
    const auto whole = ql::test::bytes_of(path);
    std::ofstream(path, std::ios::binary | std::ios::app) << R"({"id": "f", "bench)";
    record_log log(path, header_for(items, p));
    EXPECT_EQ(ql::test::bytes_of(path), whole);
    auto g = policy();
    scripted_judge j{{"seven hills"}};
    EXPECT_EQ(evaluate(items, t, p, g, j, &log, on), want) << stop_after;
    EXPECT_EQ(read_evaluation(path).records.size(), 6u);
    std::size_t asked = 0;
    for (auto n : g.calls) asked += n;
    EXPECT_LE(asked, 6 - stop_after);
  }
  // a finished one: nothing is asked
  record_log log(path, header_for(items, p));
  auto g = policy();
  scripted_judge j{{}};
  EXPECT_EQ(evaluate(items, t, p, g, j, &log, on), want);
  EXPECT_TRUE(g.calls.empty());
  EXPECT_EQ(j.queries, 0u);
}

TEST(EvaluationLog, AJudgeThatComesBackIsAskedWithoutNewAnswers) {
  const auto t = ql::test::byte_tokenizer();
  const auto items = six();
  const auto p = simple();
  ql::test::folder f;
  const auto path = f / "log.jsonl";
  {
    record_log log(path, header_for(items, p));
    auto g = policy();
    g.fails = {{"e", 100}};
    scripted_judge j{{"seven hills"}, 1000};
    EXPECT_EQ(evaluate(items, t, p, g, j, &log, on).size(), 6u);
  }
  record_log log(path, header_for(items, p));
  auto g = policy();
  scripted_judge j{{"seven hills"}};
  const auto records = evaluate(items, t, p, g, j, &log, on);
  EXPECT_EQ(g.calls, std::vector<std::size_t>{1});  // e alone: its generation had failed
  for (const auto& r : records) EXPECT_TRUE(r.complete()) << r.id;
  EXPECT_EQ(records[1].samples[0].score, 1);
  EXPECT_EQ(read_evaluation(path).records.size(), 6u);
  // not if not asked to
  record_log again(f / "other.jsonl", header_for(items, p));
  scripted_judge away{{}, 1000};
  evaluate(items, t, p, g, away, &again, on);
}

TEST(EvaluationLog, RefusesAnotherEvaluation) {
  const auto items = six();
  const auto p = simple();
  ql::test::folder f;
  const auto path = f / "log.jsonl";
  {
    record_log log(path, header_for(items, p));
  }
  auto other = p;
  other.samples = 4;
  QL_EXPECT_MESSAGE(record_log(path, header_for(items, other)), ql::argument_error,
                    "protocol.samples: 1 in the file, 4 now");
  auto fewer = items;
  fewer.pop_back();
  QL_EXPECT_MESSAGE(record_log(path, header_for(fewer, p)), ql::argument_error, "items: 6 in the file, 5 now");
  fewer = items;
  fewer[2].gold[0] = "Quito";
  QL_EXPECT_MESSAGE(record_log(path, header_for(fewer, p)), ql::argument_error, "items_hash");
  auto header = header_for(items, p);
  header.policy = "another";
  QL_EXPECT_MESSAGE(record_log(path, header), ql::argument_error, "policy");
  record_log first(path, header_for(items, p));
  QL_EXPECT_MESSAGE(record_log(path, header_for(items, p)), ql::io::file_error, "another process");
  QL_EXPECT_MESSAGE(record_log(f.path() / "no" / "log", header), ql::io::file_error, "cannot open");
}

TEST(EvaluationLog, ReadsWhatItWrites) {
  item_record r{"i\n\"1\"", "b", "d", 12, true, {}};
  sample_record s;
  s.text = "t\xC3\xA9xt\n";
  s.tokens = 3;
  s.finish = "length";
  s.answer = "x";
  s.rule = 0.0;
  s.judge = 1.0;
  s.score = 1.0;
  s.f1 = 1.0 / 3;
  s.behaviours = {1, 2, 3, 4, 5, 6, 7};
  r.samples = {s, {}};
  r.samples[1].finish = "failed";
  r.samples[1].why = "generation: away";
  EXPECT_EQ(record_of(to_json(r)), r);
  protocol p;
  p.seed = 0xFFFFFFFFFFFFFFFFu;
  const evaluation_header h{"p", "j", p, 3, "x"};
  EXPECT_EQ(header_of(to_json(h)), h);
  for (const char* bad : {"", "[]", "{}", "not JSON", R"({"ql_evaluation": 2})"})
    EXPECT_THROW(header_of(bad), ql::io::format_error) << bad;
  for (const char* bad : {"{}", R"({"id": 3})"}) EXPECT_THROW(record_of(bad), ql::io::format_error) << bad;
  ql::test::folder f;
  QL_EXPECT_MESSAGE(read_evaluation(f.write("x", "hello")), ql::io::format_error, "not an evaluation");
  QL_EXPECT_MESSAGE(read_evaluation(f.write("y", to_json(h) + "\n{\"id\": 1}\n")), ql::io::format_error, "y:2");
}

TEST(EvaluationLog, ADiskThatIsFullIsSaid) {
  const auto items = six();
  ql::test::folder f;
  record_log log(f / "log.jsonl", header_for(items, simple()));
  struct rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  const struct rlimit tight{1024, old.rlim_max};
  std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  item_record r{"a", "b", "d", 12, true, {}};
  r.samples.emplace_back();
  r.samples[0].text = std::string(4096, 'x');
  const auto said = ql::test::message_of<ql::io::file_error>([&] { log.append(r); });
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_NE(said.find("cannot write: File too large"), std::string::npos) << said;
}
}  // namespace
