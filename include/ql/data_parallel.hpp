// SPDX-License-Identifier: Apache-2.0
#pragma once

// One update on several ranks that own whole lanes: the bits of gradients and weights are those of one process,
// whatever the number of ranks.

#include <ql/comm/any.hpp>
#include <ql/comm/communicator.hpp>
#include <ql/model/head_exchange.hpp>
#include <ql/policy_update.hpp>
#include <ql/tensor/lanes.hpp>
#include <ql/tensor/transfer.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ql {

// How ranks share the work of an update: whole lanes each (the bits of one rank), or the rows of every tree, for trees
// that are too long for one rank (decoder::split_rows).
enum class update_split : std::uint8_t {
  lanes,
  rows,   // each rank gets all keys
  heads,  // rows, and attention by heads: as many ranks as divide the key-value heads
};
// Where the optimizer's memory is: all of it on every rank, or a share on each (ZeRO-1; AdamW and SGD).
enum class optimizer_memory : std::uint8_t { replicated, sharded };

struct rank_options {
  update_split update = update_split::lanes;
  optimizer_memory optimizer = optimizer_memory::sharded;
  friend bool operator==(const rank_options&, const rank_options&) = default;
};

// While it lives ranks compute the rows of the policy's trees together, unless they share updates by lanes.
template <class Policy>
class row_split {
 public:
  row_split(Policy& policy, std::optional<comm::any> ranks, update_split how)
      : policy_(policy), on_(ranks && how != update_split::lanes) {
    set(on_ ? ranks : std::nullopt, how);
  }
  row_split(const row_split&) = delete;
  row_split& operator=(const row_split&) = delete;
  ~row_split() { set(std::nullopt, update_split::rows); }

 private:
  void set(std::optional<comm::any> ranks, update_split how) {
    constexpr auto keys = model::attention_split::keys, heads = model::attention_split::heads;
    if constexpr (requires { policy_.split_rows(ranks, keys); }) {
      if (on_) policy_.split_rows(ranks, how == update_split::heads ? heads : keys);
    } else {
      detail::expects(!on_, "row_split", "update_split", "lanes", "rows, which this policy cannot split");
    }
  }
  Policy& policy_;
  const bool on_;
};

// The units of each lane of a plan that has any, in the order of lanes. The k-th belongs to rank k mod ranks.
inline std::vector<unit_range> lanes_of(const lane_plan& plan) {
  std::vector<unit_range> lanes;
  for (std::size_t i = 0; i < plan.units.size(); ++i) {
    if (i == 0 || plan.units[i].lane != plan.units[i - 1].lane) lanes.push_back({static_cast<std::int32_t>(i), 0});
    ++lanes.back().count;
  }
  return lanes;
}
inline std::vector<unit_range> lanes_of(const lane_plan& plan, int rank, int ranks) {
  const auto all = lanes_of(plan);
  std::vector<unit_range> own;
  for (auto k = static_cast<std::size_t>(rank); k < all.size(); k += static_cast<std::size_t>(ranks))
    own.push_back(all[k]);
  return own;
}

namespace detail {

// The trainable parameters one after the other, as one list of elements.
template <class Policy>
class flat_parameters {
 public:
  using A = typename Policy::value_type;
  explicit flat_parameters(const Policy& policy) {
    for (std::size_t i = 0; i < policy.parameters().size(); ++i) {
      if (!policy.parameters()[i].trainable) continue;
      of_.push_back(i);
      first_.push_back(size_);
      size_ += policy.parameters()[i].size();
    }
    first_.push_back(size_);
  }
  std::int64_t size() const { return size_; }
  // f(parameter, first element in it, count, offset from `begin`) for the pieces of [begin, end)
  template <class F>
  void pieces(std::int64_t begin, std::int64_t end, F&& f) const {
    auto k = static_cast<std::size_t>(std::upper_bound(first_.begin(), first_.end(), begin) - first_.begin()) - 1;
    for (auto at = begin; at < end; ++k) {
      const auto stop = std::min(end, first_[k + 1]);
      f(of_[k], at - first_[k], stop - at, at - begin);
      at = stop;
    }
  }

 private:
  std::vector<std::size_t> of_;      // parameters
  std::vector<std::int64_t> first_;  // element of each, and the end
  std::int64_t size_ = 0;
};

// The parts of micro-batches [range) that lie in one lane.
inline std::vector<unit_range> within(unit_range lane, std::span<const unit_range> ranges) {
  std::vector<unit_range> parts;
  for (const auto r : ranges) {
    const auto first = std::max(r.first, lane.first), last = std::min(r.first + r.count, lane.first + lane.count);
    if (first < last) parts.push_back({first, last - first});
  }
  return parts;
}

}  // namespace detail

// Leaves in policy.parameters()[...].gradient of every rank what one process would have there. backward(units) scores
// the units of one lane and runs policy.backward on them, in one micro-batch or in several. All ranks pass the same
// plan.
//
// In turn k the ranks compute the lanes k R, k R + 1, ...; then each adds these lanes up, in the order of lanes, for
// its share of the elements. Beside the gradient a rank needs two more buffers of its size, whatever the number of
// lanes.
template <class Policy, comm::communicator C, class Backward>
  requires std::same_as<typename Policy::context_type::memory_space, host_space>
void parallel_gradients(typename Policy::context_type& ctx, Policy& policy, C& c, const lane_plan& plan,
                        Backward&& backward) {
  using A = typename Policy::value_type;
  const auto lanes = lanes_of(plan);
  const auto size = static_cast<std::size_t>(c.size()), me = static_cast<std::size_t>(c.rank());
  if (size == 1) {
    policy.zero_gradients(ctx);
    for (const auto& lane : lanes) backward(lane);
    policy.finish_gradients(ctx);
    return;
  }
  const detail::flat_parameters<Policy> all(policy);
  std::vector<A> gradient(static_cast<std::size_t>(all.size()));
  const auto part = [&](std::size_t r) {
    const auto s = comm::share_of(all.size(), static_cast<int>(r), c.size());
    return std::span(gradient).subspan(static_cast<std::size_t>(s.begin), static_cast<std::size_t>(s.size()));
  };
  const auto own = part(me).size();
  std::vector<A> sum(own, A(0)), received(own * size);
  std::vector<std::span<const std::byte>> send(size);
  std::vector<std::span<std::byte>> receive(size);
  for (std::size_t first = 0; first < lanes.size(); first += size) {
    const auto present = std::min(size, lanes.size() - first);  // ranks that have a lane in this turn
    if (me < present) {
      policy.zero_gradients(ctx);
      backward(lanes[first + me]);
      policy.finish_gradients(ctx);
      all.pieces(0, all.size(), [&](std::size_t i, std::int64_t from, std::int64_t n, std::int64_t to) {
        std::copy_n(policy.parameters()[i].gradient.data() + from, n, gradient.data() + to);
      });
    }
    for (std::size_t r = 0; r < size; ++r) {
      send[r] = me < present ? std::as_bytes(part(r)) : std::span<const std::byte>();
      receive[r] = std::as_writable_bytes(std::span(received).subspan(r * own, r < present ? own : 0));
    }
    c.exchange(send, receive);
    for (std::size_t r = 0; r < present; ++r) {
      const A* lane = received.data() + r * own;
      if (first + r == 0)
        std::copy_n(lane, own, sum.data());
      else
        fold(ctx, lane, static_cast<std::int64_t>(own), sum.data());
    }
  }
  std::copy(sum.begin(), sum.end(), part(me).begin());
  std::vector<std::span<A>> parts(size);
  for (std::size_t r = 0; r < size; ++r) parts[r] = part(r);
  comm::share<C, A>(c, parts);
  policy.zero_gradients(ctx);
  all.pieces(0, all.size(), [&](std::size_t i, std::int64_t from, std::int64_t n, std::int64_t to) {
    std::copy_n(gradient.data() + to, n, policy.parameters()[i].gradient.data() + from);
  });
}

// Each rank writes some values, the others get them: values[i] of every token that a unit of `lanes_of(plan, rank)`
// predicts. What a rank has of other ranks' tokens is overwritten.
template <class T, comm::communicator C, std::same_as<token_tree> Tree>
void share_scores(C& c, const Tree& tree, const lane_plan& plan, std::span<T> values) {
  detail::expects<shape_error>(static_cast<std::int64_t>(values.size()) == tree.tokens(), "share_scores", "values",
                               tree.tokens(), values.size());
  const auto size = static_cast<std::size_t>(c.size()), me = static_cast<std::size_t>(c.rank());
  const auto lanes = lanes_of(plan);
  const auto each_segment = [&](std::size_t rank, auto&& f) {
    for (auto k = rank; k < lanes.size(); k += size)
      for (auto u = lanes[k].first; u < lanes[k].first + lanes[k].count; ++u)
        for (const auto s : plan.units[static_cast<std::size_t>(u)].segments)
          f(values.subspan(static_cast<std::size_t>(tree[s].first), static_cast<std::size_t>(tree[s].count)));
  };
  std::vector<std::vector<T>> packed(size);
  for (std::size_t r = 0; r < size; ++r)
    each_segment(r, [&](std::span<T> v) { packed[r].insert(packed[r].end(), v.begin(), v.end()); });
  std::vector<std::span<T>> parts(packed.begin(), packed.end());
  comm::share<C, T>(c, parts);
  for (std::size_t r = 0; r < size; ++r) {
    if (r == me) continue;
    std::size_t at = 0;
    each_segment(r, [&](std::span<T> v) {
      std::copy_n(packed[r].begin() + static_cast<std::ptrdiff_t>(at), v.size(), v.begin());
      at += v.size();
    });
  }
}

namespace detail {
template <class A>
void share_tree_scores(comm::any c, const token_tree& t, const lane_plan& plan, std::span<A> logp,
                       std::span<A> entropy = {}) {
  if (!logp.empty()) share_scores<A>(c, t, plan, logp);
  if (!entropy.empty()) share_scores<A>(c, t, plan, entropy);
}
}  // namespace detail

// The gradient of all units of a plan, micro-batch by micro-batch: one_part(range) scores units and runs
// policy.backward on them. Ranks, if any, compute lanes of their own; every rank then has the whole gradient.
template <class Policy, class Part>
void gradients_in_parts(typename Policy::context_type& ctx, Policy& policy, std::optional<comm::any> ranks,
                        const lane_plan& plan, std::span<const unit_range> ranges, Part&& one_part) {
  if (!ranks) {
    policy.zero_gradients(ctx);
    for (const auto range : ranges) one_part(range);
    policy.finish_gradients(ctx);
  } else if constexpr (on_host<typename Policy::context_type>) {
    parallel_gradients(ctx, policy, *ranks, plan, [&](unit_range lane) {
      for (const auto range : detail::within(lane, ranges)) one_part(range);
    });
  } else {
    detail::fail<state_error>("gradients_in_parts", "ranks", "a policy in the host's memory", "one on a device");
  }
}

// ZeRO-1 (arXiv 1910.02054): each rank keeps the optimizer's memory for its share of the elements alone.
template <class Policy, class Optimizer>
struct sharded_optimizer_state {
  using A = typename Policy::value_type;
  std::int64_t steps = 0;
  std::int64_t elements = 0;  // of all ranks
  comm::share_range own;
  bool has_first = true, has_second = true;  // AdamW: m and v; SGD: momentum and nothing
  std::vector<A> first, second;              // of `own`
  friend bool operator==(const sharded_optimizer_state&, const sharded_optimizer_state&) = default;
};

template <class Policy, class Optimizer, comm::communicator C>
sharded_optimizer_state<Policy, Optimizer> make_sharded_optimizer_state(Policy& policy, const Optimizer& opt, C& c) {
  sharded_optimizer_state<Policy, Optimizer> s;
  s.elements = detail::flat_parameters<Policy>(policy).size();
  s.own = comm::share_of(s.elements, c.rank(), c.size());
  if constexpr (std::same_as<Optimizer, rl::sgd>) s.has_first = opt.momentum != 0, s.has_second = false;
  if (s.has_first) s.first.assign(static_cast<std::size_t>(s.own.size()), 0);
  if (s.has_second) s.second.assign(static_cast<std::size_t>(s.own.size()), 0);
  return s;
}

// update_policy on several ranks: each moves its share of the weights and gets the others'. The gradients are those
// that parallel_gradients left; weights have the bits that update_policy on one process gives them.
template <class Policy, class Optimizer, comm::communicator C>
  requires std::same_as<typename Policy::context_type::memory_space, host_space>
step_report update_policy(typename Policy::context_type& ctx, Policy& policy, C& c, const Optimizer& opt,
                          sharded_optimizer_state<Policy, Optimizer>& state, double lr, double max_norm = 0) {
  using A = typename Policy::value_type;
  using T = typename Policy::scalar_type;
  const detail::flat_parameters<Policy> all(policy);
  const auto own = comm::share_of(all.size(), c.rank(), c.size());
  detail::expects(max_norm >= 0, "update_policy", "max_norm", "0 (off) or more", max_norm);
  detail::expects<state_error>(state.elements == all.size() && state.own.begin == own.begin && state.own.end == own.end,
                               "update_policy", "state", "a state made for this policy, rank and number of ranks",
                               std::to_string(state.own.begin) + " to " + std::to_string(state.own.end) + " of " +
                                   std::to_string(state.elements) + " elements");
  step_report r;
  r.gradient_norm = gradient_norm(ctx, policy);
  r.finite = math::isfinite(r.gradient_norm) && math::isfinite(lr);
  if (!r.finite) return r;
  if (max_norm > 0) r.scale = math::min(1.0, max_norm / (r.gradient_norm + 1e-6));
  ++state.steps;
  std::vector<A> weights(static_cast<std::size_t>(all.size()));
  std::vector<std::span<A>> parts(static_cast<std::size_t>(c.size()));
  for (int rank = 0; rank < c.size(); ++rank) {
    const auto s = comm::share_of(all.size(), rank, c.size());
    parts[static_cast<std::size_t>(rank)] =
        std::span(weights).subspan(static_cast<std::size_t>(s.begin), static_cast<std::size_t>(s.size()));
  }
  all.pieces(own.begin, own.end, [&](std::size_t i, std::int64_t from, std::int64_t n, std::int64_t at) {
    auto& p = policy.parameters()[i];
    A* w = p.master.data() + from;
    A* first = state.has_first ? state.first.data() + at : nullptr;
    A* second = state.has_second ? state.second.data() + at : nullptr;
    detail::update_elements<T>(ctx, opt, state.steps, lr, r.scale, matrix<T>{1, n, w, nullptr}, w,
                               static_cast<const A*>(p.gradient.data()) + from, first, second,
                               static_cast<T*>(nullptr));
    std::copy_n(w, n, weights.data() + own.begin + at);
  });
  comm::share<C, A>(c, parts);
  all.pieces(0, all.size(), [&](std::size_t i, std::int64_t from, std::int64_t n, std::int64_t at) {
    std::copy_n(weights.data() + at, n, policy.parameters()[i].master.data() + from);
  });
  for (auto& p : policy.parameters())
    if (p.trainable) policy.publish(ctx, p);
  policy.published();
  r.applied = true;
  return r;
}

namespace detail {
// One step of the optimizer, whichever way its memory lies.
template <class Policy, class Optimizer>
step_report move_policy(typename Policy::context_type& ctx, Policy& policy, const std::optional<comm::any>&,
                        const Optimizer& optimizer, policy_optimizer_state<Policy, Optimizer>& state, double lr,
                        double max_norm) {
  return update_policy(ctx, policy, optimizer, state, lr, max_norm);
}
template <class Policy, class Optimizer>
step_report move_policy(typename Policy::context_type& ctx, Policy& policy, std::optional<comm::any> ranks,
                        const Optimizer& optimizer, sharded_optimizer_state<Policy, Optimizer>& state, double lr,
                        double max_norm) {
  comm::solo alone;
  comm::any c = ranks ? *ranks : comm::any(alone);
  return update_policy(ctx, policy, c, optimizer, state, lr, max_norm);
}
}  // namespace detail

// The memory of all ranks as one rank alone would have it, on every rank: what a checkpoint holds. It does not depend
// on the number of ranks: any other number goes on from it (shard).
template <class Policy, class Optimizer, comm::communicator C>
sharded_optimizer_state<Policy, Optimizer> gather(C& c, const sharded_optimizer_state<Policy, Optimizer>& state) {
  using A = typename Policy::value_type;
  auto whole = state;
  whole.own = {0, state.elements};
  const auto collect = [&](const std::vector<A>& own, std::vector<A>& all) {
    all.assign(static_cast<std::size_t>(state.elements), 0);
    std::copy(own.begin(), own.end(), all.begin() + state.own.begin);
    std::vector<std::span<A>> parts;
    for (int rank = 0; rank < c.size(); ++rank) {
      const auto s = comm::share_of(state.elements, rank, c.size());
      parts.push_back(std::span(all).subspan(static_cast<std::size_t>(s.begin), static_cast<std::size_t>(s.size())));
    }
    comm::share<C, A>(c, parts);
  };
  if (state.has_first) collect(state.first, whole.first);
  if (state.has_second) collect(state.second, whole.second);
  return whole;
}
// What one process would have, where update_policy without ranks has it: for checkpoints, whatever the number of ranks.
template <class Policy, class Optimizer, comm::communicator C>
policy_optimizer_state<Policy, Optimizer> whole_state(typename Policy::context_type& ctx, Policy& policy,
                                                      const Optimizer& opt, C& c,
                                                      const sharded_optimizer_state<Policy, Optimizer>& state) {
  const auto flat = gather(c, state);
  auto whole = make_optimizer_state(ctx, policy, opt);
  whole.steps = flat.steps;
  detail::flat_parameters<Policy>(policy).pieces(
      0, flat.elements, [&](std::size_t i, std::int64_t from, std::int64_t n, std::int64_t at) {
        if (flat.has_first) std::copy_n(flat.first.data() + at, n, whole.first[i].data() + from);
        if (flat.has_second) std::copy_n(flat.second.data() + at, n, whole.second[i].data() + from);
      });
  return whole;
}
// This rank's part of it.
template <class Policy, class Optimizer, comm::communicator C>
sharded_optimizer_state<Policy, Optimizer> shard(Policy& policy, const Optimizer& opt, C& c,
                                                 const policy_optimizer_state<Policy, Optimizer>& whole) {
  auto mine = make_sharded_optimizer_state(policy, opt, c);
  mine.steps = whole.steps;
  detail::flat_parameters<Policy>(policy).pieces(
      mine.own.begin, mine.own.end, [&](std::size_t i, std::int64_t from, std::int64_t n, std::int64_t at) {
        if (mine.has_first) std::copy_n(whole.first[i].data() + from, n, mine.first.data() + at);
        if (mine.has_second) std::copy_n(whole.second[i].data() + from, n, mine.second.data() + at);
      });
  return mine;
}
// This rank's part of a gathered state.
template <class Policy, class Optimizer, comm::communicator C>
sharded_optimizer_state<Policy, Optimizer> shard(C& c, const sharded_optimizer_state<Policy, Optimizer>& whole) {
  detail::expects<state_error>(whole.own.begin == 0 && whole.own.end == whole.elements, "shard", "state",
                               "a gathered state", "a part of one");
  auto mine = whole;
  mine.own = comm::share_of(whole.elements, c.rank(), c.size());
  for (auto* v : {&mine.first, &mine.second}) {
    if (v->empty()) continue;
    *v = {v->begin() + mine.own.begin, v->begin() + mine.own.end};
  }
  return mine;
}

}  // namespace ql
