// SPDX-License-Identifier: Apache-2.0
#pragma once

// What several ranks of a run do together besides an update: deal out samples, say the same, and stop as one.

#include <ql/archive.hpp>
#include <ql/comm/any.hpp>
#include <ql/detail/stable_sort.hpp>
#include <ql/error.hpp>
#include <ql/rollout.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql {

// The user asked to stop; thrown out of long work, caught by the loops of runs.
class interruption : public error {
 public:
  interruption() : error("interrupted") {}
  const char* id() const noexcept override { return "QL-E0501"; }
};

// The value of every rank, in their order; anything that archive.hpp saves.
template <class T>
std::vector<T> share_values(comm::any c, const T& mine) {
  const auto size = static_cast<std::size_t>(c.size()), me = static_cast<std::size_t>(c.rank());
  std::vector<std::string> bytes(size);
  bytes[me] = to_bytes(mine);
  std::vector<std::uint64_t> sizes(size);
  const std::uint64_t own = bytes[me].size();
  comm::all_gather<comm::any, std::uint64_t>(c, std::span<const std::uint64_t>(&own, 1), sizes);
  std::vector<std::span<char>> parts;
  for (std::size_t r = 0; r < size; ++r) {
    bytes[r].resize(sizes[r]);
    parts.emplace_back(bytes[r]);
  }
  comm::share<comm::any, char>(c, parts);
  std::vector<T> all;
  all.reserve(size);
  for (const auto& b : bytes) all.push_back(from_bytes<T>(b));
  return all;
}

// Whether `mine` is true on any rank.
inline bool any_rank(comm::any c, bool mine) {
  const auto all = share_values(c, static_cast<std::uint8_t>(mine ? 1 : 0));
  return std::any_of(all.begin(), all.end(), [](auto x) { return x != 0; });
}

// f() on every rank. Where it throws on one, none goes on: the others throw interruption if that is what it was, and
// comm_error naming the rank if not.
template <class F>
void all_or_none(comm::any c, std::string_view what, F&& f) {
  enum : std::uint8_t { done, interrupted, failed };
  const auto tell = [&](std::uint8_t mine) { return share_values(c, mine); };
  try {
    f();
  } catch (const comm::comm_error&) {
    throw;  // nobody can be told
  } catch (const interruption&) {
    tell(interrupted);
    throw;
  } catch (...) {
    tell(failed);
    throw;
  }
  const auto all = tell(done);
  for (std::size_t r = 0; r < all.size(); ++r)
    if (all[r] == failed)
      throw comm::comm_error(std::string(what) + ": rank " + std::to_string(r) + " failed; its own message says why",
                             static_cast<int>(r));
  for (const auto x : all)
    if (x == interrupted) throw interruption();
}

// The rank that samples each request: bundles, which share a prompt, stay together; the largest go first, each to the
// rank with the least work. Answers do not depend on it, since every one has random numbers of its own.
template <environment E>
std::vector<int> deal_requests(E& env, std::span<const rollout_request> requests, const rollout_options& o, int ranks) {
  struct bundle {
    std::int64_t tokens = 0;
    std::vector<std::size_t> requests;
  };
  std::map<std::int64_t, std::size_t> known;
  std::vector<bundle> bundles;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto b = static_cast<std::int64_t>(env.bundle(requests[i].example));
    const auto at = known.emplace(b, bundles.size());
    if (at.second) bundles.push_back({prompt_tokens(env, requests[i].example), {}});
    auto& to = bundles[at.first->second];
    to.tokens += o.group_size * o.max_new_tokens;
    to.requests.push_back(i);
  }
  ql::detail::stable_sort(bundles.begin(), bundles.end(),
                          [](const auto& a, const auto& b) { return a.tokens > b.tokens; });
  std::vector<std::int64_t> work(static_cast<std::size_t>(ranks), 0);
  std::vector<int> rank_of(requests.size());
  for (const auto& b : bundles) {
    const auto r = std::min_element(work.begin(), work.end()) - work.begin();
    work[static_cast<std::size_t>(r)] += b.tokens;
    for (const auto i : b.requests) rank_of[i] = static_cast<int>(r);
  }
  return rank_of;
}

// Groups in the order of the requests, on every rank: each samples what deal_requests() gives it by
// answers(requests, report), reports are summed.
template <class A, environment E, class F>
std::vector<group<A>> sample_on_ranks(comm::any c, E& env, std::span<const rollout_request> requests,
                                      const rollout_options& o, rollout_report& said, F&& answers) {
  const auto rank_of = deal_requests(env, requests, o, c.size());
  std::vector<rollout_request> own;
  for (std::size_t i = 0; i < requests.size(); ++i)
    if (rank_of[i] == c.rank()) own.push_back(requests[i]);
  std::pair<std::vector<group<A>>, rollout_report> mine;
  all_or_none(c, "sampling", [&] {
    if (!own.empty()) mine.first = answers(std::span<const rollout_request>(own), mine.second);
  });
  auto all = share_values(c, mine);
  for (const auto& [groups, report] : all) {
    said.sampled += report.sampled;
    said.forwarded += report.forwarded;
    said.kept_mass_log_sum += report.kept_mass_log_sum;
  }
  std::vector<std::size_t> next(all.size(), 0);
  std::vector<group<A>> out;
  for (const auto r : rank_of) {
    const auto k = static_cast<std::size_t>(r);
    out.push_back(std::move(all[k].first.at(next[k]++)));
  }
  return out;
}

// The scores that rank 0's environment gives, on every rank.
template <class A, environment E>
void score_on_ranks(comm::any c, E& env, std::span<group<A>> groups) {
  std::vector<rl::outcome> scores;
  all_or_none(c, "scoring", [&] {
    if (c.rank() != 0) return;
    score_groups<E, A>(env, groups);
    for (const auto& g : groups)
      for (const auto& a : g.answers) scores.push_back(a.score);
  });
  scores = std::move(share_values(c, scores).front());
  std::size_t i = 0;
  for (auto& g : groups)
    for (auto& a : g.answers) a.score = scores.at(i++);
}

}  // namespace ql
