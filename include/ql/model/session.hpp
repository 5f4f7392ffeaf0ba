// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/model/decoder.hpp>
#include <ql/model/key_pages.hpp>
#include <ql/random.hpp>
#include <ql/tensor/distribution.hpp>
#include <ql/tensor/token_tree.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace ql::model {

// A finished tree as it was sampled: the training batch. Arrays are indexed as the tree's tokens; log-probs and
// entropies are those of the sampled tokens, zero elsewhere.
template <class A>
struct rollout {
  token_tree tree;
  std::vector<A> logp;
  std::vector<A> entropy;
  frozen_support support;        // with support_rule::frozen
  double kept_mass_log_sum = 0;  // sum over tokens of log(kept probability): minus the behaviour gap
  std::int64_t sampled = 0;
};

// Ends an answer at any of some token ids; the id is part of the answer.
struct stop_tokens {
  std::vector<token> ids;
  bool operator()(std::span<const token> answer) const {
    for (auto id : ids)
      if (id == answer.back()) return true;
    return false;
  }
};

// Ends an answer whose text holds any of some strings. `decode` turns the last tokens into text; only as many tokens
// are looked at as could hold the longest string.
template <class Decode>
struct stop_strings {
  std::vector<std::string> strings;
  Decode decode;  // (std::span<const token>) -> std::string
  bool operator()(std::span<const token> answer) const {
    std::size_t longest = 0;
    for (auto& s : strings) longest = std::max(longest, s.size());
    const std::string text = decode(answer.last(std::min(answer.size(), longest + 8)));
    for (auto& s : strings)
      if (text.find(s) != std::string::npos) return true;
    return false;
  }
};
template <class Decode>
stop_strings(std::vector<std::string>, Decode) -> stop_strings<Decode>;

// Grows answers under prompts, ancestors' keys stored once, one token for every live leaf a step.
//
//   session s(ctx, policy);
//   auto root = s.add_root(prompt);              // prefill, in chunks
//   for (int g = 0; g < G; ++g) s.add_leaf(root, max_new_tokens, {.seed = 1, .example = 7, .sample = g});
//   while (s.step(sampler, stop_tokens{{eos}}) > 0) {}
//   rollout<float> r = s.finish();
template <scalar T, execution_context Context>
class session {
 public:
  using A = accumulate_t<T>;
  struct options {
    std::int64_t prefill_chunk = 512;  // tokens; decides memory and speed alone
  };
  // Rows that meet the whole vocabulary at a time: bounds the sampler's workspace.
  static constexpr std::int64_t sampled_rows = 64;

  session(Context& ctx, decoder<T, Context>& policy) : session(ctx, policy, options{}) {}
  session(Context& ctx, decoder<T, Context>& policy, options o)
      : ctx_(&ctx), policy_(&policy), options_(o), pages_(policy.pool()), version_(policy.weights_version()) {
    ql::detail::expects(o.prefill_chunk >= 1, "session", "prefill_chunk", "1 or more", o.prefill_chunk);
  }

  // A prompt; its keys are computed at once. Returns its segment.
  std::int32_t add_root(std::span<const token> tokens) {
    const auto s = tree_.add_root(tokens);
    return prefill(s);
  }
  // A further segment that is given, not sampled: a question under a document, an observation after an action.
  std::int32_t add_segment(std::int32_t parent, std::span<const token> tokens, role what = role::prompt) {
    const auto& p = tree_[parent];
    ql::detail::expects<state_error>(p.start + p.count == 0 || !hidden_of(parent).empty(), "session::add_segment",
                                     "parent", "a prefilled segment",
                                     "segment " + std::to_string(parent) + ", which is sampled");
    const auto s = tree_.add(parent, tokens, what, false);
    return prefill(s);
  }
  // A leaf to be sampled, at most `capacity` tokens; its draws come from `key`, by path position.
  std::int32_t add_leaf(std::int32_t parent, std::int64_t capacity, const random_key& key) {
    fresh();
    const auto& p = tree_[parent];
    ql::detail::expects(capacity >= 1, "session::add_leaf", "capacity", "1 token or more", capacity);
    ql::detail::expects(p.start + p.count >= 1, "session::add_leaf", "parent", "a path of at least one token",
                        "an empty one");
    ql::detail::expects(p.start + p.count + capacity <= policy_->max_context(), "session::add_leaf", "capacity",
                        "at most max_context - prompt = " + std::to_string(policy_->max_context() - p.start - p.count),
                        capacity);
    ql::detail::expects<state_error>(!hidden_of(parent).empty(), "session::add_leaf", "parent", "a prefilled segment",
                                     "segment " + std::to_string(parent));
    const auto s = tree_.add_growing(parent, capacity);
    pages_.open(s, parent, tree_[s].start, capacity);
    policy_->reach(tree_[s].start + capacity);
    // leaves of one parent stand together, so that they share a run
    auto place = live_.end();
    while (place != live_.begin() && tree_[(place - 1)->segment].parent > parent) --place;
    live_.insert(place, {s, parent, key});
    reserve(tree_[s].start, capacity);
    return s;
  }
  std::int64_t live() const { return static_cast<std::int64_t>(live_.size()); }
  const token_tree& tree() const { return tree_; }
  // Tokens run through the layers so far.
  std::int64_t forwarded() const { return forwarded_; }

  // One token for every live leaf; leaves that end leave the batch. Returns how many live on.
  template <class Sampler, class Stop>
  std::int64_t step(Sampler& sampler, const Stop& stop) {
    fresh();
    if (live_.empty()) return 0;
    const auto& d = sampler.distribution();
    if (!drawing_) distribution_ = ql::checked(d), drawing_ = true;
    ql::detail::expects(distribution_ == d, "session::step", "sampler", "one distribution for the whole session",
                        "another");
    advance();
    draw_tokens(sampler, stop);
    return live();
  }

  // Ends the session: the tree is packed, the keys go back to the pool.
  rollout<A> finish() {
    rollout<A> r;
    const auto from = tree_.close();
    r.logp.resize(from.size(), A(0));
    r.entropy.resize(from.size(), A(0));
    for (std::size_t i = 0; i < from.size(); ++i) {
      const auto j = static_cast<std::size_t>(from[i]);
      if (j < logp_.size()) r.logp[i] = logp_[j], r.entropy[i] = entropy_[j];
      if (distribution_.truncated() && distribution_.rule == support_rule::frozen) {
        if (j < kept_.size()) r.support.ids.insert(r.support.ids.end(), kept_[j].begin(), kept_[j].end());
        r.support.first.push_back(static_cast<std::int64_t>(r.support.ids.size()));
      }
    }
    r.kept_mass_log_sum = kept_mass_log_sum_;
    r.sampled = sampled_;
    r.tree = std::move(tree_);
    tree_ = {};
    live_.clear();
    pages_ = key_pages<T, Context>(policy_->pool());
    return r;
  }

 private:
  template <class E>
  using view = ql::view<E, 2, typename Context::memory_space>;
  struct leaf {
    std::int32_t segment;
    std::int32_t parent;  // -1 once the leaf has a token of its own
    random_key key;
  };

  void fresh() const {
    if (version_ == policy_->weights_version()) return;  // checked every step: the message is built only when needed
    ql::detail::fail<stale_error>(
        "session", "keys", "keys of the current weights (version " + std::to_string(policy_->weights_version()) + ")",
        "keys of version " + std::to_string(version_));
  }
  // Room for everything a decode step touches, so that the loop allocates nothing.
  void reserve(std::int64_t start, std::int64_t capacity) {
    const auto n = live_.size();
    reserved_pages_ += capacity / key_block + 2;
    policy_->pool().reserve(reserved_pages_);
    logp_.resize(static_cast<std::size_t>(tree_.tokens()), A(0));
    entropy_.resize(logp_.size(), A(0));
    rows_.ids.reserve(n);
    rows_.position.reserve(n);
    rows_.path.reserve(n);
    rows_.runs.reserve(n);
    path_pages_ += static_cast<std::size_t>((start + capacity) / key_block + 2);
    rows_.pages.reserve(path_pages_);
    results_.reserve(n);
  }
  std::int32_t prefill(std::int32_t s) {
    fresh();
    const auto& g = tree_[s];
    for (auto id : tree_.ids(s))
      if (id < 0 || id >= policy_->vocab_size()) [[unlikely]]  // once a token: no message without need
        ql::detail::fail<argument_error>("session", "token id in segment " + std::to_string(s),
                                         "0 to " + std::to_string(policy_->vocab_size() - 1) + " (the vocabulary)",
                                         std::to_string(id));
    policy_->reach(g.start + g.count);
    pages_.open(s, g.parent, g.start, g.count);
    pages_.grow(s, g.start + g.count);
    pages_.copy_prefix(s);
    if (hidden_.size() <= static_cast<std::size_t>(s)) hidden_.resize(static_cast<std::size_t>(s) + 1);
    if (g.count == 0 && g.parent >= 0) hidden_[static_cast<std::size_t>(s)] = hidden_of(g.parent);
    const auto hidden = policy_->config().hidden;
    for (std::int64_t i = 0; i < g.count; i += options_.prefill_chunk) {
      const auto n = std::min(options_.prefill_chunk, g.count - i);
      rows_.clear();
      detail::append_rows(rows_, pages_, s,
                          tree_.ids(s).subspan(static_cast<std::size_t>(i), static_cast<std::size_t>(n)), g.start + i);
      auto scope = ctx_->scratch();
      A* x = scope.template take<A>(n * hidden);
      policy_->embed_rows(*ctx_, rows_, x);
      policy_->layers_forward(*ctx_, rows_, x);
      forwarded_ += n;
      if (i + n == g.count) {
        auto& last = hidden_[static_cast<std::size_t>(s)];
        last.resize(static_cast<std::size_t>(hidden));
        copy_out(*ctx_, static_cast<const A*>(x + (n - 1) * hidden), hidden, last.data());
      }
    }
    return s;
  }
  const std::vector<A>& hidden_of(std::int32_t s) const {
    static const std::vector<A> none;
    return static_cast<std::size_t>(s) < hidden_.size() ? hidden_[static_cast<std::size_t>(s)] : none;
  }

  // The last tokens of leaves that have some go through the layers: hidden_rows_ is then what predicts each next token.
  void advance() {
    rows_.clear();
    for (const auto& l : live_) {
      if (l.parent >= 0) continue;
      const auto& g = tree_[l.segment];
      const auto position = g.start + g.count - 1;
      const bool first = static_cast<std::int64_t>(pages_[l.segment].pages.size()) <= g.start / key_block;
      pages_.grow(l.segment, position + 1);
      if (first) pages_.copy_prefix(l.segment);
      const auto& pages = pages_[l.segment].pages;
      const auto row = rows_.rows();
      rows_.ids.push_back(tree_.ids(l.segment).back());
      rows_.position.push_back(position);
      rows_.path.push_back(static_cast<std::int64_t>(rows_.pages.size()));
      rows_.pages.insert(rows_.pages.end(), pages.begin(), pages.end());
      if (!rows_.runs.empty() && last_parent_ == g.parent && rows_.runs.back().rows < query_tile) {
        ++rows_.runs.back().rows;
      } else {
        rows_.runs.push_back({row, 1, static_cast<std::int32_t>(g.start / key_block)});
      }
      last_parent_ = g.parent;
    }
    last_parent_ = -1;
  }

  template <class Sampler, class Stop>
  void draw_tokens(Sampler& sampler, const Stop& stop) {
    const auto hidden = policy_->config().hidden, vocabulary = policy_->vocab_size();
    const auto n = live();
    auto scope = ctx_->scratch();
    A* x = scope.template take<A>(n * hidden);
    {
      A* moved = scope.template take<A>(std::max<std::int64_t>(1, rows_.rows()) * hidden);
      if (rows_.rows() > 0) {
        policy_->embed_rows(*ctx_, rows_, moved);
        policy_->layers_forward(*ctx_, rows_, moved);
        forwarded_ += rows_.rows();
      }
      std::int64_t row = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const auto& l = live_[static_cast<std::size_t>(i)];
        if (l.parent >= 0) {
          copy_in(*ctx_, hidden_of(l.parent).data(), hidden, x + i * hidden);
        } else {
          round_to(*ctx_, A{}, static_cast<const A*>(moved + row++ * hidden), hidden, x + i * hidden);
        }
      }
    }
    T* normed = scope.template take<T>(n * hidden);
    policy_->final_norm(*ctx_, view<const A>(x, {n, hidden}), view<T>(normed, {n, hidden}), nullptr);
    const A inverse = static_cast<A>(1.0 / distribution_.temperature);
    const auto most = std::min(n, sampled_rows);
    A* z = scope.template take<A>(most * vocabulary);
    const auto parts = (vocabulary + 15) / 16;
    A* partial = scope.template take<A>(most * parts);
    results_.resize(static_cast<std::size_t>(most));
    std::int64_t kept = 0;
    for (std::int64_t first = 0; first < n; first += sampled_rows) {
      const auto count = std::min(sampled_rows, n - first);
      logits(*ctx_, policy_->head(), view<const T>(normed + first * hidden, {count, hidden}), inverse,
             view<A>(z, {count, vocabulary}), std::span(results_).first(static_cast<std::size_t>(count)),
             view<A>(partial, {count, parts}));
      for (std::int64_t i = 0; i < count; ++i) {
        const auto& row = results_[static_cast<std::size_t>(i)];
        if (!math::isfinite(row.lse) || !math::isfinite(row.entropy))
            [[unlikely]]  // one infinite logit shows in the entropy
          ql::detail::fail<numeric_error>(
              "session::step",
              "logits of segment " + std::to_string(live_[static_cast<std::size_t>(first + i)].segment),
              "finite values", "a row with NaN or infinity");
      }
      const A *seen = z, *sums = partial;
      constexpr bool drawn_there = !on_host<Context> && draws_by_inversion<Sampler>;
      const bool frozen = distribution_.truncated() && distribution_.rule == support_rule::frozen;
      const std::int64_t width = frozen ? std::min<std::int64_t>(distribution_.top_k, vocabulary) : 0;
      const auto uniform_of = [&](const leaf& l) {
        return uniform(l.key, static_cast<std::uint64_t>(tree_[l.segment].start + tree_[l.segment].count));
      };
      if constexpr (drawn_there) {
        uniforms_.clear();
        for (std::int64_t i = 0; i < count; ++i)
          uniforms_.push_back(uniform_of(live_[static_cast<std::size_t>(first + i)]));
        drawn_.resize(static_cast<std::size_t>(count));
        ids_.resize(static_cast<std::size_t>(count * width));
        values_.resize(static_cast<std::size_t>(count * width));
        draw_rows(*ctx_, distribution_, view<const A>(z, {count, vocabulary}), view<const A>(partial, {count, parts}),
                  std::span<const logit_row<A>>(results_).first(static_cast<std::size_t>(count)),
                  std::span<const double>(uniforms_), std::span(drawn_), std::span(ids_), std::span(values_));
      } else if constexpr (!on_host<Context>) {
        seen_.resize(static_cast<std::size_t>(count * (vocabulary + parts)));
        copy_out(*ctx_, static_cast<const A*>(z), count * vocabulary, seen_.data());
        copy_out(*ctx_, static_cast<const A*>(partial), count * parts, seen_.data() + count * vocabulary);
        seen = seen_.data();
        sums = seen + count * vocabulary;
      }
      for (std::int64_t i = 0; i < count; ++i) {
        auto l = live_[static_cast<std::size_t>(first + i)];
        auto row = results_[static_cast<std::size_t>(i)];
        drawn_row<A> drawn;
        std::span<const token> kept_ids;
        std::span<A> kept_logits;
        if constexpr (drawn_there) {
          drawn = drawn_[static_cast<std::size_t>(i)];
          const auto support = frozen ? static_cast<std::size_t>(drawn.kept) : 0;
          kept_ids = std::span<const token>(ids_).subspan(static_cast<std::size_t>(i * width), support);
          kept_logits = std::span(values_).subspan(static_cast<std::size_t>(i * width), support);
        } else {
          const A* zi = seen + i * vocabulary;
          const auto d = sampler(logits_row<A>{{zi, static_cast<std::size_t>(vocabulary)},
                                               row.max,
                                               row.sum,
                                               {sums + i * parts, static_cast<std::size_t>(parts)}},
                                 uniform_of(l));
          drawn = {d.id, static_cast<std::int32_t>(d.kept.size()), zi[d.id], d.kept_mass};
          kept_ids = d.kept;
          if (frozen) {
            values_.resize(d.kept.size());
            for (std::size_t j = 0; j < values_.size(); ++j) values_[j] = zi[d.kept[j]];
            kept_logits = values_;
          }
        }
        const auto index = static_cast<std::size_t>(tree_.push(l.segment, drawn.id));
        if (distribution_.truncated()) kept_mass_log_sum_ += math::log(drawn.kept_mass);
        if (frozen) {
          if (kept_.size() <= index) kept_.resize(static_cast<std::size_t>(tree_.tokens()));
          kept_[index].assign(kept_ids.begin(), kept_ids.end());
          row = log_sum_exp(*ctx_, kept_logits, T{});
        }
        logp_[index] = drawn.z - row.lse;
        entropy_[index] = row.entropy;
        ++sampled_;
        l.parent = -1;
        if (stop(tree_.ids(l.segment))) {
          tree_.finish(l.segment, finish_reason::stop);
        } else if (!tree_.has_room(l.segment)) {
          tree_.finish(l.segment, finish_reason::length);
        } else {
          live_[static_cast<std::size_t>(kept++)] = l;
        }
      }
    }
    live_.resize(static_cast<std::size_t>(kept));
  }

  Context* ctx_;
  decoder<T, Context>* policy_;
  options options_;
  key_pages<T, Context> pages_;
  std::uint64_t version_;
  token_tree tree_;
  std::vector<leaf> live_;
  ql::distribution distribution_;  // of the first step
  bool drawing_ = false;
  std::vector<std::vector<A>> hidden_;  // last residual row of each given segment
  row_batch rows_;
  std::int32_t last_parent_ = -1;
  std::int64_t reserved_pages_ = 0;
  std::size_t path_pages_ = 0;
  std::vector<logit_row<A>> results_;
  std::vector<A> logp_, entropy_, values_;
  std::vector<double> uniforms_;
  std::vector<drawn_row<A>> drawn_;
  std::vector<token> ids_;
  std::vector<A> seen_;  // logits and their sums, where the sampler cannot read them in place
  std::vector<std::vector<token>> kept_;
  double kept_mass_log_sum_ = 0;
  std::int64_t sampled_ = 0;
  std::int64_t forwarded_ = 0;
};

}  // namespace ql::model
