// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/tensor/token_tree.hpp>

#include "support/numbers.hpp"

#include <cstdint>
#include <vector>

namespace ql::test {

struct tree_shape {
  int segments = 12;
  int longest = 9;   // tokens of a segment
  int root_in = 5;   // one segment in so many is a root
  int empty_in = 4;  // one in so many has no tokens
  token vocabulary = 50;
};

inline std::vector<token> random_ids(numbers& r, std::int64_t n, token vocabulary) {
  std::vector<token> v(static_cast<std::size_t>(n));
  for (auto& t : v) t = static_cast<token>(r.below(vocabulary));
  return v;
}

// A forest of random segments, roles and loss marks, some segments empty.
inline token_tree random_tree(numbers& r, const tree_shape& s = {}) {
  token_tree t;
  for (int i = 0; i < s.segments; ++i) {
    const auto n = r.below(s.empty_in) == 0 ? 0 : 1 + r.below(s.longest);
    const auto ids = random_ids(r, n, s.vocabulary);
    const auto what = static_cast<role>(r.below(3));
    const bool loss = r.below(2) == 0;
    if (i == 0 || r.below(s.root_in) == 0) {
      t.add_root(ids, what, loss);
    } else {
      t.add(static_cast<std::int32_t>(r.below(i)), ids, what, loss);
    }
    if (r.below(3) == 0) t.finish(i, r.below(2) == 0 ? finish_reason::stop : finish_reason::length);
  }
  for (std::int64_t i = 0; i < t.tokens(); ++i)
    if (r.below(6) == 0) t.set_loss(i, r.below(2) == 0);
  return t;
}

}  // namespace ql::test
