// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/random.hpp>
#include <ql/tensor/token_tree.hpp>

#include <cstdint>
#include <vector>

namespace ql::test {

// Random numbers of a test: the same on every machine.
class dice {
 public:
  explicit dice(std::uint64_t seed) : key_{.seed = seed, .what = purpose::test} {}
  double real() { return uniform(key_, n_++); }  // in (0, 1)
  std::int64_t below(std::int64_t n) { return static_cast<std::int64_t>(real() * static_cast<double>(n)); }
  std::int64_t between(std::int64_t least, std::int64_t most) { return least + below(most - least + 1); }
  bool chance(double p) { return real() < p; }
  std::vector<token> ids(std::int64_t count, std::int64_t vocabulary) {
    std::vector<token> v;
    v.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) v.push_back(static_cast<token>(below(vocabulary)));
    return v;
  }
  template <class A>
  std::vector<A> reals(std::int64_t count) {  // in (-1/2, 1/2)
    std::vector<A> v(static_cast<std::size_t>(count));
    for (auto& x : v) x = static_cast<A>(real() - 0.5);
    return v;
  }

 private:
  random_key key_;
  std::uint64_t n_ = 0;
};

struct forest_options {
  std::int64_t roots = 3;
  std::int64_t segments = 8;  // below each root
  std::int64_t longest = 40;  // tokens of a segment
  std::int64_t offset = -1;   // the first root ends here within its block of 64 keys; -1: anywhere
};

// Several roots; below them segments of random parents, lengths (a sixth of them empty) and roles. Some roots are
// sequences that carry loss themselves; the last root is one without children.
inline token_tree random_forest(dice& d, std::int64_t vocabulary, const forest_options& o = {}) {
  token_tree t;
  for (std::int64_t r = 0; r < o.roots; ++r) {
    const bool loss = d.chance(0.5);
    auto length = d.between(1, 3 * o.longest);
    if (r == 0 && o.offset >= 0) length = 64 * d.between(o.offset == 0 ? 1 : 0, 2) + o.offset;
    const auto first = t.add_root(d.ids(length, vocabulary), loss ? role::action : role::prompt, loss);
    if (r + 1 == o.roots && r > 0) break;
    const auto n = d.between(1, o.segments);
    for (std::int64_t s = 0; s < n; ++s) {
      const auto parent =
          d.chance(0.5) ? first : static_cast<std::int32_t>(d.between(first, first + static_cast<std::int32_t>(s)));
      const auto what = static_cast<role>(d.chance(0.7) ? 1 : d.below(3));
      t.add(parent, d.ids(d.chance(1.0 / 6) ? 0 : d.between(1, o.longest), vocabulary), what);
    }
  }
  return t;
}

// Loss on every token that has a predecessor: scores can then be compared everywhere.
inline void set_all_loss(token_tree& t) {
  for (std::int32_t s = 0; s < static_cast<std::int32_t>(t.segments().size()); ++s)
    for (auto i = t[s].first; i < t[s].first + t[s].count; ++i) t.set_loss(i, t.predecessor(s, i) >= 0);
}

}  // namespace ql::test
