// SPDX-License-Identifier: Apache-2.0
#pragma once

// The law of a session: what it records of a sampler's draws. It returns an empty string, or the first thing that is
// wrong:
//   EXPECT_EQ(ql::testing::laws::session(ctx, policy, [] { return my_sampler{}; }), "");

#include <ql/math.hpp>
#include <ql/model/session.hpp>
#include <ql/random.hpp>
#include <ql/rl/sampler.hpp>
#include <ql/tensor/distribution.hpp>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace ql::testing {

namespace detail {

// Passes another sampler's draws on and keeps what they were drawn from.
template <class S>
struct recording_sampler {
  S inner;
  std::vector<std::vector<double>> rows;
  std::vector<std::vector<token>> kept;
  std::vector<double> mass;

  const ql::distribution& distribution() const { return inner.distribution(); }
  template <class A>
  rl::draw operator()(const logits_row<A>& row, double u) {
    const auto d = inner(row, u);
    rows.emplace_back(row.z.begin(), row.z.end());
    kept.emplace_back(d.kept.begin(), d.kept.end());
    mass.push_back(d.kept_mass);
    return d;
  }
};

}  // namespace detail

namespace laws {

// What a session records: the same keys give the same tokens, log-probs and entropies bit for bit, whichever other
// answers are grown beside them; and they are, within `tolerance`, log-softmax and entropy of the rows that the sampler
// saw, in double: over all ids, or over the recorded support where that is frozen. Where `varied`, the members of a
// group must not all be equal.
template <scalar T, class Context, class Make>
  requires rl::sampler<std::invoke_result_t<Make>, accumulate_t<T>>
std::string session(Context& ctx, model::decoder<T, Context>& policy, const Make& make, double tolerance = 1e-4,
                    bool varied = true) {
  constexpr std::uint32_t members = 4;
  constexpr std::int64_t length = 12;
  std::vector<token> prompt;
  prompt.reserve(7);
  for (token i = 0; i < 7; ++i) prompt.push_back(static_cast<token>((5 * i + 1) % policy.vocab_size()));
  const auto never = [](std::span<const token>) { return false; };
  const auto grow = [&](std::span<const std::uint32_t> samples, auto& draw) {
    model::session<T, Context> s(ctx, policy);
    const auto root = s.add_root(prompt);
    for (auto g : samples) s.add_leaf(root, length, {.seed = 9, .what = purpose::test, .example = 3, .sample = g});
    while (s.step(draw, never) > 0) {
    }
    return s.finish();
  };
  const std::uint32_t all[members] = {0, 1, 2, 3};
  auto together = make();
  const auto group = grow(all, together);
  bool differ = false;
  for (std::uint32_t g = 0; g < members; ++g) {
    const std::uint32_t one[] = {g};
    detail::recording_sampler<std::invoke_result_t<Make>> draw{make(), {}, {}, {}};
    const auto alone = grow(one, draw);
    const auto at = static_cast<std::size_t>(group.tree[static_cast<std::int32_t>(g) + 1].first), from = prompt.size();
    for (std::size_t t = 0; t < static_cast<std::size_t>(length); ++t) {
      const token id = alone.tree.ids()[from + t];
      const std::string where = " (answer " + std::to_string(g) + ", token " + std::to_string(t) + ")";
      if (id != group.tree.ids()[at + t]) return "another token beside other answers" + where;
      if (alone.logp[from + t] != group.logp[at + t] || alone.entropy[from + t] != group.entropy[at + t])
        return "another log-prob or entropy beside other answers" + where;
      if (group.tree.ids()[at + t] != group.tree.ids()[static_cast<std::size_t>(group.tree[1].first) + t])
        differ = true;

      const auto& z = draw.rows[t];
      std::vector<token> ids = draw.kept[t];
      const bool frozen = draw.distribution().truncated() && draw.distribution().rule == support_rule::frozen;
      if (frozen) {
        const auto recorded = alone.support.of(static_cast<std::int64_t>(from + t));
        if (!std::equal(ids.begin(), ids.end(), recorded.begin(), recorded.end()))
          return "the recorded support is not the sampler's" + where;
      } else {
        ids.resize(z.size());
        std::iota(ids.begin(), ids.end(), 0);
      }
      double most = z[static_cast<std::size_t>(ids[0])], sum = 0, weighted = 0;
      for (token i : ids) most = math::max(most, z[static_cast<std::size_t>(i)]);
      for (token i : ids) {
        const double x = z[static_cast<std::size_t>(i)] - most;
        sum += math::exp(x);
        weighted = math::fma(math::exp(x), x, weighted);
      }
      const double logp = z[static_cast<std::size_t>(id)] - most - math::log(sum),
                   entropy = math::log(sum) - weighted / sum;
      if (math::abs(logp - static_cast<double>(alone.logp[from + t])) > tolerance) return "log-prob" + where;
      if (math::abs(entropy - static_cast<double>(alone.entropy[from + t])) > tolerance) return "entropy" + where;
    }
    if (draw.distribution().truncated()) {
      double log_mass = 0;
      for (double m : draw.mass) log_mass += math::log(m);
      if (math::abs(log_mass - alone.kept_mass_log_sum) > 1e-9 * math::max(1.0, math::abs(log_mass)))
        return "kept_mass_log_sum is not the sum over the draws";
    }
  }
  auto again = make();
  const auto twice = grow(all, again);
  if (!std::equal(twice.logp.begin(), twice.logp.end(), group.logp.begin(), group.logp.end()))
    return "the same keys give other log-probs";
  return varied && !differ ? "all members of a group are equal: their keys do not reach the draws" : "";
}

}  // namespace laws
}  // namespace ql::testing
