// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backend/cuda/vocabulary_case.hpp"

namespace ql::test::device {

template <class T>
class CudaVocabulary : public testing::Test {};
TYPED_TEST_SUITE_P(CudaVocabulary);

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

REGISTER_TYPED_TEST_SUITE_P(CudaVocabulary, AgreesWithTheCpu);

}  // namespace ql::test::device
