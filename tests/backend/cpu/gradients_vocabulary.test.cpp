// SPDX-License-Identifier: Apache-2.0
// Finite differences in double through log-prob and entropy, at temperatures, over the whole vocabulary and over a
// frozen support.
#include <ql/backend/cpu/parameters.hpp>
#include <ql/backend/cpu/vocabulary.hpp>

#include "support/gradient.hpp"
#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

using ql::cpu::context;
using ql::test::gradient_error;
using ql::test::normals;
using ql::test::numbers;
using values = std::vector<double>;

struct scored {
  static constexpr std::int64_t rows = 7, depth = 19, vocabulary = 1100;  // three blocks of 512, the last a short one
  context ctx;
  numbers r{5};
  values hidden = normals<double>(r, rows* depth), master = normals<double>(r, vocabulary* depth, 0.4), packed;
  std::vector<ql::token> targets, support;
  std::vector<std::int64_t> support_first;
  values logp = values(rows), entropy = values(rows), lse = values(rows);
  double temperature = 1;

  explicit scored(bool frozen) : packed(static_cast<std::size_t>(ql::packed_elements(ctx, 0.0, vocabulary, depth))) {
    support_first.push_back(0);
    for (std::int64_t i = 0; i < rows; ++i) {
      targets.push_back(static_cast<ql::token>(r.below(vocabulary)));
      if (i != 3)  // one row of a frozen batch sees everything
        for (int j = 0; j < 20; ++j) {
          const auto id = static_cast<ql::token>(r.below(vocabulary));
          const auto first = support.begin() + support_first.back();
          if (id != targets.back() && std::find(first, support.end(), id) == support.end()) support.push_back(id);
        }
      if (i != 3) support.push_back(targets.back());
      support_first.push_back(static_cast<std::int64_t>(support.size()));
    }
    if (!frozen) support.clear(), support_first.clear();
  }
  ql::vocabulary_args<double> args() {
    ql::vocabulary_args<double> a;
    a.head = {vocabulary, depth, master.data(), packed.data()};
    ql::pack(ctx, a.head, packed.data());
    a.inverse_temperature = 1 / temperature;
    a.hidden = {hidden.data(), {rows, depth}};
    a.targets = targets;
    a.support = support;
    a.support_first = support_first;
    a.logp = logp;
    a.entropy = entropy;
    a.lse = lse;
    return a;
  }
  double loss(const values& dlogp, const values& dentropy) {
    ql::vocabulary(ctx, args());
    return ql::test::weighted(logp, dlogp) + ql::test::weighted(entropy, dentropy);
  }
  void check(const values& dlogp, const values& dentropy, bool pass_entropy) {
    (void)loss(dlogp, dentropy);
    ql::vocabulary_dx_args<double> g;
    g.forward = args();
    g.dlogp = dlogp;
    if (pass_entropy) g.dentropy = dentropy;
    values dhidden(hidden.size()), dhead(master.size());
    g.dhidden = dhidden.data();
    g.dhead = dhead.data();
    ql::vocabulary_dx(ctx, g);
    const auto f = [&] { return loss(dlogp, dentropy); };
    EXPECT_EQ(gradient_error(hidden, dhidden, f, 80, 1e-3), "") << "hidden, temperature " << temperature;
    EXPECT_EQ(gradient_error(master, dhead, f, 120, 1e-3), "") << "head, temperature " << temperature;
  }
};

TEST(VocabularyGradients, LogProbAndEntropyAtTemperatures) {
  for (const double temperature : {1.0, 0.7, 1.9}) {
    scored s(false);
    s.temperature = temperature;
    s.check(normals<double>(s.r, s.rows), normals<double>(s.r, s.rows), true);
  }
}

TEST(VocabularyGradients, LogProbAlone) {
  scored s(false);
  s.temperature = 0.7;
  s.check(normals<double>(s.r, s.rows), values(s.rows), false);
}

TEST(VocabularyGradients, EntropyAlone) {
  scored s(false);
  s.temperature = 0.7;
  s.check(values(s.rows), normals<double>(s.r, s.rows), true);
}

TEST(VocabularyGradients, FrozenSupport) {
  for (const double temperature : {1.0, 0.7}) {
    scored s(true);
    s.temperature = temperature;
    s.check(normals<double>(s.r, s.rows), normals<double>(s.r, s.rows), true);
  }
}

// Outside its support a row changes nothing but where another row may.
TEST(VocabularyGradients, NoGradientOutsideTheSupport) {
  scored s(true);
  ql::vocabulary_dx_args<double> g;
  (void)s.loss(values(s.rows, 1.0), values(s.rows));
  g.forward = s.args();
  g.forward.hidden = g.forward.hidden.rows(0, 1);
  g.forward.targets = g.forward.targets.first(1);
  g.forward.support_first = g.forward.support_first.first(2);
  for (auto* v : {&g.forward.logp, &g.forward.entropy, &g.forward.lse}) *v = v->first(1);
  const values dlogp{1.0};
  g.dlogp = dlogp;
  values dhead(s.master.size());
  g.dhead = dhead.data();
  ql::vocabulary_dx(s.ctx, g);
  const auto end = s.support.begin() + s.support_first[1];
  for (std::int64_t id = 0; id < s.vocabulary; ++id) {
    const bool inside = std::find(s.support.begin(), end, static_cast<ql::token>(id)) != end;
    const bool moved =
        std::any_of(dhead.begin() + id * s.depth, dhead.begin() + (id + 1) * s.depth, [](double x) { return x != 0; });
    ASSERT_EQ(moved, inside) << id;
  }
}

}  // namespace
