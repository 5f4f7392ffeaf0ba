// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backend/cuda/operations.hpp"

namespace ql::test::device {

inline constexpr std::int64_t tokens = 37, inner = 40, entries = 9001;  // more entries than are in memory at a time

template <class T>
struct vocabulary_case {
  using A = accumulate_t<T>;
  numbers r{4};
  std::vector<T> hidden = normals<T>(r, tokens* inner);
  std::vector<A> head = normals<A>(r, entries* inner, 0.2), dlogp = normals<A>(r, tokens),
                 dentropy = normals<A>(r, tokens);
  std::vector<token> targets, support;
  std::vector<std::int64_t> first{0};
  vocabulary_case() {
    for (std::int64_t i = 0; i < tokens; ++i) {
      targets.push_back(static_cast<token>(r.below(entries)));
      if (i % 3 > 0) {  // a third of the rows keeps the whole vocabulary
        support.push_back(targets.back());
        for (int j = 0; j < 40; ++j) support.push_back(static_cast<token>((targets.back() + 1 + 217 * j) % entries));
      }
      first.push_back(static_cast<std::int64_t>(support.size()));
    }
  }
};
template <class T>
struct vocabulary_result {
  using A = accumulate_t<T>;
  std::vector<A> logp = std::vector<A>(tokens), entropy = logp, lse = logp, dhidden = std::vector<A>(tokens * inner),
                 dhead = std::vector<A>(entries * inner);
};

template <class T, class Space>
vocabulary_dx_args<T, Space> arguments(const vocabulary_case<T>& in, vocabulary_result<T>& out, bool frozen) {
  vocabulary_dx_args<T, Space> g;
  g.forward.inverse_temperature = accumulate_t<T>(1 / 0.7);
  g.forward.targets = in.targets;
  if (frozen) g.forward.support = in.support, g.forward.support_first = in.first;
  g.forward.logp = out.logp;
  g.forward.entropy = out.entropy;
  g.forward.lse = out.lse;
  g.dlogp = in.dlogp;
  g.dentropy = in.dentropy;
  return g;
}

}  // namespace ql::test::device
