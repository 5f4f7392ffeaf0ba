// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cpu/attention.hpp>
#include <ql/backend/cpu/parameters.hpp>
#include <ql/detail/stable_sort.hpp>

#include "backend/cpu/attention_batch.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace ql::test {

template <class T>
attention_batch<T>::attention_batch(cpu::context& c, const attention_shape& s, const token_tree& tree, bool with_norm,
                                    std::uint64_t seed)
    : ctx(c), shape(s), rows(tree.tokens()), normalised(with_norm) {
  for (std::int32_t g = 0; g < static_cast<std::int32_t>(tree.segments().size()); ++g) {
    const auto& seg = tree[g];
    std::vector<std::int32_t> own;
    const auto shared = seg.start / key_block;
    if (seg.parent >= 0) {
      const auto& up = pages_of[static_cast<std::size_t>(seg.parent)];
      own.assign(up.begin(), up.begin() + std::min<std::int64_t>(shared, static_cast<std::int64_t>(up.size())));
    }
    if (seg.count > 0) {
      while (static_cast<std::int64_t>(own.size()) * key_block < seg.start + seg.count) {
        const auto fresh = static_cast<std::int32_t>(pages.size());
        if (static_cast<std::int64_t>(own.size()) == shared && seg.start % key_block > 0) {
          auto p = seg.parent;  // the nearest ancestor that has a page for this block
          while (static_cast<std::int64_t>(pages_of[static_cast<std::size_t>(p)].size()) <= shared) p = tree[p].parent;
          copies.push_back(
              {pages_of[static_cast<std::size_t>(p)][static_cast<std::size_t>(shared)], fresh, seg.start % key_block});
        }
        own.push_back(fresh);
        pages.emplace_back(static_cast<std::size_t>(s.page_elements()));
      }
    }
    pages_of.push_back(own);
    const auto at = static_cast<std::int64_t>(path_pages.size());
    path_pages.insert(path_pages.end(), own.begin(), own.end());
    for (std::int64_t i = 0; i < seg.count;) {
      const auto p = seg.start + i, n = std::min(seg.count - i, query_tile - p % query_tile);
      runs.push_back({seg.first + i, static_cast<std::int32_t>(n), static_cast<std::int32_t>(p / key_block + 1)});
      run_root.push_back(tree.root_of(g));
      for (std::int64_t j = 0; j < n; ++j) position.push_back(p + j), path.push_back(at);
      i += n;
    }
  }
  for (auto& p : pages) page_base.push_back(p.data());
  numbers r(seed);
  const auto half = s.head_dim / 2;
  const auto longest = rows == 0 ? 0 : *std::max_element(position.begin(), position.end()) + 1;
  for (std::int64_t p = 0; p < longest; ++p)
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle =
          static_cast<double>(p) * std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(s.head_dim));
      cosine.push_back(static_cast<A>(std::cos(angle)));
      sine.push_back(static_cast<A>(std::sin(angle)));
    }
  q_norm = normals<A>(r, s.head_dim);
  k_norm = normals<A>(r, s.head_dim);
  q.resize(static_cast<std::size_t>(rows * s.heads * s.head_dim));
  out.resize(q.size());
  rstd.resize(static_cast<std::size_t>(rows * (s.heads + s.kv_heads)));
  lse.resize(static_cast<std::size_t>(rows * s.heads));
}
template <class T>
void attention_batch<T>::forward(const std::vector<A>& qkv) {
  rotary(ctx, rotation(qkv));
  for (const auto& c : copies)
    copy_keys(ctx, shape, std::int64_t{1}, static_cast<const T*>(page_base[static_cast<std::size_t>(c.from)]),
              page_base[static_cast<std::size_t>(c.to)], c.keys);
  attention(ctx, attending());
}
template <class T>
void attention_batch<T>::attend(const attention_args<T>& a) {
  attention(ctx, a);
}
template <class T>
typename attention_batch<T>::gradients attention_batch<T>::backward(const std::vector<A>& qkv,
                                                                    const std::vector<A>& dout) {
  struct use {
    std::int32_t root, block, page, run;
  };
  std::vector<use> all;
  for (std::size_t i = 0; i < runs.size(); ++i)
    for (std::int32_t b = 0; b < runs[i].shared_blocks; ++b)
      all.push_back({run_root[i], b,
                     path_pages[static_cast<std::size_t>(path[static_cast<std::size_t>(runs[i].first)] + b)],
                     static_cast<std::int32_t>(i)});
  ql::detail::stable_sort(all.begin(), all.end(), [](const use& a, const use& b) {
    return std::tie(a.root, a.block, a.page) < std::tie(b.root, b.block, b.page);
  });
  std::vector<page_use> uses;
  std::vector<run_range> ranges;  // consecutive runs of one page
  std::vector<std::int32_t> trees{0};
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i > 0 && all[i].root != all[i - 1].root) trees.push_back(static_cast<std::int32_t>(uses.size()));
    const bool fresh = i == 0 || all[i].page != all[i - 1].page;
    if (fresh) uses.push_back({all[i].page, all[i].block, static_cast<std::int32_t>(ranges.size()), 0});
    if (!fresh && ranges.back().first + ranges.back().count == all[i].run) {
      ++ranges.back().count;
    } else {
      ranges.push_back({all[i].run, 1});
      ++uses.back().count;
    }
  }
  trees.push_back(static_cast<std::int32_t>(uses.size()));
  std::vector<std::vector<A>> memory(pages.size(), std::vector<A>(static_cast<std::size_t>(shape.page_elements())));
  std::vector<A*> page_gradient;
  for (auto& p : memory) page_gradient.push_back(p.data());
  std::vector<A> dq(static_cast<std::size_t>(rows * shape.heads * shape.padded_dim()));
  attention_dx_args<T> g;
  g.forward = attending();
  g.uses = {uses, ranges, trees};
  g.dout = dout.data();
  g.dq = dq.data();
  g.page_gradient = page_gradient.data();
  attention_dx(ctx, g);
  for (auto c = copies.rbegin(); c != copies.rend(); ++c)
    return_keys(ctx, shape, static_cast<const A*>(page_gradient[static_cast<std::size_t>(c->to)]),
                page_gradient[static_cast<std::size_t>(c->from)], c->keys);
  gradients d{std::vector<A>(qkv.size()), std::vector<A>(q_norm.size()), std::vector<A>(k_norm.size())};
  rotary_dx_args<T> x;
  x.forward = rotation(qkv);
  x.dq = dq.data();
  x.page_gradient = page_gradient.data();
  x.dqkv = d.qkv.data();
  x.dq_norm = d.q_norm.data();
  x.dk_norm = d.k_norm.data();
  rotary_dx(ctx, x);
  return d;
}

}  // namespace ql::test
