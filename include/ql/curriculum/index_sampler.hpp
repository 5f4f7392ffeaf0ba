// SPDX-License-Identifier: Apache-2.0
#pragma once

// In which order indices are drawn: epochs without a cut end, and batches of balanced tasks. Functions are templates so
// that their bodies cost a compiler nothing where nobody calls them.

#include <ql/curriculum/phase.hpp>
#include <ql/curriculum/shuffle.hpp>
#include <ql/detail/stable_sort.hpp>
#include <ql/error.hpp>
#include <ql/math.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ql::curriculum {

// What is drawn from. `list` tells apart the lists of a run that share a seed (the number of the phase).
struct index_list {
  std::span<const std::uint32_t> items;  // ascending, none twice
  std::span<const std::int32_t> task{};  // of each item; empty: all alike
  std::uint64_t seed = 0;
  std::uint32_t list = 0;
};

// `s.draw(state, list, n, taken)` returns n items, none twice and none of `taken` (what the step at hand already has);
// fewer only where the list has no more. `typename S::state{}` is the state before the first draw, a value that can be
// compared and archived (a plain aggregate).
template <class S>
concept index_sampler = std::copyable<S> && std::copyable<typename S::state> &&
                        std::equality_comparable<typename S::state> && std::default_initializable<typename S::state> &&
                        requires(const S& s, typename S::state& state, const index_list& list, std::int64_t n,
                                 std::span<const std::uint32_t> taken) {
                          { s.draw(state, list, n, taken) } -> std::same_as<std::vector<std::uint32_t>>;
                        };

namespace detail {
// Marks the items of `taken`; returns how many of the list remain.
template <int = 0>
std::int64_t mark_taken(std::span<const std::uint32_t> items, std::span<const std::uint32_t> taken,
                        std::vector<std::uint8_t>& marked) {
  marked.assign(items.size(), 0);
  auto left = static_cast<std::int64_t>(items.size());
  for (const auto t : taken) {
    const auto at = std::lower_bound(items.begin(), items.end(), t);
    if (at == items.end() || *at != t) continue;
    auto& m = marked[static_cast<std::size_t>(at - items.begin())];
    left -= m == 0 ? 1 : 0;
    m = 1;
  }
  return left;
}
template <int = 0>
std::size_t place_of(std::span<const std::uint32_t> items, std::uint32_t item) {
  return static_cast<std::size_t>(std::lower_bound(items.begin(), items.end(), item) - items.begin());
}
}  // namespace detail

// Walks the list in epochs, each in an order of its own. A batch may span epochs: what it holds already waits for the
// next batch, so that no item is twice in a batch and no item falls behind by more than one visit.
struct epoch_sampler {
  struct state {
    std::uint32_t epoch = 0;           // orders made so far
    std::vector<std::uint32_t> queue;  // still to come of them
    friend bool operator==(const state&, const state&) = default;
  };

  template <int = 0>
  std::vector<std::uint32_t> draw(state& s, const index_list& list, std::int64_t n,
                                  std::span<const std::uint32_t> taken = {}) const {
    detail::expects(n >= 0, "epoch_sampler.draw", "n", "at least 0", n);
    std::vector<std::uint8_t> marked;
    const auto wanted = static_cast<std::size_t>(std::min(n, detail::mark_taken(list.items, taken, marked)));
    std::vector<std::uint32_t> out, waiting;
    out.reserve(wanted);
    std::size_t next = 0;
    while (out.size() < wanted) {
      if (next == s.queue.size()) {
        const auto first = s.queue.size();
        s.queue.insert(s.queue.end(), list.items.begin(), list.items.end());
        shuffle(std::span(s.queue).subspan(first), shuffle_key(list.seed, stream::epoch, list.list, s.epoch));
        ++s.epoch;
      }
      const auto item = s.queue[next++];
      auto& m = marked[detail::place_of(list.items, item)];
      (m != 0 ? waiting : out).push_back(item);
      m = 1;
    }
    waiting.insert(waiting.end(), s.queue.begin() + static_cast<std::ptrdiff_t>(next), s.queue.end());
    s.queue = std::move(waiting);
    return out;
  }
  friend bool operator==(const epoch_sampler&, const epoch_sampler&) = default;
};

// How many of a batch each task gives (QwenLong-L1.5, arXiv 2512.12967): floor(batch weight), at most the task's size;
// the remainder one at a time in descending order of weight (lower task first among equals) to tasks with spare items.
//   batch 10, weights 1/3 each, sizes 100 100 2 -> 4 4 2
template <int = 0>
std::vector<std::int64_t> balanced_counts(std::int64_t batch, std::span<const double> weights,
                                          std::span<const std::int64_t> sizes) {
  std::vector<std::int64_t> count(sizes.size(), 0);
  std::int64_t left = batch;
  for (std::size_t d = 0; d < sizes.size(); ++d) {
    // 0.29 * 100 is 28.999...: what is an integer but for rounding counts as one
    const auto share = static_cast<std::int64_t>(static_cast<double>(batch) * weights[d] + 1e-9);
    count[d] = std::min({share, sizes[d], left});
    left -= count[d];
  }
  std::vector<std::size_t> order(sizes.size());
  for (std::size_t d = 0; d < order.size(); ++d) order[d] = d;
  ql::detail::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return weights[a] > weights[b]; });
  for (bool given = true; left > 0 && given;) {
    given = false;
    for (const auto d : order) {
      if (left == 0 || weights[d] <= 0 || count[d] == sizes[d]) continue;
      ++count[d];
      --left;
      given = true;
    }
  }
  return count;
}

// Task-balanced batches: each holds balanced_counts of every task. Each task walks a shuffled list of its items, which
// is shuffled anew, its tail left out, when it is too short for the next batch. The batch is shuffled.
struct task_balanced {
  std::vector<double> weights;  // by task number, their sum is taken as 1; empty: equal ones

  struct state {
    std::uint32_t batches = 0;
    std::vector<std::uint32_t> order;  // the tasks' lists one after the other, in ascending task
    std::vector<std::int64_t> next;    // by task: where its walk stands
    std::vector<std::uint32_t> turn;   // by task: shuffles so far
    friend bool operator==(const state&, const state&) = default;
  };

  template <int = 0>
  std::vector<std::uint32_t> draw(state& s, const index_list& list, std::int64_t n,
                                  std::span<const std::uint32_t> taken = {}) const {
    constexpr const char* me = "task_balanced.draw";
    detail::expects(n >= 0, me, "n", "at least 0", n);
    detail::expects<shape_error>(list.task.size() == list.items.size(), me, "task", list.items.size(),
                                 list.task.size());
    const auto domains = domains_of(list);
    if (s.next.empty()) {
      s.order.assign(list.items.begin(), list.items.end());
      s.next.resize(domains.size());
      s.turn.assign(domains.size(), 0);
      for (std::size_t d = 0; d < domains.size(); ++d)
        s.next[d] = static_cast<std::int64_t>(domains[d].items.size());  // used up: shuffled when first needed
    }
    std::vector<std::uint8_t> marked;
    detail::mark_taken(list.items, taken, marked);
    const auto free = [&](std::uint32_t item) { return marked[detail::place_of(list.items, item)] == 0; };

    std::vector<double> share(domains.size());
    std::vector<std::int64_t> size(domains.size());
    for (std::size_t d = 0; d < domains.size(); ++d) {
      share[d] = domains[d].share;
      size[d] = std::count_if(domains[d].items.begin(), domains[d].items.end(), free);
    }
    const auto count = balanced_counts(n, share, size);

    std::vector<std::uint32_t> out;
    std::size_t begin = 0;
    for (std::size_t d = 0; d < domains.size(); ++d) {
      const auto own = std::span(s.order).subspan(begin, domains[d].items.size());
      begin += own.size();
      const auto rest = own.subspan(static_cast<std::size_t>(s.next[d]));
      if (std::count_if(rest.begin(), rest.end(), free) < count[d]) {
        std::copy(domains[d].items.begin(), domains[d].items.end(), own.begin());
        const auto task = static_cast<std::uint64_t>(domains[d].task);
        shuffle(own, shuffle_key(list.seed, stream::domain, list.list, s.turn[d]), task << 32);
        ++s.turn[d];
        s.next[d] = 0;
      }
      for (std::int64_t taken_here = 0; taken_here < count[d];) {
        const auto item = own[static_cast<std::size_t>(s.next[d]++)];
        if (!free(item)) continue;
        out.push_back(item);
        ++taken_here;
      }
    }
    shuffle(std::span(out), shuffle_key(list.seed, stream::batch, list.list, s.batches));
    ++s.batches;
    return out;
  }

  template <class Book>
  void validate(Book& b) const {
    double sum = 0;
    for (const double w : weights) {
      b.require(w >= 0 && math::isfinite(w), "weights", w, "at least 0 and finite", "0 leaves a task out");
      sum += w;
    }
    b.require(weights.empty() || sum > 0, "weights", sum, "a sum above 0", "leave them empty for equal weights");
  }
  friend bool operator==(const task_balanced&, const task_balanced&) = default;

 private:
  struct domain {
    std::int32_t task = 0;
    double share = 0;
    std::vector<std::uint32_t> items;
  };
  template <int = 0>
  std::vector<domain> domains_of(const index_list& list) const {
    std::vector<domain> out;
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      const auto task = list.task[i];
      auto at = std::lower_bound(out.begin(), out.end(), task, [](const domain& d, auto t) { return d.task < t; });
      if (at == out.end() || at->task != task) {
        const auto known = weights.empty() || (task >= 0 && static_cast<std::size_t>(task) < weights.size());
        detail::expects(known, "task_balanced.draw", "weights", "one for task " + std::to_string(task), weights.size());
        at = out.insert(at, {task, weights.empty() ? 1.0 : weights[static_cast<std::size_t>(task)], {}});
      }
      at->items.push_back(list.items[i]);
    }
    double sum = 0;
    for (const auto& d : out) sum += d.share;
    for (auto& d : out) d.share = sum > 0 ? d.share / sum : 0;
    return out;
  }
};

}  // namespace ql::curriculum
