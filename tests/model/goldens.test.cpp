// SPDX-License-Identifier: Apache-2.0
// Published models against what other implementations computed from the same weights.
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "model/support/instances.hpp"
#include "support/hf.hpp"

using namespace ql;
using namespace ql::test;

namespace {

// Greedy; keeps the first row of logits it sees and the gap between the two largest of every row.
class watching_greedy {
 public:
  const ql::distribution& distribution() const { return greedy_.distribution(); }
  rl::draw operator()(const logits_row<float>& row, double u) {
    if (first.empty()) first.assign(row.z.begin(), row.z.end());
    const auto drawn = greedy_(row, u);
    float second = -std::numeric_limits<float>::infinity();
    for (std::size_t i = 0; i < row.z.size(); ++i)
      if (static_cast<token>(i) != drawn.id) second = std::max(second, row.z[i]);
    gaps.push_back(row.z[static_cast<std::size_t>(drawn.id)] - second);
    return drawn;
  }
  std::vector<float> first;
  std::vector<float> gaps;

 private:
  rl::greedy greedy_;
};

template <class T>
decoder_ptr<T> read_policy(cpu::context& ctx, const std::string& model) {
  auto policy = make_decoder<T>(ctx, read_config(model));
  const auto weights = read_weights(model);
  for (auto& p : policy->parameters()) {
    const auto& w = weights.at(p.name);
    EXPECT_EQ(static_cast<std::int64_t>(w.size()), p.size()) << p.name;
    std::copy(w.begin(), w.end(), p.master.data());
  }
  publish<T>(ctx, *policy);
  return policy;
}

struct closeness {
  double logits = 0;
  double logprobs = 0;
  std::int64_t greedy_tokens = 0;
  std::int64_t forced = 0;  // greedy ids that another rounding of near-equals may change, and did
};

// Greedy ids must be the golden's wherever its two largest logits are more than `sure` apart; where they are closer and
// another id is chosen, the golden's is taken and the walk goes on.
template <class T>
closeness compare_goldens(const std::string& model, const model::stop_tokens& stop, double sure) {
  cpu::context ctx;
  const auto policy = read_policy<T>(ctx, model);
  closeness worst;
  for (const auto& g : read_goldens(model)) {
    auto prompt = g.ids;
    std::size_t at = 0;
    bool first = true;
    do {
      grower<T> s(ctx, *policy);
      const auto root = s.add_root(prompt);
      s.add_leaf(root, static_cast<std::int64_t>(g.greedy_ids.size() - at), {});
      watching_greedy sampler;
      while (s.step(sampler, stop) > 0) {
      }
      const auto r = s.finish();
      if (first) {
        for (std::size_t i = 0; i < g.last_logits.size(); ++i)
          worst.logits = std::max(worst.logits, std::abs(static_cast<double>(sampler.first[i]) - g.last_logits[i]));
        EXPECT_EQ(sampler.first.size(), g.last_logits.size());
      }
      first = false;
      const auto ids = r.tree.ids(1);
      std::size_t same = 0;
      while (same < ids.size() && at + same < g.greedy_ids.size() && ids[same] == g.greedy_ids[at + same]) ++same;
      worst.greedy_tokens += static_cast<std::int64_t>(same);
      at += same;
      if (at == g.greedy_ids.size()) {
        EXPECT_EQ(same, ids.size()) << g.prompt << ": stops where the golden does";
        break;
      }
      if (same == ids.size()) {
        ADD_FAILURE() << g.prompt << ": stops after " << at << " tokens, not after " << g.greedy_ids.size();
        break;
      }
      if (static_cast<double>(sampler.gaps[same]) > sure) {
        ADD_FAILURE() << g.prompt << ": greedy id " << at << " is " << ids[same] << ", not " << g.greedy_ids[at]
                      << "; the two largest logits differ by " << sampler.gaps[same];
        break;
      }
      ++worst.forced;
      prompt = g.ids;
      prompt.insert(prompt.end(), g.greedy_ids.begin(), g.greedy_ids.begin() + static_cast<std::ptrdiff_t>(++at));
    } while (at < g.greedy_ids.size());

    if (g.prompt_logprobs.empty()) continue;
    token_tree tree;
    tree.add_root(g.ids, role::action, true);
    std::vector<float> logp(g.ids.size());
    policy->score(ctx, tree, {}, {logp, {}});
    for (std::size_t i = 1; i < logp.size(); ++i)
      worst.logprobs = std::max(worst.logprobs, std::abs(static_cast<double>(logp[i]) - g.prompt_logprobs[i]));
  }
  std::cout << model << ' ' << scalar_name<T> << ": logits within " << worst.logits << ", log-probs within "
            << worst.logprobs << ", " << worst.greedy_tokens << " greedy ids the same, " << worst.forced
            << " of near-equals not" << std::endl;
  return worst;
}

}  // namespace

TEST(Goldens, Stories260KInFloat) {
  const auto c = compare_goldens<float>("stories260K", {{1, 2}}, 0);
  EXPECT_LE(c.logits, 1e-4);
  EXPECT_LE(c.logprobs, 1e-4);
  EXPECT_EQ(c.forced, 0);
  EXPECT_EQ(c.greedy_tokens, 8 * 96);
}

TEST(Goldens, DigitCompletionInFloat) {
  const auto c = compare_goldens<float>("verl_digit_completion", {{1}}, 0);
  EXPECT_LE(c.logits, 1e-4);
  EXPECT_EQ(c.forced, 0);
}

TEST(Goldens, DigitCompletionInBf16) {
  const auto c = compare_goldens<bf16>("verl_digit_completion", {{1}}, 2e-2);
  EXPECT_LE(c.logits, 1e-2);
  EXPECT_GT(c.greedy_tokens, 0);
}
