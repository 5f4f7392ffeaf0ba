// SPDX-License-Identifier: Apache-2.0
#pragma once

// From examples to groups of answers, and from groups to the tree that an update is computed on.

#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/model/session.hpp>
#include <ql/random.hpp>
#include <ql/rl/reward.hpp>
#include <ql/tensor/token_tree.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace ql {

// An answer as it was sampled: what the log-probs were drawn with is what they are trained with.
template <class A>
struct answer {
  std::vector<token> tokens;
  std::vector<A> logp, entropy;             // one a token
  std::vector<std::vector<token>> support;  // kept ids of each token, with support_rule::frozen
  finish_reason finish = finish_reason::none;
  rl::outcome score = rl::abstained{"not scored"};  // the task score: what curriculum and filter see
  double reward = 0;                                // what advantages are made of: score and shaping
  A advantage = 0;

  std::int64_t length() const { return static_cast<std::int64_t>(tokens.size()); }
  bool truncated() const { return finish == finish_reason::length; }
  friend bool operator==(const answer&, const answer&) = default;
};

// All answers to one example at one visit.
template <class A>
struct group {
  std::int64_t example = 0;
  std::uint32_t visit = 0;
  std::int64_t age = 0;  // batches since it was sampled, where surplus groups are carried
  std::vector<answer<A>> answers;

  std::vector<double> scores() const {
    std::vector<double> s;
    for (const auto& a : answers) s.push_back(rl::value_or(a.score, 0));
    return s;
  }
  bool scored() const {
    return std::all_of(answers.begin(), answers.end(), [](const auto& a) { return rl::is_scored(a.score); });
  }
  double mean_score() const {
    double sum = 0;
    for (const auto& a : answers) sum += rl::value_or(a.score, 0);
    return answers.empty() ? 0 : sum / static_cast<double>(answers.size());
  }
  std::int64_t tokens() const {
    std::int64_t n = 0;
    for (const auto& a : answers) n += a.length();
    return n;
  }
  friend bool operator==(const group&, const group&) = default;
};

// One answer that wants a score.
struct answer_request {
  std::int64_t example = 0;
  std::uint32_t visit = 0, sample = 0;
  std::span<const token> tokens;
  finish_reason finish = finish_reason::none;
};

// Where prompts come from, and what answers are worth. Examples of one bundle share the beginning of their prompt (a
// document with several questions): it is forwarded once for all of them. `context` may be empty, `question` may be
// empty, not both. `score` judges a whole batch, so that slow judges can work on it at once; outcomes come back in
// order, and a judge that is away abstains.
template <class E>
concept environment = requires(E& e, std::int64_t i, std::span<const answer_request> batch) {
  { e.examples() } -> std::convertible_to<std::int64_t>;
  { e.bundle(i) } -> std::convertible_to<std::int64_t>;
  { e.context(i) } -> std::convertible_to<std::span<const token>>;   // of a bundle
  { e.question(i) } -> std::convertible_to<std::span<const token>>;  // of an example
  { e.task(i) } -> std::convertible_to<std::int32_t>;                // of an example: task-wise statistics
  { e.score(batch) } -> std::same_as<std::vector<rl::outcome>>;
};

// Tokens of an example's whole prompt: what phases and limits are measured in.
template <environment E>
std::int64_t prompt_tokens(E& e, std::int64_t example) {
  const auto& context_of = e.context(e.bundle(example));
  const auto& question_of = e.question(example);
  const std::span<const token> c = context_of, q = question_of;
  return static_cast<std::int64_t>(c.size() + q.size());
}

struct rollout_request {
  std::int64_t example = 0;
  std::uint32_t visit = 0;
};

struct rollout_options {
  std::uint64_t seed = 0;
  purpose what = purpose::train;
  std::int32_t group_size = 8;
  std::int64_t max_new_tokens = 0;
  std::vector<token> stop;
  std::int64_t session_tokens = 1 << 16;  // tokens in flight at a time; bounds memory and changes nothing else
};

struct rollout_report {
  std::int64_t sampled = 0;      // answer tokens
  std::int64_t forwarded = 0;    // tokens through the layers
  double kept_mass_log_sum = 0;  // minus the behaviour gap, summed over sampled tokens
};

// The default engine: sessions over the policy, one after another, each holding as many prompts as fit.
struct session_engine {
  // Groups in the order of the requests, unscored. `between` is called between decode steps with the answer tokens
  // drawn so far; it may throw to stop.
  template <class Policy, environment E, class Sampler, class Between>
  auto operator()(typename Policy::context_type& ctx, Policy& policy, E& env, std::span<const rollout_request> requests,
                  const rollout_options& o, Sampler& sampler, rollout_report& report, Between&& between) const {
    using T = typename Policy::scalar_type;
    using A = typename Policy::value_type;
    using Context = typename Policy::context_type;
    static_assert(
        std::derived_from<Policy, model::decoder<T, Context>>,
        "ql: session_engine samples from ql::model::decoder; a policy of another kind brings its own component "
        "for slot::engine (examples/libtorch_policy)");
    detail::expects(o.group_size >= 1, "session_engine", "group_size", "1 or more", o.group_size);
    detail::expects(o.max_new_tokens >= 1, "session_engine", "max_new_tokens", "1 or more", o.max_new_tokens);
    std::vector<group<A>> out;
    out.reserve(requests.size());
    const model::stop_tokens stop{o.stop};
    for (std::size_t first = 0; first < requests.size();) {
      model::session<T, Context> session(ctx, policy);
      std::map<std::int64_t, std::int32_t> roots;  // by bundle
      std::vector<std::vector<std::int32_t>> leaves;
      std::int64_t held = 0;
      auto last = first;
      for (; last < requests.size(); ++last) {
        const auto& r = requests[last];
        const auto bundle = static_cast<std::int64_t>(env.bundle(r.example));
        const auto& context_of = env.context(bundle);
        const auto& question_of = env.question(r.example);
        const std::span<const token> shared = context_of, own = question_of;
        detail::expects(!shared.empty() || !own.empty(), "session_engine",
                        "prompt of example " + std::to_string(r.example), "at least one token", "none");
        const auto known = roots.find(bundle);
        const auto more = static_cast<std::int64_t>((known == roots.end() ? shared.size() : 0) + own.size()) +
                          o.group_size * o.max_new_tokens;
        if (last > first && held + more > o.session_tokens) break;
        held += more;
        std::int32_t at = -1;
        if (!shared.empty()) {
          at = known != roots.end() ? known->second : session.add_root(shared);
          roots.emplace(bundle, at);
        }
        if (!own.empty()) at = at < 0 ? session.add_root(own) : session.add_segment(at, own);
        auto& mine = leaves.emplace_back();
        for (std::int32_t g = 0; g < o.group_size; ++g)
          mine.push_back(session.add_leaf(at, o.max_new_tokens,
                                          {.seed = o.seed,
                                           .what = o.what,
                                           .example = static_cast<std::uint32_t>(r.example),
                                           .visit = r.visit,
                                           .sample = static_cast<std::uint32_t>(g)}));
      }
      std::int64_t drawn = 0;
      for (auto live = session.live(); live > 0;) {
        drawn += live;
        live = session.step(sampler, stop);
        between(report.sampled + drawn);
      }
      report.forwarded += session.forwarded();
      const auto batch = session.finish();
      report.sampled += batch.sampled;
      report.kept_mass_log_sum += batch.kept_mass_log_sum;
      for (std::size_t i = 0; i < leaves.size(); ++i) {
        group<A> g;
        g.example = requests[first + i].example;
        g.visit = requests[first + i].visit;
        for (auto s : leaves[i]) {
          const auto& leaf = batch.tree[s];
          const auto ids = batch.tree.ids(s);
          const auto at = static_cast<std::size_t>(leaf.first), n = ids.size();
          answer<A> a;
          a.tokens.assign(ids.begin(), ids.end());
          a.logp.assign(batch.logp.begin() + leaf.first, batch.logp.begin() + leaf.first + leaf.count);
          a.entropy.assign(batch.entropy.begin() + leaf.first, batch.entropy.begin() + leaf.first + leaf.count);
          if (!batch.support.empty())
            for (std::size_t j = 0; j < n; ++j) {
              const auto kept = batch.support.of(static_cast<std::int64_t>(at + j));
              a.support.emplace_back(kept.begin(), kept.end());
            }
          a.finish = leaf.finish;
          g.answers.push_back(std::move(a));
        }
        out.push_back(std::move(g));
      }
      first = last;
    }
    return out;
  }
};

// An experiment: the log-probs of `engine`, each off by N(0, deviation^2), as if another program with other rounding
// had sampled. The noise of token i of an answer is drawn at position 2^40 + i of the answer's key.
template <class Engine = session_engine>
struct perturbed_engine {
  double deviation = 0;  // nats; 0: as they are
  Engine engine{};

  template <class Policy, environment E, class Sampler, class Between>
  auto operator()(typename Policy::context_type& ctx, Policy& policy, E& env, std::span<const rollout_request> requests,
                  const rollout_options& o, Sampler& sampler, rollout_report& report, Between&& between) const {
    detail::expects(deviation >= 0, "perturbed_engine", "deviation", "at least 0", deviation);
    auto groups = engine(ctx, policy, env, requests, o, sampler, report, between);
    if (deviation == 0) return groups;
    for (auto& g : groups)
      for (std::size_t s = 0; s < g.answers.size(); ++s) {
        const random_key key{.seed = o.seed,
                             .what = o.what,
                             .example = static_cast<std::uint32_t>(g.example),
                             .visit = g.visit,
                             .sample = static_cast<std::uint32_t>(s)};
        auto& logp = g.answers[s].logp;
        for (std::size_t i = 0; i < logp.size(); ++i)
          logp[i] += static_cast<std::remove_reference_t<decltype(logp[i])>>(
              deviation * standard_normal(key, (std::uint64_t{1} << 40) + i));
      }
    return groups;
  }

 private:
  // Box and Muller (1958), of the two uniform numbers of one draw.
  static double standard_normal(const random_key& key, std::uint64_t position) {
    const auto bits = random_bits(key, position);
    return math::sqrt(-2.0 * math::log(uniform(bits, 0))) * math::cos(2 * 3.14159265358979323846 * uniform(bits, 1));
  }
};

// Asks the environment for the scores of all answers at once.
template <environment E, class A>
void score_groups(E& env, std::span<group<A>> groups) {
  std::vector<answer_request> batch;
  for (const auto& g : groups)
    for (std::size_t i = 0; i < g.answers.size(); ++i)
      batch.push_back({g.example, g.visit, static_cast<std::uint32_t>(i), g.answers[i].tokens, g.answers[i].finish});
  const auto outcomes = env.score(batch);
  detail::expects<shape_error>(outcomes.size() == batch.size(), "score_groups", "outcomes of the environment",
                               std::to_string(batch.size()) + ", one an answer", outcomes.size());
  std::size_t i = 0;
  for (auto& g : groups)
    for (auto& a : g.answers) a.score = outcomes[i++];
}

// Groups as one tree: a root per bundle, a branch per example, a leaf per answer, in the groups' order; and what the
// losses read, indexed as the tree's tokens or segments.
template <class A>
struct training_tree {
  token_tree tree;
  std::vector<std::int64_t> offsets{0};  // (segments + 1): one sequence a segment
  std::vector<std::uint8_t> mask;        // (tokens)
  std::vector<std::int64_t> prompts{0};  // (groups + 1) offsets into segments
  std::vector<A> old, entropy;           // (tokens) as recorded when sampled
  std::vector<A> advantage;              // (segments)
  frozen_support support;                // with support_rule::frozen
  std::int64_t loss_tokens = 0;
};

template <class A, environment E>
training_tree<A> make_training_tree(E& env, std::span<const group<A>* const> groups) {
  training_tree<A> t;
  std::map<std::int64_t, std::int32_t> roots;
  bool frozen = false;
  std::vector<const answer<A>*> of;  // by segment; null for prompts
  const auto added = [&](const answer<A>* a, A advantage) {
    of.push_back(a);
    t.advantage.push_back(advantage);
  };
  for (const auto* g : groups) {
    const auto bundle = static_cast<std::int64_t>(env.bundle(g->example));
    const auto& context_of = env.context(bundle);
    const auto& question_of = env.question(g->example);
    const std::span<const token> shared = context_of, own = question_of;
    std::int32_t at = -1;
    if (!shared.empty()) {
      const auto known = roots.find(bundle);
      if (known == roots.end()) {
        at = t.tree.add_root(shared);
        added(nullptr, 0);
        roots.emplace(bundle, at);
      } else {
        at = known->second;
      }
    }
    if (!own.empty()) {
      at = at < 0 ? t.tree.add_root(own) : t.tree.add(at, own, role::prompt);
      added(nullptr, 0);
    }
    for (const auto& a : g->answers) {
      const auto leaf = t.tree.add(at, a.tokens, role::action);
      t.tree.finish(leaf, a.finish);
      added(&a, a.advantage);
      frozen = frozen || !a.support.empty();
    }
    t.prompts.push_back(static_cast<std::int64_t>(t.tree.segments().size()));
  }
  const auto n = static_cast<std::size_t>(t.tree.tokens());
  t.mask.assign(n, 0);
  t.old.assign(n, A(0));
  t.entropy.assign(n, A(0));
  for (std::size_t s = 0; s < of.size(); ++s) {
    const auto& g = t.tree[static_cast<std::int32_t>(s)];
    t.offsets.push_back(g.first + g.count);
    for (std::int64_t j = 0; j < g.count; ++j) {
      const auto i = static_cast<std::size_t>(g.first + j), k = static_cast<std::size_t>(j);
      if (of[s] != nullptr) {
        t.mask[i] = 1;
        t.old[i] = of[s]->logp[k];
        t.entropy[i] = of[s]->entropy[k];
        ++t.loss_tokens;
        if (frozen && k < of[s]->support.size())
          t.support.ids.insert(t.support.ids.end(), of[s]->support[k].begin(), of[s]->support[k].end());
      }
      if (frozen) t.support.first.push_back(static_cast<std::int64_t>(t.support.ids.size()));
    }
  }
  return t;
}

}  // namespace ql
