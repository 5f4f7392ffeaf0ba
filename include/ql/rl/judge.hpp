// SPDX-License-Identifier: Apache-2.0
#pragma once

// Judges: who decides whether an answer means the same as a gold answer where rules cannot, and the hybrid reward
// max(rule, judge). A judge may be a model behind a server (ql::io::chat_judge) or a table (equivalence_judge); here
// only the concept is known.

#include <ql/rl/extract.hpp>
#include <ql/rl/judge_gate.hpp>
#include <ql/rl/reward.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql::rl {

// What a judge is shown. The gold answers are alternatives of one answer.
struct judge_query {
  std::string_view question, prediction;
  std::span<const std::string_view> gold;
};

// `j(queries, outcomes)` sets outcomes[i] to scored 1 (the same), scored 0 (not the same) or abstained, for each i. A
// judge that is away abstains; it throws for nothing that a server, a network or a text may do.
template <class J>
concept answer_judge =
    std::move_constructible<J> && requires(J& j, std::span<const judge_query> queries, std::span<outcome> outcomes) {
      { j(queries, outcomes) } -> std::same_as<void>;
    };

// What of an item a judge is shown: `p(item) -> std::optional<presented>`; nothing means that there is no answer, which
// is wrong without a judge.
template <class P>
concept answer_presenter = std::copyable<P> && requires(const P& p, const graded_item& item) {
  { p(item) } -> std::same_as<std::optional<presented>>;
};

// The answer that Extract finds, and the gold answers without the phrase of a stored sentence.
template <answer_extractor Extract = then<after_think, or_else<or_else<boxed, after_phrase>, whole_response>>>
struct present_answer {
  Extract extract{};
  std::optional<presented> operator()(const graded_item& item) const {
    auto answer = extract(item.response);
    if (!answer || answer->empty()) return std::nullopt;
    presented p{std::move(*answer), {}};
    p.gold.reserve(item.gold.size());
    for (auto g : item.gold) p.gold.push_back(after_phrase{}(g).value_or(std::string(g)));
    return p;
  }
};

// How a hybrid reward came about, for logs and reports. `judge` is meaningful only where `asked`.
struct hybrid_parts {
  outcome rule;
  bool asked = false;
  gate passed = gate::open;  // why the judge was not asked, if the answer did not pass
  outcome judge;
};

// What the hybrid does where the judge abstains: abstain too, or fall back on the rule (the released behaviour).
enum class judge_away { abstain, rule };

namespace detail {

// One call of the judge for those of `items` that need it. Rules come first, then the gate, then the judge.
template <class Judge, class Present, class Item>
void ask_judge(Judge& judge, const Present& present, std::span<const graded_item> items, std::span<outcome> verdict,
               std::span<hybrid_parts> parts, const Item& needs) {
  struct query {
    std::size_t item;
    presented shown;
    std::vector<std::string_view> gold;
  };
  std::vector<query> open;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!needs(i)) continue;
    auto shown = present(items[i]);
    parts[i].passed = shown ? judge_gate(shown->prediction) : gate::empty;
    verdict[i] = scored{0};
    if (parts[i].passed == gate::open) open.push_back({i, std::move(*shown), {}});
  }
  std::vector<judge_query> queries;
  queries.reserve(open.size());
  for (auto& q : open) {
    q.gold.assign(q.shown.gold.begin(), q.shown.gold.end());
    queries.push_back({items[q.item].question, q.shown.prediction, q.gold});
  }
  std::vector<outcome> said(queries.size(), outcome{abstained{"judge: gave no outcome"}});
  if (!queries.empty()) judge(std::span<const judge_query>(queries), std::span<outcome>(said));
  for (std::size_t k = 0; k < open.size(); ++k) {
    parts[open[k].item].asked = true;
    verdict[open[k].item] = parts[open[k].item].judge = std::move(said[k]);
  }
}

}  // namespace detail

// A judge behind the gate as a reward: answers that do not pass are wrong without being shown.
template <answer_judge Judge, answer_presenter Present = present_answer<>>
struct judged {
  Judge judge;
  Present present{};

  void operator()(std::span<const graded_item> items, std::span<outcome> out) {
    detail::expects(items.size() == out.size(), "judged", "out", items.size(), out.size());
    std::vector<hybrid_parts> parts(items.size());
    detail::ask_judge(judge, present, items, out, parts, [](std::size_t) { return true; });
  }
  outcome operator()(const graded_item& item) {
    outcome o;
    (*this)(std::span(&item, 1), std::span(&o, 1));
    return o;
  }
};
template <class Judge, class Present>
judged(Judge, Present) -> judged<Judge, Present>;
template <class Judge>
judged(Judge) -> judged<Judge>;

// max(rule, judge) over a batch, QwenLong-L1's hybrid reward (arXiv 2505.17667, section 3.3). The judge is asked once
// for the whole batch, and only about answers to which the rule says no:
//   rule 1                      -> scored 1, no call
//   rule no, gate shut          -> the rule's score, no call
//   rule no, judge yes or no    -> the judge's verdict or the rule's score, whichever is greater
//   rule no, judge abstains     -> abstained (`away = judge_away::rule`: the rule's score)
//   rule abstains               -> the judge's outcome
// Multiple choice is the rule's alone.
template <reward Rule, answer_judge Judge, answer_presenter Present = present_answer<>>
struct hybrid {
  Rule rule;
  Judge judge;
  Present present{};
  judge_away away = judge_away::abstain;

  // out[i] is the reward of items[i]. `parts` is empty, or receives how each came about.
  void operator()(std::span<const graded_item> items, std::span<outcome> out, std::span<hybrid_parts> parts = {}) {
    detail::expects(items.size() == out.size(), "hybrid", "out", items.size(), out.size());
    detail::expects(parts.empty() || parts.size() == items.size(), "hybrid", "parts", items.size(), parts.size());
    std::vector<hybrid_parts> own(parts.empty() ? items.size() : 0);
    if (parts.empty()) parts = own;
    for (std::size_t i = 0; i < items.size(); ++i) parts[i] = {rule(items[i]), false, gate::open, scored{0}};
    std::vector<outcome> verdict(items.size());
    const auto needs = [&](std::size_t i) {
      return items[i].kind != answer_kind::choice && value_or(parts[i].rule, 0.0) < 1.0;
    };
    detail::ask_judge(judge, present, items, std::span(verdict), parts, needs);
    for (std::size_t i = 0; i < items.size(); ++i) out[i] = needs(i) ? combine(parts[i], verdict[i]) : parts[i].rule;
  }
  outcome operator()(const graded_item& item) {
    outcome o;
    (*this)(std::span(&item, 1), std::span(&o, 1));
    return o;
  }

 private:
  outcome combine(const hybrid_parts& p, const outcome& verdict) const {
    if (!is_scored(p.rule)) return verdict;
    if (!is_scored(verdict)) return away == judge_away::rule ? p.rule : verdict;
    return value_or(verdict, 0.0) > value_or(p.rule, 0.0) ? verdict : p.rule;
  }
};
template <class Rule, class Judge>
hybrid(Rule, Judge) -> hybrid<Rule, Judge>;
template <class Rule, class Judge, class Present>
hybrid(Rule, Judge, Present) -> hybrid<Rule, Judge, Present>;
template <class Rule, class Judge, class Present>
hybrid(Rule, Judge, Present, judge_away) -> hybrid<Rule, Judge, Present>;

// Rewards that take a batch at once; score_all serves both kinds.
template <class R>
concept batch_reward =
    reward<R> && requires(R& r, std::span<const graded_item> items, std::span<outcome> out) { r(items, out); };
template <reward R>
void score_all(R& r, std::span<const graded_item> items, std::span<outcome> out) {
  detail::expects(items.size() == out.size(), "score_all", "out", items.size(), out.size());
  if constexpr (batch_reward<R>) {
    r(items, out);
  } else {
    for (std::size_t i = 0; i < items.size(); ++i) out[i] = r(items[i]);
  }
}

}  // namespace ql::rl
