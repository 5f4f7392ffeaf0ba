// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/detail/stable_sort.hpp>
#include <ql/tensor/token_tree.hpp>

#include <algorithm>
#include <concepts>
#include <vector>

namespace ql {

// How a mini-batch is dealt out so that the bits of its gradient belong to the data: V lanes, each an ordered stream of
// units. Weight gradients chain along a lane, lanes fold in index order. A function of the tree and these two numbers
// alone: threads, micro-batches and ranks split between units, and change nothing.
struct lane_options {
  std::int32_t lanes = 8;           // the number of ranks must divide it
  std::int64_t unit_tokens = 1024;  // small trees share a unit up to this many tokens; larger trees are cut into units

  friend bool operator==(const lane_options&, const lane_options&) = default;
};

// Segments that are computed together. A large tree gives several: blocks of sibling leaves and single inner segments.
struct lane_unit {
  std::int32_t lane = 0;
  std::int64_t tokens = 0;
  bool ends_tree = true;               // the next unit belongs to other trees: micro-batches may be cut here
  std::vector<std::int32_t> segments;  // ascending
};

// A consecutive run of units.
struct unit_range {
  std::int32_t first = 0;
  std::int32_t count = 0;
};

// Its functions are templates so that their bodies cost a compiler nothing where nobody calls them.
struct lane_plan {
  lane_options options;
  std::vector<lane_unit> units;  // by lane, then along it; children before parents

  unit_range all() const { return {0, static_cast<std::int32_t>(units.size())}; }
  // Micro-batches of at most `tokens` tokens (more where a single tree has more).
  template <std::integral Tokens>
  std::vector<unit_range> split(Tokens tokens) const {
    std::vector<unit_range> parts;
    std::int32_t first = 0, last = 0;
    std::int64_t held = 0;
    const auto n = static_cast<std::int32_t>(units.size());
    while (last < n) {
      std::int32_t end = last;
      std::int64_t more = 0;
      do {
        more += units[static_cast<std::size_t>(end)].tokens;
      } while (!units[static_cast<std::size_t>(end++)].ends_tree);
      if (last > first && held + more > static_cast<std::int64_t>(tokens)) {
        parts.push_back({first, last - first});
        first = last;
        held = 0;
      }
      held += more;
      last = end;
    }
    if (last > first) parts.push_back({first, last - first});
    return parts;
  }
  // The segments of a run of units, for flatten(tree, segments).
  template <std::same_as<unit_range> Range>
  std::vector<std::int32_t> segments(Range range) const {
    std::vector<std::int32_t> all;
    for (auto u = range.first; u < range.first + range.count; ++u) {
      const auto& of = units[static_cast<std::size_t>(u)].segments;
      all.insert(all.end(), of.begin(), of.end());
    }
    return all;
  }
};

template <std::same_as<token_tree> Tree>
lane_plan plan_lanes(const Tree& tree, lane_options o = {}) {
  detail::expects(o.lanes >= 1, "plan_lanes", "lanes", "1 or more", o.lanes);
  detail::expects(o.unit_tokens >= 1, "plan_lanes", "unit_tokens", "1 or more", o.unit_tokens);
  struct root_tree {
    std::vector<std::int32_t> segments;
    std::int64_t tokens = 0;
  };
  std::vector<root_tree> trees;
  std::vector<std::size_t> tree_of(tree.segments().size());
  for (std::int32_t s = 0; s < static_cast<std::int32_t>(tree.segments().size()); ++s) {
    const auto parent = tree[s].parent;
    if (parent < 0) trees.emplace_back();
    const auto r = parent < 0 ? trees.size() - 1 : tree_of[static_cast<std::size_t>(parent)];
    tree_of[static_cast<std::size_t>(s)] = r;
    trees[r].segments.push_back(s);
    trees[r].tokens += tree[s].count;
  }
  // longest first to the lightest lane; ties to the lower index
  std::vector<std::size_t> order(trees.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  ql::detail::stable_sort(order.begin(), order.end(),
                          [&](auto a, auto b) { return trees[a].tokens > trees[b].tokens; });
  std::vector<std::int64_t> weight(static_cast<std::size_t>(o.lanes), 0);
  std::vector<std::vector<std::size_t>> lanes(static_cast<std::size_t>(o.lanes));
  for (auto t : order) {
    const auto l = static_cast<std::size_t>(std::min_element(weight.begin(), weight.end()) - weight.begin());
    lanes[l].push_back(t);
    weight[l] += trees[t].tokens;
  }
  lane_plan plan{.options = o, .units = {}};
  for (std::int32_t l = 0; l < o.lanes; ++l) {
    auto& members = lanes[static_cast<std::size_t>(l)];
    std::sort(members.begin(), members.end());
    bool open = false;  // the last unit takes further small trees
    for (auto t : members) {
      const auto& tr = trees[t];
      if (tr.tokens <= o.unit_tokens) {
        if (!open || plan.units.back().tokens + tr.tokens > o.unit_tokens)
          plan.units.push_back({.lane = l, .segments = {}});
        auto& u = plan.units.back();
        u.tokens += tr.tokens;
        u.segments.insert(u.segments.end(), tr.segments.begin(), tr.segments.end());
        open = true;
        continue;
      }
      open = false;
      // descending, so that children come before parents; neighbouring leaves of one parent share a unit
      std::int32_t parent = -2;
      for (auto it = tr.segments.rbegin(); it != tr.segments.rend(); ++it) {
        const auto& s = tree[*it];
        const bool leaf = tree.leaf(*it);
        if (!(leaf && parent == s.parent && plan.units.back().tokens + s.count <= o.unit_tokens)) {
          plan.units.push_back({.lane = l, .ends_tree = false, .segments = {}});
        }
        plan.units.back().segments.push_back(*it);
        plan.units.back().tokens += s.count;
        parent = leaf ? s.parent : -2;
      }
      plan.units.back().ends_tree = true;
    }
  }
  for (auto& u : plan.units) std::sort(u.segments.begin(), u.segments.end());
  return plan;
}

}  // namespace ql
