// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/rl/sampler.hpp>

#include "backend/cuda/vocabulary_case.hpp"

namespace ql::test::device {

template <class T>
class CudaDraws : public testing::Test {};
TYPED_TEST_SUITE_P(CudaDraws);

// What is sampled from is what is scored, and a token drawn on the device is the one the host's sampler draws.
TYPED_TEST_P(CudaDraws, LogitsAreThoseOfScoringAndDrawsThoseOfTheSampler) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  const vocabulary_case<T> in;
  auto ctx = device_context();
  vocabulary_result<T> out;
  auto g = arguments<T, device_space>(in, out, false);
  const std::int64_t parts = (entries + 15) / 16;
  mirror<A> head(ctx, in.head), z(ctx, std::vector<A>(tokens * entries)), partial(ctx, std::vector<A>(tokens * parts));
  mirror<T> packed(ctx, std::vector<T>(in.head.size())), hidden(ctx, in.hidden);
  g.forward.head = {entries, inner, head.data(), packed.data()};
  ql::pack(ctx, g.forward.head, packed.data());
  g.forward.hidden = hidden.in(tokens);
  ql::vocabulary(ctx, g.forward);
  std::vector<logit_row<A>> rows(tokens);
  ql::logits(ctx, g.forward.head, hidden.in(tokens), g.forward.inverse_temperature, z.as(tokens), std::span(rows),
             partial.as(tokens));
  const auto logits = z.host(), sums = partial.host();
  std::vector<double> uniforms;
  for (std::uint32_t i = 0; i < tokens; ++i)
    uniforms.push_back(uniform(random_key{.seed = 3, .what = purpose::test, .sample = i}, 99));
  for (std::size_t i = 0; i < tokens; ++i) {
    EXPECT_EQ(difference(rows[i].lse, out.lse[i]), "");
    EXPECT_EQ(difference(rows[i].entropy, out.entropy[i]), "");
    const std::span<const A> row(logits.data() + i * entries, entries);
    EXPECT_EQ(difference(static_cast<A>(row[static_cast<std::size_t>(in.targets[i])] - rows[i].lse), out.logp[i]), "");
  }
  for (const distribution& d : {distribution{}, distribution{.top_k = 20}, distribution{.top_p = 0.9},
                                distribution{.top_k = 50, .top_p = 0.7, .min_p = 0.01}, distribution{.min_p = 0.2},
                                distribution{.top_k = 7, .rule = support_rule::frozen}}) {
    const std::int64_t width = d.rule == support_rule::frozen ? d.top_k : 0;
    std::vector<drawn_row<A>> drawn(tokens);
    std::vector<token> kept(static_cast<std::size_t>(tokens * width));
    std::vector<A> kept_z(kept.size());
    ql::draw_rows(ctx, d, z.in(tokens), partial.in(tokens), std::span<const logit_row<A>>(rows),
                  std::span<const double>(uniforms), std::span(drawn), std::span(kept), std::span(kept_z));
    rl::stochastic sampler(d);
    for (std::size_t i = 0; i < tokens; ++i) {
      const std::span<const A> row(logits.data() + i * entries, entries);
      const auto by_host = sampler(logits_row<A>{row, rows[i].max, rows[i].sum,
                                                 std::span<const A>(sums).subspan(i * static_cast<std::size_t>(parts),
                                                                                  static_cast<std::size_t>(parts))},
                                   uniforms[i]);
      EXPECT_EQ(drawn[i].id, by_host.id);
      EXPECT_EQ(drawn[i].z, row[static_cast<std::size_t>(by_host.id)]);
      EXPECT_EQ(drawn[i].kept_mass, by_host.kept_mass);
      EXPECT_EQ(static_cast<std::size_t>(drawn[i].kept), by_host.kept.size());
      for (std::size_t j = 0; width > 0 && j < by_host.kept.size(); ++j) {
        const auto at = i * static_cast<std::size_t>(width) + j;
        EXPECT_EQ(kept[at], by_host.kept[j]);
        EXPECT_EQ(kept_z[at], row[static_cast<std::size_t>(kept[at])]);
      }
    }
  }
}

REGISTER_TYPED_TEST_SUITE_P(CudaDraws, LogitsAreThoseOfScoringAndDrawsThoseOfTheSampler);

}  // namespace ql::test::device
