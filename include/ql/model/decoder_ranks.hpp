// SPDX-License-Identifier: Apache-2.0
#pragma once

// What ranks that split the rows of a tree exchange: keys or heads, gradients, scores.

#include <ql/model/decoder.hpp>

namespace ql::model {

// Split by heads: one layer of the pages whose rows are this rank's, with all heads, as its rows write and read them.
template <scalar T, execution_context Context>
template <class E>
struct decoder<T, Context>::own_pages {
  std::vector<E*> base;  // [page], null where it is another rank's; empty unless attention is split by heads

  own_pages(Context& ctx, const decoder& policy, const tape& t, const unit_work& u,
            typename Context::scratch_scope& scope) {
    if (t.split_ != attention_split::heads) return;
    base.assign(t.rank_of_page_.size(), nullptr);
    const auto mine = [&](std::int32_t page) {
      return t.rank_of_page_[static_cast<std::size_t>(page)] == policy.ranks_->rank();
    };
    const auto each = policy.shape_.page_elements();
    std::int64_t n = 0;
    for (const auto page : u.own_pages) n += mine(page) ? each : 0;
    E* at = scope.template take<E>(n);
    clear(ctx, at, n);  // once: every layer writes the same places
    for (const auto page : u.own_pages) {
      if (!mine(page)) continue;
      base[static_cast<std::size_t>(page)] = at;
      at += each;
    }
  }
  key_store or_pool(const decoder& policy, std::int64_t l) const {
    return base.empty() ? policy.keys_of(l) : key_store{base.data(), 0};
  }
};

// Every rank gets the scores of the tokens that others predict; of_rank[r]: those that rank r predicts.
template <scalar T, execution_context Context>
void decoder<T, Context>::share_scores(const tape& t, const std::vector<std::vector<std::int64_t>>& of_rank,
                                       scores<A> out) {
  if constexpr (!computes<Context>) return;
  std::vector<A> logp(static_cast<std::size_t>(t.tokens_)), entropy(logp.size());
  for (const auto& u : t.units_)
    for (std::size_t i = 0; i < u.index.size(); ++i) {
      logp[static_cast<std::size_t>(u.index[i])] = u.logp[i];
      entropy[static_cast<std::size_t>(u.index[i])] = u.entropy[i];
    }
  std::vector<std::vector<A>> values(of_rank.size());
  for (std::size_t r = 0; r < of_rank.size(); ++r)
    for (const auto i : of_rank[r]) {
      values[r].push_back(logp[static_cast<std::size_t>(i)]);
      values[r].push_back(entropy[static_cast<std::size_t>(i)]);
    }
  const std::vector<std::span<A>> parts(values.begin(), values.end());
  comm::share<comm::any, A>(*ranks_, parts);
  for (std::size_t r = 0; r < of_rank.size(); ++r)
    for (std::size_t k = 0; k < of_rank[r].size(); ++k) {
      const auto i = static_cast<std::size_t>(of_rank[r][k]);
      if (!out.logp.empty()) out.logp[i] = values[r][2 * k];
      if (!out.entropy.empty()) out.entropy[i] = values[r][2 * k + 1];
    }
}

// Split rows: each rank's keys and values of layer l, in the unit's own pages, to all others.
template <scalar T, execution_context Context>
void decoder<T, Context>::gather_keys(Context& ctx, tape& t, const unit_work& u, std::int64_t l) {
  if constexpr (!computes<Context>) return;
  const auto n = shape_.page_elements();
  const auto me = static_cast<std::size_t>(ranks_->rank());
  std::vector<std::vector<T>> values(static_cast<std::size_t>(ranks_->size()));
  for (const auto page : u.own_pages) {
    auto& v = values[static_cast<std::size_t>(t.rank_of_page_[static_cast<std::size_t>(page)])];
    v.resize(v.size() + static_cast<std::size_t>(n));
  }
  const auto each_page = [&](auto&& f) {
    std::vector<std::size_t> at(values.size(), 0);
    for (const auto page : u.own_pages) {
      const auto r = static_cast<std::size_t>(t.rank_of_page_[static_cast<std::size_t>(page)]);
      f(r, pool().base()[page] + l * n, values[r].data() + at[r]);
      at[r] += static_cast<std::size_t>(n);
    }
  };
  each_page([&](std::size_t r, const T* keys, T* away) {
    if (r == me) copy_out(ctx, keys, n, away);
  });
  const std::vector<std::span<T>> parts(values.begin(), values.end());
  comm::share<comm::any, T>(*ranks_, parts);
  each_page([&](std::size_t r, T* keys, const T* away) {
    if (r != me) copy_in(ctx, away, n, keys);
  });
}

// Split by heads: the queries of this rank's heads come from all ranks, and on the first run the keys of its own rows
// go to all; attention's result goes back to the rows.
template <scalar T, execution_context Context>
void decoder<T, Context>::attend_by_heads(Context& ctx, tape& t, const unit_work& u, std::int64_t l,
                                          const own_pages<T>& keys, const layer_state& s, bool send_keys) {
  const auto shape = attended_shape();
  const auto part = shape.page_elements(), rows = u.all.rows(), width = shape.heads * shape.head_dim;
  auto scope = ctx.scratch();
  layer_state mine;
  mine.q = scope.template take<T>(rows * width);
  mine.out = scope.template take<T>(rows * width);
  mine.lse = scope.template take<A>(rows * shape.heads);
  T* const* pages = t.pages_.pool().base();
  std::optional<detail::head_exchange<Context>> mail;
  if constexpr (computes<Context>) {
    mail.emplace(ctx, *ranks_, u.all.runs, u.rank_of_run);
    mail->send_columns(static_cast<const T*>(s.q), width);
    if (send_keys)
      for (const auto page : u.own_pages)
        if (const T* own = keys.base[static_cast<std::size_t>(page)])
          for (int r = 0; r < ranks_->size(); ++r) mail->send(r, own + r * part, part);
    mail->deliver([&] {
      mail->take_rows(mine.q, width);
      if (!send_keys) return;
      for (const auto page : u.own_pages)
        mail->take(t.rank_of_page_[static_cast<std::size_t>(page)], pages[page] + l * part, part);
    });
  }
  for (auto id : u.segments) t.pages_.copy_prefix(id, l);
  attention_args<T> a;
  a.shape = shape;
  a.places = u.all.places();
  a.q = mine.q;
  a.out = mine.out;
  a.lse = mine.lse;
  a.page_base = pages;
  a.layer_offset = l * part;
  attention(ctx, a);
  if constexpr (computes<Context>) {
    mail->send_rows(static_cast<const T*>(mine.out), width);
    mail->send_rows(static_cast<const A*>(mine.lse), shape.heads);
    mail->deliver([&] {
      mail->take_columns(s.out, width);
      mail->take_columns(s.lse, shape.heads);
    });
  }
}

// And its backward: dq, as attention_dx writes it, and the gradients of this rank's own keys with all heads. Every
// key's gradient is summed on one rank, in the order of rows.
template <scalar T, execution_context Context>
void decoder<T, Context>::attend_by_heads_dx(Context& ctx, tape& t, const unit_work& u, std::int64_t l,
                                             const layer_state& s, const A* dout, A* dq, A* const* page_gradient,
                                             const own_pages<A>& home) {
  const auto shape = attended_shape();
  const auto part = shape.page_elements(), rows = u.all.rows(), width = shape.heads * shape.head_dim;
  const auto group = shape.group() * shape.padded_dim();
  auto scope = ctx.scratch();
  T* q = scope.template take<T>(rows * width);
  T* out = scope.template take<T>(rows * width);
  A* lse = scope.template take<A>(rows * shape.heads);
  A* dmine = scope.template take<A>(rows * width);
  A* dq_mine = scope.template take<A>(rows * shape.heads * shape.padded_dim());
  std::optional<detail::head_exchange<Context>> mail;
  if constexpr (computes<Context>) {
    mail.emplace(ctx, *ranks_, u.all.runs, u.rank_of_run);
    mail->send_columns(static_cast<const T*>(s.q), width);
    mail->send_columns(static_cast<const T*>(s.out), width);
    mail->send_columns(static_cast<const A*>(s.lse), shape.heads);
    mail->send_columns(dout, width);
    mail->deliver([&] {
      mail->take_rows(q, width);
      mail->take_rows(out, width);
      mail->take_rows(lse, shape.heads);
      mail->take_rows(dmine, width);
    });
  }
  attention_dx_args<T> a;
  a.forward.shape = shape;
  a.forward.places = u.all.places();
  a.forward.q = q;
  a.forward.out = out;
  a.forward.lse = lse;
  a.forward.page_base = t.pages_.pool().base();
  a.forward.layer_offset = l * part;
  a.uses = {u.uses, u.ranges, u.trees};
  a.dout = dmine;
  a.dq = dq_mine;
  a.page_gradient = page_gradient;
  attention_dx(ctx, a);
  return_prefixes(ctx, t, u, page_gradient);
  if constexpr (computes<Context>) {
    for (std::int64_t h = 0; h < shape.kv_heads; ++h)
      mail->send_rows(static_cast<const A*>(dq_mine + h * rows * group), group);
    for (const auto page : u.own_pages)
      mail->send(t.rank_of_page_[static_cast<std::size_t>(page)], static_cast<const A*>(page_gradient[page]), part);
    const auto own = u.rows.rows();
    mail->deliver([&] {
      for (std::int64_t r = 0; r < ranks_->size(); ++r)
        for (std::int64_t h = 0; h < shape.kv_heads; ++h)
          mail->take(static_cast<int>(r), dq + (r * shape.kv_heads + h) * own * group, own * group);
      for (const auto page : u.own_pages)
        if (A* g = home.base[static_cast<std::size_t>(page)])
          for (int r = 0; r < ranks_->size(); ++r) mail->take(r, g + r * part, part);
    });
  }
}

// Gradients of keys that were copied at a branch, to the ancestors' page, children before parents.
template <scalar T, execution_context Context>
void decoder<T, Context>::return_prefixes(Context& ctx, const tape& t, const unit_work& u, A* const* page_gradient) {
  for (auto it = u.segments.rbegin(); it != u.segments.rend(); ++it) {
    const auto& g = t.pages_[*it];
    if (g.copied == 0) continue;
    return_keys(ctx, attended_shape(),
                static_cast<const A*>(page_gradient[g.pages[static_cast<std::size_t>(g.shared)]]),
                page_gradient[t.pages_.prefix_source(*it)], g.copied);
  }
}

// Gradients of a layer's keys go to where the keys were computed: those of keys copied at a branch to the ancestors'
// page, children before parents; with split rows then to each page's rank, which adds what all ranks have for it, in
// their order.
template <scalar T, execution_context Context>
void decoder<T, Context>::bring_home(Context& ctx, tape& t, const unit_work& u, A* const* page_gradient) {
  return_prefixes(ctx, t, u, page_gradient);
  if (t.rank_of_page_.empty() || !computes<Context>) return;
  const auto n = shape_.page_elements();
  const auto ranks = static_cast<std::size_t>(ranks_->size()), me = static_cast<std::size_t>(ranks_->rank());
  std::vector<std::vector<A>> sent(ranks), received(ranks);
  for (const auto page : u.own_pages) {
    auto& s = sent[static_cast<std::size_t>(t.rank_of_page_[static_cast<std::size_t>(page)])];
    s.resize(s.size() + static_cast<std::size_t>(n));
    copy_out(ctx, static_cast<const A*>(page_gradient[page]), n, s.data() + s.size() - static_cast<std::size_t>(n));
  }
  for (auto& r : received) r.resize(sent[me].size());
  comm::exchange<comm::any, A>(*ranks_, sent, received);
  std::size_t at = 0;
  auto scope = ctx.scratch();
  A* away = on_host<Context> ? nullptr : scope.template take<A>(n);
  for (const auto page : u.own_pages) {
    if (t.rank_of_page_[static_cast<std::size_t>(page)] != ranks_->rank()) continue;
    copy_in(ctx, static_cast<const A*>(received[0].data() + at), n, page_gradient[page]);
    for (std::size_t r = 1; r < ranks; ++r) {
      const A* more = received[r].data() + at;
      if constexpr (!on_host<Context>) copy_in(ctx, more, n, away), more = away;
      fold(ctx, more, n, page_gradient[page]);
    }
    at += static_cast<std::size_t>(n);
  }
}

}  // namespace ql::model
