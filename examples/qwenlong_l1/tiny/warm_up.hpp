// SPDX-License-Identifier: Apache-2.0
#pragma once

// What comes before RL: a drill in recalling facts, then supervised answers over short documents. Each document is
// forwarded once for all that hangs on it.

#include <ql/data/generator.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/rl/schedule.hpp>
#include <ql/sft.hpp>

#include "policy.hpp"
#include "task.hpp"

#include <cstdint>

namespace ql::tiny {

struct drill_options {
  std::int64_t steps = 1500;   // at most
  std::int64_t tokens = 2000;  // of a step
  double other_tokens = 0.2;   // weight of what the document does not tell
  double rate = 1e-3;
  std::int64_t warm_up = 50;
  double enough = 0.98;  // share of facts recalled, running over some 20 steps
  double weight_decay = 0.01;
};

struct warm_up_options {
  std::int64_t steps = 2000;
  std::int64_t tokens = 3000;  // of a step
  std::int32_t shortest = 32, longest = 128;
  std::int32_t questions = 8;
  double growing = 0.7;  // of the steps, until documents are as long as `longest`
  double rate = 1e-3;
  double falling = 0.3;     // of the steps, while the rate falls to
  double last_rate = 0.05;  // so much of itself
  double weight_decay = 0.01;
  double gate = 0.97;             // greedy accuracy at `longest` that ends warm-up
  std::int64_t more_steps = 800;  // may be added to reach it
};

struct warm_up_progress {
  std::int64_t step = 0, steps = 0, tokens = 0;
  double loss = 0, accuracy = 0;
};

// Facts of one relation, said twice again: until they are recalled. Returns the last report; `said(progress)` is called
// every step.
template <class T, class Said>
warm_up_progress drill(cpu::context& ctx, policy_of<T>& policy, std::uint64_t seed, const drill_options& o,
                       Said&& said) {
  using A = typename policy_of<T>::value_type;
  const rl::adamw optimizer{.beta1 = 0.9, .beta2 = 0.98, .weight_decay = o.weight_decay};
  auto state = make_optimizer_state(ctx, policy, optimizer);
  const rl::constant_schedule rate{.rate = o.rate, .warmup = o.warm_up};
  warm_up_progress p;
  p.steps = o.steps;
  std::uint32_t index = 0;
  for (p.step = 0; p.step < o.steps;) {
    token_tree tree;
    std::vector<A> weight;
    std::vector<std::int64_t> recall;
    while (tree.tokens() < o.tokens) {
      const auto d = data::generate_drill({}, {.seed = seed, .of = data::split::drill, .index = index++});
      const auto root = tree.add_root(d.tokens);
      weight.resize(static_cast<std::size_t>(tree.tokens()), A(0));
      for (const auto& r : d.restatements) {
        tree.add(root, r.tokens);
        for (std::size_t i = 0; i < r.tokens.size(); ++i) {
          if (r.recall[i] != 0) recall.push_back(static_cast<std::int64_t>(weight.size()));
          weight.push_back(r.recall[i] != 0 ? A(1) : static_cast<A>(o.other_tokens));
        }
      }
    }
    const auto r = sft_step(ctx, policy, tree, std::span<const A>(weight), optimizer, state, rate(p.step));
    std::int64_t right = 0;
    for (auto i : recall)
      right += r.logp[static_cast<std::size_t>(i)] > -0.6931f ? 1 : 0;  // more than half of the mass
    const double now = static_cast<double>(right) / static_cast<double>(recall.size());
    ++p.step;
    p.accuracy += (now - p.accuracy) / static_cast<double>(p.step < 20 ? p.step : 20);
    p.loss = r.loss;
    p.tokens += r.rows;
    said(p);
    if (p.step >= 50 && p.accuracy >= o.enough) break;
  }
  return p;
}

// Answers to questions; `accuracy()` is what the gate looks at, `first` the first document's number.
template <class T, class Accuracy, class Said>
warm_up_progress warm_up(cpu::context& ctx, policy_of<T>& policy, std::uint64_t seed, const warm_up_options& o,
                         Accuracy&& accuracy, Said&& said, std::uint32_t first = 0) {
  using A = typename policy_of<T>::value_type;
  const rl::adamw optimizer{.beta1 = 0.9, .beta2 = 0.98, .weight_decay = o.weight_decay};
  auto state = make_optimizer_state(ctx, policy, optimizer);
  warm_up_progress p;
  p.steps = o.steps;
  std::uint32_t index = first;
  const auto run = [&](std::int64_t steps, bool grow) {
    for (std::int64_t step = 0; step < steps; ++step) {
      const double done = static_cast<double>(step) / static_cast<double>(steps);
      double cap = o.longest;
      if (grow && done < o.growing)
        cap = o.shortest * math::exp(math::log(static_cast<double>(o.longest) / o.shortest) * done / o.growing);
      const double left = (1.0 - done) / o.falling;
      const double rate = o.rate * (left >= 1 ? 1.0 : o.last_rate + (1.0 - o.last_rate) * left);
      const auto key = random_key{.seed = seed, .what = purpose::shuffle, .example = index};
      const double low = math::max(static_cast<double>(o.shortest), cap / 2);
      const auto length = static_cast<std::int32_t>(low + uniform(key, 0) * (cap - low + 0.999));
      data::generator_config c;
      c.min_tokens = c.max_tokens = length, c.questions = o.questions;
      token_tree tree;
      while (tree.tokens() < o.tokens) {
        const auto d = data::generate(c, {.seed = seed, .of = data::split::warm_up, .index = index++});
        const auto root = tree.add_root(d.tokens);
        for (const auto& q : d.questions) tree.add(tree.add(root, q.prompt, role::prompt), q.target());
      }
      const auto r = sft_step(ctx, policy, tree, std::span<const A>{}, optimizer, state, rate);
      ++p.step;
      p.loss = r.loss;
      p.tokens += r.rows;
      said(p);
    }
  };
  run(o.steps, true);
  p.accuracy = accuracy();
  while (p.accuracy < o.gate && p.step < o.steps + o.more_steps) {
    p.steps = p.step + 200;
    run(200, false);
    p.accuracy = accuracy();
  }
  return p;
}

}  // namespace ql::tiny
