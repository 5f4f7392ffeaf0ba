// SPDX-License-Identifier: Apache-2.0
// What this shows: three researchers change one component each of the same recipe (experiment.hpp), in at most 30 lines
// of code each: own_loss.cpp, own_curriculum.cpp, own_reward.cpp. No base class, no registration. The four runs begin
// with the same weights and the same random numbers; the table is what differs.

#include <cstdio>

#include "experiment.hpp"

int main() {
  std::printf("%-15s %5s  %8s %8s %9s\n", "", "steps", "first 10", "last 10", "held out");
  bool good = true;
  for (const auto& r : {train("base recipe", lookup{}, base_recipe()), own_loss(), own_curriculum(), own_reward()}) {
    std::printf("%-15s %5lld  %7.1f%% %7.1f%% %8.1f%%\n", r.name.c_str(), static_cast<long long>(r.steps),
                100 * r.first, 100 * r.last, 100 * r.held_out);
    good = good && r.steps > 0 && r.last > r.first && r.held_out >= 0.5 && r.differing == 0;
  }
  return good ? 0 : 1;
}
