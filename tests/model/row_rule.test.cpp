// SPDX-License-Identifier: Apache-2.0
// The row rule: the log-prob and the entropy recorded when a token is drawn are, bit for bit, those of the training
// forward over the finished tree.
#include <gtest/gtest.h>

#include <cstdlib>

#include "model/support/row_rule.hpp"
#include "support/sanitizers.hpp"

using namespace ql;
using namespace ql::test;

namespace {

#if defined(QL_TEST_SANITIZED) || !defined(__OPTIMIZE__)
constexpr std::int64_t wanted = 20'000;  // instrumented builds look for other faults, slowly
#else
constexpr std::int64_t wanted = 1'000'000;
#endif

template <class T>
decoder_ptr<T> family(cpu::context& ctx, std::int64_t which) {
  const auto shape = which == 0 ? qwen2(700) : which == 1 ? qwen3(101, 36) : llama(257);
  return make_decoder<T>(ctx, shape);
}

struct progress {
  std::int64_t tokens = 0;
  std::int64_t cases = 0;
};

// One case for each offset of the first branch within its block of keys; the rest varies along.
template <class T>
void all_offsets(progress& p, std::int64_t enough, std::int64_t step = 1) {
  cpu::context ctx;
  dice d(sizeof(T) == 2 ? 11 : sizeof(T));
  decoder_ptr<T> policies[3];
  for (std::int64_t i = 0; p.tokens < enough; i += step) {
    const auto at = [&](const auto& all) { return all[static_cast<std::size_t>(i) % all.size()]; };
    auto& policy = policies[i % 3];
    if (policy == nullptr) policy = family<T>(ctx, i % 3);
    sampling o{.offset = i % key_block,
               .chunk = at(chunks),
               .leaves = 110,
               .capacity = 160,
               .distribution = at(distributions())};
    if (step > 1) o.leaves = 40, o.capacity = 70;
    const auto r = sample_forest<T>(ctx, *policy, d, o);
    const auto keep = keeps[static_cast<std::size_t>(d.below(4))];
    const auto difference = compare_rollout<T>(ctx, *policy, r, o.distribution, keep);
    ASSERT_EQ(difference.different, 0) << scalar_name<T> << " case " << i << ": " << difference;
    ASSERT_EQ(difference.compared, r.sampled) << "every sampled token is compared";
    p.tokens += difference.compared;
    ++p.cases;
  }
}

}  // namespace

TEST(RowRule, AMillionSampledTokensHaveTheBitsOfTheTrainingForward) {
  progress single, half, wide;
  ASSERT_NO_FATAL_FAILURE(all_offsets<float>(single, wanted * 52 / 100));
  ASSERT_NO_FATAL_FAILURE(all_offsets<bf16>(half, wanted / 2));
  ASSERT_NO_FATAL_FAILURE(all_offsets<double>(wide, wanted / 50, 7));
  const auto tokens = single.tokens + half.tokens + wide.tokens;
  std::cout << "compared " << tokens << " sampled tokens: " << single.tokens << " float, " << half.tokens << " bf16, "
            << wide.tokens << " double; " << single.cases + half.cases + wide.cases << " forests" << std::endl;
  RecordProperty("tokens", std::to_string(tokens));
  EXPECT_GE(tokens, wanted);
  if (wanted >= 1'000'000) {
    EXPECT_GE(single.cases, key_block) << "every offset of a branch within a block";
    EXPECT_GE(half.cases, key_block);
  }
}

TEST(RowRule, OneFlippedBitIsReported) {
  cpu::context ctx;
  const auto policy = family<float>(ctx, 1);
  dice d(5);
  auto r = sample_forest<float>(ctx, *policy, d, {.offset = 9, .leaves = 8, .capacity = 20});
  ASSERT_EQ(compare_rollout<float>(ctx, *policy, r, {}, model::keep::everything).different, 0);
  std::int64_t token = r.tree.tokens() - 1;  // of the last leaf
  ASSERT_TRUE(r.tree.has_loss(token));
  for (auto* values : {&r.logp, &r.entropy}) {
    auto& value = (*values)[static_cast<std::size_t>(token)];
    const float before = value;
    value = __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, value) ^ 1u);
    const auto difference = compare_rollout<float>(ctx, *policy, r, {}, model::keep::everything);
    EXPECT_EQ(difference.different, 1);
    EXPECT_EQ(difference.first, token);
    value = before;
  }
}
