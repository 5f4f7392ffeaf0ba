// SPDX-License-Identifier: Apache-2.0
// What the vocabulary's operations say of shapes, ids and supports that do not fit.
#include <ql/backend/cpu/parameters.hpp>
#include <ql/backend/cpu/vocabulary.hpp>

#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using ql::token;
using ql::view;
using ql::cpu::context;

struct BadVocabulary : testing::Test {
  static constexpr std::int64_t entries = 40, depth = 6, rows = 3;
  context ctx;
  ql::test::numbers r{1};
  std::vector<float> hidden = ql::test::normals<float>(r, rows* depth),
                     master = ql::test::normals<float>(r, entries* depth), packed;
  std::vector<token> targets{1, 2, 3}, support{1, 5, 2, 7, 3};
  std::vector<std::int64_t> first{0, 2, 4, 5};
  std::vector<float> logp = std::vector<float>(rows, NAN), entropy = logp, lse = logp,
                     dlogp = std::vector<float>(rows, 1.0f);
  ql::vocabulary_args<float> a;
  ql::vocabulary_dx_args<float> g;

  BadVocabulary() : packed(static_cast<std::size_t>(ql::packed_elements(ctx, 0.0f, entries, depth))) {
    a.head = {entries, depth, master.data(), packed.data()};
    ql::pack(ctx, a.head, packed.data());
    a.hidden = {hidden.data(), {rows, depth}};
    a.targets = targets;
    a.logp = logp;
    a.entropy = entropy;
    a.lse = lse;
  }
  template <class Error>
  std::string forward() {
    try {
      ql::vocabulary(ctx, a);
    } catch (const Error& e) {
      return e.what();
    }
    return "nothing of that kind was thrown";
  }
  template <class Error>
  std::string backward() {
    g.forward = a;
    if (g.dlogp.empty()) g.dlogp = dlogp;
    try {
      ql::vocabulary_dx(ctx, g);
    } catch (const Error& e) {
      return e.what();
    }
    return "nothing of that kind was thrown";
  }
};

TEST_F(BadVocabulary, GoodInputPasses) {
  EXPECT_NO_THROW(ql::vocabulary(ctx, a));
  a.support = support;
  a.support_first = first;
  EXPECT_NO_THROW(ql::vocabulary(ctx, a));
  for (const auto* v : {&logp, &entropy, &lse})
    for (float x : *v) EXPECT_TRUE(std::isfinite(x));
}

TEST_F(BadVocabulary, Targets) {
  for (const token bad : {-1, 40, 1 << 30}) {
    targets[1] = bad;
    const auto got = "target: expected 0 to 39 (the vocabulary), got " + std::to_string(bad);
    EXPECT_EQ(forward<ql::argument_error>(), "vocabulary: " + got);
    EXPECT_EQ(backward<ql::argument_error>(), "vocabulary_dx: " + got);
  }
}

TEST_F(BadVocabulary, Support) {
  a.support = support;
  a.support_first = first;
  for (const token bad : {-1, 40}) {
    support[3] = bad;
    EXPECT_EQ(forward<ql::argument_error>(),
              "vocabulary: support: expected 0 to 39 (the vocabulary), got " + std::to_string(bad));
  }
  support[3] = 7;
  a.support_first = std::span(first).first(3);
  EXPECT_EQ(forward<ql::shape_error>(), "vocabulary: support_first: expected 4 values, one more than rows, got 3");
  a.support_first = first;
  first[1] = 3, first[2] = 2;
  EXPECT_EQ(forward<ql::argument_error>(),
            "vocabulary: support_first: expected ascending positions in support (0 to 5), got 2 after 3");
  first[1] = 2, first[2] = 4, first[3] = 6;
  EXPECT_EQ(forward<ql::argument_error>(),
            "vocabulary: support_first: expected ascending positions in support (0 to 5), got 6 after 4");
}

TEST_F(BadVocabulary, Shapes) {
  a.hidden = {hidden.data(), {2, depth}};
  EXPECT_EQ(forward<ql::shape_error>(), "vocabulary: hidden: expected shape (3, 6), got (2, 6)");
  a.hidden = {hidden.data(), {rows, 5}, {6, 1}};
  EXPECT_EQ(forward<ql::shape_error>(), "vocabulary: hidden: expected shape (3, 6), got (3, 5)");
  a.hidden = {hidden.data(), {rows, depth}, {1, 3}};
  EXPECT_EQ(forward<ql::shape_error>(), "vocabulary: hidden: expected adjacent elements in a row, got a stride of 3");
  a.hidden = {hidden.data(), {rows, depth}};
  a.logp = std::span(logp).first(2);
  EXPECT_EQ(forward<ql::shape_error>(), "vocabulary: logp: expected 3 values, one a row, got 2");
  a.logp = logp;
  a.entropy = {};
  EXPECT_EQ(forward<ql::shape_error>(), "vocabulary: entropy: expected 3 values, one a row, got 0");
  a.entropy = entropy;
  a.lse = std::span(lse).first(1);
  EXPECT_EQ(forward<ql::shape_error>(), "vocabulary: lse: expected 3 values, one a row, got 1");
  a.lse = lse;
  g.dlogp = std::span<const float>(dlogp).first(1);
  EXPECT_EQ(backward<ql::shape_error>(), "vocabulary_dx: dlogp: expected 3 values, one a row, got 1");
  g.dlogp = dlogp;
  g.dentropy = std::span<const float>(dlogp).first(2);
  EXPECT_EQ(backward<ql::shape_error>(), "vocabulary_dx: dentropy: expected 3 values, one a row, got 2");
}

TEST_F(BadVocabulary, Weights) {
  a.head.packed = nullptr;
  EXPECT_EQ(forward<ql::state_error>(), "vocabulary: head: expected packed (published) weights, got none");
  EXPECT_EQ(backward<ql::state_error>(), "vocabulary_dx: head: expected packed (published) weights, got none");
}

TEST_F(BadVocabulary, Logits) {
  std::vector<float> z(rows * entries), partial(rows * 3);
  std::vector<ql::logit_row<float>> out(rows);
  const auto text = [&](view<float, 2> zs, std::span<ql::logit_row<float>> o, view<float, 2> p) -> std::string {
    try {
      ql::logits(ctx, a.head, a.hidden, 1.0f, zs, o, p);
    } catch (const ql::shape_error& e) {
      return e.what();
    }
    return "nothing of that kind was thrown";
  };
  const view<float, 2> zs(z.data(), {rows, entries}), ps(partial.data(), {rows, 3});
  EXPECT_EQ(text(zs, out, view<float, 2>(partial.data(), {rows, 2})),
            "logits: partial: expected shape (3, 3), got (3, 2)");
  EXPECT_EQ(text(view<float, 2>(z.data(), {rows, 39}), out, ps), "linear_sum: y: expected shape (3, 40), got (3, 39)");
  EXPECT_EQ(text(zs, std::span(out).first(2), ps), "logits: rows: expected 3 values, one a row, got 2");
}

}  // namespace
