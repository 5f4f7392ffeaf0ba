// SPDX-License-Identifier: Apache-2.0
#pragma once

// Scoring and backward of the decoder, unit by unit.

#include <ql/detail/stable_sort.hpp>
#include <ql/model/decoder.hpp>
#include <ql/model/decoder_ranks.hpp>

namespace ql::model {

// One unit of a lane: its rows, what is scored on them, and what was kept.
template <scalar T, execution_context Context>
struct decoder<T, Context>::unit_work {
  std::int32_t lane = 0;
  bool ends_tree = true;
  std::vector<std::int32_t> segments;
  row_batch rows;
  std::vector<std::int32_t> run_segment;  // of each run
  std::vector<std::int32_t> own_pages;    // of its segments; with split rows, rows are those whose page is this rank's
  row_batch all;                          // split by heads: the rows of all ranks, and whose each run is
  std::vector<std::int32_t> rank_of_run;
  // scored tokens: hidden row (index into head_rows), target, token index
  std::vector<token> head_rows;  // unit rows whose hidden state meets the vocabulary, ascending
  std::vector<token> source;     // per scored token: index into head_rows
  std::vector<token> target;
  std::vector<std::int64_t> index;
  std::vector<token> support;
  std::vector<std::int64_t> support_first;
  // attention's gradient
  std::vector<page_use> uses;
  std::vector<run_range> ranges;
  std::vector<std::int32_t> trees;
  // kept
  std::vector<tensor<A, 1, Context>> values;
  std::vector<tensor<T, 1, Context>> rounded;
  std::vector<layer_state> states;
  tensor<A, 1, Context> last;  // (rows, hidden) after the last layer
  std::vector<A> logp, entropy, lse;

  std::int64_t scored() const { return static_cast<std::int64_t>(target.size()); }
  // The rows that attend on this rank; run_segment is theirs.
  const row_batch& attending() const { return rank_of_run.empty() ? rows : all; }
};

// What backward needs: a movable value, owned by the caller, good until the weights change.
template <scalar T, execution_context Context>
class decoder<T, Context>::tape {
 public:
  tape(tape&&) noexcept = default;
  tape& operator=(tape&&) noexcept = default;
  std::uint64_t weights_version() const { return version_; }
  // Tokens whose log-prob was computed.
  std::int64_t scored_tokens() const {
    std::int64_t n = 0;
    for (auto& u : units_) n += u.scored();
    return n;
  }

 private:
  friend class decoder;
  explicit tape(key_pages<T, Context> pages) : pages_(std::move(pages)) {}
  key_pages<T, Context> pages_;
  std::vector<unit_work> units_;
  std::uint64_t version_ = 0;
  std::int64_t tokens_ = 0;
  A inverse_temperature_ = 1;
  keep keep_ = keep::everything;
  bool backward_ = true;
  attention_split split_ = attention_split::keys;
  std::vector<std::int32_t> rank_of_page_;  // empty unless rows are split
  // gradients of pages that more than one unit adds to: [layer][slot]
  std::vector<std::int32_t> resident_slot_;
  std::int32_t resident_ = 0;
  tensor<A, 1, Context> resident_gradient_;
};

namespace detail {

struct every_page {
  bool operator()(std::int32_t) const { return true; }
};
// Rows of a segment's tokens by path position, one run a query tile, as far as mine(page) says; row_of[i] says where
// the i-th token's row is.
template <class Pages, class Mine = every_page>
void append_rows(row_batch& b, const Pages& pages, std::int32_t s, std::span<const token> ids, std::int64_t from,
                 std::int32_t* row_of = nullptr, Mine mine = {}) {
  const auto& g = pages[s];
  const auto path = static_cast<std::int64_t>(b.pages.size());
  b.pages.insert(b.pages.end(), g.pages.begin(), g.pages.end());
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(ids.size());) {
    const auto position = from + i;
    const auto n =
        std::min<std::int64_t>(static_cast<std::int64_t>(ids.size()) - i, query_tile - position % query_tile);
    const auto end = i + n;
    if (!mine(g.pages[static_cast<std::size_t>(position / key_block)])) {
      i = end;
      continue;
    }
    b.runs.push_back({b.rows(), static_cast<std::int32_t>(n), static_cast<std::int32_t>(position / key_block + 1)});
    for (; i < end; ++i) {
      if (row_of != nullptr) row_of[i] = static_cast<std::int32_t>(b.rows());
      b.ids.push_back(ids[static_cast<std::size_t>(i)]);
      b.position.push_back(from + i);
      b.path.push_back(path);
    }
  }
}

// What ranks that compute together must agree on.
inline std::uint64_t fingerprint(const token_tree& tree, unit_range range, std::uint64_t version, int what) {
  std::uint64_t h = 0xcbf29ce484222325u;
  const auto add = [&](std::uint64_t x) { h = (h ^ x) * 0x100000001b3u, h ^= h >> 29; };
  for (const auto& s : tree.segments())
    add(static_cast<std::uint64_t>(s.parent)), add(static_cast<std::uint64_t>(s.count));
  for (const auto id : tree.ids()) add(static_cast<std::uint64_t>(id));
  add(static_cast<std::uint64_t>(range.first)), add(static_cast<std::uint64_t>(range.count));
  add(version), add(static_cast<std::uint64_t>(what));
  return h;
}

}  // namespace detail

template <scalar T, execution_context Context>
auto decoder<T, Context>::score(Context& ctx, const token_tree& tree, const lane_plan& plan, unit_range range,
                                const score_options& o, scores<A> out) -> tape {
  tree.validate(config_.vocabulary, config_.max_context);
  ql::checked(o.distribution);
  using ql::detail::expects;
  expects(range.first >= 0 && range.count >= 0 &&
              static_cast<std::size_t>(range.first) + static_cast<std::size_t>(range.count) <= plan.units.size(),
          "decoder::score", "range", "units of the plan", range.first + range.count);
  const auto ends_tree = [&](std::int32_t unit) { return plan.units[static_cast<std::size_t>(unit)].ends_tree; };
  expects(range.count == 0 ||
              ((range.first == 0 || ends_tree(range.first - 1)) && ends_tree(range.first + range.count - 1)),
          "decoder::score", "range", "whole trees (cut micro-batches with lane_plan::split)", "a part of a tree");
  const auto fits = [&](std::span<A> s, const char* name) {
    expects<shape_error>(s.empty() || static_cast<std::int64_t>(s.size()) == tree.tokens(), "decoder::score", name,
                         std::to_string(tree.tokens()) + " values, one a token of the tree", s.size());
  };
  fits(out.logp, "logp");
  fits(out.entropy, "entropy");
  const bool frozen = o.distribution.truncated() && o.distribution.rule == support_rule::frozen;
  expects(!frozen || o.support != nullptr, "decoder::score", "support", "the recorded support of a frozen distribution",
          "none");

  tape t{key_pages<T, Context>(attended_pool(ctx))};
  t.version_ = version_;
  t.split_ = split_;
  t.tokens_ = tree.tokens();
  t.inverse_temperature_ = static_cast<A>(1.0 / o.distribution.temperature);
  t.keep_ = o.keep;
  t.backward_ = o.backward;

  if (splits_rows())
    comm::expect_same(
        *ranks_, "the tree and units that decoder::score is given",
        detail::fingerprint(tree, range, version_,
                            4 * static_cast<int>(o.keep) + 2 * static_cast<int>(split_) + (o.backward ? 1 : 0)));

  // which unit and row each token is; another rank's rows are -1
  std::vector<std::int32_t> unit_of(tree.segments().size(), -1);
  std::vector<std::int32_t> row_of(static_cast<std::size_t>(tree.tokens()), -1);
  std::int64_t longest = 0;
  for (std::int32_t i = 0; i < range.count; ++i) {
    const auto& u = plan.units[static_cast<std::size_t>(range.first) + static_cast<std::size_t>(i)];
    auto& w = t.units_.emplace_back();
    w.lane = u.lane;
    w.ends_tree = u.ends_tree;
    w.segments = u.segments;
    for (auto s : u.segments) {
      unit_of[static_cast<std::size_t>(s)] = i;
      longest = std::max(longest, tree[s].start + tree[s].count);
    }
  }
  reach(longest);
  for (std::int32_t s = 0; s < static_cast<std::int32_t>(tree.segments().size()); ++s) {
    if (unit_of[static_cast<std::size_t>(s)] < 0) continue;
    const auto& g = tree[s];
    expects(g.parent < 0 || unit_of[static_cast<std::size_t>(g.parent)] >= 0, "decoder::score", "range",
            "whole trees (cut micro-batches with lane_plan::split)", "a segment without its parent");
    t.pages_.open(s, g.parent, g.start, g.count);
    t.pages_.grow(s, g.start + g.count);
  }
  for (auto& w : t.units_)
    for (auto s : w.segments) {
      const auto& g = t.pages_[s];
      w.own_pages.insert(w.own_pages.end(), g.pages.begin() + g.shared, g.pages.end());
    }
  // Split rows: a unit's pages are dealt to and fro, from a rank that depends on the unit's place in the plan, so that
  // early rows (which see few keys) and late ones meet on every rank, wherever micro-batches are cut.
  if (splits_rows()) {
    const auto ranks = ranks_->size();
    t.rank_of_page_.assign(static_cast<std::size_t>(t.pages_.pool().pages()) + 1, 0);  // never empty
    auto turn = static_cast<std::size_t>(range.first);
    for (const auto& w : t.units_) {
      auto k = static_cast<int>(turn++ % static_cast<std::size_t>(2 * ranks));
      for (const auto page : w.own_pages) {
        t.rank_of_page_[static_cast<std::size_t>(page)] = k < ranks ? k : 2 * ranks - 1 - k;
        k = (k + 1) % (2 * ranks);
      }
    }
  }
  const auto mine = [&](std::int32_t page) {
    return t.rank_of_page_.empty() || t.rank_of_page_[static_cast<std::size_t>(page)] == ranks_->rank();
  };
  // rows, and scored tokens in the unit of the row that predicts them
  for (auto& w : t.units_)
    for (auto s : w.segments) {
      detail::append_rows(w.rows, t.pages_, s, tree.ids(s), tree[s].start, row_of.data() + tree[s].first, mine);
      if (split_ == attention_split::heads)
        detail::append_rows(w.all, t.pages_, s, tree.ids(s), tree[s].start, nullptr, [&](std::int32_t page) {
          w.rank_of_run.push_back(t.rank_of_page_[static_cast<std::size_t>(page)]);
          return true;
        });
      w.run_segment.resize(w.attending().runs.size(), s);
    }
  std::vector<std::vector<std::int64_t>> of_rank(splits_rows() ? static_cast<std::size_t>(ranks_->size()) : 0);
  for (std::int32_t s = 0; s < static_cast<std::int32_t>(tree.segments().size()); ++s) {
    if (unit_of[static_cast<std::size_t>(s)] < 0) continue;
    const auto& g = tree[s];
    std::int32_t before = g.parent;  // the segment that holds the first token's predecessor
    while (before >= 0 && tree[before].count == 0) before = tree[before].parent;
    for (std::int64_t i = 0; i < g.count; ++i) {
      if (!tree.has_loss(g.first + i) || (i == 0 && before < 0)) continue;
      const auto holder = i > 0 ? s : before;
      auto& w = t.units_[static_cast<std::size_t>(unit_of[static_cast<std::size_t>(holder)])];
      const auto from = i > 0 ? i - 1 : tree[before].count - 1;  // in its segment
      const auto row = row_of[static_cast<std::size_t>(tree[holder].first + from)];
      const auto target = tree.ids()[static_cast<std::size_t>(g.first + i)];
      const auto kept = frozen ? o.support->of(g.first + i) : std::span<const token>();
      if (frozen) {
        expects(kept.empty() || std::find(kept.begin(), kept.end(), target) != kept.end(), "decoder::score",
                "support of token " + std::to_string(g.first + i), "a support that holds the token", "one without it");
        for (auto id : kept)
          expects(id >= 0 && id < config_.vocabulary, "decoder::score", "support", "ids of the vocabulary", id);
      }
      if (splits_rows()) {
        const auto page = t.pages_[holder].pages[static_cast<std::size_t>((tree[holder].start + from) / key_block)];
        of_rank[static_cast<std::size_t>(t.rank_of_page_[static_cast<std::size_t>(page)])].push_back(g.first + i);
        if (row < 0) continue;
      }
      w.head_rows.push_back(static_cast<token>(row));
      w.source.push_back(static_cast<token>(row));
      w.target.push_back(target);
      w.index.push_back(g.first + i);
      if (frozen) {
        if (w.support_first.empty()) w.support_first.push_back(0);
        w.support.insert(w.support.end(), kept.begin(), kept.end());
        w.support_first.push_back(static_cast<std::int64_t>(w.support.size()));
      }
    }
  }
  for (auto& w : t.units_) {
    std::sort(w.head_rows.begin(), w.head_rows.end());
    w.head_rows.erase(std::unique(w.head_rows.begin(), w.head_rows.end()), w.head_rows.end());
    for (auto& r : w.source)
      r = static_cast<token>(std::lower_bound(w.head_rows.begin(), w.head_rows.end(), r) - w.head_rows.begin());
  }
  // parents come after their children in a plan: forward runs each tree's units backwards
  for (std::size_t first = 0; first < t.units_.size();) {
    auto last = first;
    while (!t.units_[last].ends_tree) ++last;
    for (auto i = last + 1; i-- > first;)
      unit_forward(ctx, t, t.units_[i], o.keep, o.backward && o.keep != keep::nothing, true);
    first = last + 1;
  }
  if (splits_rows()) {
    share_scores(t, of_rank, out);
    return t;
  }
  for (const auto& u : t.units_)
    for (std::size_t i = 0; i < u.index.size(); ++i) {
      if (!out.logp.empty()) out.logp[static_cast<std::size_t>(u.index[i])] = u.logp[i];
      if (!out.entropy.empty()) out.entropy[static_cast<std::size_t>(u.index[i])] = u.entropy[i];
    }
  return t;
}

template <scalar T, execution_context Context>
void decoder<T, Context>::unit_forward(Context& ctx, tape& t, unit_work& u, keep kept_parts, bool keeps, bool scored) {
  const auto rows = u.rows.rows(), hidden = config_.hidden;
  const auto qd = config_.heads * config_.head_dim;
  auto scope = ctx.scratch();
  const own_pages<T> own(ctx, *this, t, u, scope);
  const auto keys = [&](std::int64_t l) { return own.or_pool(*this, l); };
  const auto attend = [&](std::int64_t l, const layer_state& s) {  // when a unit is run again keys are there
    if (!own.base.empty()) return attend_by_heads(ctx, t, u, l, own, s, scored);
    if (!t.rank_of_page_.empty() && scored) gather_keys(ctx, t, u, l);
    for (auto id : u.segments) t.pages_.copy_prefix(id, l);
    if (rows > 0) attention(ctx, attending(l, u.rows, s));
  };
  if (rows == 0) {  // all other ranks'
    for (std::int64_t l = 0; l < config_.layers; ++l) attend(l, {});
    return;
  }
  if (keeps) u.last = {ctx, {rows * hidden}};
  A* x = keeps ? u.last.data() : scope.template take<A>(rows * hidden);
  embed_rows(ctx, u.rows, x);
  if (!keeps) {
    layers_forward(ctx, u.rows, x, keys, attend);
  } else {
    const auto value = [&](std::int64_t n) { return u.values.emplace_back(ctx, std::array{n}).data(); };
    const auto round = [&](std::int64_t n) { return u.rounded.emplace_back(ctx, std::array{n}).data(); };
    for (std::int64_t l = 0; l < config_.layers; ++l) {
      auto inner = ctx.scratch();
      layer_state s, kept;
      s.x = kept.x = value(rows * hidden);
      s.rstd1 = inner.template take<A>(rows);
      s.rstd2 = inner.template take<A>(rows);
      if (kept_parts == keep::everything) {
        s.mid = kept.mid = value(rows * hidden);
        s.q = kept.q = round(rows * qd);
        s.gate = kept.gate = round(rows * config_.ffn);
        s.up = kept.up = round(rows * config_.ffn);
        s.rstd1 = kept.rstd1 = value(rows);
        s.rstd2 = kept.rstd2 = value(rows);
        if (config_.qk_norm) s.qkv = kept.qkv = value(rows * shape_.qkv_columns());
      } else {
        s.q = inner.template take<T>(rows * qd);
        s.gate = inner.template take<T>(rows * config_.ffn);
        s.up = inner.template take<T>(rows * config_.ffn);
      }
      if (config_.qk_norm) {
        s.qk_rstd = kept_parts == keep::everything ? value(rows * (config_.heads + config_.kv_heads))
                                                   : inner.template take<A>(rows * (config_.heads + config_.kv_heads));
        if (kept_parts == keep::everything) kept.qk_rstd = s.qk_rstd;
      }
      if (kept_parts == keep::inputs) {
        s.out = inner.template take<T>(rows * qd);
      } else {
        s.out = kept.out = round(rows * qd);
        s.lse = kept.lse = value(rows * config_.heads);
      }
      layer_forward(ctx, l, u.rows, x, s, keys(l), [&] { attend(l, s); });
      u.states.push_back(kept);
    }
  }
  if (!scored || u.scored() == 0) return;
  const auto n = static_cast<std::int64_t>(u.head_rows.size());
  A* picked = scope.template take<A>(n * hidden);
  T* normed = scope.template take<T>(n * hidden);
  T* states = scope.template take<T>(u.scored() * hidden);
  gather_rows(ctx, static_cast<const A*>(x), std::span<const token>(u.head_rows), hidden, picked);
  final_norm(ctx, view<const A, 2>(picked, {n, hidden}), view<T, 2>(normed, {n, hidden}), nullptr);
  gather_rows(ctx, static_cast<const T*>(normed), std::span<const token>(u.source), hidden, states);
  u.logp.resize(u.target.size());
  u.entropy.resize(u.target.size());
  u.lse.resize(u.target.size());
  vocabulary_args<T, typename Context::memory_space> v;
  v.head = head();
  v.inverse_temperature = t.inverse_temperature_;
  v.hidden = {states, {u.scored(), hidden}};
  v.targets = u.target;
  v.support = u.support;
  v.support_first = u.support_first;
  v.logp = u.logp;
  v.entropy = u.entropy;
  v.lse = u.lse;
  vocabulary(ctx, v);
}

template <scalar T, execution_context Context>
void decoder<T, Context>::backward(Context& ctx, tape& t, scores<const A> d) {
  using ql::detail::expects;
  expects<stale_error>(t.version_ == version_, "decoder::backward", "tape",
                       "a tape of the current weights (version " + std::to_string(version_) + ")",
                       "one of version " + std::to_string(t.version_));
  expects<state_error>(t.backward_, "decoder::backward", "tape", "a tape scored for backward, used once",
                       "one scored without, or used already");
  expects<state_error>(t.rank_of_page_.empty() != splits_rows() && t.split_ == split_, "decoder::backward", "tape",
                       "rows split over ranks as when the tape was scored", "split_rows() in between");
  expects<shape_error>(static_cast<std::int64_t>(d.logp.size()) == t.tokens_, "decoder::backward", "dlogp",
                       std::to_string(t.tokens_) + " values, one a token of the tree", d.logp.size());
  expects<shape_error>(d.entropy.empty() || static_cast<std::int64_t>(d.entropy.size()) == t.tokens_,
                       "decoder::backward", "dentropy", std::to_string(t.tokens_) + " values or none",
                       d.entropy.size());
  t.backward_ = false;
  for (std::size_t first = 0; first < t.units_.size();) {
    auto last = first;
    while (!t.units_[last].ends_tree) ++last;
    // pages that children in other units add to: those of segments whose unit is not theirs alone
    t.resident_slot_.assign(static_cast<std::size_t>(t.pages_.pool().pages()), -1);
    t.resident_ = 0;
    if (last > first) {
      for (auto i = first; i <= last; ++i)
        for (auto s : t.units_[i].segments) {
          bool has_child = false;
          for (auto j = first; j < i; ++j)
            for (auto c : t.units_[j].segments) has_child = has_child || t.pages_[c].parent == s;
          if (!has_child) continue;
          const auto& g = t.pages_[s];
          for (auto b = g.shared; b < static_cast<std::int64_t>(g.pages.size()); ++b)
            t.resident_slot_[static_cast<std::size_t>(g.pages[static_cast<std::size_t>(b)])] = t.resident_++;
        }
      const auto n = config_.layers * t.resident_ * attended_shape().page_elements();
      t.resident_gradient_ = {ctx, {n}};
      clear(ctx, t.resident_gradient_.data(), n);
    }
    for (auto i = first; i <= last; ++i) {
      auto& u = t.units_[i];
      enter_lane(ctx, u.lane);
      if (t.keep_ == keep::nothing) unit_forward(ctx, t, u, keep::inputs, true, false);
      unit_backward(ctx, t, u, d);
      u.values.clear();
      u.rounded.clear();
      u.states.clear();
      u.last = {};
    }
    t.resident_gradient_ = {};
    first = last + 1;
  }
}

template <scalar T, execution_context Context>
void decoder<T, Context>::unit_backward(Context& ctx, tape& t, unit_work& u, scores<const A> d) {
  const auto rows = u.rows.rows(), hidden = config_.hidden;
  if (rows == 0 && t.rank_of_page_.empty()) return;
  auto scope = ctx.scratch();
  A* dx = scope.template take<A>(rows * hidden);
  clear(ctx, dx, rows * hidden);
  if (u.scored() > 0) {
    auto inner = ctx.scratch();
    const auto n = static_cast<std::int64_t>(u.head_rows.size());
    A* picked = inner.template take<A>(n * hidden);
    A* rstd = inner.template take<A>(n);
    T* normed = inner.template take<T>(n * hidden);
    T* states = inner.template take<T>(u.scored() * hidden);
    gather_rows(ctx, static_cast<const A*>(u.last.data()), std::span<const token>(u.head_rows), hidden, picked);
    final_norm(ctx, view<const A, 2>(picked, {n, hidden}), view<T, 2>(normed, {n, hidden}), rstd);
    gather_rows(ctx, static_cast<const T*>(normed), std::span<const token>(u.source), hidden, states);
    std::vector<A> dlogp(u.target.size()), dentropy(u.target.size());
    for (std::size_t i = 0; i < u.index.size(); ++i) {
      dlogp[i] = d.logp[static_cast<std::size_t>(u.index[i])];
      dentropy[i] = d.entropy.empty() ? A(0) : d.entropy[static_cast<std::size_t>(u.index[i])];
    }
    A* dstates = inner.template take<A>(u.scored() * hidden);
    clear(ctx, dstates, u.scored() * hidden);
    vocabulary_dx_args<T, typename Context::memory_space> v;
    v.forward.head = head();
    v.forward.inverse_temperature = t.inverse_temperature_;
    v.forward.hidden = {states, {u.scored(), hidden}};
    v.forward.targets = u.target;
    v.forward.support = u.support;
    v.forward.support_first = u.support_first;
    v.forward.logp = u.logp;
    v.forward.entropy = u.entropy;
    v.forward.lse = u.lse;
    v.dlogp = dlogp;
    if (!d.entropy.empty()) v.dentropy = dentropy;
    v.dhidden = dstates;
    v.dhead = gathered(head_);
    vocabulary_dx(ctx, v);
    A* dnormed = inner.template take<A>(n * hidden);
    clear(ctx, dnormed, n * hidden);
    embed_dw(ctx, std::span<const token>(u.source), view<const A, 2>(dstates, {u.scored(), hidden}),
             view<A, 2>(dnormed, {n, hidden}));
    const view<const A, 2> x(picked, {n, hidden}), dy(dnormed, {n, hidden});
    if (A* g = gathered(norm_)) rms_norm_dw(ctx, dy, x, static_cast<const A*>(rstd), g);
    A* dpicked = inner.template take<A>(n * hidden);
    clear(ctx, dpicked, n * hidden);
    rms_norm_dx(ctx, dy, x, vector(norm_), static_cast<const A*>(rstd), view<A, 2>(dpicked, {n, hidden}));
    embed_dw(ctx, std::span<const token>(u.head_rows), view<const A, 2>(dpicked, {n, hidden}),
             view<A, 2>(dx, {rows, hidden}));
  }
  u.last = {};

  // pages this unit sees, by ascending block within a tree; runs in row order
  if (u.uses.empty()) {
    struct use {
      std::int32_t tree, block, page;
      run_range runs;
    };
    std::vector<use> all;
    std::int32_t tree = -1, last_root = -1;
    const auto& seen = u.attending().runs;
    const auto runs = static_cast<std::int32_t>(seen.size());
    for (std::int32_t first = 0, last = 0; first < runs; first = last) {
      const auto segment = u.run_segment[static_cast<std::size_t>(first)];
      while (last < runs && u.run_segment[static_cast<std::size_t>(last)] == segment) ++last;
      std::int32_t root = segment;
      while (t.pages_[root].parent >= 0) root = t.pages_[root].parent;
      if (root != last_root) ++tree, last_root = root;
      // later runs of a segment see more blocks: those that see block b are its last ones
      const auto& g = t.pages_[segment];
      std::int32_t from = first;
      for (std::int32_t b = 0; b < seen[static_cast<std::size_t>(last - 1)].shared_blocks; ++b) {
        while (seen[static_cast<std::size_t>(from)].shared_blocks <= b) ++from;
        all.push_back({tree, b, g.pages[static_cast<std::size_t>(b)], {from, last - from}});
      }
    }
    ql::detail::stable_sort(all.begin(), all.end(), [](const use& a, const use& b) {
      return a.tree != b.tree ? a.tree < b.tree : a.block != b.block ? a.block < b.block : a.page < b.page;
    });
    u.trees.push_back(0);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (i > 0 && all[i].tree != all[i - 1].tree) u.trees.push_back(static_cast<std::int32_t>(u.uses.size()));
      if (i == 0 || all[i].tree != all[i - 1].tree || all[i].page != all[i - 1].page)
        u.uses.push_back({all[i].page, all[i].block, static_cast<std::int32_t>(u.ranges.size()), 0});
      u.ranges.push_back(all[i].runs);
      ++u.uses.back().count;
    }
    u.trees.push_back(static_cast<std::int32_t>(u.uses.size()));
  }
  // gradients of pages that only this unit adds to live for one layer at a time
  std::vector<A*> page_gradient(static_cast<std::size_t>(t.pages_.pool().pages()), nullptr);
  std::vector<std::int32_t> own;
  for (const auto page : u.own_pages)
    if (t.resident_slot_[static_cast<std::size_t>(page)] < 0) own.push_back(page);
  const auto page = attended_shape().page_elements();
  A* local = scope.template take<A>(static_cast<std::int64_t>(own.size()) * page);
  for (std::size_t i = 0; i < own.size(); ++i)
    page_gradient[static_cast<std::size_t>(own[i])] = local + static_cast<std::int64_t>(i) * page;
  const own_pages<T> keys(ctx, *this, t, u, scope);
  const own_pages<A> home(ctx, *this, t, u, scope);
  for (std::int64_t l = config_.layers; l-- > 0;) {
    clear(ctx, local, static_cast<std::int64_t>(own.size()) * page);
    for (std::size_t p = 0; p < t.resident_slot_.size(); ++p)
      if (t.resident_slot_[p] >= 0)
        page_gradient[p] = t.resident_gradient_.data() + (l * t.resident_ + t.resident_slot_[p]) * page;
    if (rows == 0) {  // all other ranks'
      if (home.base.empty()) {
        bring_home(ctx, t, u, page_gradient.data());
      } else {
        if (!keeps_attention(t.keep_)) attend_by_heads(ctx, t, u, l, keys, {}, false);
        attend_by_heads_dx(ctx, t, u, l, {}, nullptr, nullptr, page_gradient.data(), home);
      }
      continue;
    }
    auto inner = ctx.scratch();
    const auto s = recomputed(ctx, t, u, l, keys, inner);
    layer_backward(ctx, t, u, l, dx, s, keys.or_pool(*this, l), page_gradient.data(), home);
  }
  if (rows == 0) return;
  if (A* g = gathered(embedding_))
    embed_dw(ctx, std::span<const token>(u.rows.ids), view<const A, 2>(dx, {rows, hidden}),
             view<A, 2>(g, {config_.vocabulary, hidden}));
}

// The full state of a layer: kept, or run again from its input.
template <scalar T, execution_context Context>
auto decoder<T, Context>::recomputed(Context& ctx, tape& t, unit_work& u, std::int64_t l, const own_pages<T>& keys,
                                     typename Context::scratch_scope& scope) -> layer_state {
  layer_state s = u.states[static_cast<std::size_t>(l)];
  if (s.mid != nullptr) return s;
  const auto rows = u.rows.rows(), hidden = config_.hidden, qd = config_.heads * config_.head_dim;
  const bool attended = s.out != nullptr;
  s.mid = scope.template take<A>(rows * hidden);
  s.q = scope.template take<T>(rows * qd);
  s.gate = scope.template take<T>(rows * config_.ffn);
  s.up = scope.template take<T>(rows * config_.ffn);
  s.rstd1 = scope.template take<A>(rows);
  s.rstd2 = scope.template take<A>(rows);
  if (!attended) {
    s.out = scope.template take<T>(rows * qd);
    s.lse = scope.template take<A>(rows * config_.heads);
  }
  if (config_.qk_norm) {
    s.qkv = scope.template take<A>(rows * shape_.qkv_columns());
    s.qk_rstd = scope.template take<A>(rows * (config_.heads + config_.kv_heads));
  }
  A* x = scope.template take<A>(rows * hidden);
  copy(ctx, s.x, rows * hidden, x);
  layer_state run = s;
  run.x = nullptr;
  layer_forward(ctx, l, u.rows, x, run, keys.or_pool(*this, l), [&] {
    if (attended) return;
    if (!keys.base.empty()) return attend_by_heads(ctx, t, u, l, keys, run, false);
    attention(ctx, attending(l, u.rows, run));
  });
  return s;
}

template <scalar T, execution_context Context>
void decoder<T, Context>::layer_backward(Context& ctx, tape& t, unit_work& u, std::int64_t l, A* dx,
                                         const layer_state& s, key_store keys, A* const* page_gradient,
                                         const own_pages<A>& home) {
  const auto& p = layers_[static_cast<std::size_t>(l)];
  const auto rows = u.rows.rows(), hidden = config_.hidden, ffn = config_.ffn, qd = config_.heads * config_.head_dim,
             kd = config_.kv_heads * config_.head_dim, ld = shape_.qkv_columns();
  const A eps = static_cast<A>(config_.norm_eps);
  const view<A, 2> stream(dx, {rows, hidden});
  const view<const A, 2> dstream(stream);
  auto scope = ctx.scratch();
  T* h = scope.template take<T>(rows * hidden);
  const view<T, 2> normed(h, {rows, hidden});
  A* dh = scope.template take<A>(rows * hidden);
  const view<A, 2> dnormed(dh, {rows, hidden});
  {  // x_out = mid + down(silu(gate h) * up h), h = norm2(mid)
    auto inner = ctx.scratch();
    const view<const A, 2> mid(s.mid, {rows, hidden});
    rms_norm(ctx, mid, vector(p.norm2), eps, normed, s.rstd2);
    const view<const T, 2> gate(s.gate, {rows, ffn}), up(s.up, {rows, ffn});
    T* act = inner.template take<T>(rows * ffn);
    swiglu(ctx, gate, up, view<T, 2>(act, {rows, ffn}));
    A* dact = inner.template take<A>(rows * ffn);
    linear_dx(ctx, dstream, weight(p.down), view<A, 2>(dact, {rows, ffn}), false);
    gather_dw(ctx, p.down, dstream, view<const T, 2>(act, {rows, ffn}));
    const view<A, 2> dgate(inner.template take<A>(rows * ffn), {rows, ffn}),
        dup(inner.template take<A>(rows * ffn), {rows, ffn});
    swiglu_dx(ctx, gate, up, view<const A, 2>(dact, {rows, ffn}), dgate, dup);
    linear_dx(ctx, view<const A, 2>(dgate), weight(p.gate), dnormed, false);
    linear_dx(ctx, view<const A, 2>(dup), weight(p.up), dnormed, true);
    gather_dw(ctx, p.gate, view<const A, 2>(dgate), view<const T, 2>(normed));
    gather_dw(ctx, p.up, view<const A, 2>(dup), view<const T, 2>(normed));
    if (A* g = gathered(p.norm2)) rms_norm_dw(ctx, view<const A, 2>(dnormed), mid, static_cast<const A*>(s.rstd2), g);
    rms_norm_dx(ctx, view<const A, 2>(dnormed), mid, vector(p.norm2), static_cast<const A*>(s.rstd2), stream);
  }
  {  // mid = x + o(attention(...norm1(x)))
    auto inner = ctx.scratch();
    const view<const A, 2> x(s.x, {rows, hidden});
    rms_norm(ctx, x, vector(p.norm1), eps, normed, s.rstd1);
    A* dout = inner.template take<A>(rows * qd);
    linear_dx(ctx, dstream, weight(p.o), view<A, 2>(dout, {rows, qd}), false);
    gather_dw(ctx, p.o, dstream, view<const T, 2>(s.out, {rows, qd}));
    A* dq = inner.template take<A>(rows * config_.heads * shape_.padded_dim());
    if (home.base.empty()) {
      attention_dx_args<T> a;
      a.forward = attending(l, u.rows, s);
      a.uses = {u.uses, u.ranges, u.trees};
      a.dout = dout;
      a.dq = dq;
      a.page_gradient = page_gradient;
      attention_dx(ctx, a);
      bring_home(ctx, t, u, page_gradient);
    } else {
      attend_by_heads_dx(ctx, t, u, l, s, dout, dq, page_gradient, home);
    }
    rotary_dx_args<T> r;
    r.forward = rotation(p, u.rows, s.qkv, s, keys);
    r.dq = dq;
    r.page_gradient = home.base.empty() ? page_gradient : home.base.data();
    A* dqkv = inner.template take<A>(rows * ld);
    r.dqkv = dqkv;
    r.dq_norm = gathered(p.q_norm);
    r.dk_norm = gathered(p.k_norm);
    rotary_dx(ctx, r);
    const struct {
      int weight, bias;
      std::int64_t first, count;
    } parts[] = {{p.q, p.q_bias, 0, qd}, {p.k, p.k_bias, qd, kd}, {p.v, p.v_bias, qd + kd, kd}};
    for (const auto& part : parts) {
      const view<const A, 2> dy(dqkv + part.first, {rows, part.count}, {ld, 1});
      linear_dx(ctx, dy, weight(part.weight), dnormed, part.first > 0);
      gather_dw(ctx, part.weight, dy, view<const T, 2>(normed));
      if (A* g = gathered(part.bias)) column_sum(ctx, dy, view<A, 1>(g, part.count));
    }
    if (A* g = gathered(p.norm1)) rms_norm_dw(ctx, view<const A, 2>(dnormed), x, static_cast<const A*>(s.rstd1), g);
    rms_norm_dx(ctx, view<const A, 2>(dnormed), x, vector(p.norm1), static_cast<const A*>(s.rstd1), stream);
  }
}

}  // namespace ql::model
