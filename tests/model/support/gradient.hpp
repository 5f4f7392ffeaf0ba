// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstring>
#include <string>

#include "model/support/instances.hpp"
#include "model/support/shapes.hpp"
#include "support/random_tree.hpp"

namespace ql::test {

// What a loss asks of a tree: its scores are multiplied by these and summed.
template <class A>
struct demand {
  token_tree tree;
  std::vector<A> dlogp, dentropy;
  distribution dist;
  frozen_support support;
  const frozen_support* kept() const {
    return dist.truncated() && dist.rule == support_rule::frozen ? &support : nullptr;
  }
};

template <class A>
demand<A> random_demand(dice& d, token_tree tree, std::int64_t vocabulary, const distribution& dist) {
  demand<A> q{std::move(tree), {}, {}, dist, {}};
  q.dlogp = d.reals<A>(q.tree.tokens());
  q.dentropy = d.reals<A>(q.tree.tokens());
  if (dist.rule != support_rule::frozen) return q;
  for (auto id : q.tree.ids()) {  // a fifth of the tokens keeps the whole vocabulary
    if (d.chance(0.8)) {
      q.support.ids.push_back(id);
      for (auto more = d.between(1, 9); more > 0; --more) {
        const auto other = static_cast<token>(d.below(vocabulary));
        const auto mine = std::span(q.support.ids).subspan(static_cast<std::size_t>(q.support.first.back()));
        if (std::find(mine.begin(), mine.end(), other) == mine.end()) q.support.ids.push_back(other);
      }
    }
    q.support.first.push_back(static_cast<std::int64_t>(q.support.ids.size()));
  }
  return q;
}

// The same loss over the paths as sequences: a shared token counts once.
template <class A>
demand<A> as_sequences(const demand<A>& q) {
  auto flat = flatten(q.tree);
  demand<A> f{std::move(flat.tree), {}, {}, q.dist, {}};
  for (auto from : flat.source) {
    f.dlogp.push_back(q.dlogp[static_cast<std::size_t>(from)]);
    f.dentropy.push_back(q.dentropy[static_cast<std::size_t>(from)]);
    const auto kept = q.support.of(from);
    f.support.ids.insert(f.support.ids.end(), kept.begin(), kept.end());
    f.support.first.push_back(static_cast<std::int64_t>(f.support.ids.size()));
  }
  return f;
}

template <class A>
using gradient_list = std::vector<std::vector<A>>;

template <class T>
gradient_list<accumulate_t<T>> gradients_now(const decoder_of<T>& policy) {
  gradient_list<accumulate_t<T>> g;
  for (const auto& p : policy.parameters()) {
    g.emplace_back();
    if (!p.gradient.empty()) g.back().assign(p.gradient.data(), p.gradient.data() + p.size());
  }
  return g;
}

// Gradients of all parameters; the plan's units go through score and backward in these parts.
template <class T>
gradient_list<accumulate_t<T>> gradients_of(cpu::context& ctx, decoder_of<T>& policy, const demand<accumulate_t<T>>& q,
                                            model::keep keep = model::keep::everything,
                                            std::span<const unit_range> parts = {}) {
  const auto plan = plan_lanes(q.tree, policy.lanes());
  const unit_range all[] = {plan.all()};
  if (parts.empty()) parts = all;
  options_of<T> o;
  o.distribution = q.dist;
  o.support = q.kept();
  o.keep = keep;
  zero_gradients<T>(ctx, policy);
  for (auto part : parts) {
    auto tape = policy.score(ctx, q.tree, plan, part, o, {});
    policy.backward(ctx, tape, {q.dlogp, q.dentropy});
  }
  finish_gradients<T>(ctx, policy);
  return gradients_now<T>(policy);
}

// Names of the parameters whose gradients are not the same bits.
template <class T>
std::string different_bits(const decoder_of<T>& policy, const gradient_list<accumulate_t<T>>& a,
                           const gradient_list<accumulate_t<T>>& b) {
  std::string names;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].size() != b[i].size() || std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(a[i][0])) != 0)
      names += " " + policy.parameters()[i].name;
  return names;
}

// The largest difference of a parameter's gradients, relative to its largest entry; the worst over the parameters.
template <class A>
double largest_difference(const gradient_list<A>& a, const gradient_list<A>& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    double difference = 0, size = 1e-30;
    for (std::size_t j = 0; j < a[i].size(); ++j) {
      difference = std::max(difference, std::abs(static_cast<double>(a[i][j]) - static_cast<double>(b[i][j])));
      size = std::max(size, std::abs(static_cast<double>(a[i][j])));
    }
    worst = std::max(worst, difference / size);
  }
  return worst;
}

extern template gradient_list<float> gradients_of<float>(cpu::context&, decoder_of<float>&, const demand<float>&,
                                                         model::keep, std::span<const unit_range>);
extern template gradient_list<double> gradients_of<double>(cpu::context&, decoder_of<double>&, const demand<double>&,
                                                           model::keep, std::span<const unit_range>);
extern template gradient_list<float> gradients_of<bf16>(cpu::context&, decoder_of<bf16>&, const demand<float>&,
                                                        model::keep, std::span<const unit_range>);

}  // namespace ql::test
