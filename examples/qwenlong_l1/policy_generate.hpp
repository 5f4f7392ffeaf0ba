// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cpu/kernels.hpp>
#include <ql/model/session.hpp>
#include <ql/rl/sampler.hpp>

#include <chrono>

#include "policy_of.hpp"
#include "verb.hpp"

namespace ql::tool {

// Draws greedily and keeps the first row of logits.
class first_row {
 public:
  const ql::distribution& distribution() const { return greedy_.distribution(); }
  rl::draw operator()(const logits_row<float>& row, double u) {
    if (logits.empty()) logits.assign(row.z.begin(), row.z.end());
    return greedy_(row, u);
  }
  std::vector<float> logits;

 private:
  rl::greedy greedy_;
};

// Any of the samplers above, so that the session's step is compiled once.
class any_sampler {
 public:
  template <class S>
    requires(!std::same_as<S, any_sampler>)
  explicit any_sampler(S& s)
      : distribution_(&s.distribution()), draw_([&s](const logits_row<float>& row, double u) { return s(row, u); }) {}
  const ql::distribution& distribution() const { return *distribution_; }
  rl::draw operator()(const logits_row<float>& row, double u) { return draw_(row, u); }

 private:
  const ql::distribution* distribution_;
  std::function<rl::draw(const logits_row<float>&, double)> draw_;
};

template <class T>
std::vector<float> policy_of<T>::logits_after(std::span<const token> ids) {
  model::session<T, cpu::context> session(ctx_, *decoder_);
  session.add_leaf(session.add_root(ids), 1, {});
  first_row row;
  any_sampler sampler(row);
  session.step(sampler, model::stop_tokens{});
  return row.logits;
}

template <class T>
generation policy_of<T>::generate(std::span<const token> prompt, const sampling& s,
                                  const std::function<void(std::size_t, token)>& each) {
  using clock = std::chrono::steady_clock;
  const auto seconds = [](clock::time_point from) {
    return std::chrono::duration<double>(clock::now() - from).count();
  };
  ql::detail::expects(s.answers >= 1 && s.answers <= 4096, "generate", "--n", "1 to 4096 answers", s.answers);
  ql::detail::expects(s.max_new_tokens >= 1, "generate", "--max-new-tokens", "1 or more", s.max_new_tokens);
  ql::detail::expects(!prompt.empty(), "generate", "prompt", "at least one token", "none");
  const auto length = static_cast<std::int64_t>(prompt.size());
  ql::detail::expects(length < max_context(), "generate", "prompt",
                      "fewer than " + std::to_string(max_context()) + " tokens (the model's context)", length);
  const auto room = std::min(s.max_new_tokens, max_context() - length);

  rl::greedy greedy;
  rl::stochastic stochastic(s.greedy ? ql::distribution{} : s.distribution);
  any_sampler sampler = s.greedy ? any_sampler(greedy) : any_sampler(stochastic);
  const model::stop_tokens stop{s.stop};
  generation g;
  auto start = clock::now();
  model::session<T, cpu::context> session(ctx_, *decoder_);
  const auto root = session.add_root(prompt);
  std::vector<std::int32_t> leaves;
  for (std::int64_t i = 0; i < s.answers; ++i)
    leaves.push_back(session.add_leaf(
        root, room,
        {.seed = s.seed, .what = purpose::evaluate, .example = s.example, .sample = static_cast<std::uint32_t>(i)}));
  g.prefill_seconds = seconds(start);
  start = clock::now();
  std::vector<std::int64_t> said(leaves.size(), 0);
  for (std::int64_t live = 1; live > 0 && !interrupted();) {
    live = session.step(sampler, stop);
    for (std::size_t i = 0; i < leaves.size(); ++i)
      for (const auto ids = session.tree().ids(leaves[i]); said[i] < session.tree()[leaves[i]].count; ++said[i])
        each(i, ids[static_cast<std::size_t>(said[i])]);
  }
  g.decode_seconds = seconds(start);
  const auto r = session.finish();
  for (const auto leaf : leaves) {
    const auto& segment = r.tree[leaf];
    const auto ids = r.tree.ids(leaf);
    answer a;
    a.ids.assign(ids.begin(), ids.end());
    const auto logp = std::span(r.logp).subspan(static_cast<std::size_t>(segment.first), ids.size());
    a.logprobs.assign(logp.begin(), logp.end());
    a.finish = segment.finish == finish_reason::stop     ? "stop"
               : segment.finish == finish_reason::length ? "length"
                                                         : "interrupted";
    g.answers.push_back(std::move(a));
  }
  return g;
}

}  // namespace ql::tool
