// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/kl.hpp>
#include <ql/rl/policy_loss.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace {
using namespace ql::rl;

TEST(ApplyLoss, NamesWhatIsWrong) {
  const std::vector<std::int64_t> offsets{0, 2}, wild{0, 3, 2}, late{1, 2};
  const std::vector<float> logp{-1, -2}, one{1};
  std::vector<float> d(2), e(2), three(3);
  token_batch<float> b;
  b.offsets = offsets, b.logp = logp, b.old = logp, b.sequence_advantage = one;
  const auto complaint = [&](const auto& loss, const token_batch<float>& batch,
                             loss_gradient<float> out) -> std::string {
    try {
      (void)apply_loss(loss, batch, token_mean{}, out);
      return "";
    } catch (const ql::error& x) {
      return x.what();
    }
  };
  const auto with = [&](auto change) {
    auto c = b;
    change(c);
    return complaint(clip{}, c, {d, e});
  };
  EXPECT_EQ(complaint(clip{}, b, {d, {}}), "");
  EXPECT_EQ(with([&](auto& c) { c.old = {}; }), "apply_loss: old: expected 2 elements (this loss reads them), got 0");
  EXPECT_EQ(with([&](auto& c) { c.advantage = logp; }),
            "apply_loss: advantage: expected either advantage or sequence_advantage, got both");
  EXPECT_EQ(with([&](auto& c) { c.sequence_advantage = {}; }),
            "apply_loss: advantage: expected either advantage or sequence_advantage, got neither");
  EXPECT_NE(with([&](auto& c) { c.offsets = wild; }).find("ascending offsets"), std::string::npos);
  EXPECT_NE(with([&](auto& c) { c.offsets = late; }).find("0 as the first offset"), std::string::npos);
  EXPECT_NE(with([&](auto& c) { c.offsets = {}; }).find("at least one offset"), std::string::npos);
  EXPECT_NE(complaint(clip{}, b, {three, e}).find("dlogp: expected 2, got 3"), std::string::npos);
  EXPECT_NE(complaint(entropy_bonus{sft{}, 0.1}, b, {d, {}}).find("entropy"), std::string::npos);
  EXPECT_EQ(complaint(clip{.low = 1.5}, b, {d, e}), "clip.low = 1.500000: expected a width in [0, 1); use 0.2");
  // counts smaller than the batch's make an infinite weight
  loss_report r;
  EXPECT_THROW(apply_loss(clip{}, b, token_mean{}, batch_counts{}, {d, e}, r), ql::argument_error);
  // a sequence loss wants one advantage per sequence
  auto tokens = b;
  tokens.advantage = logp, tokens.sequence_advantage = {};
  EXPECT_THROW((void)apply_loss(gspo{}, tokens, sequence_mean_token_mean{}, {d, e}), ql::argument_error);
  EXPECT_NO_THROW((void)apply_loss(gspo_token{}, tokens, sequence_mean_token_mean{}, {d, e}));
}

TEST(ApplyLoss, CountsWhatIsNotFinite) {
  const std::vector<std::int64_t> offsets{0, 3};
  const std::vector<float> logp{-1, NAN, 500}, old{-1, -1, -1}, one{-1};
  const std::vector<std::uint8_t> mask{1, 0, 1};
  std::vector<float> d(3), e(3);
  token_batch<float> b;
  b.offsets = offsets, b.logp = logp, b.old = old, b.sequence_advantage = one;
  EXPECT_EQ(apply_loss(clip{}, b, token_mean{}, {d, e}).non_finite, 2);
  b.mask = mask;
  const auto r = apply_loss(clip{}, b, token_mean{}, {d, e});
  EXPECT_EQ(r.non_finite, 1);
  EXPECT_FALSE(r.finite());
  EXPECT_TRUE(apply_loss(clip{.log_ratio_limit = 20}, b, token_mean{}, {d, e}).finite());
}

TEST(ApplyLoss, AccumulatesAndHandlesNothing) {
  const std::vector<std::int64_t> offsets{0, 0, 2}, none{0};
  const std::vector<float> logp{-1, -2}, adv{3, 1};
  std::vector<float> d{10, 10};
  token_batch<float> b;
  b.offsets = offsets, b.logp = logp, b.sequence_advantage = adv;
  apply_loss(reinforce{}, b, sequence_mean_token_mean{}, {d, {}, true});
  EXPECT_EQ(d, (std::vector<float>{9.5f, 9.5f}));  // the empty sequence does not count
  token_batch<float> empty;
  empty.offsets = none;
  EXPECT_EQ(apply_loss(reinforce{}, empty, token_mean{}, {}).value, 0.0);
  EXPECT_EQ(count(b), (batch_counts{2, 1, 1}));
}

// The released micro-batch mean: two micro-batches of different length drift from the token mean.
TEST(ApplyLoss, MicroBatchMeanIsOfferedByName) {
  const std::vector<std::int64_t> offsets{0, 1, 4}, first{0, 1}, second{0, 3};
  const std::vector<double> logp{-1, -2, -3, -4};
  std::vector<double> d(4);
  const auto part = [&](std::int64_t begin, std::int64_t n, const std::vector<std::int64_t>& o) {
    token_batch<double> b;
    b.offsets = o;
    b.logp = ql::view<const double, 1>(logp.data() + begin, n);
    return b;
  };
  token_batch<double> all;
  all.offsets = offsets, all.logp = logp;
  const auto counts = count(all);
  loss_report r;
  const auto a = part(0, 1, first), b = part(1, 3, second);
  apply_loss(sft{}, a, micro_batch_token_mean{count(a)}, counts, {ql::view<double, 1>(d.data(), 1), {}}, r);
  apply_loss(sft{}, b, micro_batch_token_mean{count(b)}, counts, {ql::view<double, 1>(d.data() + 1, 3), {}}, r);
  EXPECT_DOUBLE_EQ(r.value, (1.0 + 3.0) / 2);
  EXPECT_DOUBLE_EQ(apply_loss(sft{}, all, token_mean{}, {d, {}}).value, 2.5);
}
}  // namespace
