// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reinforcement learning as a loop over the parts of a recipe. The trainer owns nothing but its state, and the state is
// a value: saved after any call and put back, the run goes on with the same bits.

#include <ql/curriculum/curriculum.hpp>
#include <ql/group_update.hpp>
#include <ql/ranks.hpp>
#include <ql/recipe.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/filter.hpp>
#include <ql/rl/length.hpp>
#include <ql/rl/sampler.hpp>
#include <ql/rl/schedule.hpp>
#include <ql/rollout.hpp>
#include <ql/slot_rules.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ql {

// Kept groups beyond the batch: thrown away (the paper), or kept for the next step with their age.
enum class surplus : std::uint8_t { discard, carry };
// A group with an answer that nobody could judge is never trained on in part.
enum class on_abstention : std::uint8_t { wait, drop };
// What a change of phase does to the optimizer's moments and to the schedule.
enum class phase_change : std::uint8_t { fresh_optimizer, keep_optimizer };
// Which log-probs are held, bit for bit, against a fresh forward before the first update of a batch.
enum class audit : std::uint8_t { first_update, whole_batch };

struct rl_options {
  std::uint64_t seed = 1;
  std::int32_t group_size = 8;
  std::int64_t groups = 0;             // of a training batch; 0: the phase's batch
  std::int64_t updates_per_batch = 1;  // mini-batches, contiguous in kept order
  std::int64_t refill_rounds = 10;     // generation rounds of a step; 0: no limit
  ql::surplus surplus = surplus::discard;
  on_abstention abstained = on_abstention::wait;
  ql::phase_change phase_change = phase_change::fresh_optimizer;
  ql::audit audit = audit::first_update;
  std::int64_t skips = 10;  // steps in a row without a group to train on, after which the run stops
  double max_norm = 1.0;    // of the gradient
  std::vector<token> stop;  // tokens that end an answer
  std::int64_t session_tokens = 1 << 16, micro_batch_tokens = 1 << 15;  // memory; change no bit
  model::keep keep = model::keep::everything;
  std::int64_t kl_every = 0;        // steps between two looks at the KL to the reference; 0: never
  std::int64_t scoring_batch = 64;  // examples scored in one call of advance()

  friend bool operator==(const rl_options&, const rl_options&) = default;
};

// One training step in numbers. Means are over what the step drew, before the filter, unless said otherwise.
struct step_metrics {
  std::string phase;
  std::int64_t step = 0, phase_step = 0;    // counted from 1
  double score = 0;                         // mean task score
  double reward = 0, reward_deviation = 0;  // shaped
  double accuracy = 0;                      // share of answers with task score 1
  double entropy = 0;                       // nats a token, as sampled
  double batch_entropy = 0;                 // of the groups trained on: mean over answers of the mean over their tokens
  double length = 0;
  std::int64_t longest = 0;
  double truncated = 0;  // share of answers
  std::int64_t rounds = 0, groups = 0, all_wrong = 0, mixed = 0, all_right = 0, dropped = 0;
  std::int64_t retained = 0, retained_mixed = 0;  // groups of examples from earlier phases; of them mixed
  std::int64_t kept = 0, trained = 0, carried = 0;
  std::int64_t updates = 0, tokens_sampled = 0, tokens_trained = 0, rows_trained = 0;
  double loss = 0, gradient_norm = 0, rate = 0;  // means over the updates; rate of the last
  double clip_fraction = 0, log_ratio_max = 0, kl_to_old = 0;
  double behaviour_gap = 0;  // mean -log of the kept mass of sampled tokens
  std::optional<double> kl_to_reference;
  std::int64_t compared = 0, differing = 0;
  double seconds_sampling = 0, seconds_scoring = 0, seconds_training = 0;
  bool clamped = false;  // the phase has fewer examples than the generation batch
};

// What a call of advance() did.
enum class advance_kind : std::uint8_t {
  trained,  // one step
  skipped,  // a step without a group to train on
  scored,   // some examples of earlier phases
  waiting,  // a judge is away: nothing has changed, call again later
  finished
};

struct advance_report {
  advance_kind kind = advance_kind::finished;
  step_metrics metrics;                   // trained, skipped
  std::int64_t scored = 0, to_score = 0;  // scored
  bool phase_ended = false;
  std::string why;  // waiting: the first reason
};

template <class A, class CurriculumState, class ControlState>
struct rl_state {
  std::int64_t step = 0;  // that trained
  std::int64_t phase_step = 0;
  std::int64_t updates = 0;  // of the optimizer since it was fresh: what the schedule sees
  std::int64_t skipped = 0;  // steps in a row without a group to train on
  std::int64_t all_skipped = 0;
  std::int64_t phase_index = -1;  // of the phase it is in, -1 before the first step
  std::string phase;
  std::vector<group<A>> carried;
  CurriculumState curriculum;
  ControlState control;  // of the loss
  friend bool operator==(const rl_state&, const rl_state&) = default;
};

namespace detail {

struct stopwatch {
  std::chrono::steady_clock::time_point from = std::chrono::steady_clock::now();
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double s = std::chrono::duration<double>(now - from).count();
    from = now;
    return s;
  }
};

template <class S>
double shaped(const S& slot, std::int64_t length, std::int64_t max_response) {
  return visit_choice(slot, [&](const auto& shaping) -> double {
    if constexpr (requires { shaping(length, max_response); }) {
      return shaping(length, max_response);
    } else {
      return shaping(length);
    }
  });
}

}  // namespace detail

// DAPO's overlong penalty under the limits of the phase at hand: the last `fraction` of the longest answer.
struct overlong_fraction {
  double fraction = 0.1, factor = 1.0;
  double operator()(std::int64_t length, std::int64_t longest) const {
    const auto cache = std::max<std::int64_t>(1, static_cast<std::int64_t>(fraction * static_cast<double>(longest)));
    return rl::overlong_penalty{.longest = longest, .cache = cache, .factor = factor}(length);
  }
  friend bool operator==(const overlong_fraction&, const overlong_fraction&) = default;
};

// Context, policy and environment must outlive the trainer.
//
//   rl_trainer run(ctx, policy, env, recipe, options);
//   for (auto r = run.advance(); r.kind != advance_kind::finished; r = run.advance()) print(r.metrics);
template <class Policy, class Environment, class Recipe>
class rl_trainer {
 public:
  static_assert(detail::explain_policy<Policy>() && detail::explain_environment<Environment>());
  using A = typename Policy::value_type;
  static_assert(detail::explain_slots<Recipe, A>() && detail::explain_correction<Recipe, Policy>());
  using Context = typename Policy::context_type;
  using curriculum_type = typename Recipe::template component<slot::curriculum_tag>;
  using optimizer_type = typename Recipe::template component<slot::optimizer_tag>;
  using control_type = detail::loss_control_of<Recipe>;
  using state_type = rl_state<A, typename curriculum_type::state, typename control_type::state>;

  rl_trainer(Context& ctx, Policy& policy, Environment& env, Recipe recipe, rl_options options)
      : ctx_(&ctx), policy_(&policy), env_(&env), recipe_(std::move(recipe)), options_(std::move(options)) {
    using detail::expects;
    expects(options_.group_size >= 1, "rl_trainer", "group_size", "1 or more", options_.group_size);
    expects(options_.updates_per_batch >= 1, "rl_trainer", "updates_per_batch", "1 or more",
            options_.updates_per_batch);
    expects(options_.refill_rounds >= 0, "rl_trainer", "refill_rounds", "0 (no limit) or more", options_.refill_rounds);
    const auto n = static_cast<std::int64_t>(env.examples());
    expects(n >= 1, "rl_trainer", "environment", "at least one example", n);
    bool shared = false;
    std::vector<std::int64_t> seen;
    for (std::int64_t e = 0; e < n; ++e) {
      lengths_.push_back(prompt_tokens(env, e));
      tasks_.push_back(static_cast<std::int32_t>(env.task(e)));
      bundles_.push_back(static_cast<std::uint32_t>(env.bundle(e)));
      shared = shared || bundles_.back() != static_cast<std::uint32_t>(e);
    }
    if (!shared) bundles_.clear();
    state_.curriculum = recipe_[slot::curriculum].start(pool(), options_.seed);
    optimizer_ = make_optimizer_state(*ctx_, *policy_, recipe_[slot::optimizer]);
  }

  const state_type& state() const { return state_; }
  // The state of another trainer of the same run; weights and optimizer() are put back beside it.
  void restore(state_type s) { state_ = std::move(s); }
  // The whole of the optimizer's memory, to save or to put back. With a share on each rank it is gathered: all ranks
  // call it, and the next update deals it out again.
  policy_optimizer_state<Policy, optimizer_type>& optimizer() {
    if constexpr (can_shard) {
      if (sharded_) optimizer_ = whole_state(*ctx_, *policy_, recipe_[slot::optimizer], *ranks_, *sharded_);
      sharded_.reset();
    }
    return optimizer_;
  }
  const rl_options& options() const { return options_; }
  const Recipe& recipe() const { return recipe_; }
  Environment& env() { return *env_; }
  curriculum::pool pool() const { return {lengths_, tasks_, bundles_}; }
  // The policy as it was before the first step: for scoring by score_source::initial, for losses that read a reference
  // and for the KL monitor.
  void set_reference(Policy* reference) { reference_ = reference; }
  // From now on these ranks do the run together: sampling is dealt out, rank 0's environment scores for all, an update
  // is shared. All ranks build the same trainer and call the same functions; state, weights and metrics are the same on
  // all of them and, with update_split::lanes, have the bits that one rank alone would give. Whatever fails on one rank
  // stops all: comm_error names it. Only rank 0's journal (keep_drops) is asked.
  void share_with(comm::any ranks, const rank_options& how = {})
    requires on_host<Context>
  {
    if (ranks.size() < 2) return;
    std::uint64_t same = options_.seed;
    for (const std::int64_t x :
         {static_cast<std::int64_t>(options_.group_size), options_.groups, options_.updates_per_batch, state_.step,
          static_cast<std::int64_t>(lengths_.size()), policy_->parameter_count(), static_cast<std::int64_t>(how.update),
          static_cast<std::int64_t>(how.optimizer)})
      same = (same ^ static_cast<std::uint64_t>(x)) * 0x100000001b3u, same ^= same >> 29;
    comm::expect_same(ranks, "recipe, examples and step of rl_trainer", same);
    ranks_ = ranks;
    how_ = how;
    const row_split told(*policy_, ranks_,
                         how_.update);  // what this policy cannot split is told here, not after the first rollout
  }
  // Whether `mine` is true on any rank: all of them ask.
  bool on_any_rank(bool mine) const { return ranks_ ? any_rank(*ranks_, mine) : mine; }
  // Rank 0 writes files; without ranks that is this process.
  bool writes_files() const { return !ranks_ || ranks_->rank() == 0; }
  // Called often while answers are sampled, with the number of tokens drawn in this round; what it throws leaves
  // advance() with the state as it was before. The way to interrupt a run.
  void on_sampling(std::function<void(std::int64_t)> f) { between_ = std::move(f); }
  // Where a decision to drop a group for its abstained score is kept before it counts (on_abstention::drop), so that a
  // run which is killed and goes on from an older checkpoint drops the same groups although the judge is back:
  // `journal.dropped(step, group)` and `journal.append_drop(step, group, why)`, as io::verdict_journal has them. A step
  // is counted with the skipped ones, a group in the order in which the step drew it; one that was scored for a
  // curriculum is 2^32 and its example. The journal must outlive the trainer.
  template <class Journal>
  void keep_drops(Journal& journal) {
    dropped_ = [&journal](std::uint64_t step, std::uint64_t group) { return journal.dropped(step, group); };
    drop_ = [&journal](std::uint64_t step, std::uint64_t group, std::string_view why) {
      journal.append_drop(step, group, why);
    };
  }
  // All groups of the last step, as scored, the dropped ones last; and those it trained on, in training order.
  const std::vector<group<A>>& drawn() const { return drawn_; }
  const std::vector<group<A>>& trained() const { return trained_; }

  // The first half of a training step alone: drawn() holds its groups, their rewards and advantages; weights and state
  // are as before, so that advance() draws the same. May only be called where a training step is next.
  advance_report draw() {
    detail::expects<state_error>(course().now(state_.curriculum) == curriculum::activity::train, "rl_trainer", "draw",
                                 "a curriculum whose next activity is training", "one that scores or is finished");
    const auto before = state_;
    advance_report r;
    updating_ = false;
    try {
      const auto limits = course().limits(state_.curriculum);
      if (limits.name != state_.phase) enter_phase(limits.name);
      auto d = draw_groups(limits, r);
      if (r.kind != advance_kind::waiting) {
        if (!d.kept.empty()) advantages(d.kept);
        keep_drawn(std::move(d));
      }
    } catch (...) {
      state_ = before;
      throw;
    }
    state_ = before;
    return r;
  }

  // One training step, or some scoring between two phases.
  advance_report advance() {
    const auto before = state_;
    try {
      auto r = step();
      if (r.kind == advance_kind::waiting) state_ = before;
      return r;
    } catch (...) {
      if (!updating_) state_ = before;
      throw;
    }
  }

 private:
  const curriculum_type& course() const { return recipe_[slot::curriculum]; }

  advance_report step() {
    updating_ = false;
    switch (course().now(state_.curriculum)) {
      case curriculum::activity::finished: return {};
      case curriculum::activity::score: return score_step();
      case curriculum::activity::train: break;
    }
    return train_step();
  }

  std::vector<group<A>> sample(Policy& policy, const std::vector<curriculum::draw>& draws, purpose what,
                               std::int64_t group_size, std::int64_t max_new_tokens, rollout_report& said) {
    std::vector<rollout_request> requests;
    requests.reserve(draws.size());
    for (const auto& d : draws) requests.push_back({d.example, d.visit});
    rollout_options o;
    o.seed = options_.seed, o.what = what, o.group_size = static_cast<std::int32_t>(group_size);
    o.max_new_tokens = max_new_tokens, o.stop = options_.stop, o.session_tokens = options_.session_tokens;
    const auto answers = [&](std::span<const rollout_request> some, rollout_report& report) {
      return recipe_[slot::engine](*ctx_, policy, *env_, some, o, recipe_[slot::sampler], report,
                                   [this](std::int64_t n) {
                                     if (between_) between_(n);
                                   });
    };
    if (!ranks_) return answers(requests, said);
    return sample_on_ranks<A>(*ranks_, *env_, std::span<const rollout_request>(requests), o, said, answers);
  }

  void score(std::vector<group<A>>& groups) {
    if (ranks_) return score_on_ranks<A, Environment>(*ranks_, *env_, groups);
    score_groups<Environment, A>(*env_, groups);
  }

  advance_report score_step() {
    if constexpr (curriculum::scoring_curriculum<curriculum_type>) {
      auto pending = course().pending(state_.curriculum);
      const auto left = static_cast<std::int64_t>(pending.size());
      if (left > options_.scoring_batch) pending.resize(static_cast<std::size_t>(options_.scoring_batch));
      Policy* scorer = policy_;
      if (course().scored_by() == curriculum::score_source::initial) {
        detail::expects<state_error>(reference_ != nullptr, "rl_trainer", "reference",
                                     "the initial policy, since the curriculum has it score (set_reference)", "none");
        scorer = reference_;
      }
      const auto limits = course().limits(state_.curriculum);
      rollout_report said;
      auto groups =
          sample(*scorer, pending, purpose::difficulty, course().answers_to_score(), limits.max_response_tokens, said);
      score(groups);
      advance_report r;
      r.kind = advance_kind::scored;
      spend(said.sampled);
      for (const auto& g : groups) {
        const auto e = static_cast<curriculum::example_id>(g.example);
        if (!g.scored() || was_dropped((std::uint64_t{1} << 32) + e)) {
          if (options_.abstained == on_abstention::wait) return waiting(g);
          drop((std::uint64_t{1} << 32) + e, g);
          if constexpr (requires { course().drop_score(state_.curriculum, pool(), e); }) {
            course().drop_score(state_.curriculum, pool(), e);
            continue;
          }
        }
        course().observe_score(state_.curriculum, pool(), e, g.scores());
      }
      r.scored = static_cast<std::int64_t>(groups.size());
      r.to_score = left - r.scored;
      r.phase_ended = course().now(state_.curriculum) != curriculum::activity::score;
      drawn_ = std::move(groups);
      return r;
    } else {
      detail::fail<state_error>("rl_trainer", "curriculum", "one that says what to score", "one that does not");
    }
  }

  void spend(std::int64_t tokens) {
    if constexpr (requires { course().spend(state_.curriculum, tokens); }) course().spend(state_.curriculum, tokens);
  }

  static std::string why_abstained(const group<A>& g) {
    for (const auto& a : g.answers)
      if (const auto* said = std::get_if<rl::abstained>(&a.score)) return said->why;
    return {};
  }
  advance_report waiting(const group<A>& g) {
    advance_report r;
    r.kind = advance_kind::waiting;
    r.why = why_abstained(g);
    return r;
  }
  std::uint64_t attempt() const { return static_cast<std::uint64_t>(state_.step + state_.all_skipped); }
  bool was_dropped(std::uint64_t number) const {
    if (options_.abstained != on_abstention::drop) return false;
    const bool asked = dropped_ && writes_files();
    return on_any_rank(asked && dropped_(attempt(), number));
  }
  void drop(std::uint64_t number, const group<A>& g) const {
    if (drop_ && writes_files()) drop_(attempt(), number, why_abstained(g));
  }

  void enter_phase(const std::string& name) {
    if (!state_.phase.empty() && options_.phase_change == phase_change::fresh_optimizer) {
      sharded_.reset();
      optimizer_ = make_optimizer_state(*ctx_, *policy_, recipe_[slot::optimizer]);
      state_.updates = 0;
    }
    state_.phase = name;
    ++state_.phase_index;
    state_.phase_step = 0;
    state_.skipped = 0;
    state_.carried.clear();
  }

  // A step's groups: all that were scored, and of them those to train on in training order, with their rewards.
  struct drawn_groups {
    std::vector<group<A>> all, kept, dropped;
    std::size_t target = 0;
    detail::stopwatch clock = {};
  };

  advance_report train_step() {
    advance_report r;
    const auto limits = course().limits(state_.curriculum);
    if (limits.name != state_.phase) enter_phase(limits.name);
    auto d = draw_groups(limits, r);
    if (r.kind == advance_kind::waiting) return r;
    auto& m = r.metrics;
    if (d.kept.empty()) {
      r.kind = advance_kind::skipped;
      ++state_.skipped;
      ++state_.all_skipped;
      detail::expects<starved_error>(state_.skipped < options_.skips, "rl_trainer", "groups",
                                     "a group to train on within " + std::to_string(options_.skips) + " steps",
                                     "none: every group was all right, all wrong or dropped; choose easier or harder "
                                     "examples, a longer answer, or another filter");
    } else {
      state_.skipped = 0;
      advantages(d.kept);
      update(d.kept, d.target, m);
      ++state_.step;
      ++state_.phase_step;
    }
    m.step = state_.step;
    m.phase_step = state_.phase_step;
    spend(m.tokens_sampled + m.rows_trained);
    course().end_step(state_.curriculum, pool(), r.kind == advance_kind::trained);
    const auto next = course().now(state_.curriculum);
    r.phase_ended = next != curriculum::activity::train || course().limits(state_.curriculum).name != limits.name;
    m.seconds_training += d.clock.lap();
    keep_drawn(std::move(d));
    return r;
  }

  void keep_drawn(drawn_groups d) {
    drawn_ = std::move(d.all);
    std::move(d.dropped.begin(), d.dropped.end(), std::back_inserter(drawn_));
    trained_ = std::move(d.kept);
  }

  template <class Limits>
  drawn_groups draw_groups(const Limits& limits, advance_report& r) {
    drawn_groups d;
    d.target = static_cast<std::size_t>(options_.groups > 0 ? options_.groups : limits.batch);
    const auto target = d.target;
    r.kind = advance_kind::trained;
    auto& m = r.metrics;
    m.phase = limits.name;
    auto& clock = d.clock;
    auto& all = d.all;
    auto& kept = d.kept;
    kept = std::move(state_.carried);
    state_.carried.clear();
    for (auto& g : kept) ++g.age;
    m.carried = static_cast<std::int64_t>(kept.size());

    // generation rounds until there are enough groups to train on
    rollout_report said;
    const rl::refill refill{.target = static_cast<std::int64_t>(target), .rounds = options_.refill_rounds};
    rl::refill::state filling;
    filling.kept = static_cast<std::int64_t>(kept.size());
    std::uint64_t drawn = 0;
    while (kept.size() < target) {
      const auto chosen = course().select(state_.curriculum, pool(), limits.round_size());
      if (chosen.draws.empty()) break;
      m.clamped = m.clamped || chosen.clamped();
      auto groups =
          sample(*policy_, chosen.draws, purpose::train, options_.group_size, limits.max_response_tokens, said);
      m.seconds_sampling += clock.lap();
      score(groups);
      m.seconds_scoring += clock.lap();
      ++m.rounds;
      std::int64_t kept_now = 0;
      for (std::size_t i = 0; i < groups.size(); ++i) {
        auto& g = groups[i];
        const std::uint64_t number = drawn++;
        if (!g.scored() || was_dropped(number)) {
          if (options_.abstained == on_abstention::wait) {
            r = waiting(g);
            return d;
          }
          drop(number, g);
          ++m.dropped;
          d.dropped.push_back(std::move(g));
          continue;
        }
        if (chosen.draws[i].retained) {
          ++m.retained;
          const auto scores = g.scores();
          m.retained_mixed +=
              *std::min_element(scores.begin(), scores.end()) != *std::max_element(scores.begin(), scores.end()) ? 1
                                                                                                                 : 0;
        }
        course().observe(state_.curriculum, static_cast<curriculum::example_id>(g.example), g.scores());
        for (auto& a : g.answers)
          a.reward =
              rl::value_or(a.score, 0) + detail::shaped(recipe_[slot::shaping], a.length(), limits.max_response_tokens);
        all.push_back(g);
        const auto scores = g.scores();
        if (visit_choice(recipe_[slot::filter], [&](const auto& filter) {
              return filter.keeps(view<const double, 1>(scores), std::int64_t{0},
                                  static_cast<std::int64_t>(scores.size()));
            })) {
          kept.push_back(std::move(g));
          ++kept_now;
        }
      }
      if (refill.observe(filling, static_cast<std::int64_t>(groups.size()), kept_now) != rl::refill::next::draw) break;
    }
    describe(all, said, m);
    m.kept = static_cast<std::int64_t>(kept.size());
    if (kept.size() > target) {
      if (options_.surplus == surplus::carry)
        state_.carried.assign(std::make_move_iterator(kept.begin() + static_cast<std::ptrdiff_t>(target)),
                              std::make_move_iterator(kept.end()));
      kept.resize(target);
    }
    return d;
  }

  void describe(const std::vector<group<A>>& groups, const rollout_report& said, step_metrics& m) const {
    double scores = 0, rewards = 0, squares = 0, entropies = 0;
    std::int64_t answers = 0, right = 0, tokens = 0, cut = 0;
    for (const auto& g : groups) {
      std::int64_t best = 0;
      for (const auto& a : g.answers) {
        const double s = rl::value_or(a.score, 0);
        scores += s;
        rewards += a.reward;
        squares += a.reward * a.reward;
        best += s == 1.0 ? 1 : 0;
        tokens += a.length();
        m.longest = std::max(m.longest, a.length());
        cut += a.truncated() ? 1 : 0;
        for (const auto h : a.entropy) entropies += static_cast<double>(h);
      }
      const auto n = static_cast<std::int64_t>(g.answers.size());
      answers += n;
      right += best;
      ++(best == 0 ? m.all_wrong : best == n ? m.all_right : m.mixed);
    }
    m.groups = static_cast<std::int64_t>(groups.size());
    m.tokens_sampled = said.sampled;
    if (answers == 0) return;
    const auto n = static_cast<double>(answers);
    m.score = scores / n;
    m.reward = rewards / n;
    m.reward_deviation = math::sqrt(math::max(0.0, squares / n - m.reward * m.reward));
    m.accuracy = static_cast<double>(right) / n;
    m.length = static_cast<double>(tokens) / n;
    m.truncated = static_cast<double>(cut) / n;
    if (tokens > 0) m.entropy = entropies / static_cast<double>(tokens);
    if (said.sampled > 0) m.behaviour_gap = -said.kept_mass_log_sum / static_cast<double>(said.sampled);
  }

  // Over the whole batch, so that estimators with statistics of the batch or of a task see all of it.
  void advantages(std::vector<group<A>>& groups) const {
    std::vector<A> reward, out;
    std::vector<std::int64_t> offsets{0}, length;
    std::vector<std::int32_t> task;
    for (const auto& g : groups) {
      for (const auto& a : g.answers) {
        reward.push_back(static_cast<A>(a.reward));
        length.push_back(a.length());
        task.push_back(tasks_[static_cast<std::size_t>(g.example)]);
      }
      offsets.push_back(static_cast<std::int64_t>(reward.size()));
    }
    out.resize(reward.size());
    rl::outcome_batch<A> b;
    b.reward = reward, b.groups = offsets, b.length = length, b.task = task;
    visit_choice(recipe_[slot::advantage], [&](const auto& estimator) { estimator(b, view<A, 1>(out)); });
    std::size_t i = 0;
    for (auto& g : groups)
      for (auto& a : g.answers) a.advantage = out[i++];
  }

  void update(const std::vector<group<A>>& groups, std::size_t target, step_metrics& m) {
    const auto& d = recipe_[slot::sampler].distribution();
    const auto parts = static_cast<std::size_t>(options_.updates_per_batch);
    const std::size_t size = std::max<std::size_t>(1, (target + parts - 1) / parts);
    std::vector<training_tree<A>> trees;
    for (std::size_t first = 0; first < groups.size(); first += size) {
      std::vector<const group<A>*> some;
      for (auto i = first; i < std::min(groups.size(), first + size); ++i) some.push_back(&groups[i]);
      trees.push_back(make_training_tree<A>(*env_, std::span<const group<A>* const>(some)));
    }
    const row_split rows(*policy_, ranks_, how_.update);
    // an inexact policy's own log-probs at the start of the batch; an exact one has recorded them
    constexpr bool exact = Policy::exactness == exactness::exact;
    std::vector<std::vector<A>> old(trees.size());
    if (!exact || options_.audit == audit::whole_batch || looks_at_reference()) {
      double kl = 0;
      std::int64_t tokens = 0;
      for (std::size_t i = 0; i < trees.size(); ++i) {
        const auto& t = trees[i];
        const auto* support = t.support.empty() ? nullptr : &t.support;
        old[i].assign(t.mask.size(), A(0));
        score_tree(*ctx_, *policy_, t.tree, d, support, options_.micro_batch_tokens, {old[i], {}}, lane_ranks());
        if (exact)
          for (std::size_t j = 0; j < t.mask.size(); ++j) {
            if (t.mask[j] == 0) continue;
            ++m.compared;
            m.differing += detail::same_bits(old[i][j], t.old[j]) ? 0 : 1;
          }
        if (looks_at_reference()) {
          std::vector<A> ref(t.mask.size(), A(0));
          score_tree(*ctx_, *reference_, t.tree, d, support, options_.micro_batch_tokens, {ref, {}}, lane_ranks());
          for (std::size_t j = 0; j < t.mask.size(); ++j) {
            if (t.mask[j] == 0) continue;
            const double x = static_cast<double>(ref[j]) - static_cast<double>(old[i][j]);
            kl += math::exp(x) - x - 1;
            ++tokens;
          }
        }
      }
      if (looks_at_reference() && tokens > 0) m.kl_to_reference = kl / static_cast<double>(tokens);
    }
    updating_ = true;  // from here on the weights change: a step is finished or lost, never taken back
    const auto control = detail::loss_control_in(recipe_);
    m.batch_entropy = batch_entropy_of(groups);
    state_.control = control.observe(state_.control, m.batch_entropy);
    for (std::size_t i = 0; i < trees.size(); ++i) {
      const auto& t = trees[i];
      if (t.loss_tokens == 0) continue;
      if (std::none_of(t.advantage.begin(), t.advantage.end(),
                       [&](A a) { return control.learns_from(state_.control, static_cast<double>(a)); }))
        continue;
      const double rate = visit_choice(recipe_[slot::schedule], [&](const auto& s) { return s(state_.updates); });
      group_update_options o;
      o.max_norm = options_.max_norm, o.micro_batch_tokens = options_.micro_batch_tokens, o.keep = options_.keep;
      o.ranks = ranks_, o.split = how_.update;
      o.compare = exact && m.updates == 0 && m.compared == 0 && carried_none(groups);
      const auto loss = visit_choice(recipe_[slot::loss], [&](const auto& plain) {
        const auto l = control.apply(plain, state_.control, m.batch_entropy);
        return visit_choice(recipe_[slot::aggregation],
                            [&](const auto& how) { return make_group_loss<A>(*ctx_, l, how); });
      });
      const auto report = with_optimizer([&](auto& memory) {
        return update_on_groups(*ctx_, *policy_, t, d, loss, recipe_[slot::optimizer], memory, rate, o,
                                exact ? std::span<const A>{} : std::span<const A>(old[i]), reference_);
      });
      detail::expects<numeric_error>(report.step.finite, "rl_trainer", "gradient",
                                     "finite values in step " + std::to_string(state_.step + 1),
                                     "NaN or infinity; the weights are those before this update");
      ++m.updates;
      ++state_.updates;
      m.loss += report.loss;
      m.gradient_norm += report.step.gradient_norm;
      m.rate = rate;
      m.clip_fraction += report.clip_fraction;
      m.kl_to_old += report.kl_to_old;
      m.log_ratio_max = math::max(m.log_ratio_max, report.log_ratio_max);
      m.tokens_trained += report.tokens;
      m.rows_trained += report.rows;
      m.compared += report.compared;
      m.differing += report.differing;
    }
    m.trained = static_cast<std::int64_t>(groups.size());
    if (m.updates > 0) {
      const auto n = static_cast<double>(m.updates);
      m.loss /= n, m.gradient_norm /= n, m.clip_fraction /= n, m.kl_to_old /= n;
    }
  }
  static double batch_entropy_of(const std::vector<group<A>>& groups) {
    std::vector<A> entropy;
    std::vector<std::int64_t> offsets{0};
    for (const auto& g : groups)
      for (const auto& a : g.answers) {
        entropy.insert(entropy.end(), a.entropy.begin(), a.entropy.end());
        offsets.push_back(static_cast<std::int64_t>(entropy.size()));
      }
    return rl::batch_entropy(view<const A, 1>(entropy), view<const std::int64_t, 1>(offsets));
  }
  // Ranks that own lanes in an update.
  std::optional<comm::any> lane_ranks() const {
    return how_.update == update_split::lanes ? ranks_ : std::optional<comm::any>();
  }
  template <class F>
  auto with_optimizer(F&& f) {
    if constexpr (can_shard) {
      if (ranks_ && how_.optimizer == optimizer_memory::sharded) {
        if (!sharded_) {
          sharded_ = shard(*policy_, recipe_[slot::optimizer], *ranks_, optimizer_);
          optimizer_ = {};
        }
        return f(*sharded_);
      }
    }
    return f(optimizer_);
  }
  bool looks_at_reference() const {
    return reference_ != nullptr && options_.kl_every > 0 && state_.step % options_.kl_every == 0;
  }
  static bool carried_none(const std::vector<group<A>>& groups) {
    for (const auto& g : groups)
      if (g.age > 0) return false;
    return true;
  }

  Context* ctx_;
  Policy* policy_;
  Environment* env_;
  Recipe recipe_;
  rl_options options_;
  Policy* reference_ = nullptr;
  std::vector<std::int64_t> lengths_;
  std::vector<std::int32_t> tasks_;
  std::vector<std::uint32_t> bundles_;
  state_type state_;
  static constexpr bool can_shard = detail::fused_optimizer<optimizer_type> && on_host<Context>;
  policy_optimizer_state<Policy, optimizer_type> optimizer_;
  std::optional<sharded_optimizer_state<Policy, optimizer_type>> sharded_;  // instead of it, while ranks have shares
  std::optional<comm::any> ranks_;
  rank_options how_;
  std::function<void(std::int64_t)> between_;
  std::function<bool(std::uint64_t step, std::uint64_t group)> dropped_;
  std::function<void(std::uint64_t step, std::uint64_t group, std::string_view why)> drop_;
  bool updating_ = false;
  std::vector<group<A>> drawn_, trained_;
};

}  // namespace ql
