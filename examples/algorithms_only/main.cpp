// SPDX-License-Identifier: Apache-2.0
// What this shows: the algorithms of ql in a trainer that knows nothing else of ql. Its policy is a table of its own,
// its batches are its own arrays, and it links ql::core alone: advantages, a loss with gradient, its aggregation, and
// an optimizer, each called on plain pointers.
//
// The task: of 8 symbols, answer with symbol 3. A policy of 4 positions learns it from rewards in 150 updates.

#include <ql/random.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/rl/policy_loss.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

constexpr int positions = 4, symbols = 8, group = 8, prompts = 4, sequences = prompts * group;

// The stranger's policy: a row of logits for each position.
struct table {
  std::vector<float> w = std::vector<float>(positions * symbols), g = w;

  void probabilities(int position, float* p) const {
    const float* z = w.data() + position * symbols;
    float sum = 0;
    for (int s = 0; s < symbols; ++s) sum += p[s] = std::exp(z[s]);
    for (int s = 0; s < symbols; ++s) p[s] /= sum;
  }
  // gradient of logits += dlogp * d log p(symbol) / d logits
  void backward(int position, int symbol, float dlogp) {
    float p[symbols];
    probabilities(position, p);
    for (int s = 0; s < symbols; ++s)
      g[static_cast<std::size_t>(position * symbols + s)] += dlogp * ((s == symbol) - p[s]);
  }
};

}  // namespace

int main() {
  table policy;
  std::vector<float> m(policy.w.size()), v(policy.w.size());
  std::vector<int> answer(sequences * positions);
  std::vector<float> old(answer.size()), logp(answer.size()), dlogp(answer.size()), reward(sequences),
      advantage(reward);
  std::vector<std::int64_t> tokens_of{0},
      sequences_of{0};  // offsets: who owns which tokens, which prompt which sequences
  for (std::int64_t i = 1; i <= sequences; ++i) tokens_of.push_back(i * positions);
  for (std::int64_t i = 1; i <= prompts; ++i) sequences_of.push_back(i * group);

  float mean = 0;
  for (std::uint32_t step = 1; step <= 150; ++step) {
    // the stranger's rollout and reward
    mean = 0;
    for (int i = 0; i < sequences; ++i) {
      reward[static_cast<std::size_t>(i)] = 0;
      for (int t = 0; t < positions; ++t) {
        float p[symbols];
        policy.probabilities(t, p);
        const auto at = static_cast<std::size_t>(i * positions + t);
        double u = ql::uniform({.seed = 1, .example = step}, at);
        int s = 0;
        while (s + 1 < symbols && u >= static_cast<double>(p[s])) u -= static_cast<double>(p[s++]);
        answer[at] = s;
        old[at] = logp[at] = std::log(p[s]);
        reward[static_cast<std::size_t>(i)] += s == 3 ? 1.0f / positions : 0.0f;
      }
      mean += reward[static_cast<std::size_t>(i)] / sequences;
    }

    // ql: advantages within each prompt's group
    ql::rl::outcome_batch<float> outcomes;
    outcomes.reward = {reward.data(), sequences};
    outcomes.groups = sequences_of;
    ql::rl::grpo_advantage{}(outcomes, ql::view<float, 1>(advantage));

    // ql: the clipped loss, averaged over tokens, and its gradient by each log-prob
    ql::rl::token_batch<float> batch;
    batch.offsets = tokens_of, batch.prompts = sequences_of;
    batch.logp = logp, batch.old = old, batch.sequence_advantage = advantage;
    const auto report = ql::rl::apply_loss(ql::rl::clip_higher, batch, ql::rl::token_mean{}, {dlogp, {}});
    if (!report.finite()) return 1;

    // the stranger's backward
    for (float& x : policy.g) x = 0;
    for (int i = 0; i < sequences * positions; ++i)
      policy.backward(i % positions, answer[static_cast<std::size_t>(i)], dlogp[static_cast<std::size_t>(i)]);

    // ql: one step of AdamW on the stranger's memory
    ql::rl::adamw{}.update_all<float>(policy.w, policy.g, m, v, step, 0.1);
    if (step % 30 == 0)
      std::printf("update %3u  mean reward %.3f  loss %+.4f\n", step, static_cast<double>(mean), report.value);
  }
  return mean > 0.9f ? 0 : 1;
}
