// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/rl/sampler.hpp>

#include "backend/cuda/operations.hpp"

namespace ql::test::device {

template <class T>
class CudaVocabulary : public testing::Test {};
TYPED_TEST_SUITE_P(CudaVocabulary);

inline constexpr std::int64_t tokens = 37, inner = 40, entries = 9001;  // more entries than are in memory at a time

template <class T>
struct vocabulary_case {
  using A = accumulate_t<T>;
  numbers r{4};
  std::vector<T> hidden = normals<T>(r, tokens* inner);
  std::vector<A> head = normals<A>(r, entries* inner, 0.2), dlogp = normals<A>(r, tokens),
                 dentropy = normals<A>(r, tokens);
  std::vector<token> targets, support;
  std::vector<std::int64_t> first{0};
  vocabulary_case() {
    for (std::int64_t i = 0; i < tokens; ++i) {
      targets.push_back(static_cast<token>(r.below(entries)));
      if (i % 3 > 0) {  // a third of the rows keeps the whole vocabulary
        support.push_back(targets.back());
        for (int j = 0; j < 40; ++j) support.push_back(static_cast<token>((targets.back() + 1 + 217 * j) % entries));
      }
      first.push_back(static_cast<std::int64_t>(support.size()));
    }
  }
};
template <class T>
struct vocabulary_result {
  using A = accumulate_t<T>;
  std::vector<A> logp = std::vector<A>(tokens), entropy = logp, lse = logp, dhidden = std::vector<A>(tokens * inner),
                 dhead = std::vector<A>(entries * inner);
};

template <class T, class Space>
vocabulary_dx_args<T, Space> arguments(const vocabulary_case<T>& in, vocabulary_result<T>& out, bool frozen) {
  vocabulary_dx_args<T, Space> g;
  g.forward.inverse_temperature = accumulate_t<T>(1 / 0.7);
  g.forward.targets = in.targets;
  if (frozen) g.forward.support = in.support, g.forward.support_first = in.first;
  g.forward.logp = out.logp;
  g.forward.entropy = out.entropy;
  g.forward.lse = out.lse;
  g.dlogp = in.dlogp;
  g.dentropy = in.dentropy;
  return g;
}

template <class T>
vocabulary_result<T> on_cpu(const vocabulary_case<T>& in, bool frozen) {
  cpu::context ctx;
  vocabulary_result<T> out;
  auto g = arguments<T, host_space>(in, out, frozen);
  std::vector<T> packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, entries, inner)));
  g.forward.head = {entries, inner, in.head.data(), packed.data()};
  ql::pack(ctx, g.forward.head, packed.data());
  g.forward.hidden = {in.hidden.data(), {tokens, inner}};
  ql::vocabulary(ctx, g.forward);
  g.dhidden = out.dhidden.data();
  g.dhead = out.dhead.data();
  ql::vocabulary_dx(ctx, g);
  return out;
}

TYPED_TEST_P(CudaVocabulary, AgreesWithTheCpu) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  const vocabulary_case<T> in;
  for (const bool frozen : {false, true}) {
    const auto c = on_cpu(in, frozen);
    auto ctx = device_context();
    vocabulary_result<T> out;
    auto g = arguments<T, device_space>(in, out, frozen);
    mirror<A> head(ctx, in.head), dhidden(ctx, out.dhidden), dhead(ctx, out.dhead);
    mirror<T> packed(ctx, std::vector<T>(in.head.size())), hidden(ctx, in.hidden);
    g.forward.head = {entries, inner, head.data(), packed.data()};
    ql::pack(ctx, g.forward.head, packed.data());
    g.forward.hidden = hidden.in(tokens);
    ql::vocabulary(ctx, g.forward);
    EXPECT_LT(distance(out.logp, c.logp), tolerance<T>("log-prob"));
    EXPECT_LT(distance(out.entropy, c.entropy), tolerance<T>("entropy"));
    EXPECT_LT(distance(out.lse, c.lse), tolerance<T>("log-prob"));
    g.dhidden = dhidden.data();
    g.dhead = dhead.data();
    ql::vocabulary_dx(ctx, g);
    // bf16: d logits are rounded before their products
    const double bound = std::is_same_v<T, float> ? 1e-5 : 2e-2;
    EXPECT_LT(distance(dhidden.host(), c.dhidden), bound);
    EXPECT_LT(distance(dhead.host(), c.dhead), bound);
    // some of the rows alone
    const std::int64_t at = 11, m = 5;
    vocabulary_result<T> part;
    auto p = g.forward;
    p.hidden = hidden.in(tokens).rows(at, m);
    p.targets = p.targets.subspan(at, m);
    if (frozen) p.support_first = p.support_first.subspan(at, m + 1);
    p.logp = std::span(part.logp).first(m);
    p.entropy = std::span(part.entropy).first(m);
    p.lse = std::span(part.lse).first(m);
    ql::vocabulary(ctx, p);
    EXPECT_TRUE(std::equal(p.logp.begin(), p.logp.end(), out.logp.begin() + at));
    EXPECT_TRUE(std::equal(p.entropy.begin(), p.entropy.end(), out.entropy.begin() + at));
  }
}

// What is sampled from is what is scored, and a token drawn on the device is the one the host's sampler draws.
TYPED_TEST_P(CudaVocabulary, LogitsAreThoseOfScoringAndDrawsThoseOfTheSampler) {
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

REGISTER_TYPED_TEST_SUITE_P(CudaVocabulary, AgreesWithTheCpu, LogitsAreThoseOfScoringAndDrawsThoseOfTheSampler);

}  // namespace ql::test::device
