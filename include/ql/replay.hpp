// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rollouts that were sampled before: kept in a file, and handed out again in place of new ones, so that an update can
// be computed apart from its sampling, or once more, with the same bits.

#include <ql/error.hpp>
#include <ql/io/file.hpp>
#include <ql/rollout.hpp>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ql {

// Groups by example and visit.
template <class A>
class rollout_book {
 public:
  // A second group of the same example and visit is an argument_error.
  void add(group<A> g) {
    const auto example = g.example;
    const auto visit = g.visit;
    const bool fresh = groups_.emplace(std::pair(example, visit), std::move(g)).second;
    detail::expects(fresh, "rollout_book", "group", "one group of each example and visit",
                    "a second one of example " + std::to_string(example) + ", visit " + std::to_string(visit));
  }
  // Null where it holds none.
  const group<A>* find(std::int64_t example, std::uint32_t visit) const {
    const auto at = groups_.find({example, visit});
    return at == groups_.end() ? nullptr : &at->second;
  }
  std::size_t size() const { return groups_.size(); }

 private:
  std::map<std::pair<std::int64_t, std::uint32_t>, group<A>> groups_;
};

// The engine of a trainer whose answers are already there. Requests for training are answered from the book, as they
// were sampled, unscored; all others, and all where there is no book, go to the engine within.
//
//   trainer(ctx, policy, env, ql::with(recipe, slot::engine = replay_engine<float>{&book}), options)
template <class A, class Engine = session_engine>
struct replay_engine {
  const rollout_book<A>* book = nullptr;
  Engine engine = {};

  // Throws state_error for a request that the book cannot answer: it is of another step, of other data or settings.
  template <class Policy, environment E, class Sampler, class Between>
  std::vector<group<A>> operator()(typename Policy::context_type& ctx, Policy& policy, E& env,
                                   std::span<const rollout_request> requests, const rollout_options& o,
                                   Sampler& sampler, rollout_report& report, Between&& between) const {
    if (book == nullptr || o.what != purpose::train)
      return engine(ctx, policy, env, requests, o, sampler, report, between);
    std::vector<group<A>> out;
    for (const auto& r : requests) {
      const auto* known = book->find(r.example, r.visit);
      detail::expects<state_error>(
          known != nullptr, "replay_engine", "rollouts",
          "answers to example " + std::to_string(r.example) + " at its visit " + std::to_string(r.visit),
          "none; they are of another step, or of other data or settings");
      detail::expects<state_error>(known->answers.size() == static_cast<std::size_t>(o.group_size), "replay_engine",
                                   "rollouts of example " + std::to_string(r.example),
                                   std::to_string(o.group_size) + " answers", known->answers.size());
      auto& g = out.emplace_back(*known);
      g.age = 0;
      for (auto& a : g.answers) {
        a.score = rl::abstained{"not scored"}, a.reward = 0, a.advantage = 0;
        report.sampled += a.length();
      }
    }
    between(report.sampled);
    return out;
  }
};

// One row of a file of rollouts.
struct rollout_row {
  std::int64_t step = 0;                    // that they were drawn for
  std::string id, question;                 // for readers
  std::int64_t prompt_tokens = 0;           //
  ql::group<float> group = {};              //
  std::vector<std::string> responses = {};  // for readers; may be empty
  friend bool operator==(const rollout_row&, const rollout_row&) = default;
};

// A JSON object a line (gzip where the name ends in .gz): step, id, question, example, visit, prompt_tokens, answers;
// an answer has ids, logp and entropy (nats, one a token), finish ("stop", "length" or "none"), score (a number, or
// null and `why`), reward, and its text. Numbers read back as the same bits. The file appears whole or not at all.
void write_rollouts(const io::file_path& path, std::span<const rollout_row> rows);
// Throws file_error, or format_error that names the line, for anything else.
std::vector<rollout_row> read_rollouts(const io::file_path& path);

}  // namespace ql
