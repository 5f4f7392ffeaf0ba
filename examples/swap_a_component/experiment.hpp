// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the researchers share: a task, a recipe, and `train`, which trains a new policy by a recipe.

#include <ql/backend/cpu/kernels.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/trainer.hpp>

#include <algorithm>
#include <numeric>
#include <string>

// A document of 6 to 24 fillers with one value among them, then the question: answer with the value, and stop.
// Examples from `seen` on are held out.
struct lookup {
  static constexpr ql::token end = 0, ask = 1, first_value = 2, values = 8, first_filler = 10, fillers = 14,
                             vocabulary = 24;
  static constexpr std::int64_t seen = 256, unseen = 64;
  std::int64_t first = 0, count = seen;

  static ql::random_key key(std::int64_t e) {
    return {.seed = 11, .what = ql::purpose::generate, .example = static_cast<std::uint32_t>(e)};
  }
  static ql::token gold(std::int64_t e) {
    return first_value + static_cast<ql::token>(ql::uniform(key(e), 0) * values);
  }
  std::vector<ql::token> prompt(std::int64_t e) const {
    const auto length = 6 + static_cast<std::size_t>(ql::uniform(key(e), 1) * 19);
    std::vector<ql::token> t(length + 1, ask);
    for (std::size_t i = 0; i < length; ++i)
      t[i] = first_filler + static_cast<ql::token>(ql::uniform(key(e), 3 + i) * fillers);
    t[static_cast<std::size_t>(ql::uniform(key(e), 2) * static_cast<double>(length))] = gold(e);
    return t;
  }
  static bool right(const ql::answer_request& a, ql::token gold) {
    return a.tokens.size() == 2 && a.tokens[0] == gold && a.tokens[1] == end;
  }

  // what ql asks of an environment
  std::int64_t examples() const { return count; }
  std::int64_t bundle(std::int64_t i) const { return i; }
  std::vector<ql::token> context(std::int64_t) const { return {}; }
  std::vector<ql::token> question(std::int64_t i) const { return prompt(first + i); }
  std::int32_t task(std::int64_t) const { return 0; }
  std::vector<ql::rl::outcome> score(std::span<const ql::answer_request> batch) const {
    std::vector<ql::rl::outcome> out;
    for (const auto& a : batch) out.push_back(ql::rl::scored{right(a, gold(first + a.example)) ? 1.0 : 0.0});
    return out;
  }
};

// A phase of `steps` steps over prompts of more than `above` and at most `up_to` tokens.
inline ql::curriculum::phase documents(std::int64_t above, std::int64_t up_to, std::int64_t steps) {
  ql::curriculum::phase p;
  p.name = "up to " + std::to_string(up_to), p.lo_exclusive = above, p.hi_inclusive = up_to, p.steps = steps;
  p.max_response_tokens = 2, p.batch = 16;
  return p;
}

// The one recipe: short documents, then all of them.
inline auto base_recipe() {
  using namespace ql;
  curriculum::phased<curriculum::random_draw> course;
  course.phases = {documents(0, 16, 60), documents(16, 32, 60)};
  return recipe(slot::engine = session_engine{}, slot::sampler = rl::stochastic{}, slot::curriculum = course,
                slot::filter = rl::all_groups{}, slot::shaping = no_shaping{}, slot::advantage = rl::grpo_advantage{},
                slot::loss = rl::clip_higher, slot::aggregation = rl::token_mean{},
                slot::optimizer = rl::adamw{.beta2 = 0.95}, slot::schedule = rl::constant_schedule{.rate = 2e-3});
}

struct result {
  std::string name;
  std::int64_t steps = 0;
  double first = 0, last = 0, held_out = 0;  // accuracy: of the first and last ten steps, of unseen documents
  std::int64_t differing = 0;                // log-probs whose bits are not those that were recorded
};

// Trains a new policy on the task by the recipe, always from the same weights and random numbers.
template <class Task, class Recipe>
result train(std::string name, Task task, Recipe recipe) {
  using namespace ql;
  cpu::context ctx;
  model::decoder_config shape;
  shape.vocabulary = lookup::vocabulary, shape.hidden = 32, shape.layers = 2, shape.heads = 2, shape.kv_heads = 1;
  shape.ffn = 64, shape.max_context = 64, shape.qkv_bias = true, shape.tied_head = true;
  model::decoder<float, cpu::context> policy(ctx, shape);
  policy.initialise(ctx, 1, 0.15);
  rl_options options;
  options.group_size = 16, options.updates_per_batch = 2, options.stop = {lookup::end};
  options.phase_change = phase_change::keep_optimizer;
  rl_trainer trainer(ctx, policy, task, recipe, options);
  result r{.name = std::move(name)};
  std::vector<double> accuracy;
  for (auto step = trainer.advance(); step.kind != advance_kind::finished; step = trainer.advance()) {
    if (step.kind != advance_kind::trained) continue;
    accuracy.push_back(step.metrics.accuracy);
    r.differing += step.metrics.differing;
  }
  r.steps = static_cast<std::int64_t>(accuracy.size());
  for (std::size_t i = 0; i < 10 && i < accuracy.size(); ++i)
    r.first += accuracy[i] / 10, r.last += accuracy[accuracy.size() - 1 - i] / 10;

  const lookup unseen{.first = lookup::seen, .count = lookup::unseen};
  std::vector<rollout_request> requests;
  for (std::int64_t e = 0; e < unseen.count; ++e) requests.push_back({e, 0});
  rollout_options how{.what = purpose::validate, .group_size = 1, .max_new_tokens = 2, .stop = {lookup::end}};
  rollout_report said;
  rl::greedy greedy;
  const auto groups = session_engine{}(ctx, policy, unseen, std::span<const rollout_request>(requests), how, greedy,
                                       said, [](std::int64_t) {});
  for (const auto& g : groups)
    r.held_out += lookup::right({.tokens = g.answers[0].tokens}, lookup::gold(unseen.first + g.example)) ? 1 : 0;
  r.held_out /= static_cast<double>(unseen.count);
  return r;
}

result own_loss();
result own_curriculum();
result own_reward();
