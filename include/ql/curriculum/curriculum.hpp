// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which examples are trained on when. A curriculum is a value without state; its state is a value of its own that can
// be saved and compared, and every call is a function of the two.
//
//   auto s = course.start(data, seed);
//   while (course.now(s) != activity::finished) {
//     if (course.now(s) == activity::score) {          // between two phases, where examples must be scored
//       for (const auto& d : course.pending(s)) course.observe_score(s, data, d.example, scores_of(d));
//     } else {
//       const auto batch = course.select(s, data, course.limits(s).batch);
//       for (const auto& d : batch.draws) course.observe(s, d.example, scores_of(d));
//       course.end_step(s, data);
//     }
//   }

#include <ql/curriculum/difficulty.hpp>
#include <ql/curriculum/index_sampler.hpp>
#include <ql/curriculum/phase.hpp>
#include <ql/curriculum/retrospective.hpp>
#include <ql/detail/stable_sort.hpp>
#include <ql/error.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ql::curriculum {

enum class activity : std::uint8_t { train, score, finished };

// One example to sample answers for. `visit` counts earlier draws of it for the same purpose: with example and visit a
// ql::random_key is used once in a run.
struct draw {
  example_id example = 0;
  std::uint32_t visit = 0;
  bool retained = false;  // comes from an earlier phase
  friend bool operator==(const draw&, const draw&) = default;
};

struct selection {
  std::vector<draw> draws;
  std::int64_t asked = 0, given = 0;  // prompts, or bundles where the pool has them
  // The phase has fewer than were asked for: worth a warning.
  bool clamped() const { return given < asked; }
};

// What a trainer asks of a curriculum.
//   start(data, seed)   the state before the first step; throws argument_error when rules are broken
//   now(s), limits(s)   what to do now; the limits and batch sizes of the phase at hand (when scoring: of the next one)
//   select(s, data, n)  the next n prompts of this step, none twice in a step
//   observe(s, e, r)    the task scores of a group, before any filter or shaping; false when it says nothing (one is
//   NaN) end_step(s, data, counted)  a step is over; counted = false where nothing was trained on
// The state is a value: it can be copied, compared and archived.
template <class C>
concept curriculum =
    std::copyable<C> && std::copyable<typename C::state> && std::equality_comparable<typename C::state> &&
    requires(const C& c, typename C::state& s, const typename C::state& cs, const pool& data, std::uint64_t seed,
             std::int64_t n, example_id e, std::span<const double> scores, bool counted) {
      { c.start(data, seed) } -> std::same_as<typename C::state>;
      { c.now(cs) } -> std::same_as<activity>;
      { c.limits(cs) } -> std::convertible_to<const phase&>;
      { c.select(s, data, n) } -> std::same_as<selection>;
      { c.observe(s, e, scores) } -> std::same_as<bool>;
      { c.end_step(s, data, counted) } -> std::same_as<void>;
    };

// A curriculum that has examples scored between phases.
//   pending(s)                         what is still to be scored, under limits(s)
//   scored_by(), answers_to_score()    which policy does it, and how many answers an example gets
//   observe_score(s, data, e, r)       false when it says nothing; the last pending one begins the next phase
template <class C>
concept scoring_curriculum = curriculum<C> && requires(const C& c, typename C::state& s, const typename C::state& cs,
                                                       const pool& data, example_id e, std::span<const double> scores) {
  { c.pending(cs) } -> std::same_as<std::vector<draw>>;
  { c.scored_by() } -> std::same_as<score_source>;
  { c.answers_to_score() } -> std::same_as<std::int64_t>;
  { c.observe_score(s, data, e, scores) } -> std::same_as<bool>;
};

// What happened in a phase, for metrics and reports.
struct phase_report {
  std::int64_t own = 0, retained = 0;                    // examples of its band; examples brought along
  std::int64_t candidates = 0, scored = 0, dropped = 0;  // of earlier phases; newly scored; given up on
  std::int64_t steps = 0;                                // counted ones
  std::int64_t groups = 0, mixed = 0;                    // observed; those of which not all scores are equal
  std::int64_t retained_groups = 0, retained_mixed = 0;  // the same of retained examples
  std::vector<std::int64_t> histogram;                   // mean_histogram of the candidates' means, where scored
  friend bool operator==(const phase_report&, const phase_report&) = default;
};

// Where scoring stands.
struct scoring_progress {
  std::int64_t done = 0, total = 0;
  friend bool operator==(const scoring_progress&, const scoring_progress&) = default;
};

namespace detail {

// Order and content of a pool in 64 bits (FNV-1a over 64-bit words), so that a state is not used with other data.
inline std::uint64_t hash_of(const pool& data) {
  std::uint64_t h = 0xcbf29ce484222325u;
  const auto add = [&](const auto& column) {
    h = (h ^ column.size()) * 0x100000001b3u;
    for (const auto x : column) h = (h ^ static_cast<std::uint64_t>(x)) * 0x100000001b3u;
  };
  add(data.prompt_tokens), add(data.task), add(data.bundle);
  return h;
}

inline bool holds(const std::vector<example_id>& ascending, example_id e) {
  return std::binary_search(ascending.begin(), ascending.end(), e);
}

}  // namespace detail

// What a plateau is told by.
struct plateau_watch {
  double score_sum = 0;           // of the group means since the last end of a step
  std::int64_t score_groups = 0;  // how many
  std::vector<double> recent;     // mean group score of the last steps
  double best = 0;                // highest mean over a window
  std::int64_t since_best = -1;   // steps; -1: there is none yet
  friend bool operator==(const plateau_watch&, const plateau_watch&) = default;
};

// The scoring at hand, by column.
struct scoring_work {
  std::vector<example_id> examples;  // ascending
  std::vector<std::int64_t> count;   // answers; 0: pending, -1: dropped
  std::vector<double> mean;
  friend bool operator==(const scoring_work&, const scoring_work&) = default;
};

// The state of `phased`.
template <class SamplerState>
struct phased_state {
  std::uint64_t seed = 0;
  std::uint64_t data = 0;  // hash of the pool
  activity at = activity::train;
  std::int64_t phase = 0;  // while scoring: the one that is over
  std::int64_t step = 0, total_steps = 0;
  std::int64_t drawn = 0;  // prompts or bundles, in this phase
  std::int64_t spent = 0;  // tokens, on this phase; while scoring: on the next one

  difficulty_table difficulty;
  std::vector<std::uint32_t> train_visits, score_visits;  // of each example
  std::vector<example_id> members, retained;  // ascending: the training set, and which of it were brought along
  SamplerState sampler;
  std::vector<std::uint32_t> in_step;  // prompts or bundles drawn since the last end of a step
  plateau_watch watch;
  scoring_work to_score;
  std::vector<phase_report> reports;  // of each phase

  friend bool operator==(const phased_state&, const phased_state&) = default;
};

// Phases of growing length. The first trains on its own band alone; each later one on its band and on what
// `retrospect` retains of all examples of earlier bands, shuffled together.
template <retention Retention, index_sampler Sampler = epoch_sampler>
struct phased {
  std::vector<phase> phases;
  Retention retrospect{};
  scoring score{};
  Sampler sampler{};

  using state = phased_state<typename Sampler::state>;

  // Everything that is wrong with this configuration; with `data` also whether it suits the pool.
  problem_list broken_rules() const { return with_components(curriculum::broken_rules(phases)); }
  problem_list broken_rules(const pool& data) const { return with_components(curriculum::broken_rules(phases, data)); }

  state start(const pool& data, std::uint64_t seed) const {
    broken_rules(data).throw_if_any();
    state s;
    s.seed = seed;
    s.data = detail::hash_of(data);
    s.difficulty.records.resize(data.size());
    s.train_visits.assign(data.size(), 0);
    s.score_visits.assign(data.size(), 0);
    s.reports.resize(phases.size());
    enter(s, data, 0);
    return s;
  }

  activity now(const state& s) const { return s.at; }
  const phase& limits(const state& s) const {
    const auto k = static_cast<std::size_t>(s.phase) + (now(s) == activity::score ? 1 : 0);
    detail::expects<state_error>(k < phases.size(), "phased.limits", "state", "one of these phases", k);
    return phases[k];
  }

  selection select(state& s, const pool& data, std::int64_t n) const {
    expects_activity(s, activity::train, "phased.select");
    expects_same(s, data, "phased.select");
    const units u(s.members, data);
    const auto drawn = sampler.draw(s.sampler, u.list(s), n, s.in_step);
    s.in_step.insert(s.in_step.end(), drawn.begin(), drawn.end());
    s.drawn += static_cast<std::int64_t>(drawn.size());
    selection out;
    out.asked = n;
    out.given = static_cast<std::int64_t>(drawn.size());
    for (const auto unit : drawn) {
      for (const auto e : u.members_of(unit))
        out.draws.push_back({e, s.train_visits[e]++, detail::holds(s.retained, e)});
    }
    return out;
  }

  // Counts examples as part of the step at hand that were drawn in an earlier one: groups carried over.
  void hold(state& s, const pool& data, std::span<const example_id> examples) const {
    expects_activity(s, activity::train, "phased.hold");
    for (const auto e : examples) {
      detail::expects(e < data.size(), "phased.hold", "example", "below " + std::to_string(data.size()), e);
      s.in_step.push_back(data.bundle.empty() ? e : data.bundle[e]);
    }
  }

  bool observe(state& s, example_id e, std::span<const double> scores) const {
    expects_activity(s, activity::train, "phased.observe");
    if (!s.difficulty.observe(e, scores, s.total_steps)) return false;
    bool mixed = false;
    for (const double x : scores) mixed = mixed || x != scores[0];
    s.watch.score_sum += s.difficulty[e].mean;
    ++s.watch.score_groups;
    auto& r = report_of(s, s.phase);
    ++r.groups;
    r.mixed += mixed ? 1 : 0;
    if (detail::holds(s.retained, e)) {
      ++r.retained_groups;
      r.retained_mixed += mixed ? 1 : 0;
    }
    return true;
  }

  // Tokens that were sampled or trained on for the phase at hand (when scoring: for the next one).
  void spend(state& s, std::int64_t tokens) const {
    detail::expects(tokens >= 0, "phased.spend", "tokens", "at least 0", tokens);
    s.spent += tokens;
  }

  void end_step(state& s, const pool& data, bool counted = true) const {
    expects_activity(s, activity::train, "phased.end_step");
    expects_same(s, data, "phased.end_step");
    const phase& p = phases[static_cast<std::size_t>(s.phase)];
    s.in_step.clear();
    if (counted) {
      ++s.step;
      ++s.total_steps;
      ++report_of(s, s.phase).steps;
      note_score(s.watch, p.stop);
    }
    s.watch.score_sum = 0;
    s.watch.score_groups = 0;
    const auto size = static_cast<std::int64_t>(units(s.members, data).items.size());
    const bool over = (p.steps > 0 && s.step >= p.steps) || (p.epochs > 0 && s.drawn >= p.epochs * size) ||
                      (p.tokens > 0 && s.spent >= p.tokens) ||
                      (p.stop.window > 0 && s.watch.since_best >= p.stop.patience);
    if (!over) return;
    if (static_cast<std::size_t>(s.phase) + 1 == phases.size()) {
      s.at = activity::finished;
      return;
    }
    auto& work = s.to_score;
    work.examples = wants_scores(data, s.phase + 1, s.seed, &s.difficulty);
    work.count.assign(work.examples.size(), 0);
    work.mean.assign(work.examples.size(), 0);
    s.spent = 0;
    s.at = activity::score;
    if (work.examples.empty()) next_phase(s, data);
  }

  score_source scored_by() const { return score.source; }
  std::int64_t answers_to_score() const { return score.group; }
  std::vector<draw> pending(const state& s) const {
    std::vector<draw> out;
    if (now(s) != activity::score) return out;
    const auto& work = s.to_score;
    for (std::size_t i = 0; i < work.examples.size(); ++i)
      if (work.count[i] == 0) out.push_back({work.examples[i], s.score_visits[work.examples[i]], true});
    return out;
  }
  scoring_progress progress(const state& s) const {
    if (now(s) != activity::score) return {};
    const auto waiting = std::count(s.to_score.count.begin(), s.to_score.count.end(), 0);
    const auto total = static_cast<std::int64_t>(s.to_score.examples.size());
    return {total - static_cast<std::int64_t>(waiting), total};
  }
  // In any order. A group with a score that is not finite stays pending.
  bool observe_score(state& s, const pool& data, example_id e, std::span<const double> scores) const {
    const auto i = pending_place(s, e, "phased.observe_score");
    expects_same(s, data, "phased.observe_score");
    detail::expects(!scores.empty(), "phased.observe_score", "scores", "at least one", scores.size());
    const double m = mean_score(scores);
    if (m - m != 0) return false;
    s.to_score.count[i] = static_cast<std::int64_t>(scores.size());
    s.to_score.mean[i] = m;
    ++s.score_visits[e];
    if (pending(s).empty()) next_phase(s, data);
    return true;
  }
  // Gives up on scoring an example: it is not retained.
  void drop_score(state& s, const pool& data, example_id e) const {
    const auto i = pending_place(s, e, "phased.drop_score");
    expects_same(s, data, "phased.drop_score");
    s.to_score.count[i] = -1;
    if (pending(s).empty()) next_phase(s, data);
  }

  // What the scoring before phase `k` >= 1 costs at most, known before the run; for score_source::history as if no
  // example had been visited.
  scoring_cost estimated_cost(const pool& data, std::int64_t k, std::uint64_t seed) const {
    const auto& next = phases.at(static_cast<std::size_t>(k));
    return cost_of_scoring(wants_scores(data, k, seed, nullptr), data, score.group, next.max_response_tokens);
  }
  // What is left of the scoring at hand.
  scoring_cost remaining_cost(const state& s, const pool& data) const {
    std::vector<example_id> left;
    for (const auto& d : pending(s)) left.push_back(d.example);
    return cost_of_scoring(left, data, score.group, left.empty() ? 0 : limits(s).max_response_tokens);
  }

  const phase_report& report(const state& s, std::int64_t k) const { return s.reports.at(static_cast<std::size_t>(k)); }

  friend bool operator==(const phased&, const phased&) = default;

 private:
  // What the sampler draws: examples, or bundles where the pool has them.
  struct units {
    std::vector<std::uint32_t> items;
    std::vector<std::int32_t> task;
    std::vector<std::size_t> begin;  // of each bundle's members in by_bundle
    std::vector<example_id> by_bundle;

    units(const std::vector<example_id>& members, const pool& data) {
      if (data.bundle.empty()) {
        items = members;
      } else {
        by_bundle = members;
        ql::detail::stable_sort(by_bundle.begin(), by_bundle.end(),
                                [&](auto a, auto b) { return data.bundle[a] < data.bundle[b]; });
        for (std::size_t i = 0; i < by_bundle.size(); ++i) {
          if (i > 0 && data.bundle[by_bundle[i]] == data.bundle[by_bundle[i - 1]]) continue;
          items.push_back(data.bundle[by_bundle[i]]);
          begin.push_back(i);
        }
        begin.push_back(by_bundle.size());
      }
      if (data.task.empty()) {
        task.assign(items.size(), 0);
        return;
      }
      for (std::size_t i = 0; i < items.size(); ++i)
        task.push_back(data.task[data.bundle.empty() ? items[i] : by_bundle[begin[i]]]);
    }
    index_list list(const state& s) const { return {items, task, s.seed, static_cast<std::uint32_t>(s.phase)}; }
    // The lifetime of what is returned ends with `unit` or with this.
    std::span<const example_id> members_of(const std::uint32_t& unit) const {
      if (begin.empty()) return {&unit, 1};
      const auto i = detail::place_of(items, unit);
      return std::span(by_bundle).subspan(begin[i], begin[i + 1] - begin[i]);
    }
  };

  static phase_report& report_of(state& s, std::int64_t k) { return s.reports[static_cast<std::size_t>(k)]; }

  problem_list with_components(problem_list b) const {
    score.validate(b);
    if constexpr (requires { retrospect.validate(b); }) retrospect.validate(b);
    if constexpr (requires { sampler.validate(b); }) sampler.validate(b);
    return b;
  }

  static void expects_activity(const state& s, activity wanted, std::string_view who) {
    constexpr const char* name[] = {"training", "scoring", "finished"};
    detail::expects<state_error>(s.at == wanted, who, "state", name[static_cast<int>(wanted)],
                                 name[static_cast<int>(s.at)]);
  }
  static void expects_same(const state& s, const pool& data, std::string_view who) {
    detail::expects<state_error>(s.data == detail::hash_of(data), who, "data", "the pool that the state was made with",
                                 "another one");
  }
  static std::size_t pending_place(const state& s, example_id e, std::string_view who) {
    expects_activity(s, activity::score, who);
    const auto& work = s.to_score;
    const auto i = detail::place_of(work.examples, e);
    detail::expects(i < work.examples.size() && work.examples[i] == e && work.count[i] == 0, who, "example",
                    "one that is pending", e);
    return i;
  }

  static void note_score(plateau_watch& w, const plateau& stop) {
    if (stop.window == 0 || w.score_groups == 0) return;
    w.recent.push_back(w.score_sum / static_cast<double>(w.score_groups));
    if (static_cast<std::int64_t>(w.recent.size()) > stop.window) w.recent.erase(w.recent.begin());
    if (static_cast<std::int64_t>(w.recent.size()) < stop.window) return;
    double mean = 0;
    for (const double x : w.recent) mean += x;
    mean /= static_cast<double>(stop.window);
    if (w.since_best < 0 || mean >= w.best + stop.gain) {
      w.best = mean;
      w.since_best = 0;
    } else {
      ++w.since_best;
    }
  }

  // Examples of the bands before phase k that are not in its own, ascending.
  std::vector<example_id> candidates(const pool& data, std::int64_t k) const {
    std::vector<example_id> out;
    for (std::size_t i = 0; i < data.size(); ++i) {
      const auto tokens = data.prompt_tokens[i];
      if (phases[static_cast<std::size_t>(k)].contains(tokens)) continue;
      for (std::int64_t j = 0; j < k; ++j) {
        if (!phases[static_cast<std::size_t>(j)].contains(tokens)) continue;
        out.push_back(static_cast<example_id>(i));
        break;
      }
    }
    return out;
  }
  // Those of them that must be scored.
  std::vector<example_id> wants_scores(const pool& data, std::int64_t k, std::uint64_t seed,
                                       const difficulty_table* known) const {
    if (!retrospect.needs_scores()) return {};
    auto from = candidates(data, k);
    if (score.source == score_source::history && known != nullptr)
      std::erase_if(from, [&](auto e) { return (*known)[e].visits > 0; });
    return subsample(from, score.at_most, seed, static_cast<std::uint32_t>(k));
  }

  void next_phase(state& s, const pool& data) const {
    const auto k = s.phase + 1;
    const auto all = candidates(data, k);
    const auto& work = s.to_score;
    std::vector<scored_example> known;
    for (const auto e : all) {
      const auto i = detail::place_of(work.examples, e);
      if (i < work.examples.size() && work.examples[i] == e) {
        if (work.count[i] > 0) known.push_back({e, work.count[i], work.mean[i]});
      } else if (!retrospect.needs_scores()) {
        known.push_back({e, 0, 0});
      } else if (score.source == score_source::history && s.difficulty[e].visits > 0) {
        known.push_back({e, s.difficulty[e].count, s.difficulty[e].mean});
      }
    }
    const phase& p = phases[static_cast<std::size_t>(k)];
    const auto own = static_cast<std::int64_t>(curriculum::members(p, data).size());
    s.retained = retrospect.retain(known, {p.retention.of(own), s.seed, static_cast<std::uint32_t>(k)});
    auto& r = report_of(s, k);
    r.candidates = static_cast<std::int64_t>(all.size());
    r.scored = std::count_if(work.count.begin(), work.count.end(), [](auto n) { return n > 0; });
    r.dropped = std::count(work.count.begin(), work.count.end(), -1);
    if (retrospect.needs_scores()) {
      std::vector<double> means;
      means.reserve(known.size());
      for (const auto& x : known) means.push_back(x.mean);
      r.histogram = mean_histogram(means, score.group);
    }
    s.to_score = {};
    enter(s, data, k);
  }

  void enter(state& s, const pool& data, std::int64_t k) const {
    s.members = curriculum::members(phases[static_cast<std::size_t>(k)], data);
    report_of(s, k).own = static_cast<std::int64_t>(s.members.size());
    report_of(s, k).retained = static_cast<std::int64_t>(s.retained.size());
    s.members.insert(s.members.end(), s.retained.begin(), s.retained.end());
    std::sort(s.members.begin(), s.members.end());
    s.at = activity::train;
    s.phase = k;
    s.step = 0;
    s.drawn = 0;
    s.sampler = {};
    s.watch = {};
  }
};

// One phase in the place of many, made of the same list, so that arms of an experiment differ in a type alone: the
// limits and batches of the last phase, the lengths that Band says, and the steps (epochs, tokens) of all phases added.
template <class Band, index_sampler Sampler = epoch_sampler>
struct one_phase {
  std::vector<phase> phases;
  Sampler sampler{};

  using whole = phased<none, Sampler>;
  using state = typename whole::state;

  // What it stands for.
  whole merged() const {
    phase p = phases.back();
    p.lo_exclusive = Band::lo_exclusive(phases);
    p.steps = 0, p.epochs = 0, p.tokens = 0;
    for (const auto& x : phases) p.steps += x.steps, p.epochs += x.epochs, p.tokens += x.tokens;
    return {.phases = {p}, .retrospect = {}, .score = {}, .sampler = sampler};
  }
  problem_list broken_rules() const {
    auto b = curriculum::broken_rules(phases);
    for (std::size_t k = 1; k < phases.size(); ++k) {
      b.prefix = "phases[" + std::to_string(k) + "].";
      const phase &p = phases[k], &first = phases[0];
      b.require((p.steps > 0) == (first.steps > 0), "steps", static_cast<double>(p.steps),
                "steps in every phase or in none", "those of all phases are added");
      b.require((p.epochs > 0) == (first.epochs > 0), "epochs", static_cast<double>(p.epochs),
                "epochs in every phase or in none", "those of all phases are added");
      b.require((p.tokens > 0) == (first.tokens > 0), "tokens", static_cast<double>(p.tokens),
                "tokens in every phase or in none", "those of all phases are added");
    }
    b.prefix.clear();
    return b;
  }
  problem_list broken_rules(const pool& data) const {
    auto b = broken_rules();
    return b.empty() ? merged().broken_rules(data) : b;
  }

  state start(const pool& data, std::uint64_t seed) const {
    broken_rules(data).throw_if_any();
    return merged().start(data, seed);
  }
  activity now(const state& s) const { return s.at; }
  phase limits(const state& s) const { return merged().limits(s); }
  selection select(state& s, const pool& data, std::int64_t n) const { return merged().select(s, data, n); }
  void hold(state& s, const pool& data, std::span<const example_id> examples) const {
    merged().hold(s, data, examples);
  }
  bool observe(state& s, example_id e, std::span<const double> scores) const { return merged().observe(s, e, scores); }
  void spend(state& s, std::int64_t tokens) const { merged().spend(s, tokens); }
  void end_step(state& s, const pool& data, bool counted = true) const { merged().end_step(s, data, counted); }
  const phase_report& report(const state& s, std::int64_t k) const { return s.reports.at(static_cast<std::size_t>(k)); }
  friend bool operator==(const one_phase&, const one_phase&) = default;
};

struct last_band {
  static std::int64_t lo_exclusive(const std::vector<phase>& phases) { return phases.back().lo_exclusive; }
};
struct all_bands {
  static std::int64_t lo_exclusive(const std::vector<phase>& phases) { return phases.front().lo_exclusive; }
};

// The last phase's lengths from the first step on.
using single_stage = one_phase<last_band>;
// The lengths of all phases from the first step on.
using mixed = one_phase<all_bands>;

}  // namespace ql::curriculum
