// SPDX-License-Identifier: Apache-2.0
// The row rule of the forward alone: trees against the same paths as sequences, threads, kernels, keep modes.
#include <gtest/gtest.h>

#include "model/support/row_rule.hpp"

#include <ql/backend/cpu/kernel_table.hpp>

using namespace ql;
using namespace ql::test;

namespace {

// A flat tree with loss on all copies, and the frozen support of each.
template <class T>
void tree_equals_sequences(std::uint64_t seed, std::int64_t cases) {
  using A = accumulate_t<T>;
  cpu::context ctx;
  dice d(seed);
  std::int64_t compared = 0;
  for (std::int64_t i = 0; i < cases; ++i) {
    const auto vocabulary = i % 3 == 0 ? 600 : 61;
    const auto shape = i % 3 == 0 ? qwen2(vocabulary) : i % 3 == 1 ? qwen3(vocabulary) : llama(vocabulary);
    const auto policy = make_decoder<T>(ctx, shape, {.lanes = 2, .unit_tokens = i % 2 == 0 ? 1024 : 60});
    auto tree = random_forest(d, vocabulary, {.offset = (i * 5) % key_block});
    set_all_loss(tree);
    auto flat = flatten(tree);
    set_all_loss(flat.tree);
    const auto dist = distributions()[static_cast<std::size_t>(i) % distributions().size()];
    frozen_support support, flat_support;
    if (dist.rule == support_rule::frozen) {  // any few ids with the token itself among them
      for (std::int64_t j = 0; j < tree.tokens(); ++j) {
        support.ids.push_back(tree.ids()[static_cast<std::size_t>(j)]);
        for (auto more = d.below(9); more > 0; --more) {
          const auto id = static_cast<token>(d.below(vocabulary));
          if (id != tree.ids()[static_cast<std::size_t>(j)]) support.ids.push_back(id);
        }
        support.first.push_back(static_cast<std::int64_t>(support.ids.size()));
      }
      for (auto from : flat.source) {
        const auto kept = support.of(from);
        flat_support.ids.insert(flat_support.ids.end(), kept.begin(), kept.end());
        flat_support.first.push_back(static_cast<std::int64_t>(flat_support.ids.size()));
      }
    }
    const auto keep = keeps[static_cast<std::size_t>(i) % 4];
    const auto a = score_tree<T>(ctx, *policy, tree, dist, keep, &support);
    const auto b = score_tree<T>(ctx, *policy, flat.tree, dist, keep, &flat_support);
    token_scores<A> spread{std::vector<A>(flat.source.size()), std::vector<A>(flat.source.size())};
    for (std::size_t j = 0; j < flat.source.size(); ++j) {
      spread.logp[j] = a.logp[static_cast<std::size_t>(flat.source[j])];
      spread.entropy[j] = a.entropy[static_cast<std::size_t>(flat.source[j])];
    }
    const auto logp = compare_rows<A>(flat.tree, spread.logp, b.logp);
    const auto entropy = compare_rows<A>(flat.tree, spread.entropy, b.entropy);
    ASSERT_EQ(logp.different, 0) << "case " << i << ", log-probs: " << logp;
    ASSERT_EQ(entropy.different, 0) << "case " << i << ", entropies: " << entropy;
    compared += logp.compared;
  }
  std::cout << scalar_name<T> << ": " << compared << " tokens of sequences compared" << std::endl;
}

// Sampled and scored with some kernels: the tokens and all their values.
template <class T>
model::rollout<accumulate_t<T>> with_kernels(std::string_view name, std::int64_t which) {
  cpu::use_kernels(name);
  cpu::context ctx;
  const auto policy = make_decoder<T>(ctx, which == 0 ? qwen2(530) : which == 1 ? qwen3(61, 44) : llama(40, 64));
  dice d(31);
  const sampling o{.offset = 61,
                   .leaves = 9,
                   .capacity = 25,
                   .prompt = 50,
                   .distribution = distributions()[static_cast<std::size_t>(5 + which)]};
  auto r = sample_forest<T>(ctx, *policy, d, o);
  const auto difference = compare_rollout<T>(ctx, *policy, r, o.distribution, model::keep::everything);
  EXPECT_EQ(difference.different, 0) << name << ": " << difference;
  cpu::use_kernels("");
  return r;
}

template <class T>
void same_with_all_kernels() {
  using A = accumulate_t<T>;
  const auto names = cpu::kernel_names();
  for (std::int64_t which = 0; which < 3; ++which) {
    const auto best = with_kernels<T>("", which);
    for (auto name : names.first(names.size() - 1)) {
      const auto other = with_kernels<T>(name, which);
      ASSERT_EQ(best.tree, other.tree) << name << " draws other tokens";
      EXPECT_EQ(compare_rows<A>(best.tree, best.logp, other.logp).different, 0) << name;
      EXPECT_EQ(compare_rows<A>(best.tree, best.entropy, other.entropy).different, 0) << name;
    }
  }
}

template <class T>
void same_with_threads() {
  using A = accumulate_t<T>;
  for (std::int64_t which = 0; which < 3; ++which) {
    const sampling o{.offset = 20 * which + 3,
                     .chunk = which == 1 ? 7 : 512,
                     .leaves = 90,
                     .capacity = 40,
                     .distribution = distributions()[static_cast<std::size_t>(2 * which + 1)]};
    model::rollout<A> one;
    for (int threads : {1, 2, 4}) {
      cpu::context ctx({.threads = threads});
      const auto policy = make_decoder<T>(ctx, which == 0 ? qwen2(600) : which == 1 ? qwen3(61) : llama(40));
      dice d(77);
      auto r = sample_forest<T>(ctx, *policy, d, o);
      for (auto keep : keeps) {
        const auto difference = compare_rollout<T>(ctx, *policy, r, o.distribution, keep);
        ASSERT_EQ(difference.different, 0) << threads << " threads: " << difference;
        ASSERT_EQ(difference.compared, r.sampled);
      }
      if (threads == 1) {
        one = std::move(r);
        continue;
      }
      ASSERT_EQ(one.tree, r.tree) << threads << " threads draw other tokens";
      EXPECT_EQ(compare_rows<A>(one.tree, one.logp, r.logp).different, 0) << threads << " threads";
      EXPECT_EQ(compare_rows<A>(one.tree, one.entropy, r.entropy).different, 0) << threads << " threads";
    }
  }
}

}  // namespace

TEST(RowRule, ATreeIsItsSequencesInFloat) { tree_equals_sequences<float>(1, 24); }
TEST(RowRule, ATreeIsItsSequencesInBf16) { tree_equals_sequences<bf16>(2, 24); }
TEST(RowRule, ATreeIsItsSequencesInDouble) { tree_equals_sequences<double>(3, 8); }

TEST(RowRule, AllKernelsGiveTheSameBitsInFloat) { same_with_all_kernels<float>(); }
TEST(RowRule, AllKernelsGiveTheSameBitsInBf16) { same_with_all_kernels<bf16>(); }
TEST(RowRule, AllKernelsGiveTheSameBitsInDouble) { same_with_all_kernels<double>(); }

TEST(RowRuleThreads, AnyNumberOfThreadsInFloat) { same_with_threads<float>(); }
TEST(RowRuleThreads, AnyNumberOfThreadsInBf16) { same_with_threads<bf16>(); }
