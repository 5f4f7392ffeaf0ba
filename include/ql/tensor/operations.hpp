// SPDX-License-Identifier: Apache-2.0
#pragma once

// The operations of a decoder, declared. A backend implements each as kernel<tag, Backend>::run(ctx, args...).
// Conventions: T is the storage type (weights, activations), A = accumulate_t<T> the type of sums; a backward
// operation adds to what it is given (+=) unless its comment says "writes"; "chained" gradients go on from the value
// they find, in blocks of product_block rows, so that one lane's units form one ordered sum.

#include <ql/dispatch.hpp>
#include <ql/tensor/numerics.hpp>
#include <ql/tensor/update.hpp>
#include <ql/tensor/view.hpp>

#include <span>

namespace ql {

// A weight [rows, columns] as operations see it.
template <class T>
struct matrix {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  const accumulate_t<T>* master = nullptr;  // Hugging Face order: row-major [rows, columns]
  const T* packed = nullptr;                // the backend's kernel order, from `pack`
};

// ---- linear: y = x W^T + b

struct linear_op {};      // (ctx, x[m, k], matrix, bias or null, y[m, n] of T)          writes T(x W^T + b)
struct linear_sum_op {};  // (ctx, x[m, k], matrix, bias or null, y[m, n] of A)          writes x W^T + b, not rounded
struct linear_add_op {};  // (ctx, x[m, k], matrix, y[m, n] of A)                        y += x W^T
struct linear_dx_op {};   // (ctx, dy[m, n] of A, matrix, dx[m, k] of A, bool add)       dx (+)= T(dy) W
struct linear_dw_op {};   // (ctx, dy[m, n] of A, x[m, k] of T, dw[n, k] of A)           chained dw += T(dy)^T x
struct column_sum_op {};  // (ctx, dy[m, n] of A, db[n])                                 chained db += sum of rows
inline constexpr operation<linear_op> linear{};
inline constexpr operation<linear_sum_op> linear_sum{};
inline constexpr operation<linear_add_op> linear_add{};
inline constexpr operation<linear_dx_op> linear_dx{};
inline constexpr operation<linear_dw_op> linear_dw{};
inline constexpr operation<column_sum_op> column_sum{};

// ---- rows

struct embed_op {};        // (ctx, ids[m], matrix, x[m, k] of A)               writes T(W[id])
struct embed_dw_op {};     // (ctx, ids[m], dx[m, k], dw[n, k])                 dw[id] += dx, rows in order
struct rms_norm_op {};     // (ctx, x[m, n] of A, w[n], eps, y[m, n] of T, rstd[m])
struct rms_norm_dx_op {};  // (ctx, dy, x, w, rstd, dx of A)                  dx += gradient
struct rms_norm_dw_op {};  // (ctx, dy, x, rstd, dw)                          chained
struct swiglu_op {};       // (ctx, gate[m, n] of T, up of T, y of T)           silu(gate) * up
struct swiglu_dx_op {};    // (ctx, gate, up, dy of A, dgate of A, dup of A)    writes
struct gather_rows_op {};  // (ctx, x[., k], rows[m], k, y[m, k])            writes x[row], any type
inline constexpr operation<gather_rows_op> gather_rows{};
inline constexpr operation<embed_op> embed{};
inline constexpr operation<embed_dw_op> embed_dw{};
inline constexpr operation<rms_norm_op> rms_norm{};
inline constexpr operation<rms_norm_dx_op> rms_norm_dx{};
inline constexpr operation<rms_norm_dw_op> rms_norm_dw{};
inline constexpr operation<swiglu_op> swiglu{};
inline constexpr operation<swiglu_dx_op> swiglu_dx{};

// ---- attention over key pages

// A page holds the keys and values of key_block tokens at path positions [b key_block, (b + 1) key_block) for every
// layer and key-value head. The page of a block that spans a branch is the child's, with the parent's part copied.
struct attention_shape {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t group() const { return heads / kv_heads; }
  std::int64_t padded_dim() const { return round_up(head_dim, panel_columns); }
  std::int64_t qkv_columns() const { return (heads + 2 * kv_heads) * head_dim; }
  // elements of one layer of one page
  std::int64_t page_elements() const { return 2 * kv_heads * key_block * padded_dim(); }
};

// Rows that are computed together: they share the first `shared_blocks` pages of their paths. Either tokens of one
// segment within one query tile (all blocks shared), or one token each of several paths.
struct query_run {
  std::int64_t first = 0;
  std::int32_t rows = 0;
  std::int32_t shared_blocks = 0;
};

// Where each row stands: its path position and the pages of its path, pages[path[row] + block].
struct row_places {
  std::int64_t rows = 0;
  std::span<const query_run> runs;
  const std::int64_t* position = nullptr;
  const std::int64_t* path = nullptr;
  const std::int32_t* pages = nullptr;
};

// Consecutive runs.
struct run_range {
  std::int32_t first = 0;
  std::int32_t count = 0;
};
// Which runs see which page, by ascending block within each tree: the order of attention's gradients.
struct page_use {
  std::int32_t page = 0;
  std::int32_t block = 0;
  std::int32_t first = 0;  // its runs: ranges[first, first + count)
  std::int32_t count = 0;
};
struct page_uses {
  std::span<const page_use> uses;
  std::span<const run_range> ranges;
  std::span<const std::int32_t> trees;  // uses[trees[i], trees[i + 1]) belong to tree i
};

template <class T>
struct rotary_args {
  using A = accumulate_t<T>;
  attention_shape shape;
  row_places places;
  const A* qkv = nullptr;     // (rows, qkv_columns): queries, keys, values
  const A* q_norm = nullptr;  // (head_dim) or null
  const A* k_norm = nullptr;
  A eps = 0;
  const A* cosine = nullptr;  // (positions, head_dim / 2)
  const A* sine = nullptr;
  T* q = nullptr;                 // (rows, heads * head_dim)
  A* rstd = nullptr;              // (rows, heads + kv_heads) when normalised
  T* const* page_base = nullptr;  // [page] + layer_offset: this layer's keys and values
  std::int64_t layer_offset = 0;
};
// (ctx, rotary_args): normalises (where asked) and rotates queries and keys, rounds once, stores keys and values
struct rotary_op {};
inline constexpr operation<rotary_op> rotary{};

template <class T>
struct attention_args {
  using A = accumulate_t<T>;
  attention_shape shape;
  row_places places;
  const T* q = nullptr;  // (rows, heads * head_dim)
  T* out = nullptr;      // (rows, heads * head_dim)
  A* lse = nullptr;      // (rows, heads)
  T* const* page_base = nullptr;
  std::int64_t layer_offset = 0;
};
// (ctx, attention_args): softmax(q k / sqrt(head_dim)) v over each row's path. Memory O(rows).
struct attention_op {};
inline constexpr operation<attention_op> attention{};

// Gradients of pages, of A, one pointer a page: [kv head][keys, values][key_block][padded_dim].
template <class T>
struct attention_dx_args {
  using A = accumulate_t<T>;
  attention_args<T> forward;
  page_uses uses;
  const A* dout = nullptr;  // (rows, heads * head_dim)
  A* dq = nullptr;          // written; [kv head][row][group][padded_dim]
  A* const* page_gradient = nullptr;
};
struct attention_dx_op {};  // (ctx, attention_dx_args)
inline constexpr operation<attention_dx_op> attention_dx{};

template <class T>
struct rotary_dx_args {
  using A = accumulate_t<T>;
  rotary_args<T> forward;
  const A* dq = nullptr;  // as attention_dx wrote it
  A* const* page_gradient = nullptr;
  A* dqkv = nullptr;     // written; (rows, qkv_columns)
  A* dq_norm = nullptr;  // chained; null without normalisation or where frozen
  A* dk_norm = nullptr;
};
struct rotary_dx_op {};  // (ctx, rotary_dx_args)
inline constexpr operation<rotary_dx_op> rotary_dx{};

// Copies the first `keys` positions of one page's block to another, all layers; and adds gradients back, one layer.
struct copy_keys_op {};    // (ctx, shape, layers, const T* from, T* to, keys)
struct return_keys_op {};  // (ctx, shape, const A* from, A* to, keys)    to += from
inline constexpr operation<copy_keys_op> copy_keys{};
inline constexpr operation<return_keys_op> return_keys{};

// ---- vocabulary

// Row r of the arrays is one scored token: hidden row r against `target`. No logits tensor exists: memory is a block of
// vocab_block columns for some rows.
template <class T, class Space = host_space>
struct vocabulary_args {
  using A = accumulate_t<T>;
  matrix<T> head;
  A inverse_temperature = 1;
  view<const T, 2, Space> hidden;  // (rows, columns); the spans are the host's on every backend
  std::span<const token> targets;
  // Frozen support: row r is renormalised over support[support_first[r], support_first[r + 1]); empty = whole
  // vocabulary.
  std::span<const token> support;
  std::span<const std::int64_t> support_first;
  std::span<A> logp;     // (rows)
  std::span<A> entropy;  // (rows)
  std::span<A> lse;      // (rows)
};
struct vocabulary_op {};  // (ctx, vocabulary_args): writes logp, entropy, lse
inline constexpr operation<vocabulary_op> vocabulary{};

template <class T, class Space = host_space>
struct vocabulary_dx_args {
  using A = accumulate_t<T>;
  vocabulary_args<T, Space> forward;  // logp, entropy, lse as written
  std::span<const A> dlogp;           // (rows)
  std::span<const A> dentropy;        // (rows) or empty
  A* dhidden = nullptr;               // (rows, columns), +=
  A* dhead = nullptr;                 // (vocabulary, columns), chained; null where frozen
};
struct vocabulary_dx_op {};
inline constexpr operation<vocabulary_dx_op> vocabulary_dx{};

// Whole rows for a sampler: z = logits / temperature with the max and sum of exp(z - max) of each row, the same bits as
// `vocabulary` works with.
template <class A>
struct logit_row {
  A max = 0, sum = 0, weighted = 0;
  A lse = 0, entropy = 0;
};
// (ctx, matrix, hidden[m, k] of T, inverse_temperature, z[m, vocabulary] of A, span<logit_row<A>>,
//  partial[m, ceil(vocabulary / 16)] of A: sums of exp(z - max))
struct logits_op {};
inline constexpr operation<logits_op> logits{};

// What a backend drew from a row: the token, the size of the support it was drawn from (0: all), its logit, and the
// support's probability under the untruncated softmax.
template <class A>
struct drawn_row {
  token id = 0;
  std::int32_t kept = 0;
  A z = 0;
  double kept_mass = 1;
};
// (ctx, const distribution&, z[m, vocabulary] of A, partial[m, ceil(vocabulary / 16)] of A, span<const logit_row<A>>,
//  span<const double> uniforms, span<drawn_row<A>>, span<token> kept[m, w], span<A> their logits): as rl::stochastic
//  draws, where the host cannot read z. Rows are finite. The first w ids of each support are written.
struct draw_op {};
inline constexpr operation<draw_op> draw_rows{};

struct log_sum_exp_op {};  // (ctx, z of A (n), tag T{}) -> logit_row: over a frozen support, as `vocabulary` does it
inline constexpr operation<log_sum_exp_op> log_sum_exp{};

// ---- parameters

struct pack_op {};            // (ctx, matrix with master set, T* packed)
struct packed_size_op {};     // (ctx, scalar tag T{}, rows, columns) -> elements of `packed`
struct round_op {};           // (ctx, const A* x, n, A* y): y = A(T(x)), T by a tag: (ctx, T{}, x, n, y)
struct fold_op {};            // (ctx, x of A, n, y of A): y += x
struct clear_op {};           // (ctx, x of A, n): x = 0
struct sum_of_squares_op {};  // (ctx, x of A, n) -> double, blocks of norm_block in order
struct adamw_step_op {};      // (ctx, adamw_args, matrix, w, g, m, v, T* packed or null): one pass over memory
struct sgd_step_op {};        // (ctx, sgd_args, matrix, w, g, momentum or null, T* packed or null)
inline constexpr operation<pack_op> pack{};
inline constexpr operation<packed_size_op> packed_elements{};
inline constexpr operation<round_op> round_to{};
inline constexpr operation<fold_op> fold{};
inline constexpr operation<clear_op> clear{};
inline constexpr operation<sum_of_squares_op> sum_of_squares{};
inline constexpr operation<adamw_step_op> adamw_step{};
inline constexpr operation<sgd_step_op> sgd_step{};

}  // namespace ql
