// SPDX-License-Identifier: Apache-2.0
// GRPO from random weights, over ql's public parts alone. Each document has 64 tokens, one of which is a value; the
// policy is to answer with that value and stop. It is told nothing but the reward, and learns in some seconds.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/model/session.hpp>
#include <ql/policy_update.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/sampler.hpp>

#include <cstdio>

int main() {
  using namespace ql;
  constexpr token end = 0, question = 1, first_value = 2, values = 8, fillers = 22,
                  words = first_value + values + fillers;
  constexpr std::uint32_t prompts = 16, group = 16;
  cpu::context ctx;
  model::decoder_config shape;
  shape.vocabulary = words, shape.hidden = 64, shape.layers = 2, shape.heads = 2, shape.kv_heads = 1, shape.ffn = 128;
  shape.max_context = 128, shape.qkv_bias = true, shape.tied_head = true;
  model::decoder<float, cpu::context> policy(ctx, shape);
  policy.initialise(ctx, 1, 0.1);
  const rl::adamw optimizer{.beta2 = 0.95};
  auto state = make_optimizer_state(ctx, policy, optimizer);
  rl::stochastic sampler;
  double recent = 0;  // mean reward, averaged over about 20 steps
  for (std::uint32_t step = 0; step < 400; ++step) {
    model::session<float, cpu::context> session(ctx, policy);
    std::vector<token> answers;
    for (std::uint32_t p = 0; p < prompts; ++p) {
      const random_key key{.seed = 7, .what = purpose::generate, .example = step * prompts + p};
      std::vector<token> document(64);
      for (std::size_t i = 0; i < 63; ++i)
        document[i] = first_value + values + static_cast<token>(uniform(key, i) * fillers);
      answers.push_back(first_value + static_cast<token>(uniform(key, 100) * values));
      document[static_cast<std::size_t>(uniform(key, 101) * 63)] = answers.back();
      document[63] = question;
      const auto root = session.add_root(document);
      for (std::uint32_t g = 0; g < group; ++g)
        session.add_leaf(root, 2, {.seed = 7, .example = step * prompts + p, .sample = g});
    }
    while (session.step(sampler, model::stop_tokens{{end}}) > 0) {
    }
    const auto batch = session.finish();

    // rewards by leaf, advantages by group
    const tree_sequences sequences(batch.tree);
    std::vector<float> reward, advantage(prompts * group), by_sequence(batch.tree.segments().size(), 0);
    std::vector<std::int64_t> groups{0};
    std::vector<std::int32_t> leaves;
    for (std::int32_t s = 0; s < static_cast<std::int32_t>(batch.tree.segments().size()); ++s) {
      if (batch.tree[s].parent < 0) continue;
      const auto said = batch.tree.ids(s);
      const bool right = said[0] == answers[reward.size() / group];
      reward.push_back(right ? (said.back() == end ? 1.0f : 0.5f) : 0.0f);
      leaves.push_back(s);
      if (reward.size() % group == 0) groups.push_back(static_cast<std::int64_t>(reward.size()));
    }
    rl::outcome_batch<float> outcomes;
    outcomes.reward = reward, outcomes.groups = groups;
    rl::grpo_advantage{.eps = 1e-4}(outcomes, view<float, 1>(advantage));
    for (std::size_t i = 0; i < leaves.size(); ++i) by_sequence[static_cast<std::size_t>(leaves[i])] = advantage[i];

    // one update, over the tree as it was sampled
    std::vector<float> logp(batch.logp.size()), dlogp(logp.size());
    policy.zero_gradients(ctx);
    auto tape = policy.score(ctx, batch.tree, {}, {logp, {}});
    rl::token_batch<float> tokens;
    tokens.offsets = sequences.offsets, tokens.mask = sequences.mask, tokens.sequence_advantage = by_sequence;
    tokens.logp = logp, tokens.old = batch.logp;
    rl::loss_gradient<float> gradient;
    gradient.dlogp = dlogp;
    rl::apply_loss(rl::clip_higher, tokens, rl::token_mean{}, gradient);
    policy.backward(ctx, tape, {dlogp, {}});
    policy.finish_gradients(ctx);
    update_policy(ctx, policy, optimizer, state, 6e-4, 1.0);

    double sum = 0;
    for (float r : reward) sum += r;
    recent += (sum / static_cast<double>(reward.size()) - recent) / (step < 20 ? step + 1 : 20);
    if (logp != batch.logp) return std::puts("recorded and trained log-probs differ"), 1;
    if (step % 20 == 0) std::printf("step %3u  reward %.3f\n", step, recent);
  }
  std::printf("final reward %.3f, every recorded log-prob equal to the trained one bit for bit\n", recent);
  return recent >= 0.8 ? 0 : 1;
}
