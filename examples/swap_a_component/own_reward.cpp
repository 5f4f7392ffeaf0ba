// SPDX-License-Identifier: Apache-2.0
// A researcher's own reward: half a point for an answer that begins right but does not stop.
#include "experiment.hpp"

struct half_points : lookup {
  std::vector<ql::rl::outcome> score(std::span<const ql::answer_request> batch) const {
    std::vector<ql::rl::outcome> out;
    for (const auto& a : batch) {
      const bool begins = a.tokens[0] == gold(a.example);
      out.push_back(ql::rl::scored{right(a, gold(a.example)) ? 1.0 : begins ? 0.5 : 0.0});
    }
    return out;
  }
};

result own_reward() { return train("own reward", half_points{}, base_recipe()); }
