// SPDX-License-Identifier: Apache-2.0
// A researcher's own curriculum: no phases; from step to step a few longer documents join, the shortest come first.
#include "experiment.hpp"

using namespace ql::curriculum;
struct growing {
  phase all;
  struct state {
    std::int64_t step = 0;
    std::size_t drawn = 0;
    std::vector<std::uint32_t> visits;
    bool operator==(const state&) const = default;
  };
  state start(const pool& p, std::uint64_t) const { return {0, 0, std::vector<std::uint32_t>(p.size())}; }
  activity now(const state& s) const { return s.step < all.steps ? activity::train : activity::finished; }
  const phase& limits(const state&) const { return all; }
  selection select(state& s, const pool& p, std::int64_t n) const {
    std::vector<example_id> order(p.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::sort(order, {}, [&](auto e) { return std::pair(p.prompt_tokens[e], e); });
    order.resize(static_cast<std::size_t>(std::max(n, std::ssize(order) * (s.step + 1) / all.steps)));
    selection out{{}, n, n};
    for (; n > 0; --n) out.draws.push_back({order[s.drawn++ % order.size()]});
    for (auto& d : out.draws) d.visit = s.visits[d.example]++;
    return out;
  }
  bool observe(state&, example_id, std::span<const double>) const { return true; }
  void end_step(state& s, const pool&, bool) const { ++s.step; }
};

result own_curriculum() {
  const growing all{documents(0, 32, 120)};
  return train("own curriculum", lookup{}, ql::with(base_recipe(), ql::slot::curriculum = all));
}
