// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: environment: `score\(std::span<const ql::answer_request>\)` must return
// max-lines: 15
// A reward that is a bare number.
#include "support/recipe.hpp"

struct numbers : documents {
  std::vector<double> score(std::span<const ql::answer_request> batch) const {
    return std::vector<double>(batch.size(), 1.0);
  }
};

void use() {
#ifdef QL_NEGATIVE
  train(numbers{}, whole_recipe());
#else
  train(documents{}, whole_recipe());
#endif
}
