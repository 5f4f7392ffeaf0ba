// SPDX-License-Identifier: Apache-2.0
#pragma once

// Evaluates whatever answers prompts, by the protocol of QwenLong-L1: prompt, cut in the middle if too long, k samples,
// max(rule, judge). Nothing is dropped and nothing is invented: what failed is recorded by name.

#include <ql/error.hpp>
#include <ql/eval/item.hpp>
#include <ql/eval/record.hpp>
#include <ql/eval/rules.hpp>
#include <ql/rl/judge.hpp>
#include <ql/text/tokenizer.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql::eval {

struct generation_request {
  std::string_view prompt;    // the user's message
  std::uint32_t example = 0;  // the item's place in its evaluation: the key of its random numbers
};

struct generation {
  std::string text{};       // without the stop token
  std::int64_t tokens = 0;  // with it
  bool stopped = true;      // false: cut off at the protocol's max_output
  std::string failure{};    // not empty: there is no answer, and why
};

// `g(requests, protocol)` gives protocol.samples generations for each request. Requests of one call share a document. A
// prompt that cannot be answered is a generation with a failure, not an exception.
template <class G>
concept generator = requires(G& g, std::span<const generation_request> requests, const protocol& p) {
  { g(requests, p) } -> std::same_as<std::vector<std::vector<generation>>>;
};

// In place of a judge: the rule decides alone.
struct no_judge {
  void operator()(std::span<const rl::judge_query>, std::span<rl::outcome>) const {}
};

struct prepared_prompt {
  std::string text;
  std::int64_t tokens = 0;  // of the whole prompt
  bool truncated = false;   // text is its first and its last half of protocol.max_input tokens
};
prepared_prompt prepare(const item& i, const text::tokenizer& t, const protocol& p);

struct evaluation_options {
  std::size_t questions = 64;  // of one document, given to the generator at once
  std::size_t verdicts = 32;   // answers for which a judge is asked at once
  // Of a log that is gone on with: what failed is tried again; answers whose judge was away are judged, not made again.
  bool retry = true;
};

struct evaluation_progress {
  const item_record& record;
  std::size_t done, total;
};

namespace detail {

using namespace ql::detail;

// The record of an item whose answers are there: rules, metrics, behaviours. Samples that the rule decides, or all
// where there is no judge, have their score.
item_record scored_record(const item& i, const prepared_prompt& p, const std::vector<generation>& answers,
                          const protocol& how, bool judge);
// Can a judge still change what is known of this sample?
bool waits_for_judge(const sample_record& s, rl::answer_kind kind);
void settle(sample_record& s, const rl::outcome& score, const rl::hybrid_parts& parts);
// Items in order, as runs of one document of at most `most` items each.
std::vector<std::span<const std::size_t>> runs_of_documents(std::span<const item> items,
                                                            std::span<const std::size_t> which, std::size_t most);

template <class Judge>
struct judge_reference {
  Judge* judge;
  void operator()(std::span<const rl::judge_query> q, std::span<rl::outcome> out) { (*judge)(q, out); }
};

}  // namespace detail

// Evaluates `items` and returns their records, in order. With a log (which may be null) every item is saved as it is
// finished, and what the log holds is not done again. `seen(progress) -> bool` is called for each finished item; false
// ends the evaluation early, and then only finished items are returned.
//   evaluate(items, tokenizer, {}, policy, judge, &log, [](const auto&) { return true; })
template <generator Generate, rl::answer_judge Judge, class Seen>
std::vector<item_record> evaluate(std::span<const item> items, const text::tokenizer& tokenizer, const protocol& how,
                                  Generate& generate, Judge& judge, record_log* log, Seen&& seen,
                                  const evaluation_options& o = {}) {
  constexpr bool judged = !std::same_as<std::remove_cv_t<Judge>, no_judge>;
  checked(how);
  detail::expects(items.size() <= 0xFFFFFFFFu, "evaluate", "items", "less than 2^32", items.size());
  detail::expects(o.questions >= 1 && o.verdicts >= 1, "evaluate", "options", "1 or more", 0);
  std::vector<item_record> records(items.size());
  std::vector<char> finished(items.size(), 0);
  std::vector<std::size_t> fresh, waiting;
  std::size_t done = 0, answers_waiting = 0;
  bool going = true;

  const auto finish = [&](std::size_t i) {
    finished[i] = 1;
    ++done;
    going = seen(evaluation_progress{records[i], done, items.size()}) && going;
  };
  const auto wait = [&](std::size_t i) {
    waiting.push_back(i);
    for (const auto& s : records[i].samples) answers_waiting += detail::waits_for_judge(s, items[i].kind) ? 1u : 0u;
  };
  const auto ask = [&] {
    std::vector<std::vector<std::string_view>> gold;
    std::vector<rl::graded_item> graded;
    std::vector<sample_record*> samples;
    gold.reserve(waiting.size());
    for (auto i : waiting) {
      gold.emplace_back(items[i].gold.begin(), items[i].gold.end());
      for (auto& s : records[i].samples) {
        if (!detail::waits_for_judge(s, items[i].kind)) continue;
        graded.push_back({items[i].question, s.text, gold.back(), items[i].kind});
        samples.push_back(&s);
      }
    }
    std::vector<rl::outcome> scores(graded.size());
    std::vector<rl::hybrid_parts> parts(graded.size());
    const auto rule = [&](const rl::graded_item& g) { return rule_score(how.rule, g); };
    rl::hybrid hybrid{rule, detail::judge_reference<Judge>{&judge}, present_answer{how.rule}};
    hybrid(std::span<const rl::graded_item>(graded), std::span<rl::outcome>(scores),
           std::span<rl::hybrid_parts>(parts));
    for (std::size_t k = 0; k < samples.size(); ++k) detail::settle(*samples[k], scores[k], parts[k]);
    for (auto i : waiting) {
      if (log != nullptr) log->append(records[i]);
      finish(i);
    }
    waiting.clear();
    answers_waiting = 0;
  };

  // what a log already has
  std::map<std::pair<std::string_view, std::string_view>, const item_record*> saved;
  if (log != nullptr)
    for (const auto& r : log->records()) saved[{r.benchmark, r.id}] = &r;
  for (std::size_t i = 0; i < items.size() && going; ++i) {
    const auto at = saved.find({items[i].benchmark, items[i].id});
    if (at == saved.end()) {
      fresh.push_back(i);
      continue;
    }
    bool failed = false, open = false;
    for (const auto& s : at->second->samples) {
      failed = failed || s.finish == "failed";
      open = open || detail::waits_for_judge(s, items[i].kind);
    }
    records[i] = *at->second;
    if (failed && o.retry) {
      fresh.push_back(i);
    } else if (judged && open && o.retry) {
      wait(i);
      if (answers_waiting >= o.verdicts) ask();
    } else {
      finish(i);
    }
  }

  for (const auto& run : detail::runs_of_documents(items, fresh, o.questions)) {
    if (!going) break;
    std::vector<prepared_prompt> prompts;
    prompts.reserve(run.size());
    std::vector<generation_request> requests;
    requests.reserve(run.size());
    for (auto i : run) prompts.push_back(prepare(items[i], tokenizer, how));
    for (std::size_t k = 0; k < run.size(); ++k)
      requests.push_back({prompts[k].text, static_cast<std::uint32_t>(run[k])});
    auto answers = generate(std::span<const generation_request>(requests), how);
    detail::expects<state_error>(answers.size() == run.size(), "evaluate", "generations", run.size(), answers.size());
    for (std::size_t k = 0; k < run.size(); ++k) {
      // another attempt at what failed, one item at a time
      for (std::int32_t attempt = 1; attempt < how.attempts; ++attempt) {
        bool failed = false;
        for (const auto& g : answers[k]) failed = failed || !g.failure.empty();
        if (!failed) break;
        auto again = generate(std::span<const generation_request>(&requests[k], 1), how);
        detail::expects<state_error>(again.size() == 1, "evaluate", "generations", 1, again.size());
        answers[k] = std::move(again[0]);
      }
      detail::expects<state_error>(answers[k].size() == static_cast<std::size_t>(how.samples), "evaluate",
                                   "generations of an item", how.samples, answers[k].size());
      const std::size_t i = run[k];
      records[i] = detail::scored_record(items[i], prompts[k], answers[k], how, judged);
      bool open = false;
      for (const auto& s : records[i].samples) open = open || (judged && detail::waits_for_judge(s, items[i].kind));
      if (log != nullptr) log->append(records[i]);
      if (open) {
        wait(i);
      } else {
        finish(i);
      }
    }
    if (answers_waiting >= o.verdicts) ask();
  }
  if (going && !waiting.empty()) ask();

  std::vector<item_record> out;
  out.reserve(done);
  for (std::size_t i = 0; i < items.size(); ++i)
    if (finished[i]) out.push_back(std::move(records[i]));
  return out;
}

}  // namespace ql::eval
