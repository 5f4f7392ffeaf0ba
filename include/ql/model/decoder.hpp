// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/comm/any.hpp>
#include <ql/model/config.hpp>
#include <ql/model/head_exchange.hpp>
#include <ql/model/key_pages.hpp>
#include <ql/model/parameter.hpp>
#include <ql/model/rope_table.hpp>
#include <ql/random.hpp>
#include <ql/tensor/distribution.hpp>
#include <ql/tensor/lanes.hpp>
#include <ql/tensor/operations.hpp>
#include <ql/tensor/tensor.hpp>
#include <ql/tensor/transfer.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ql {

// Whether the log-prob recorded while sampling is, bit for bit, the one the training forward computes.
enum class exactness : std::uint8_t { exact, inexact };

namespace model {

// What a tape keeps for backward; the rest is computed again, to the same bits.
enum class keep : std::uint8_t {
  everything,
  inputs_and_attention,  // layer inputs, attention outputs and their log-sum-exp
  inputs,                // layer inputs
  nothing,               // units are run again from the tokens: memory of one unit at a time
};

constexpr bool keeps_attention(keep k) { return k == keep::everything || k == keep::inputs_and_attention; }

// Per-token results, indexed as the tree's tokens; entries without loss are left alone. Empty spans are not written.
template <class A>
struct scores {
  std::span<A> logp;
  std::span<A> entropy;
};

// What log-probs are of, and what is kept for backward.
struct score_options {
  ql::distribution distribution;
  const frozen_support* support = nullptr;  // for support_rule::frozen
  model::keep keep = model::keep::everything;
  bool backward = true;  // false: nothing is kept
};

// Rows of a forward: tokens, where they stand and which keys they see.
struct row_batch {
  std::vector<token> ids;
  std::vector<std::int64_t> position;
  std::vector<std::int64_t> path;
  std::vector<std::int32_t> pages;
  std::vector<query_run> runs;

  std::int64_t rows() const { return static_cast<std::int64_t>(ids.size()); }
  void clear() { ids.clear(), position.clear(), path.clear(), pages.clear(), runs.clear(); }
  row_places places() const { return {rows(), {runs.data(), runs.size()}, position.data(), path.data(), pages.data()}; }
};

// A Qwen2, Qwen3 or Llama decoder with explicit forward and backward over token trees. The only forward there is:
// sessions, scoring and training all go through layer_forward().
//
//   decoder<bf16, cpu::context> policy(ctx, config);
//   policy.initialise(ctx, 42);
//   auto tape = policy.score(ctx, tree, {}, {logp, entropy});
//   policy.backward(ctx, tape, {dlogp, dentropy});
template <scalar T, execution_context Context>
class decoder {
 public:
  template <class E, std::size_t Rank>
  using view = ql::view<E, Rank, typename Context::memory_space>;
  using A = accumulate_t<T>;
  using scalar_type = T;
  using value_type = A;
  using context_type = Context;
  using parameter_type = model::parameter<T, Context>;
  // Exact, unless the context says that its products are not.
  static constexpr ql::exactness exactness = [] {
    if constexpr (requires { Context::exact; }) {
      return Context::exact ? ql::exactness::exact : ql::exactness::inexact;
    } else {
      return ql::exactness::exact;
    }
  }();

  explicit decoder(Context& ctx, const decoder_config& config, lane_options lanes = {})
      : config_(checked(config)),
        lanes_(lanes),
        shape_{config_.heads, config_.kv_heads, config_.head_dim},
        rope_(config_.rope, config_.head_dim) {
    const auto qd = config_.heads * config_.head_dim, kd = config_.kv_heads * config_.head_dim;
    embedding_ = put(ctx, "model.embed_tokens.weight", config_.vocabulary, config_.hidden, config_.tied_head);
    for (std::int64_t l = 0; l < config_.layers; ++l) {
      const auto at = "model.layers." + std::to_string(l) + ".";
      layer p;
      p.norm1 = put(ctx, at + "input_layernorm.weight", 1, config_.hidden, false);
      p.q = put(ctx, at + "self_attn.q_proj.weight", qd, config_.hidden, true);
      p.k = put(ctx, at + "self_attn.k_proj.weight", kd, config_.hidden, true);
      p.v = put(ctx, at + "self_attn.v_proj.weight", kd, config_.hidden, true);
      if (config_.qkv_bias) {
        p.q_bias = put(ctx, at + "self_attn.q_proj.bias", 1, qd, false);
        p.k_bias = put(ctx, at + "self_attn.k_proj.bias", 1, kd, false);
        p.v_bias = put(ctx, at + "self_attn.v_proj.bias", 1, kd, false);
      }
      if (config_.qk_norm) {
        p.q_norm = put(ctx, at + "self_attn.q_norm.weight", 1, config_.head_dim, false);
        p.k_norm = put(ctx, at + "self_attn.k_norm.weight", 1, config_.head_dim, false);
      }
      p.o = put(ctx, at + "self_attn.o_proj.weight", config_.hidden, qd, true);
      p.norm2 = put(ctx, at + "post_attention_layernorm.weight", 1, config_.hidden, false);
      p.gate = put(ctx, at + "mlp.gate_proj.weight", config_.ffn, config_.hidden, true);
      p.up = put(ctx, at + "mlp.up_proj.weight", config_.ffn, config_.hidden, true);
      p.down = put(ctx, at + "mlp.down_proj.weight", config_.hidden, config_.ffn, true);
      layers_.push_back(p);
    }
    norm_ = put(ctx, "model.norm.weight", 1, config_.hidden, false);
    head_ = config_.tied_head ? embedding_ : put(ctx, "lm_head.weight", config_.vocabulary, config_.hidden, true);
    pool_.emplace_back(ctx, shape_, config_.layers);
  }

  const decoder_config& config() const { return config_; }
  const lane_options& lanes() const { return lanes_; }
  std::int64_t vocab_size() const { return config_.vocabulary; }
  std::int64_t max_context() const { return config_.max_context; }
  std::vector<parameter_type>& parameters() { return parameters_; }
  const std::vector<parameter_type>& parameters() const { return parameters_; }
  parameter_type& parameter(std::string_view name) {
    for (auto& p : parameters_)
      if (p.name == name) return p;
    ql::detail::fail<argument_error>("decoder::parameter", "name", "a parameter of the model", name);
  }
  std::int64_t parameter_count() const {
    std::int64_t n = 0;
    for (auto& p : parameters_) n += p.size();
    return n;
  }
  // Counts publishes: tapes and cached keys are valid for the version they were made with.
  std::uint64_t weights_version() const { return version_; }
  // Where keys live. Tapes and sessions take pages from it: the policy must outlive them.
  page_pool<T, Context>& pool() { return pool_.front(); }
  const page_pool<T, Context>& pool() const { return pool_.front(); }
  // Bytes of all pages, taken or free.
  std::int64_t key_bytes() const {
    std::int64_t n = 0;
    for (const auto* pools : {&pool_, &head_pool_})
      for (const auto& p : *pools) n += p.pages() * p.page_bytes();
    return n;
  }

  // predicate(name) says which parameters have gradients and optimizer state.
  template <class Predicate>
  void set_trainable(Predicate&& predicate) {
    for (auto& p : parameters_) {
      p.trainable = predicate(std::string_view(p.name));
      if (!p.trainable) p.gradient = {}, p.lane = {};
    }
  }

  // As the Hugging Face models do: weights N(0, deviation^2), biases 0, norms 1.
  void initialise(Context& ctx, std::uint64_t seed, double deviation = 0.02) {
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      auto& p = parameters_[i];
      std::vector<A> away;  // where the host cannot write the master values
      if constexpr (!on_host<Context>) away.resize(static_cast<std::size_t>(p.size()));
      A* w = on_host<Context> ? p.master.data() : away.data();
      const random_key key{.seed = seed, .what = purpose::initialise, .example = static_cast<std::uint32_t>(i)};
      const auto normals = [&](std::int64_t block) {
        for (auto j = block * 4096; j < std::min(p.size(), (block + 1) * 4096); ++j) {
          const auto bits = random_bits(key, static_cast<std::uint64_t>(j));  // Box-Muller
          const double r = math::sqrt(-2.0 * math::log(uniform(bits, 0)));
          w[j] = static_cast<A>(deviation * r * math::cos(6.283185307179586 * uniform(bits, 1)));
        }
      };
      const auto blocks = (p.size() + 4095) / 4096;
      if (p.vector()) {
        std::fill_n(w, p.size(), p.name.ends_with(".bias") ? A(0) : A(1));
      } else if constexpr (on_host<Context>) {
        ctx.parallel_for(blocks, normals);
      } else {
        for (std::int64_t block = 0; block < blocks; ++block) normals(block);
      }
      if constexpr (!on_host<Context>) copy_in(ctx, static_cast<const A*>(w), p.size(), p.master.data());
    }
    publish(ctx);
  }

  // Makes the kernels see the master values. After loading or changing them by hand; an optimizer step does it itself.
  void publish(Context& ctx) {
    for (auto& p : parameters_) publish(ctx, p);
    published();
  }
  void publish(Context& ctx, parameter_type& p) {
    if (p.product) {
      if (p.packed.empty()) p.packed = {ctx, {packed_elements(ctx, T{}, p.rows, p.columns)}};
      pack(ctx, p.as_matrix(), p.packed.data());
    } else if (p.vector()) {
      if (p.rounded.empty()) p.rounded = {ctx, {p.size()}};
      round_to(ctx, T{}, static_cast<const A*>(p.master.data()), p.size(), p.rounded.data());
    }
  }
  // To be called once after a change of any weight: cached keys and tapes become stale.
  void published() { ++version_; }

  // ------------------------------------------------------------------ training

  class tape;
  using score_options = model::score_options;

  // Log-probs and entropies of the loss tokens of some units of a plan. The tape is good for one backward.
  tape score(Context& ctx, const token_tree& tree, const lane_plan& plan, unit_range range, const score_options& o,
             scores<A> out);
  tape score(Context& ctx, const token_tree& tree, const score_options& o, scores<A> out) {
    const auto plan = plan_lanes(tree, lanes_);
    return score(ctx, tree, plan, plan.all(), o, out);
  }

  // gradient += d loss / d weights, given d loss / d logp and d loss / d entropy by token (entropy may be empty).
  // Units must come in plan order, over all calls between zero_gradients() and finish_gradients().
  void backward(Context& ctx, tape& t, scores<const A> d);

  void zero_gradients(Context& ctx) {
    for (auto& p : parameters_) {
      if (!p.trainable) continue;
      if (p.gradient.empty()) p.gradient = {ctx, {p.size()}};
      clear(ctx, p.gradient.data(), p.size());
    }
    lane_ = -1;
    first_lane_ = true;
  }
  // Folds the last lane, and what ranks that split rows have gathered, in their order. Gradients are complete
  // afterwards.
  void finish_gradients(Context& ctx) {
    enter_lane(ctx, -1);
    if (!splits_rows()) return;
    std::vector<A> away;  // where the host cannot read gradients
    for (auto& p : parameters_) {
      if (!p.trainable) continue;
      if constexpr (!on_host<Context>) {
        away.resize(static_cast<std::size_t>(p.size()));
        copy_out(ctx, static_cast<const A*>(p.gradient.data()), p.size(), away.data());
      }
      A* g = on_host<Context> ? p.gradient.data() : away.data();
      comm::all_reduce_sum<comm::any, A>(*ranks_, std::span(g, static_cast<std::size_t>(p.size())));
      if constexpr (!on_host<Context>) copy_in(ctx, static_cast<const A*>(g), p.size(), p.gradient.data());
    }
  }

  // Context parallelism: from now on these ranks, which hold the same weights, compute the same trees together. The
  // rows of every unit are dealt to them by pages of keys; keys and values are gathered layer by layer, their gradients
  // are summed in the order of ranks. All ranks call score(), backward() and finish_gradients() with the same arguments
  // and get the same results: scores with the bits of one rank; gradients that are the same on all ranks and in every
  // run with this number of ranks. Sessions stay each rank's own. nullopt: alone again.
  // Attention split by heads asks for as many ranks as divide the key-value heads; keys' gradients then have the bits
  // of one rank, and each rank holds its heads' keys alone.
  void split_rows(std::optional<comm::any> ranks, attention_split how = attention_split::keys) {
    const auto size = ranks ? ranks->size() : 1;
    const bool by_heads = size > 1 && how == attention_split::heads;
    if (by_heads) {
      ql::detail::expects(
          config_.kv_heads % size == 0, "decoder::split_rows", "ranks",
          "a divisor of the " + std::to_string(config_.kv_heads) + " key-value heads, or attention_split::keys", size);
      if (size != head_ranks_) {
        ql::detail::expects<state_error>(head_pool_.empty() || head_pool_.front().pages_in_use() == 0,
                                         "decoder::split_rows", "ranks",
                                         "as many as before while there are tapes of a split by heads", size);
        head_pool_.clear();
        head_ranks_ = size;
      }
    }
    ranks_ = ranks;
    split_ = by_heads ? attention_split::heads : attention_split::keys;
  }
  bool splits_rows() const { return ranks_ && ranks_->size() > 1; }

  // ------------------------------------------------------------------ the one forward

  struct layer {
    int norm1, q, k, v, q_bias = -1, k_bias = -1, v_bias = -1, q_norm = -1, k_norm = -1, o, norm2, gate, up, down;
  };
  // What a layer computed, wherever it is kept. Null members are not kept.
  struct layer_state {
    A* x = nullptr;     // (rows, hidden) input
    A* mid = nullptr;   // (rows, hidden) after attention
    T* q = nullptr;     // (rows, heads * head_dim)
    T* out = nullptr;   // (rows, heads * head_dim)
    A* lse = nullptr;   // (rows, heads)
    T* gate = nullptr;  // (rows, ffn)
    T* up = nullptr;
    A* qkv = nullptr;  // (rows, qkv_columns): before norm and rotation; kept for qk_norm
    A* qk_rstd = nullptr;
    A* rstd1 = nullptr;
    A* rstd2 = nullptr;
  };

  // Where a layer's keys are stored: base[page] + offset.
  struct key_store {
    T* const* base;
    std::int64_t offset;
  };
  key_store keys_of(std::int64_t l) const { return {pool().base(), l * shape_.page_elements()}; }

  // x (rows, hidden) goes through layer l in place. s.x and s.mid may be null. Keys go to the pages of `b`'s paths.
  // attend() runs when the layer's keys are stored; after it s.out holds the attention's result.
  template <class Attend>
  void layer_forward(Context& ctx, std::int64_t l, const row_batch& b, A* x, const layer_state& s, key_store keys,
                     Attend&& attend) {
    const auto& p = layers_[static_cast<std::size_t>(l)];
    const auto rows = b.rows(), hidden = config_.hidden;
    auto scope = ctx.scratch();
    const A eps = static_cast<A>(config_.norm_eps);
    view<A, 2> stream(x, {rows, hidden});
    if (s.x != nullptr && s.x != x) copy(ctx, x, rows * hidden, s.x);
    T* h = scope.template take<T>(rows * hidden);
    const view<T, 2> normed(h, {rows, hidden});
    rms_norm(ctx, view<const A, 2>(stream), vector(p.norm1), eps, normed, s.rstd1);
    A* qkv = s.qkv != nullptr ? s.qkv : scope.template take<A>(rows * shape_.qkv_columns());
    project(ctx, p, view<const T, 2>(normed), qkv, rows);
    rotary(ctx, rotation(p, b, qkv, s, keys));
    attend();
    linear_add(ctx, view<const T, 2>(s.out, {rows, config_.heads * config_.head_dim}), weight(p.o), stream);
    if (s.mid != nullptr) copy(ctx, x, rows * hidden, s.mid);
    rms_norm(ctx, view<const A, 2>(stream), vector(p.norm2), eps, normed, s.rstd2);
    const view<T, 2> gate(s.gate, {rows, config_.ffn}), up(s.up, {rows, config_.ffn});
    const A* none = nullptr;
    linear(ctx, view<const T, 2>(normed), weight(p.gate), none, gate);
    linear(ctx, view<const T, 2>(normed), weight(p.up), none, up);
    T* act = scope.template take<T>(rows * config_.ffn);
    const view<T, 2> activated(act, {rows, config_.ffn});
    swiglu(ctx, view<const T, 2>(gate), view<const T, 2>(up), activated);
    linear_add(ctx, view<const T, 2>(activated), weight(p.down), stream);
  }

  // All layers over rows whose keys nobody needs back (decode, prefill, scoring without backward).
  void layers_forward(Context& ctx, const row_batch& b, A* x) {
    layers_forward(
        ctx, b, x, [&](std::int64_t l) { return keys_of(l); },
        [&](std::int64_t l, const layer_state& s) { attention(ctx, attending(l, b, s)); });
  }
  // keys(l) says where layer l stores its keys; attend(l, state) as in layer_forward.
  template <class Keys, class Attend>
  void layers_forward(Context& ctx, const row_batch& b, A* x, Keys&& keys, Attend&& attend) {
    for (std::int64_t l = 0; l < config_.layers; ++l) {
      auto scope = ctx.scratch();
      layer_state s;
      s.q = scope.template take<T>(b.rows() * config_.heads * config_.head_dim);
      s.out = scope.template take<T>(b.rows() * config_.heads * config_.head_dim);
      s.gate = scope.template take<T>(b.rows() * config_.ffn);
      s.up = scope.template take<T>(b.rows() * config_.ffn);
      if (config_.qk_norm) s.qk_rstd = scope.template take<A>(b.rows() * (config_.heads + config_.kv_heads));
      layer_forward(ctx, l, b, x, s, keys(l), [&] { attend(l, s); });
    }
  }
  void embed_rows(Context& ctx, const row_batch& b, A* x) {
    embed(ctx, std::span<const token>(b.ids.data(), b.ids.size()), weight(embedding_),
          view<A, 2>(x, {b.rows(), config_.hidden}));
  }
  // The final norm of chosen rows.
  void final_norm(Context& ctx, view<const A, 2> x, view<T, 2> y, A* rstd) {
    rms_norm(ctx, x, vector(norm_), static_cast<A>(config_.norm_eps), y, rstd);
  }
  matrix<T> head() const { return weight(head_); }
  const attention_shape& attention_of() const { return shape_; }
  // Rotation tables for paths of up to n tokens.
  void reach(std::int64_t n) {
    ql::detail::expects(n <= config_.max_context, "decoder", "length",
                        "at most " + std::to_string(config_.max_context) + " tokens on a path (max_context)", n);
    if constexpr (computes<Context>) rope_.reach(n);
  }

 private:
  int put(Context& ctx, std::string name, std::int64_t rows, std::int64_t columns, bool product) {
    parameter_type p;
    p.name = std::move(name);
    p.rows = rows;
    p.columns = columns;
    p.product = product;
    p.master = {ctx, {rows * columns}};
    parameters_.push_back(std::move(p));
    return static_cast<int>(parameters_.size()) - 1;
  }
  parameter_type& at(int i) { return parameters_[static_cast<std::size_t>(i)]; }
  const parameter_type& at(int i) const { return parameters_[static_cast<std::size_t>(i)]; }
  matrix<T> weight(int i) const { return at(i).as_matrix(); }
  const A* vector(int i) const { return i < 0 ? nullptr : at(i).rounded.data(); }
  static void copy(Context& ctx, const A* from, std::int64_t n, A* to) { round_to(ctx, A{}, from, n, to); }

  void project(Context& ctx, const layer& p, view<const T, 2> x, A* qkv, std::int64_t rows) {
    const auto qd = config_.heads * config_.head_dim, kd = config_.kv_heads * config_.head_dim,
               ld = shape_.qkv_columns();
    linear_sum(ctx, x, weight(p.q), vector(p.q_bias), view<A, 2>(qkv, {rows, qd}, {ld, 1}));
    linear_sum(ctx, x, weight(p.k), vector(p.k_bias), view<A, 2>(qkv + qd, {rows, kd}, {ld, 1}));
    linear_sum(ctx, x, weight(p.v), vector(p.v_bias), view<A, 2>(qkv + qd + kd, {rows, kd}, {ld, 1}));
  }
  rotary_args<T> rotation(const layer& p, const row_batch& b, const A* qkv, const layer_state& s,
                          key_store keys) const {
    rotary_args<T> r;
    r.shape = shape_;
    r.places = b.places();
    r.qkv = qkv;
    r.q_norm = vector(p.q_norm);
    r.k_norm = vector(p.k_norm);
    r.eps = static_cast<A>(config_.norm_eps);
    r.cosine = rope_.cosine();
    r.sine = rope_.sine();
    r.q = s.q;
    r.rstd = s.qk_rstd;
    r.page_base = keys.base;
    r.layer_offset = keys.offset;
    return r;
  }
  attention_args<T> attending(std::int64_t l, const row_batch& b, const layer_state& s) const {
    attention_args<T> a;
    a.shape = shape_;
    a.places = b.places();
    a.q = s.q;
    a.out = s.out;
    a.lse = s.lse;
    a.page_base = pool().base();
    a.layer_offset = l * shape_.page_elements();
    return a;
  }
  void enter_lane(Context& ctx, std::int32_t lane) {
    if (lane == lane_) return;
    if (lane_ >= 0) {
      if (!first_lane_)
        for (auto& p : parameters_)
          if (p.trainable) fold(ctx, static_cast<const A*>(p.lane.data()), p.size(), p.gradient.data());
      first_lane_ = false;
    }
    if (lane >= 0 && !first_lane_)
      for (auto& p : parameters_) {
        if (!p.trainable) continue;
        if (p.lane.empty()) p.lane = {ctx, {p.size()}};
        clear(ctx, p.lane.data(), p.size());
      }
    lane_ = lane;
  }
  // Where the lane in progress gathers parameter i, or null where it is frozen.
  A* gathered(int i) {
    if (i < 0 || !at(i).trainable) return nullptr;
    return first_lane_ ? at(i).gradient.data() : at(i).lane.data();
  }
  void gather_dw(Context& ctx, int i, view<const A, 2> dy, view<const T, 2> x) {
    if (A* g = gathered(i)) linear_dw(ctx, dy, x, view<A, 2>(g, {at(i).rows, at(i).columns}));
  }

  struct unit_work;
  void gather_keys(Context& ctx, tape& t, const unit_work& u, std::int64_t l);
  void return_prefixes(Context& ctx, const tape& t, const unit_work& u, A* const* page_gradient);
  void bring_home(Context& ctx, tape& t, const unit_work& u, A* const* page_gradient);
  // The shape of what a rank attends to.
  attention_shape attended_shape() const {
    const auto n = split_ == attention_split::heads ? head_ranks_ : 1;
    return {shape_.heads / n, shape_.kv_heads / n, shape_.head_dim};
  }
  page_pool<T, Context>& attended_pool(Context& ctx) {
    if (split_ != attention_split::heads) return pool();
    if (head_pool_.empty()) head_pool_.emplace_back(ctx, attended_shape(), config_.layers);
    return head_pool_.front();
  }
  template <class E>
  struct own_pages;
  void attend_by_heads(Context& ctx, tape& t, const unit_work& u, std::int64_t l, const own_pages<T>& keys,
                       const layer_state& s, bool send_keys);
  void attend_by_heads_dx(Context& ctx, tape& t, const unit_work& u, std::int64_t l, const layer_state& s,
                          const A* dout, A* dq, A* const* page_gradient, const own_pages<A>& home);
  void share_scores(const tape& t, const std::vector<std::vector<std::int64_t>>& of_rank, scores<A> out);
  void unit_forward(Context& ctx, tape& t, unit_work& u, keep kept_parts, bool keeps, bool scored);
  void unit_backward(Context& ctx, tape& t, unit_work& u, scores<const A> d);
  void layer_backward(Context& ctx, tape& t, unit_work& u, std::int64_t l, A* dx, const layer_state& s, key_store keys,
                      A* const* page_gradient, const own_pages<A>& home);
  layer_state recomputed(Context& ctx, tape& t, unit_work& u, std::int64_t l, const own_pages<T>& keys,
                         typename Context::scratch_scope& scope);

  decoder_config config_;
  lane_options lanes_;
  attention_shape shape_;
  rope_table<A> rope_;
  std::vector<parameter_type> parameters_;
  std::vector<layer> layers_;
  int embedding_ = -1, norm_ = -1, head_ = -1;
  std::vector<page_pool<T, Context>> pool_;       // one: its address survives a move of the policy
  std::vector<page_pool<T, Context>> head_pool_;  // one or none: pages of this rank's heads
  int head_ranks_ = 1;                            // ranks that share the heads there
  attention_split split_ = attention_split::keys;
  std::uint64_t version_ = 0;
  std::int32_t lane_ = -1;
  bool first_lane_ = true;
  std::optional<comm::any> ranks_;
};

}  // namespace model
}  // namespace ql

#include <ql/model/decoder_training.hpp>
