// SPDX-License-Identifier: Apache-2.0
#pragma once

// A torch::nn::Module as a policy of ql, and how answers are sampled from it.

#include <ql/model/policy.hpp>
#include <ql/rollout.hpp>

#include <torch/torch.h>
#include <algorithm>
#include <span>
#include <vector>

using tokens = std::vector<ql::token>;

// Sequences side by side, filled up at their ends.
inline torch::Tensor padded(const std::vector<tokens>& rows) {
  const auto longest = std::ranges::max(rows, {}, &tokens::size).size();
  auto ids = torch::zeros({std::ssize(rows), static_cast<std::int64_t>(longest)}, torch::kInt64);
  for (std::size_t r = 0; r < rows.size(); ++r) std::ranges::copy(rows[r], ids.data_ptr<std::int64_t>() + r * longest);
  return ids;
}

// Net: a module with forward(ids (sequences, tokens)) -> logits (sequences, tokens, vocabulary), a token's from those
// before it.
template <class Net>
struct torch_policy {
  using scalar_type = float;
  using value_type = float;
  using context_type = ql::cpu::context;
  using score_options = ql::model::score_options;
  static constexpr ql::exactness exactness = ql::exactness::inexact;
  struct tape {
    torch::Tensor logp, entropy, where;  // of the loss tokens, with torch's graph; their places in the tree
  };
  Net net;
  std::vector<ql::parameter_view<float>> views;

  torch_policy() {
    for (auto& named : net.named_parameters()) {
      auto& w = named.value();
      w.mutable_grad() = torch::zeros_like(w);  // torch adds to what is there
      const auto n = static_cast<std::size_t>(w.numel());
      views.push_back({.name = named.key(),
                       .rows = w.dim() > 1 ? w.size(0) : 1,
                       .columns = w.size(-1),
                       .master = {w.template data_ptr<float>(), n},
                       .gradient = {w.grad().template data_ptr<float>(), n}});
    }
  }
  auto& parameters() { return views; }
  const auto& parameters() const { return views; }
  ql::lane_options lanes() const { return {.lanes = 1}; }
  void zero_gradients(context_type&) { net.zero_grad(); }
  void finish_gradients(context_type&) {}
  void publish(context_type&, ql::parameter_view<float>&) {}
  void published() {}

  tape score(context_type&, const ql::token_tree& tree, const ql::lane_plan& plan, ql::unit_range range,
             const score_options& o, ql::model::scores<float> out) {
    torch::AutoGradMode graph(o.backward);
    const auto flat = ql::flatten(tree, plan.segments(range));  // this model knows sequences alone
    std::vector<tokens> rows;
    std::vector<std::int64_t> row, before, said, where;
    for (std::int32_t s = 0; s < std::ssize(flat.tree.segments()); ++s) {
      const auto ids = flat.tree.ids(s);
      rows.emplace_back(ids.begin(), ids.end());
      for (std::int64_t i = 1; i < std::ssize(ids); ++i) {
        const auto at = flat.tree[s].first + i;
        if (!flat.tree.has_loss(at)) continue;
        row.push_back(s), before.push_back(i - 1), said.push_back(ids[static_cast<std::size_t>(i)]);
        where.push_back(flat.source[static_cast<std::size_t>(at)]);
      }
    }
    const auto z = net.forward(padded(rows)).index({torch::tensor(row), torch::tensor(before)});
    const auto logp = torch::log_softmax(z / o.distribution.temperature, 1);
    const tape t{logp.gather(1, torch::tensor(said).unsqueeze(1)).squeeze(1), -(logp.exp() * logp).sum(1),
                 torch::tensor(where)};
    as_tensor(out.logp).index_copy_(0, t.where, t.logp.detach());
    if (!out.entropy.empty()) as_tensor(out.entropy).index_copy_(0, t.where, t.entropy.detach());
    return t;
  }
  void backward(context_type&, tape& t, ql::model::scores<const float> d) {
    auto loss = (t.logp * as_tensor(d.logp).index_select(0, t.where)).sum();
    if (!d.entropy.empty()) loss = loss + (t.entropy * as_tensor(d.entropy).index_select(0, t.where)).sum();
    loss.backward();
  }

 private:
  static torch::Tensor as_tensor(std::span<const float> x) {  // torch's view of ql's memory
    return torch::from_blob(const_cast<float*>(x.data()), {std::ssize(x)});
  }
};

// For slot::engine: torch computes logits, ql's sampler draws from them where they lie.
struct torch_engine {
  template <class Policy, class E, class Sampler, class Between>
  auto operator()(ql::cpu::context&, Policy& policy, E& env, std::span<const ql::rollout_request> requests,
                  const ql::rollout_options& o, Sampler& sampler, ql::rollout_report& said, Between&& between) const {
    torch::NoGradGuard no_graph;
    std::vector<ql::group<float>> groups;
    std::vector<tokens> paths;
    for (const auto& r : requests) {
      groups.push_back({r.example, r.visit, 0, std::vector<ql::answer<float>>(static_cast<std::size_t>(o.group_size))});
      paths.insert(paths.end(), groups.back().answers.size(), env.question(r.example));
    }
    for (std::int64_t length = 0; length < o.max_new_tokens; between(said.sampled), ++length) {
      const auto z = net_logits(policy, paths, sampler.distribution().temperature);
      const auto logp = torch::log_softmax(z, 2), entropy = -(logp.exp() * logp).sum(2);
      const auto vocabulary = static_cast<std::size_t>(z.size(2));
      for (std::size_t i = 0; i < paths.size(); ++i) {
        auto& g = groups[i / static_cast<std::size_t>(o.group_size)];
        const auto sample = static_cast<std::uint32_t>(i % static_cast<std::size_t>(o.group_size));
        auto& a = g.answers[sample];
        if (a.finish != ql::finish_reason::none) continue;
        const auto row = static_cast<std::int64_t>(i), last = std::ssize(paths[i]) - 1;
        const std::span<const float> logits(z[row][last].template data_ptr<float>(), vocabulary);
        const ql::random_key key{o.seed, o.what, static_cast<std::uint32_t>(g.example), g.visit, sample};
        const auto id =
            sampler(ql::logits_row<float>{logits, std::ranges::max(logits)}, ql::uniform(key, paths[i].size())).id;
        a.tokens.push_back(id), paths[i].push_back(id), ++said.sampled;
        a.logp.push_back(logp[row][last][id].template item<float>());
        a.entropy.push_back(entropy[row][last].template item<float>());
        if (std::ranges::count(o.stop, id) > 0)
          a.finish = ql::finish_reason::stop;
        else if (length + 1 == o.max_new_tokens)
          a.finish = ql::finish_reason::length;
      }
    }
    return groups;
  }

 private:
  static torch::Tensor net_logits(auto& policy, const std::vector<tokens>& paths, double temperature) {
    return (policy.net.forward(padded(paths)) / temperature).contiguous();
  }
};
