// SPDX-License-Identifier: Apache-2.0
// What this shows: a module of LibTorch as a policy of ql (torch_policy.hpp), trained by ql's GRPO. Torch computes
// forward and backward; ql samples, takes advantages, the loss and its gradient, clips, and steps with its AdamW on
// torch's own memory: no weight and no gradient is copied, which the end proves by pointers. Sampling and training run
// torch in batches of different shapes, so the policy is `inexact`: ql scores the answers again before it updates, and
// does not compile with a loss that has no importance correction.
//
// The task: a document of eight words hides one of four values; answer with it and stop.

#include <ql/backend/cpu/kernels.hpp>
#include <ql/rl/correction.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/testing/policy_laws.hpp>
#include <ql/trainer.hpp>

#include <cstdio>

#include "torch_policy.hpp"

namespace {

constexpr ql::token end = 0, ask = 1, first_value = 2, values = 4, first_filler = 6, words = 16;

struct reader : torch::nn::Module {  // knows nothing of ql
  torch::nn::Embedding embed = register_module("embed", torch::nn::Embedding(words, 24));
  torch::nn::GRU memory = register_module("memory", torch::nn::GRU(torch::nn::GRUOptions(24, 48).batch_first(true)));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(48, words));
  torch::Tensor forward(const torch::Tensor& ids) { return head(std::get<0>(memory(embed(ids)))); }
};

struct hidden_value {
  static double u(std::int64_t e, std::uint64_t i) {
    return ql::uniform({.seed = 5, .what = ql::purpose::generate, .example = static_cast<std::uint32_t>(e)}, i);
  }
  static ql::token gold(std::int64_t e) { return first_value + static_cast<ql::token>(u(e, 0) * values); }
  std::int64_t examples() const { return 512; }
  std::int64_t bundle(std::int64_t e) const { return e; }
  tokens context(std::int64_t) const { return {}; }
  tokens question(std::int64_t e) const {
    tokens t(9, ask);
    for (std::size_t i = 0; i < 8; ++i)
      t[i] = first_filler + static_cast<ql::token>(u(e, 2 + i) * (words - first_filler));
    t[static_cast<std::size_t>(u(e, 1) * 8)] = gold(e);
    return t;
  }
  std::int32_t task(std::int64_t) const { return 0; }
  std::vector<ql::rl::outcome> score(std::span<const ql::answer_request> batch) const {
    std::vector<ql::rl::outcome> out;
    for (const auto& a : batch)
      out.push_back(ql::rl::scored{a.tokens[0] != gold(a.example) ? 0.0 : a.tokens.back() == end ? 1.0 : 0.5});
    return out;
  }
};

}  // namespace

int main() {
  using namespace ql;
  torch::manual_seed(1);
  torch::set_num_threads(1);
  cpu::context ctx;
  hidden_value task;
  torch_policy<reader> policy;
  if (const auto wrong = testing::laws::policy(ctx, policy, words); !wrong.empty()) return std::puts(wrong.c_str()), 1;
  curriculum::phased<curriculum::random_draw> course;
  course.phases = {{.name = "all", .hi_inclusive = 16, .max_response_tokens = 2, .steps = 120, .batch = 16}};
  rl_trainer trainer(
      ctx, policy, task,
      recipe(slot::engine = torch_engine{}, slot::sampler = rl::stochastic{}, slot::curriculum = course,
             slot::filter = rl::all_groups{}, slot::shaping = no_shaping{}, slot::advantage = rl::grpo_advantage{},
             slot::loss = rl::corrected{rl::clip_higher, rl::token_tis{}}, slot::aggregation = rl::token_mean{},
             slot::optimizer = rl::adamw{}, slot::schedule = rl::constant_schedule{.rate = 5e-3}),
      {.group_size = 8, .updates_per_batch = 2, .stop = {end}});
  double first = 0, last = 0;
  for (auto r = trainer.advance(); r.kind != advance_kind::finished; r = trainer.advance()) {
    const auto& m = r.metrics;
    if (m.step <= 20) first += m.score / 20;
    if (m.step > 100) last += m.score / 20;
    if (m.step % 20 == 0) std::printf("step %3lld  reward %.3f\n", static_cast<long long>(m.step), m.score);
  }
  bool same = true;  // the memory that ql updated is torch's
  std::size_t i = 0;
  for (const auto& p : policy.net.named_parameters()) {
    const auto& mine = policy.views[i++];
    same = same && mine.master.data() == p->data_ptr<float>() && mine.gradient.data() == p->grad().data_ptr<float>();
  }
  std::printf("reward %.3f -> %.3f; %zu parameters, %s\n", first, last, i, same ? "none copied" : "SOME COPIED");
  return same && first < 0.4 && last > 0.9 ? 0 : 1;
}
