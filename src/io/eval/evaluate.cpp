// SPDX-License-Identifier: Apache-2.0
#include <ql/data/document_qa.hpp>
#include <ql/eval/evaluate.hpp>
#include <ql/eval/metrics.hpp>

namespace ql::eval {
prepared_prompt prepare(const item& i, const text::tokenizer& t, const protocol& p) {
  prepared_prompt out;
  const auto wording = i.kind == rl::answer_kind::choice ? data::prompt_template::qwenlong_l1_choice()
                                                         : data::prompt_template::qwenlong_l1();
  out.text = wording.render(i.context, i.question);
  const auto ids = t.encode(out.text);
  out.tokens = static_cast<std::int64_t>(ids.size());
  out.truncated = out.tokens > p.max_input;
  if (out.truncated) out.text = t.decode(data::truncate_middle(ids, p.max_input), true);
  return out;
}

namespace detail {

bool waits_for_judge(const sample_record& s, rl::answer_kind kind) {
  return kind != rl::answer_kind::choice && s.finish != "failed" && !s.score;
}

item_record scored_record(const item& i, const prepared_prompt& p, const std::vector<generation>& answers,
                          const protocol& how, bool judge) {
  item_record r{i.id, i.benchmark, i.document, p.tokens, p.truncated, {}};
  const std::vector<std::string_view> gold(i.gold.begin(), i.gold.end());
  for (const auto& g : answers) {
    sample_record s;
    if (!g.failure.empty()) {
      s.finish = "failed";
      s.why = "generation: " + g.failure;
      s.behaviours.facts = static_cast<std::int64_t>(i.evidence.size());
      r.samples.push_back(std::move(s));
      continue;
    }
    s.text = g.text;
    s.tokens = g.tokens;
    s.finish = g.stopped ? "stop" : "length";
    s.answer = answer_of(how.rule, i.kind, s.text);
    const auto rule = rule_score(how.rule, {i.question, s.text, gold, i.kind});
    if (const auto* known = std::get_if<rl::scored>(&rule)) {
      s.rule = known->value;
      if (!judge || known->value >= 1 || i.kind == rl::answer_kind::choice) s.score = known->value;
    } else {
      s.why = std::get<rl::abstained>(rule).why;
    }
    if (judge && waits_for_judge(s, i.kind)) s.why = "judge: not asked yet";
    if (s.answer) {
      s.exact = best_exact_match(*s.answer, gold);
      s.f1 = best_f1(*s.answer, gold);
      s.cover = best_cover_match(*s.answer, gold);
    }
    s.behaviours = count_behaviours(s.text, i.evidence);
    r.samples.push_back(std::move(s));
  }
  return r;
}

void settle(sample_record& s, const rl::outcome& score, const rl::hybrid_parts& parts) {
  s.why.clear();
  s.rule = s.judge = s.score = std::nullopt;
  const auto take = [&](std::optional<double>& to, const rl::outcome& from) {
    if (const auto* known = std::get_if<rl::scored>(&from)) to = known->value;
  };
  take(s.rule, parts.rule);
  if (parts.asked) take(s.judge, parts.judge);
  take(s.score, score);
  if (const auto* unknown = std::get_if<rl::abstained>(&score)) {
    s.why = unknown->why.empty() ? "no reason given" : unknown->why;
  } else if (parts.passed != rl::gate::open) {
    s.why = "not shown to the judge: " + std::string(name_of(parts.passed));
  }
}

std::vector<std::span<const std::size_t>> runs_of_documents(std::span<const item> items,
                                                            std::span<const std::size_t> which, std::size_t most) {
  std::vector<std::span<const std::size_t>> out;
  for (std::size_t first = 0; first < which.size();) {
    std::size_t end = first + 1;
    while (end < which.size() && end - first < most && items[which[end]].document == items[which[first]].document)
      ++end;
    out.push_back(which.subspan(first, end - first));
    first = end;
  }
  return out;
}

}  // namespace detail
}  // namespace ql::eval
