// SPDX-License-Identifier: Apache-2.0
// A loss has the same bits in each copy that is compiled for an instruction set.
#include <ql/detail/wide.hpp>
#include <ql/random.hpp>
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/kl.hpp>
#include <ql/rl/policy_loss.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

namespace {
using namespace ql::rl;

struct batch {
  std::vector<std::int64_t> offsets{0};
  std::vector<float> logp, old, ref, entropy, advantage, sequence_advantage;
  std::vector<std::uint8_t> mask;

  batch() {
    std::uint64_t next = 0;
    const auto draw = [&](double low, double high) {
      const ql::random_key key{.seed = 5, .what = ql::purpose::test};
      return static_cast<float>(low + (high - low) * ql::uniform(key, next++));
    };
    for (const int length : {0, 1, 7, 255, 256, 257, 16, 700, 512}) {
      for (int t = 0; t < length; ++t) {
        old.push_back(draw(-3, 0));
        logp.push_back(old.back() + draw(-0.4, 0.4));
        ref.push_back(old.back() + draw(-0.4, 0.4));
        entropy.push_back(draw(0, 2));
        advantage.push_back(draw(-1, 1));
        mask.push_back(draw(0, 1) < 0.8f);
      }
      offsets.push_back(static_cast<std::int64_t>(logp.size()));
      sequence_advantage.push_back(draw(-1, 1));
    }
    logp[3] = std::numeric_limits<float>::quiet_NaN();
    logp[300] = 90;  // a ratio beyond the range of float
    mask[3] = mask[300] = 1;
  }
};

struct result {
  loss_report report;
  std::vector<float> dlogp, dentropy;
  friend bool operator==(const result& a, const result& b) {
    const auto same = [](const auto& x, const auto& y) {
      return std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
    };
    return std::memcmp(&a.report.value, &b.report.value, sizeof(double)) == 0 &&
           a.report.non_finite == b.report.non_finite && same(a.dlogp, b.dlogp) && same(a.dentropy, b.dentropy);
  }
};

template <class Loss>
void has_one_set_of_bits(const Loss& loss, bool per_token, bool masked, bool accumulate) {
  static const batch r;
  token_batch<float> b;
  b.offsets = r.offsets, b.logp = r.logp, b.old = r.old, b.ref = r.ref, b.entropy = r.entropy;
  if (per_token) {
    b.advantage = r.advantage;
  } else {
    b.sequence_advantage = r.sequence_advantage;
  }
  if (masked) b.mask = r.mask;
  const sequence_mean_token_mean how;
  auto bound = detail::bind_loss<float>(loss, how);
  const auto run = [&](auto by) {
    result x{{}, std::vector<float>(r.logp.size(), 0.25f), std::vector<float>(r.logp.size(), 0.5f)};
    bound.run = by;
    detail::apply_loss_to_batch(bound, b, count(b), {x.dlogp, x.dentropy, accumulate}, x.report);
    return x;
  };
  using job = detail::sequence_job<float>;
  const auto plain = run([](const void* l, const job& j) {
    return detail::run_sequence(*static_cast<const Loss*>(l), j, [](auto f) { f(); });
  });
  const auto wide = run([](const void* l, const job& j) {
    return detail::run_sequence(*static_cast<const Loss*>(l), j, [](auto f) { ql::detail::wide(f); });
  });
  const auto widest = run(bound.run);
  EXPECT_GT(plain.report.non_finite, 0);
  EXPECT_TRUE(wide == plain);
  EXPECT_TRUE(widest == plain);
}

template <class Loss>
void has_one_set_of_bits(const Loss& loss) {
  for (const bool masked : {false, true}) {
    has_one_set_of_bits(loss, false, masked, false);
    has_one_set_of_bits(loss, false, masked, true);
    if (!needs_sequence_advantage<Loss>) has_one_set_of_bits(loss, true, masked, false);
  }
}

TEST(WideLosses, HaveTheBitsOfPlainOnes) {
  if (!ql::detail::has_widest()) std::puts("this processor has no AVX-512: two copies are compared");
  has_one_set_of_bits(clip{});
  has_one_set_of_bits(cispo{});
  has_one_set_of_bits(entropy_bonus{kl_penalized{ratio_loss{}, k3{}, 0.1}, 0.01});
  has_one_set_of_bits(gspo{});
  has_one_set_of_bits(sapo{});
}
}  // namespace
