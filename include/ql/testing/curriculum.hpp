// SPDX-License-Identifier: Apache-2.0
#pragma once

// What curricula, samplers of indices and retentions promise beyond their signatures. A law returns an empty string, or
// what is wrong:
//
//   EXPECT_EQ(ql::testing::laws::curriculum(my_course, data, 1), "");
//
// And for each concept of ql::curriculum the smallest type that models it, with types that miss it by one thing.

#include <ql/curriculum/curriculum.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ql::testing {
namespace detail {

struct as_it_is {
  template <class State>
  State operator()(const State& s) const {
    return s;
  }
};

inline std::string miscounted(std::string_view what, std::int64_t a, std::int64_t b) {
  return std::string(what) + ": expected " + std::to_string(a) + ", got " + std::to_string(b);
}

// Scripted scores: example e is right with a probability of its own, which grows with its visits.
inline std::vector<double> scripted_scores(std::uint64_t seed, ql::curriculum::example_id e, std::uint32_t visit,
                                           ql::purpose what) {
  const double skill = uniform(random_key{seed, purpose::test, e, 0, 1}, 0) * 1.4 - 0.2 + 0.05 * visit;
  std::vector<double> r(8);
  for (std::size_t i = 0; i < r.size(); ++i)
    r[i] = uniform(random_key{seed, what, e, visit, static_cast<std::uint32_t>(i)}, 0) < skill ? 1.0 : 0.0;
  return r;
}

// What one step of the scripted run does; the draws it made go to `seen`. False when the curriculum is finished.
template <class C>
bool scripted_step(const C& course, typename C::state& s, const ql::curriculum::pool& data, std::uint64_t seed,
                   std::vector<ql::curriculum::draw>& seen) {
  using namespace ql::curriculum;
  seen.clear();
  if (course.now(s) == activity::finished) return false;
  if constexpr (scoring_curriculum<C>) {
    if (course.now(s) == activity::score) {
      const auto d = course.pending(s).front();
      seen.push_back(d);
      course.observe_score(s, data, d.example, scripted_scores(seed, d.example, d.visit, purpose::difficulty));
      return true;
    }
  }
  const phase limits = course.limits(s);
  for (int round = 0; round < 2; ++round) {
    const auto got = course.select(s, data, limits.round_size());
    for (const auto& d : got.draws) {
      course.observe(s, d.example, scripted_scores(seed, d.example, d.visit, purpose::train));
      seen.push_back(d);
    }
  }
  course.end_step(s, data, true);
  return true;
}

}  // namespace detail

namespace laws {

// It ends; its limits never fall; every example drawn is within them; none is drawn twice in a step; visits count from
// 0 without a gap, so that no random number is used twice; a group with a NaN changes nothing; the same seed gives the
// same run; a state that went `through` a checkpoint (a function from state to state) is equal and goes on alike.
template <ql::curriculum::curriculum C, class Through = detail::as_it_is>
std::string curriculum(const C& course, const ql::curriculum::pool& data, std::uint64_t seed, Through through = {},
                       std::int64_t most_steps = 20000) {
  using namespace ql::curriculum;
  const auto name = [](example_id e) { return "example " + std::to_string(e); };
  auto s = course.start(data, seed), twin = course.start(data, seed);
  if (!(s == twin)) return "the same seed starts differently";
  std::vector<std::uint32_t> visits(data.size(), 0), scorings(data.size(), 0);
  std::vector<draw> seen, other;
  std::int64_t steps = 0, limit = 0;
  for (;; ++steps) {
    if (steps == most_steps) return "it does not end within " + std::to_string(most_steps) + " steps";
    // what is asked of the state now
    const auto at = course.now(s);
    const phase limits = at == activity::finished ? phase{} : phase(course.limits(s));
    if (at != activity::finished) {
      if (limits.prompt_limit() < limit)
        return testing::detail::miscounted("prompt limit", limit, limits.prompt_limit());
      limit = limits.prompt_limit();
    }
    typename C::state restored = through(s);
    if (!(restored == s)) return "a restored state differs in step " + std::to_string(steps);

    const bool more = testing::detail::scripted_step(course, s, data, seed, seen);
    if (testing::detail::scripted_step(course, restored, data, seed, other) != more || other != seen ||
        !(restored == s))
      return "a restored state goes on differently in step " + std::to_string(steps);
    testing::detail::scripted_step(course, twin, data, seed, other);
    if (other != seen || !(twin == s)) return "the same seed runs differently in step " + std::to_string(steps);
    if (!more) return "";

    auto& count = at == activity::score ? scorings : visits;
    std::vector<example_id> in_step;
    for (const auto& d : seen) {
      if (d.example >= data.size()) return name(d.example) + " does not exist";
      if (data.prompt_tokens[d.example] > limits.prompt_limit())
        return testing::detail::miscounted("prompt of " + name(d.example), limit, data.prompt_tokens[d.example]);
      if (d.visit != count[d.example])
        return testing::detail::miscounted("visit of " + name(d.example), count[d.example], d.visit);
      ++count[d.example];
      in_step.push_back(d.example);
    }
    std::sort(in_step.begin(), in_step.end());
    if (const auto twice = std::adjacent_find(in_step.begin(), in_step.end()); twice != in_step.end())
      return name(*twice) + " is twice in a step";

    if (at == activity::train && course.now(s) == activity::train && !seen.empty()) {
      auto quiet = s;
      const double scores[] = {1.0, std::numeric_limits<double>::quiet_NaN()};
      if (course.observe(quiet, seen[0].example, scores) || !(quiet == s)) return "a group with a NaN is not left out";
    }
  }
}

// Batches hold n items of the list, or all that are free; none twice and none that is taken; restored states go on
// alike.
template <ql::curriculum::index_sampler S>
std::string index_sampler(const S& sampler, const ql::curriculum::index_list& list, std::int64_t n) {
  using namespace ql::curriculum;
  typename S::state s{};
  const std::vector<std::uint32_t> taken(list.items.begin(),
                                         list.items.begin() + static_cast<std::ptrdiff_t>(list.items.size() / 4));
  for (int batch = 0; batch < 50; ++batch) {
    const auto avoid = std::span(taken).first(batch % 3 == 2 ? taken.size() : 0);
    auto copy = s;
    auto got = sampler.draw(s, list, n, avoid);
    if (sampler.draw(copy, list, n, avoid) != got || !(copy == s)) return "two equal states draw differently";
    const auto free = static_cast<std::int64_t>(list.items.size() - avoid.size());
    if (static_cast<std::int64_t>(got.size()) != std::min(n, free))
      return testing::detail::miscounted("items of a batch", std::min(n, free), static_cast<std::int64_t>(got.size()));
    std::sort(got.begin(), got.end());
    if (std::adjacent_find(got.begin(), got.end()) != got.end()) return "an item is twice in a batch";
    for (const auto item : got) {
      if (!std::binary_search(list.items.begin(), list.items.end(), item)) return "an item is not of the list";
      if (std::find(avoid.begin(), avoid.end(), item) != avoid.end()) return "an item that is taken is drawn again";
    }
  }
  return "";
}

// Every epoch visits every item once, wherever batches are cut: counts never differ by more than one, and after every
// list.items.size() items of a sampler that carries nothing over they are equal.
template <ql::curriculum::index_sampler S>
std::string epochs(const S& sampler, const ql::curriculum::index_list& list, std::int64_t n) {
  typename S::state s{};
  std::vector<std::int64_t> count(list.items.size(), 0);
  std::int64_t drawn = 0;
  for (int batch = 0; batch < 100; ++batch) {
    for (const auto item : sampler.draw(s, list, n, {})) {
      const auto at = std::lower_bound(list.items.begin(), list.items.end(), item) - list.items.begin();
      ++count[static_cast<std::size_t>(at)];
      ++drawn;
    }
    const auto [least, most] = std::minmax_element(count.begin(), count.end());
    if (*most - *least > 1)
      return testing::detail::miscounted("visits behind the most visited item", 1, *most - *least);
    const auto size = static_cast<std::int64_t>(list.items.size());
    if (drawn % size == 0 && *least != drawn / size) return testing::detail::miscounted("visits", drawn / size, *least);
  }
  return "";
}

// What is retained is a part of the candidates, ascending, none twice, whatever their order; the same for the same
// request.
template <ql::curriculum::retention R>
std::string retention(const R& r, std::uint64_t seed) {
  using namespace ql::curriculum;
  std::vector<scored_example> from;
  for (example_id e = 0; e < 60; ++e) {
    const auto right = below(random_key{seed, purpose::test, e}, 0, 9);
    from.push_back({3 * e + 1, 8, static_cast<double>(right) / 8});
  }
  for (const std::int64_t wanted : {0, 1, 17, 60, 100}) {
    const retention_request q{wanted, seed, 1};
    const auto kept = r.retain(from, q);
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (i > 0 && kept[i - 1] >= kept[i]) return "the retained examples do not ascend";
      if (kept[i] % 3 != 1 || kept[i] > 178) return "an example is retained that was no candidate";
    }
    if (r.retain(from, q) != kept) return "the same request retains others";
    auto turned = from;
    std::reverse(turned.begin(), turned.end());
    if (r.retain(turned, q) != kept) return "what is retained depends on the order of the candidates";
  }
  if (!r.retain({}, {5, seed, 1}).empty()) return "something is retained of nothing";
  return "";
}

}  // namespace laws

namespace archetypes {

struct course {
  struct state {
    friend bool operator==(const state&, const state&) = default;
  };
  state start(const ql::curriculum::pool&, std::uint64_t) const { return {}; }
  ql::curriculum::activity now(const state&) const { return ql::curriculum::activity::finished; }
  ql::curriculum::phase limits(const state&) const { return {}; }
  ql::curriculum::selection select(state&, const ql::curriculum::pool&, std::int64_t) const { return {}; }
  bool observe(state&, ql::curriculum::example_id, std::span<const double>) const { return true; }
  void end_step(state&, const ql::curriculum::pool&, bool) const {}
};
struct course_without_comparison : course {  // nobody can tell whether a resumed run is the same
  struct state {};
  state start(const ql::curriculum::pool&, std::uint64_t) const { return {}; }
  ql::curriculum::activity now(const state&) const { return ql::curriculum::activity::finished; }
  ql::curriculum::phase limits(const state&) const { return {}; }
  ql::curriculum::selection select(state&, const ql::curriculum::pool&, std::int64_t) const { return {}; }
  bool observe(state&, ql::curriculum::example_id, std::span<const double>) const { return true; }
  void end_step(state&, const ql::curriculum::pool&, bool) const {}
};
struct course_that_changes : course {  // state hides in the object
  ql::curriculum::selection select(state&, const ql::curriculum::pool&, std::int64_t) { return {}; }
};
struct course_of_indices : course {  // draws without visits
  std::vector<ql::curriculum::example_id> select(state&, const ql::curriculum::pool&, std::int64_t) const { return {}; }
};
struct course_that_hears_nothing : course {
  void observe(state&, ql::curriculum::example_id, std::span<const double>) const {}
};
static_assert(ql::curriculum::curriculum<course> && !ql::curriculum::scoring_curriculum<course>);
static_assert(!ql::curriculum::curriculum<course_without_comparison>);
static_assert(!ql::curriculum::curriculum<course_that_changes>);
static_assert(!ql::curriculum::curriculum<course_of_indices>);
static_assert(!ql::curriculum::curriculum<course_that_hears_nothing>);

struct index_sampler {
  struct state {
    friend bool operator==(const state&, const state&) = default;
  };
  std::vector<std::uint32_t> draw(state&, const ql::curriculum::index_list&, std::int64_t,
                                  std::span<const std::uint32_t>) const {
    return {};
  }
};
struct index_sampler_without_comparison {
  struct state {};
  std::vector<std::uint32_t> draw(state&, const ql::curriculum::index_list&, std::int64_t,
                                  std::span<const std::uint32_t>) const {
    return {};
  }
};
struct index_sampler_of_repeats : index_sampler {  // cannot be told what is taken
  std::vector<std::uint32_t> draw(state&, const ql::curriculum::index_list&, std::int64_t) const { return {}; }
};
static_assert(ql::curriculum::index_sampler<index_sampler>);
static_assert(!ql::curriculum::index_sampler<index_sampler_without_comparison>);
static_assert(!ql::curriculum::index_sampler<index_sampler_of_repeats>);

struct retention {
  bool needs_scores() const { return false; }
  std::vector<ql::curriculum::example_id> retain(std::span<const ql::curriculum::scored_example>,
                                                 const ql::curriculum::retention_request&) const {
    return {};
  }
};
struct retention_silent_on_scores {
  std::vector<ql::curriculum::example_id> retain(std::span<const ql::curriculum::scored_example>,
                                                 const ql::curriculum::retention_request&) const {
    return {};
  }
};
struct retention_by_number {
  bool needs_scores() const { return false; }
  std::int64_t retain(std::span<const ql::curriculum::scored_example>, const ql::curriculum::retention_request&) const {
    return 0;
  }
};
static_assert(ql::curriculum::retention<retention>);
static_assert(!ql::curriculum::retention<retention_silent_on_scores>);
static_assert(!ql::curriculum::retention<retention_by_number>);
static_assert(ql::curriculum::scoring_curriculum<ql::curriculum::phased<retention, index_sampler>>);

}  // namespace archetypes
}  // namespace ql::testing
