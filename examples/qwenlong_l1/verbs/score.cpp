// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <deque>
#include <map>
#include <optional>

#include "grader.hpp"
#include "records.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string in = "-", out = "-", mode = "strict";
  bool whole = false;
  judge_settings judge;
};

void declare(options& o, settings& s) {
  o.optional("--in", s.in, "JSON Lines, also .gz; - is standard input")
      .optional("--out", s.out, "JSON Lines, gzip where it ends in .gz; - is standard output")
      .choice("--mode", s.mode, {"strict", "repo"}, "the rules: for training, or QwenLong-L1's as released")
      .flag("--whole", s.whole, "strict: a response without </think> is an answer as a whole")
      .optional("--judge", s.judge.url,
                "asked where the rule says no: the URL of an OpenAI-compatible server, or \"equivalence\"")
      .optional("--journal", s.judge.journal, "file that keeps the judge's verdicts and is read first");
  declare_judge(o, s.judge);
  o.footer(
      "Each line has \"question\", \"prediction\" or the whole \"response\", \"gold\" (a text or a list of\n"
      "alternatives), and perhaps \"kind\": text, numeric or choice. It gains \"score\", \"rule\" and \"judge\" "
      "(null:\n"
      "abstained, or not asked), and \"why\".");
}

struct row {
  record r;
  std::string question, response;
  std::vector<std::string> gold;
  std::vector<std::string_view> gold_views;
  rl::graded_item item;
};

rl::answer_kind kind_of(const record& r) {
  const auto* v = r.find("kind");
  if (v == nullptr || v->is_null() || v->string() == "text") return rl::answer_kind::text;
  if (v->string() == "numeric") return rl::answer_kind::numeric;
  if (v->string() == "choice") return rl::answer_kind::choice;
  throw io::format_error("\"kind\": expected text, numeric or choice, got \"" + v->string().substr(0, 40) + "\"");
}

void fill(row& x) {
  const record& r = x.r;
  const auto* question = r.find("question");
  x.question = question == nullptr || question->is_null() ? "" : question->string();
  const auto *prediction = r.find("prediction"), *response = r.find("response");
  if ((prediction != nullptr) == (response != nullptr))
    throw io::format_error("expected either \"prediction\" or \"response\"");
  // a prediction is what stands behind the reasoning
  x.response = response != nullptr ? response->string() : "</think>" + prediction->string();
  const auto& gold = r.at("gold");
  if (gold.is_array()) {
    for (const auto& g : gold.array()) x.gold.push_back(g.string());
  } else {
    x.gold.push_back(gold.string());
  }
  if (x.gold.empty()) throw io::format_error("\"gold\": no answer");
  x.gold_views.assign(x.gold.begin(), x.gold.end());
  x.item = {x.question, x.response, x.gold_views, kind_of(r)};
}

io::json::value number_of(const rl::outcome& o) {
  const auto* s = std::get_if<rl::scored>(&o);
  return s != nullptr ? io::json::value(s->value) : io::json::value(nullptr);
}

qwenlong::reward_settings reward_of(const settings& s) {
  const bool repo = s.mode == "repo";
  return {.rules = repo ? qwenlong::answer_rules::repo : qwenlong::answer_rules::strict,
          .thinking = !s.whole,
          .judge = s.judge,
          .judge_away = repo ? "rule" : "abstain"};
}

class scorer {
 public:
  explicit scorer(const settings& s) : out_(s.out), grade_(reward_of(s)) {
    ql::detail::expects(s.judge.journal.empty() || grade_.remote() != nullptr || !s.judge.url.empty(), "score",
                        "--journal", "a --judge", "none");
    if (grade_.remote() != nullptr) watch_.emplace(*grade_.remote());
  }

  void add(row x) {
    bytes_ += x.response.size() + x.question.size();
    rows_.push_back(std::move(x));
    row& last = rows_.back();
    last.gold_views.assign(last.gold.begin(), last.gold.end());
    last.item = {last.question, last.response, last.gold_views, last.item.kind};
    if (rows_.size() >= 4096 || bytes_ >= (std::size_t{64} << 20)) flush();
  }
  void flush() {
    std::vector<rl::graded_item> items;
    for (const auto& x : rows_) items.push_back(x.item);
    std::vector<rl::outcome> out(items.size());
    std::vector<rl::hybrid_parts> parts(items.size());
    grade_(items, out, parts);
    for (std::size_t i = 0; i < rows_.size(); ++i) write(rows_[i].r, out[i], parts[i]);
    rows_.clear();
    bytes_ = 0;
  }
  void commit() { out_.commit(); }
  void report() const {
    const auto n = static_cast<double>(scored_);
    std::fprintf(stderr, "qwenlong-l1: %zu scored, mean %.4f; %zu abstained\n", scored_, scored_ > 0 ? sum_ / n : 0.0,
                 abstained_);
    for (const auto& [why, count] : reasons_) std::fprintf(stderr, "qwenlong-l1: %zu x %s\n", count, why.c_str());
  }

 private:
  void write(record& r, const rl::outcome& o, const rl::hybrid_parts& p) {
    std::string why = "rule";
    if (const auto* a = std::get_if<rl::abstained>(&o)) {
      why = a->why;
    } else if (p.asked) {
      const auto* away = std::get_if<rl::abstained>(&p.judge);
      why = away != nullptr                     ? "rule (" + away->why + ")"
            : rl::value_or(p.judge, 0.0) >= 1.0 ? "judge: yes"
                                                : "judge: no";
    } else if (p.passed != rl::gate::open && p.passed != rl::gate::empty) {
      why = "gate: " + std::string(rl::name_of(p.passed));
    }
    if (rl::is_scored(o)) {
      ++scored_;
      sum_ += rl::value_or(o, 0.0);
    } else {
      ++abstained_;
      ++reasons_[why];
    }
    r.put("score", number_of(o));
    r.put("rule", number_of(p.rule));
    r.put("judge", p.asked ? number_of(p.judge) : io::json::value(nullptr));
    r.put("why", why);
    write_record(out_, r.fields);
  }

  io::text_writer out_;
  qwenlong::grader grade_;
  std::optional<stop_on_interrupt> watch_;
  std::deque<row> rows_;
  std::size_t bytes_ = 0, scored_ = 0, abstained_ = 0;
  double sum_ = 0;
  std::map<std::string, std::size_t> reasons_;
};

int run(const settings& s) {
  scorer to(s);
  for_each_record(s.in, [&](record& r) {
    row x;
    x.r = std::move(r);
    fill(x);
    to.add(std::move(x));
  });
  to.flush();
  if (interrupted()) return 0;
  to.commit();
  to.report();
  return 0;
}

}  // namespace

verb score_verb() {
  return {"score", "scores answers by rule and, where that says no, by a judge", bind<settings, declare, run>};
}

}  // namespace ql::tool
