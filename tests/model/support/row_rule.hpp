// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstring>
#include <iostream>
#include <string>

#include "model/support/instances.hpp"
#include "model/support/shapes.hpp"
#include "support/random_tree.hpp"

namespace ql::test {

// Values that ought to be the same bits.
struct row_difference {
  std::int64_t compared = 0;
  std::int64_t different = 0;
  std::int64_t first = -1;  // the first token that differs
  double largest = 0;

  template <class A>
  void compare(std::int64_t at, A a, A b) {
    ++compared;
    if (std::memcmp(&a, &b, sizeof(A)) == 0) return;
    if (different++ == 0) first = at;
    largest = std::max(largest, std::abs(static_cast<double>(a) - static_cast<double>(b)));
  }
  friend std::ostream& operator<<(std::ostream& o, const row_difference& d) {
    return o << d.different << " of " << d.compared << " differ, first at token " << d.first << ", by up to "
             << d.largest;
  }
};

template <class A>
row_difference compare_rows(const token_tree& tree, std::span<const A> a, std::span<const A> b) {
  row_difference d;
  for (std::int32_t s = 0; s < static_cast<std::int32_t>(tree.segments().size()); ++s)
    for (auto i = tree[s].first; i < tree[s].first + tree[s].count; ++i)
      if (tree.has_loss(i) && tree.predecessor(s, i) >= 0)
        d.compare(i, a[static_cast<std::size_t>(i)], b[static_cast<std::size_t>(i)]);
  return d;
}

struct sampling {
  std::int64_t offset = 0;   // the first root ends here within its block of 64 keys
  std::int64_t chunk = 512;  // of the prefill
  std::int64_t leaves = 100;
  std::int64_t capacity = 100;  // of a leaf, at most
  std::int64_t prompt = 90;     // tokens of a root, at most (but the first)
  ql::distribution distribution = {};
};

// Samples leaves under a random forest: several roots, questions, questions of no tokens, leaves that end early and
// leaves that join while others are half done.
template <class T>
model::rollout<accumulate_t<T>> sample_forest(cpu::context& ctx, decoder_of<T>& policy, dice& d, const sampling& o) {
  const auto vocabulary = policy.vocab_size();
  grower<T> s(ctx, policy, o.chunk);
  std::vector<std::int32_t> parents;
  const auto roots = d.between(1, 3);
  for (std::int64_t r = 0; r < roots; ++r) {
    const auto length = r == 0 ? 64 * d.between(o.offset == 0 ? 1 : 0, 2) + o.offset : d.between(1, o.prompt);
    parents.push_back(s.add_root(d.ids(length, vocabulary)));
    auto last = parents.back();
    for (auto questions = d.below(4); questions > 0; --questions) {
      const auto parent = d.chance(0.5) ? parents.back() : last;
      last = s.add_segment(parent, d.ids(d.chance(0.25) ? 0 : d.between(1, 70), vocabulary));
      parents.push_back(last);
    }
  }
  rl::stochastic sampler(o.distribution);
  const model::stop_tokens stop{{static_cast<token>(d.below(vocabulary))}};
  std::uint32_t sample = 0;
  const auto add = [&](std::int64_t count) {
    for (; count > 0; --count)
      s.add_leaf(parents[static_cast<std::size_t>(d.below(static_cast<std::int64_t>(parents.size())))],
                 d.between(1, o.capacity), {.seed = static_cast<std::uint64_t>(o.offset), .sample = sample++});
  };
  add(o.leaves - o.leaves / 4);
  for (auto steps = d.between(1, 30); steps > 0; --steps) s.step(sampler, stop);
  add(o.leaves / 4);
  while (s.step(sampler, stop) > 0) {
  }
  return s.finish();
}

template <class A>
struct token_scores {
  std::vector<A> logp, entropy;
};
template <class T>
token_scores<accumulate_t<T>> score_tree(cpu::context& ctx, decoder_of<T>& policy, const token_tree& tree,
                                         const distribution& d, model::keep keep,
                                         const frozen_support* support = nullptr) {
  const auto n = static_cast<std::size_t>(tree.tokens());
  token_scores<accumulate_t<T>> out{std::vector<accumulate_t<T>>(n), std::vector<accumulate_t<T>>(n)};
  options_of<T> o;
  o.distribution = d;
  o.keep = keep;
  o.support = support;
  policy.score(ctx, tree, o, {out.logp, out.entropy});
  return out;
}

// What sampling recorded against what scoring the finished tree computes.
template <class T>
row_difference compare_rollout(cpu::context& ctx, decoder_of<T>& policy, const model::rollout<accumulate_t<T>>& r,
                               const distribution& d, model::keep keep) {
  using A = accumulate_t<T>;
  const auto out = score_tree<T>(ctx, policy, r.tree, d, keep, &r.support);
  auto logp = compare_rows<A>(r.tree, r.logp, out.logp);
  const auto entropy = compare_rows<A>(r.tree, r.entropy, out.entropy);
  logp.different += entropy.different;
  logp.largest = std::max(logp.largest, entropy.largest);
  if (logp.first < 0) logp.first = entropy.first;
  return logp;
}

inline constexpr std::array keeps{model::keep::everything, model::keep::inputs_and_attention, model::keep::inputs,
                                  model::keep::nothing};
inline constexpr std::array<std::int64_t, 5> chunks{37, 1, 512, 7, 64};

inline const std::vector<distribution>& distributions() {
  static const std::vector<distribution> all{
      {},
      {.temperature = 0.7},
      {.top_k = 40},
      {.temperature = 0.7, .top_p = 0.9},
      {.min_p = 0.05},
      {.temperature = 0.7, .top_k = 20, .top_p = 0.95, .min_p = 0.02},
      {.temperature = 0.7, .top_k = 30, .rule = support_rule::frozen},
      {.top_k = 64, .top_p = 0.9, .min_p = 0.01, .rule = support_rule::frozen},
  };
  return all;
}

extern template model::rollout<float> sample_forest<float>(cpu::context&, decoder_of<float>&, dice&, const sampling&);
extern template token_scores<float> score_tree<float>(cpu::context&, decoder_of<float>&, const token_tree&,
                                                      const distribution&, model::keep, const frozen_support*);
extern template row_difference compare_rollout<float>(cpu::context&, decoder_of<float>&, const model::rollout<float>&,
                                                      const distribution&, model::keep);
extern template model::rollout<double> sample_forest<double>(cpu::context&, decoder_of<double>&, dice&,
                                                             const sampling&);
extern template token_scores<double> score_tree<double>(cpu::context&, decoder_of<double>&, const token_tree&,
                                                        const distribution&, model::keep, const frozen_support*);
extern template row_difference compare_rollout<double>(cpu::context&, decoder_of<double>&,
                                                       const model::rollout<double>&, const distribution&, model::keep);
extern template model::rollout<float> sample_forest<bf16>(cpu::context&, decoder_of<bf16>&, dice&, const sampling&);
extern template token_scores<float> score_tree<bf16>(cpu::context&, decoder_of<bf16>&, const token_tree&,
                                                     const distribution&, model::keep, const frozen_support*);
extern template row_difference compare_rollout<bf16>(cpu::context&, decoder_of<bf16>&, const model::rollout<float>&,
                                                     const distribution&, model::keep);

}  // namespace ql::test
