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
  auto scope = ctx.scratch();
  auto* drawn = scope.template take<std::int32_t>(tokens);
  auto* state = scope.copy(std::span<const logit_row<A>>(rows));
  ctx.template launch<cuda::element_body<cuda::draw_element>>(
      {{z.data(), entries, entries, parts, state, partial.data(), parts, scope.copy(std::span<const double>(uniforms)),
        drawn},
       tokens});
  std::vector<std::int32_t> ids(tokens);
  ctx.copy_out(static_cast<const std::int32_t*>(drawn), tokens, ids.data());
  rl::stochastic sampler;
  for (std::size_t i = 0; i < tokens; ++i) {
    EXPECT_EQ(difference(rows[i].lse, out.lse[i]), "");
    EXPECT_EQ(difference(rows[i].entropy, out.entropy[i]), "");
    const std::span<const A> row(logits.data() + i * entries, entries);
    EXPECT_EQ(difference(static_cast<A>(row[static_cast<std::size_t>(in.targets[i])] - rows[i].lse), out.logp[i]), "");
    EXPECT_EQ(sampler(logits_row<A>{row, rows[i].max, rows[i].sum,
                                    std::span<const A>(sums).subspan(i * static_cast<std::size_t>(parts),
                                                                     static_cast<std::size_t>(parts))},
                      uniforms[i])
                  .id,
              ids[i]);
  }
}

REGISTER_TYPED_TEST_SUITE_P(CudaDraws, LogitsAreThoseOfScoringAndDrawsThoseOfTheSampler);

}  // namespace ql::test::device
