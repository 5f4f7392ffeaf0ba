// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an update of a recipe will hold and do, before any weight is read: the decoder's own code walks over a tree of
// the longest prompts and answers on a backend that computes nothing (ql/backend/plan).

#include <ql/backend/plan/kernels.hpp>
#include <ql/data_parallel.hpp>
#include <ql/group_update.hpp>
#include <ql/model/session.hpp>
#include <ql/policy_update.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/rl/sampler.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ql {

struct plan_request {
  model::decoder_config shape;
  std::int64_t prompt_tokens = 0, response_tokens = 0;  // the longest
  std::int32_t group_size = 8;
  std::int64_t groups = 1;     // of one update
  std::int64_t generated = 0;  // groups sampled for a batch; 0: as many as are trained on
  std::int64_t updates = 1;    // of a batch
  std::int64_t micro_batch_tokens = 1 << 15, session_tokens = 1 << 16;
  model::keep keep = model::keep::everything;
  lane_options lanes;
  int threads = 1;
  int ranks = 1;
  rank_options how;
  bool reference = false;  // a second policy, for its log-probs
  bool whole = false;      // walk every micro-batch of the update, like or unlike: slow, and to the same bytes
};

// Bytes of one rank, and the work of one step on all ranks together.
struct memory_plan {
  std::int64_t weights = 0;    // master values
  std::int64_t copies = 0;     // what products and norms read
  std::int64_t gradients = 0;  // of finished lanes
  std::int64_t lanes = 0;      // of the lane in progress
  std::int64_t optimizer = 0;  // moments
  std::int64_t reference = 0;  // weights and copies of the reference policy
  std::int64_t keys = 0;       // pages for a session or a micro-batch
  std::int64_t kept = 0;       // activations kept for backward
  std::int64_t backward = 0;   // gradients of keys that several units add to, and what else backward allocates
  std::int64_t workspace = 0;  // scratch
  std::int64_t exchange = 0;   // buffers between ranks
  plan::work prefill, decode, update;
  double tokens_read = 0, tokens_sampled = 0, tokens_trained = 0;
  std::int64_t looked_at = 0;  // plan::context's: what planning took

  std::int64_t total() const {
    return weights + copies + gradients + lanes + optimizer + reference + keys + kept + backward + workspace + exchange;
  }
};

namespace detail {

// Ranks that say what this one says.
struct echo {
  int ranks = 1;
  int rank() const { return 0; }
  int size() const { return ranks; }
  void exchange(comm::send_list send, comm::receive_list receive) {
    std::span<const std::byte> any;
    for (const auto s : send)
      if (s.size() > any.size()) any = s;
    for (const auto to : receive)
      if (!to.empty() && !any.empty()) std::copy_n(any.begin(), std::min(any.size(), to.size()), to.begin());
  }
};

// The groups of an update are alike, and so are most of its micro-batches. As many groups as are needed for one of each
// kind: full ones before and after the first lane has ended (what further lanes add up in is then there), and those
// that hold the end of a lane.
inline std::int64_t groups_to_walk(const plan_request& q, std::int64_t each) {
  const std::int64_t lanes = q.lanes.lanes;
  if (each <= q.lanes.unit_tokens) {  // several share a unit: lanes keep what their last unit holds
    const auto of_unit = q.lanes.unit_tokens / each;
    const auto full = std::max<std::int64_t>(1, q.micro_batch_tokens / (of_unit * each));  // units
    const auto least = lanes * of_unit * (full + 2), step = lanes * of_unit * full;
    return q.groups <= least ? q.groups : q.groups - (q.groups - least) / step * step;
  }
  const auto full = std::max<std::int64_t>(1, q.micro_batch_tokens / each);
  // where rows are split, the rank that has a unit's first pages changes from one micro-batch to the next
  const bool rows = q.ranks > 1 && q.how.update != update_split::lanes;
  std::int64_t n = full * (rows ? std::min(2 * q.ranks, 8) : 1);
  if (lanes == 1) return std::min(q.groups, n);
  while (n < q.groups && ((n + lanes - 1) / lanes + full - 1) / full * full + full > n) ++n;
  return std::min(n, q.groups);
}

// A sampler of one token.
struct same_token {
  ql::distribution d;
  const ql::distribution& distribution() const { return d; }
  template <class A>
  rl::draw operator()(const logits_row<A>&, double) {
    return {};
  }
};

}  // namespace detail

// Plans an AdamW update (as update_on_groups does it) after a session (as session_engine holds it) in type T. The
// figures are those of cpu::context's counters, peak_bytes() and scratch_bytes(); what the standard library holds
// (token ids, log-probs) is a few hundred bytes a token and left out, buffers between ranks are counted.
template <class T>
memory_plan plan_memory(const plan_request& q) {
  using A = accumulate_t<T>;
  using detail::expects;
  expects(q.prompt_tokens >= 1 && q.response_tokens >= 1 && q.prompt_tokens + q.response_tokens <= q.shape.max_context,
          "plan_memory", "prompt_tokens + response_tokens",
          "2 to " + std::to_string(q.shape.max_context) + " (max_context)", q.prompt_tokens + q.response_tokens);
  expects(q.group_size >= 1 && q.groups >= 1 && q.ranks >= 1, "plan_memory", "group_size, groups, ranks", "1 or more",
          std::min<std::int64_t>({q.group_size, q.groups, q.ranks}));
  memory_plan out;
  plan::context ctx(q.threads);
  model::decoder<T, plan::context> policy(ctx, q.shape, q.lanes);
  policy.publish(ctx);
  for (const auto& p : policy.parameters()) {
    out.weights += p.master.bytes();
    out.copies += p.packed.bytes() + p.rounded.bytes();
  }
  if (q.reference) out.reference = out.weights + out.copies;
  const auto elements = policy.parameter_count();
  const auto start = ctx.bytes_in_use();

  // sampling: as many prompts as a session holds
  const auto each = q.prompt_tokens + q.group_size * q.response_tokens;
  const auto batch = q.groups * q.updates, sampled = q.generated > 0 ? q.generated : batch;
  const auto held = std::clamp<std::int64_t>(q.session_tokens / each, 1, (sampled + q.ranks - 1) / q.ranks);
  const std::vector<token> prompt(static_cast<std::size_t>(q.prompt_tokens), 0),
      response(static_cast<std::size_t>(q.response_tokens), 0);
  {
    model::session<T, plan::context> session(ctx, policy);
    const auto before = ctx.work();
    for (std::int64_t i = 0; i < held; ++i) {
      const auto root = session.add_root(prompt);
      for (std::int32_t g = 0; g < q.group_size; ++g) session.add_leaf(root, q.response_tokens, {});
    }
    const auto read = ctx.work();
    detail::same_token sampler;
    const model::stop_tokens never{{-1}};
    session.step(sampler, never);
    const auto first = ctx.work();
    if (q.response_tokens > 1) session.step(sampler, never);
    const auto last = ctx.work();
    const auto share = static_cast<double>(sampled) / static_cast<double>(held);
    out.prefill = (read - before) * share;
    // the keys of an answer grow from none to all of it
    out.decode = (last - first) * (share * static_cast<double>(q.response_tokens));
    out.decode.attention *= 1 + 0.5 * static_cast<double>(q.response_tokens) / static_cast<double>(q.prompt_tokens);
    out.tokens_read = static_cast<double>(sampled * q.prompt_tokens);
    out.tokens_sampled = static_cast<double>(sampled * q.group_size * q.response_tokens);
  }

  // the update
  token_tree tree;
  const bool rows = q.ranks > 1 && q.how.update != update_split::lanes;
  const bool heads = rows && q.how.update == update_split::heads;
  const bool lanes = q.ranks > 1 && q.how.update == update_split::lanes;
  auto dealt = q.lanes;
  auto roots = q.whole ? q.groups : detail::groups_to_walk(q, each);
  if (lanes && !q.whole && each > dealt.unit_tokens) {  // a rank takes one lane at a time, the first is the longest
    roots =
        std::min((q.groups + dealt.lanes - 1) / dealt.lanes, std::max<std::int64_t>(1, q.micro_batch_tokens / each));
    dealt.lanes = 1;
  }
  for (std::int64_t i = 0; i < roots; ++i) {
    const auto root = tree.add_root(prompt);
    for (std::int32_t g = 0; g < q.group_size; ++g) tree.add(root, response);
  }
  detail::echo others{q.ranks};
  if (rows) policy.split_rows(comm::any(others), heads ? model::attention_split::heads : model::attention_split::keys);
  const auto units = plan_lanes(tree, dealt);
  const auto ranges = units.split(q.micro_batch_tokens);
  const auto n = static_cast<std::size_t>(tree.tokens());
  std::vector<A> logp(n), entropy(n), dlogp(n), dentropy(n);
  policy.zero_gradients(ctx);
  const auto before = ctx.work();
  std::int64_t walked = 0;
  std::int32_t lane = -1, entered = 0;                    // lanes since gradients were zero
  std::map<std::vector<std::int64_t>, plan::work> known;  // by what decides a micro-batch's bytes and work
  plan::work repeated;
  const auto pool_bytes = [&] { return policy.key_bytes(); };
  ctx.reset_peak();
  typename model::decoder<T, plan::context>::score_options o;
  o.keep = q.keep;
  const auto one_part = [&](unit_range range) {
    std::vector<std::int64_t> kind{std::min(entered, 2), rows ? range.first % (2 * q.ranks) : 0};
    for (auto i = range.first; i < range.first + range.count; ++i) {
      const auto& u = units.units[static_cast<std::size_t>(i)];
      walked += u.tokens;
      kind.insert(kind.end(), {u.lane != lane ? -1 : -2, u.ends_tree ? -1 : -2});
      if (u.lane != lane) lane = u.lane, ++entered;
      for (const auto s : u.segments) kind.insert(kind.end(), {tree[s].start, tree[s].count});
    }
    const auto [like, unlike] = known.try_emplace(std::move(kind));
    if (!unlike && !q.whole) {
      repeated = repeated + like->second;
      return;
    }
    const auto done = ctx.work();
    const auto there = ctx.bytes_in_use() - pool_bytes();
    auto tape = policy.score(ctx, tree, units, range, o, {logp, entropy});
    out.kept = std::max(out.kept, ctx.bytes_in_use() - pool_bytes() - there);
    policy.backward(ctx, tape, {dlogp, dentropy});
    like->second = ctx.work() - done;
  };
  if (lanes) {  // a rank takes one lane at a time: no buffer beside the gradient
    for (const auto& own : lanes_of(units, 0, q.ranks)) {
      policy.zero_gradients(ctx);
      lane = -1, entered = 0;
      for (const auto range : detail::within(own, ranges)) one_part(range);
      policy.finish_gradients(ctx);
    }
  } else {
    for (const auto range : ranges) one_part(range);
    policy.split_rows(std::nullopt);  // summing over ranks needs buffers alone: they are counted below
    policy.finish_gradients(ctx);
  }
  std::int64_t largest = 0;
  for (const auto& p : policy.parameters()) largest = std::max(largest, p.master.bytes());
  for (const auto& p : policy.parameters()) out.gradients += p.gradient.bytes(), out.lanes += p.lane.bytes();
  out.keys = pool_bytes();
  out.backward = std::max<std::int64_t>(0, ctx.peak_bytes() - start - out.keys - out.gradients - out.lanes - out.kept);
  const rl::adamw opt;
  std::optional<policy_optimizer_state<model::decoder<T, plan::context>, rl::adamw>> state(
      make_optimizer_state(ctx, policy, opt));
  update_policy(ctx, policy, opt, *state, 1e-3, 1.0);
  out.update = ctx.work() - before + repeated;
  const auto share = static_cast<double>(batch * each) / static_cast<double>(walked) * (rows ? q.ranks : 1);
  out.update.products *= share, out.update.attention *= share, out.update.weights *= share;
  out.update.updated *= static_cast<double>(q.updates);
  out.tokens_trained = static_cast<double>(batch * each);
  out.optimizer = 2 * elements * static_cast<std::int64_t>(sizeof(A));
  if (q.ranks > 1 && q.how.optimizer == optimizer_memory::sharded) out.optimizer = out.optimizer / q.ranks;
  const auto bytes = elements * static_cast<std::int64_t>(sizeof(A));
  if (lanes) out.exchange = 2 * bytes + bytes / q.ranks;
  if (rows) {  // a layer's keys or their gradients of the longest unit; sums of one parameter
    const auto elements_of_keys = (q.prompt_tokens + key_block - 1) / key_block * policy.attention_of().page_elements();
    out.exchange = 2 * elements_of_keys * static_cast<std::int64_t>(sizeof(A));
    if (heads) {  // a rank sends its rows' queries, results and their gradients and gets as much, and so with its keys
      const auto row =
          q.shape.heads * policy.attention_of().head_dim * static_cast<std::int64_t>(2 * sizeof(T) + sizeof(A));
      out.exchange = out.exchange / q.ranks + 2 * each / q.ranks * row;
    }
    out.exchange = std::max(out.exchange, 2 * largest);
  }
  if (q.ranks > 1 && q.how.optimizer == optimizer_memory::sharded) out.exchange = std::max(out.exchange, bytes);
  out.workspace = ctx.scratch_bytes();
  out.looked_at = ctx.looked_at();
  return out;
}

}  // namespace ql
