// SPDX-License-Identifier: Apache-2.0
#pragma once

// Attention over key pages: forward for prefill, training and decoding, and a deterministic backward.
//
// A page of one layer is [kv head][keys, values][key_block][padded_dim]. A block of threads takes 64 (token, head) rows
// of a run. Keys are seen in blocks of 64 at multiples of 64 of the path position; every split_blocks of them start a
// fresh {max, sum, out}, and splits are folded in ascending order by `fold_split`: inside the kernel (prefill,
// training) or from memory (decoding, where each split has a block of its own). Both give the same bits.

#include <ql/backend/cuda/block.hpp>
#include <ql/backend/cuda/body/rows.hpp>
#include <ql/backend/cuda/body/tile.hpp>
#include <ql/math.hpp>
#include <ql/tensor/operations.hpp>

#include <cstdint>
#include <limits>

namespace ql::cuda {

// attention_shape and row_places as kernels see them: device pointers, and pages by their address.
template <class T>
struct attention_places {
  std::int32_t heads = 0, kv_heads = 0, head_dim = 0, padded_dim = 0;
  const query_run* runs = nullptr;
  std::int64_t run_count = 0;
  std::int64_t rows = 0;
  std::int32_t run_tiles = 1;  // blocks of 64 (token, head) rows in the longest run
  const std::int64_t* position = nullptr;
  const std::int64_t* path = nullptr;
  T* const* pages = nullptr;  // pages[path[row] + block]: this layer
  float scale = 0;

  QL_DEVICE std::int32_t group() const { return heads / kv_heads; }
  QL_DEVICE T* keys(std::int64_t row, std::int64_t block, std::int64_t kv) const {
    return pages[path[row] + block] + kv * 2 * key_block * padded_dim;
  }
  QL_DEVICE T* values(std::int64_t row, std::int64_t block, std::int64_t kv) const {
    return keys(row, block, kv) + key_block * padded_dim;
  }
};

template <class T>
inline constexpr std::int64_t score_stride = staged_stride<T>(key_block);

// exp of a difference that may be (-inf) - (-inf)
QL_DEVICE float weight_of(float x, float max) { return x == max ? 1.0f : math::exp(x - max); }

// {max, sum, out} of an earlier and a later split become those of both.
struct split_fold {
  float max, earlier, later;
  QL_DEVICE split_fold(float m1, float m2)
      : max(math::max(m1, m2)), earlier(weight_of(m1, max)), later(weight_of(m2, max)) {}
  QL_DEVICE float operator()(float x, float y) const { return math::fma(x, earlier, y * later); }
};

// 64 rows of a run against key blocks. Chunks = ceil(head_dim / 64).
template <class T, int Chunks>
struct attention_tile {
  static constexpr int width = Chunks * tile_columns;
  static constexpr std::int64_t stride = staged_stride<T>(width);

  // The rows of this tile: (token, head of the group), token-major.
  struct rows_of_tile {
    std::int64_t first = 0;  // row of the run's first token
    std::int32_t kv = 0, group = 1;
    std::int32_t offset = 0, count = 0;  // (token, head) pairs of the run: [offset, offset + count)
    std::int32_t shared_blocks = 0;
    QL_DEVICE std::int64_t token(int r) const { return first + (offset + r) / group; }
    QL_DEVICE std::int32_t head(int r) const { return kv * group + (offset + r) % group; }
  };
  // Of block `at` = (run * kv_heads + kv) * run_tiles + tile.
  QL_DEVICE static rows_of_tile find(const attention_places<T>& p, std::int64_t at) {
    rows_of_tile t;
    const std::int64_t tile = at % p.run_tiles, task = at / p.run_tiles;
    const query_run& run = p.runs[task / p.kv_heads];
    t.first = run.first;
    t.kv = static_cast<std::int32_t>(task % p.kv_heads);
    t.group = p.group();
    t.offset = static_cast<std::int32_t>(tile * tile_rows);
    const std::int32_t left = run.rows * t.group - t.offset;
    t.count = left < tile_rows ? left : tile_rows;
    t.shared_blocks = run.shared_blocks;
    return t;
  }

  // Row r of a (rows, heads * head_dim) matrix into shared memory, rounded; zeros where there is none.
  template <class Block, class S, class E>
  QL_DEVICE static void stage_rows(Block& b, S& to, const attention_places<T>& p, const rows_of_tile& t,
                                   const E* from) {
    b.each([&](int thread) {
      for (int i = thread; i < tile_rows * width; i += block_threads) {
        const int r = i / width, c = i % width;
        const bool inside = r < t.count && c < p.head_dim;
        to.set(r * stride + c,
               inside ? rounded<T>(from[(t.token(r) * p.heads + t.head(r)) * p.head_dim + c]) : rounded<T>(0.0f));
      }
    });
  }
  // The keys or values of a page.
  template <class Block, class S>
  QL_DEVICE static void stage_page(Block& b, S& to, const attention_places<T>& p, const T* from) {
    b.each([&](int thread) {
      for (int i = thread; i < key_block * width; i += block_threads) {
        const int r = i / width, c = i % width;
        to.set(r * stride + c, c < p.padded_dim ? from[r * p.padded_dim + c] : rounded<T>(0.0f));
      }
    });
  }
};

// ---------------------------------------------------------------- forward

template <class T>
struct attention_forward_arguments {
  attention_places<T> places;
  const T* q = nullptr;
  T* out = nullptr;      // (rows, heads * head_dim)
  float* lse = nullptr;  // (rows, heads) or null
  // Decoding: `splits` blocks a tile, each writing {max, sum, out} of its split; null: all splits here.
  std::int32_t splits = 1;
  float* part_max = nullptr;  // (splits, rows, heads)
  float* part_sum = nullptr;
  float* part_out = nullptr;  // (splits, rows, heads, head_dim)
};

template <class T, int Chunks>
struct attention_forward_body {
  using arguments = attention_forward_arguments<T>;
  using tile = attention_tile<T, Chunks>;
  static constexpr launch_shape shape(const arguments& a) {
    return {a.places.run_count * a.places.kv_heads * a.places.run_tiles * a.splits,
            2 * shared_size<T>(tile_rows * tile::stride) + shared_size<float>(tile_rows * score_stride<float>) +
                shared_size<T>(tile_rows * score_stride<T>) + 6 * shared_size<float>(tile_rows) +
                shared_size<std::int32_t>(tile_rows) +
                (a.part_max == nullptr ? shared_size<float>(tile_rows * tile::width) : 0)};
  }

  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    const auto& p = a.places;
    const auto t = tile::find(p, b.index() / a.splits);
    if (t.count <= 0) return;
    auto q = b.template share<T>(tile_rows * tile::stride);
    auto page = b.template share<T>(tile_rows * tile::stride);
    auto scores = b.template share<float>(tile_rows * score_stride<float>);
    auto weights = b.template share<T>(tile_rows * score_stride<T>);
    auto max = b.template share<float>(tile_rows);
    auto next = b.template share<float>(tile_rows);
    auto sum = b.template share<float>(tile_rows);
    auto factor = b.template share<float>(tile_rows);
    auto visible = b.template share<std::int32_t>(tile_rows);
    const bool whole = a.part_max == nullptr;
    auto total_max = b.template share<float>(tile_rows);
    auto total_sum = b.template share<float>(tile_rows);
    auto total = b.template share<float>(whole ? tile_rows * tile::width : 0);
    typename Block::template registers<tile_part> product(b);
    typename Block::template registers<tile_parts<Chunks>> out(b);

    tile::stage_rows(b, q, p, t, a.q);
    // the last block that any row sees; positions of a run's rows need not ascend
    std::int64_t last = 0;
    for (int r = 0; r < t.count; r += t.group) {
      const std::int64_t block = p.position[t.token(r)] / key_block;
      last = block > last ? block : last;
    }
    const std::int64_t end = p.position[t.token(t.count - 1)] / key_block;
    last = end > last ? end : last;
    const std::int64_t first_split = whole ? 0 : b.index() % a.splits;
    const std::int64_t last_split = whole ? last / split_blocks : first_split;

    // one page for rows [from, to) of the tile
    const auto attend = [&](const T* keys, const T* values, std::int64_t block, int from, int to) {
      b.sync();  // the page and the weights of the block before are no longer read
      tile::stage_page(b, page, p, keys);
      b.each([&](int thread) {
        if (thread >= tile_rows) return;
        std::int64_t n = 0;
        if (thread >= from && thread < to) n = p.position[t.token(thread)] - block * key_block + 1;
        visible.set(thread, static_cast<std::int32_t>(n < 0 ? 0 : n < key_block ? n : key_block));
      });
      b.sync();
      clear_tile(b, product);
      multiply<T>(b, product, as_operand<false>(q, tile::stride), 0, as_operand<false>(page, tile::stride), 0,
                  tile::width);
      b.each([&](int thread) {
        for_elements<T>(thread, product[thread],
                        [&](int r, int c, float x) { scores.set(r * score_stride<float> + c, x); });
      });
      b.sync();
      tile::stage_page(b, page, p, values);
      softmax(b, scores, weights, visible, max, next, sum, factor, p.scale);
      b.sync();
      b.each([&](int thread) {
        if (thread < tile_rows) max.set(thread, next.get(thread));
      });
      QL_UNROLL
      for (int chunk = 0; chunk < Chunks; ++chunk) {
        clear_tile(b, product);
        multiply<T>(b, product, as_operand<false>(weights, score_stride<T>), 0, as_operand<true>(page, tile::stride),
                    chunk * tile_columns, key_block);
        b.each([&](int thread) {
          QL_UNROLL
          for (int e = 0; e < tile_part::elements; ++e) {
            const int r = tile_map<T>::row(thread, e);
            float& x = out[thread][chunk].x[e];
            if (visible.get(r) > 0) x = math::fma(x, factor.get(r), product[thread].x[e]);
          }
        });
      }
    };

    for (std::int64_t split = first_split; split <= last_split; ++split) {
      b.sync();
      b.each([&](int thread) {
        QL_UNROLL
        for (int chunk = 0; chunk < Chunks; ++chunk) {
          QL_UNROLL
          for (int e = 0; e < tile_part::elements; ++e) out[thread][chunk].x[e] = 0;
        }
        if (thread >= tile_rows) return;
        max.set(thread, -std::numeric_limits<float>::infinity());
        sum.set(thread, 0.0f);
      });
      const std::int64_t b0 = split * split_blocks, b1 = b0 + split_blocks < last + 1 ? b0 + split_blocks : last + 1;
      for (std::int64_t block = b0; block < b1; ++block) {
        if (block < t.shared_blocks) {
          attend(p.keys(t.first, block, t.kv), p.values(t.first, block, t.kv), block, 0, t.count);
          continue;
        }
        for (int r = 0; r < t.count;) {  // each token against pages of its own
          const std::int64_t row = t.token(r);
          const int after = static_cast<int>((row - t.first + 1) * t.group - t.offset);
          const int to = after < t.count ? after : t.count;
          if (p.position[row] / key_block >= block)
            attend(p.keys(row, block, t.kv), p.values(row, block, t.kv), block, r, to);
          r = to;
        }
      }
      b.sync();
      if (whole) {
        fold(b, t, split == 0, max, sum, out, total_max, total_sum, total);
      } else {
        b.each([&](int thread) {
          QL_UNROLL
          for (int chunk = 0; chunk < Chunks; ++chunk)
            for_elements<T>(thread, out[thread][chunk], [&](int r, int c, float x) {
              const std::int64_t d = chunk * tile_columns + c;
              if (r < t.count && d < p.head_dim)
                a.part_out[((split * p.rows + t.token(r)) * p.heads + t.head(r)) * p.head_dim + d] = x;
            });
          if (thread >= t.count) return;
          const std::int64_t at = (split * p.rows + t.token(thread)) * p.heads + t.head(thread);
          a.part_max[at] = max.get(thread);
          a.part_sum[at] = sum.get(thread);
        });
      }
    }
    if (!whole) return;
    b.sync();
    b.each([&](int thread) {
      for (int i = thread; i < t.count * tile::width; i += block_threads) {
        const int r = i / tile::width, d = i % tile::width;
        if (d < p.head_dim)
          a.out[(t.token(r) * p.heads + t.head(r)) * p.head_dim + d] = rounded<T>(total.get(i) / total_sum.get(r));
      }
      if (thread < t.count && a.lse != nullptr)
        a.lse[t.token(thread) * p.heads + t.head(thread)] = total_max.get(thread) + math::log(total_sum.get(thread));
    });
  }

  // The split's {max, sum, out} into the total; rows that see nothing of the split are left alone.
  template <class Block, class Tile, class S, class R>
  QL_DEVICE static void fold(Block& b, const Tile& t, bool first, S& max, S& sum, R& out, S& total_max, S& total_sum,
                             S& total) {
    b.each([&](int thread) {
      QL_UNROLL
      for (int chunk = 0; chunk < Chunks; ++chunk)
        for_elements<T>(thread, out[thread][chunk], [&](int r, int c, float x) {
          const std::int64_t at = r * tile::width + chunk * tile_columns + c;
          if (r >= t.count) return;
          if (first) {
            total.set(at, x);
          } else if (sum.get(r) > 0) {
            const split_fold f(total_max.get(r), max.get(r));
            total.set(at, f(total.get(at), x));
          }
        });
    });
    b.sync();  // every element has read the row's state
    b.each([&](int thread) {
      if (thread >= t.count) return;
      if (first) {
        total_max.set(thread, max.get(thread));
        total_sum.set(thread, sum.get(thread));
      } else if (sum.get(thread) > 0) {
        const split_fold f(total_max.get(thread), max.get(thread));
        total_sum.set(thread, f(total_sum.get(thread), sum.get(thread)));
        total_max.set(thread, f.max);
      }
    });
  }

  // scores -> rounded weights, and the rows' next maximum, sum and factor; a warp takes a row at a time, its lanes
  // columns lane and lane + 32.
  template <class Block, class S, class W, class V>
  QL_DEVICE static void softmax(Block& b, S& scores, W& weights, V& visible, S& max, S& next, S& sum, S& factor,
                                float scale) {
    typename Block::template registers<float> top(b), low(b), high(b), added(b);
    constexpr int half = static_cast<int>(key_block) / 2;
    static_assert(half == warp_lanes);
    for (int i = 0; i < tile_rows / block_warps; ++i) {
      b.each([&](int t) {
        const int r = t / warp_lanes * (tile_rows / block_warps) + i, lane = t % warp_lanes;
        const int n = visible.get(r);
        const float lowest = -std::numeric_limits<float>::infinity();
        low[t] = lane < n ? scores.get(r * score_stride<float> + lane) * scale : lowest;
        high[t] = lane + half < n ? scores.get(r * score_stride<float> + lane + half) * scale : lowest;
        top[t] = math::max(low[t], high[t]);
      });
      b.warp_max(top);
      b.each([&](int t) {
        const int r = t / warp_lanes * (tile_rows / block_warps) + i, lane = t % warp_lanes;
        const bool none = visible.get(r) == 0;
        top[t] = math::max(max.get(r), top[t]);
        low[t] = none ? 0.0f : math::exp(low[t] - top[t]);
        high[t] = none ? 0.0f : math::exp(high[t] - top[t]);
        added[t] = low[t] + high[t];
        weights.set(r * score_stride<T> + lane, rounded<T>(low[t]));
        weights.set(r * score_stride<T> + lane + half, rounded<T>(high[t]));
      });
      b.warp_sum(added);
      b.each([&](int t) {
        const int r = t / warp_lanes * (tile_rows / block_warps) + i;
        if (t % warp_lanes != 0) return;
        next.set(r, top[t]);
        if (visible.get(r) == 0) return;
        const float f = math::exp(max.get(r) - top[t]);
        factor.set(r, f);
        sum.set(r, math::fma(sum.get(r), f, added[t]));
      });
    }
  }
};

// Folds the splits of decoding, one warp a (row, head).
template <class T>
struct attention_combine_body {
  using arguments = attention_forward_arguments<T>;
  static constexpr launch_shape shape(const arguments& a) { return shape_of_rows(a.places.rows * a.places.heads); }
  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    const auto& p = a.places;
    const std::int64_t all = p.rows * p.heads;
    b.each([&](int t) {
      const auto [at, lane] = row_of(b.index(), t);
      if (at >= all) return;
      const std::int64_t splits = p.position[at / p.heads] / (key_block * split_blocks) + 1;
      for (std::int64_t d = lane; d < p.head_dim; d += warp_lanes) {
        float max = a.part_max[at], sum = a.part_sum[at], out = a.part_out[at * p.head_dim + d];
        for (std::int64_t s = 1; s < splits; ++s) {
          const std::int64_t part = s * all + at;
          const split_fold f(max, a.part_max[part]);
          out = f(out, a.part_out[part * p.head_dim + d]);
          sum = f(sum, a.part_sum[part]);
          max = f.max;
        }
        a.out[at * p.head_dim + d] = rounded<T>(out / sum);
        if (d == 0 && a.lse != nullptr) a.lse[at] = max + math::log(sum);
      }
    });
  }
};

// ---------------------------------------------------------------- backward

template <class T>
struct attention_backward_arguments {
  attention_places<T> places;
  const T* q = nullptr;
  const float* dout = nullptr;   // (rows, heads * head_dim)
  const float* lse = nullptr;    // (rows, heads)
  const float* delta = nullptr;  // (rows, heads): sum of dout out
  float* dq = nullptr;           // [kv head][row][group][padded_dim]
  const page_use* uses = nullptr;
  std::int64_t use_count = 0;
  const run_range* ranges = nullptr;
  T* const* use_pages = nullptr;          // this layer's page of each use
  float* const* use_gradients = nullptr;  // and its gradient
};

template <class T>
struct delta_body {
  struct arguments {
    const float* dout;
    const T* out;
    std::int64_t rows, columns;
    float* delta;
  };
  static constexpr launch_shape shape(const arguments& a) { return shape_of_rows(a.rows); }
  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    typename Block::template registers<float> sum(b);
    b.each([&](int t) {
      const auto [row, lane] = row_of(b.index(), t);
      sum[t] = 0;
      if (row >= a.rows) return;
      for (std::int64_t c = lane; c < a.columns; c += warp_lanes)
        sum[t] =
            math::fma(widened(rounded<T>(a.dout[row * a.columns + c])), widened(a.out[row * a.columns + c]), sum[t]);
    });
    b.warp_sum(sum);
    b.each([&](int t) {
      const auto [row, lane] = row_of(b.index(), t);
      if (row < a.rows && lane == 0) a.delta[row] = sum[t];
    });
  }
};

// What both halves of the backward need: P and dS of 64 rows against one page, rounded, in shared memory.
template <class T, int Chunks>
struct attention_gradient_tile {
  using tile = attention_tile<T, Chunks>;
  static constexpr std::int64_t shared_bytes =
      4 * shared_size<T>(tile_rows * tile::stride) + 2 * shared_size<T>(tile_rows * score_stride<T>);

  template <class Block, class Staged, class Scores, class R>
  QL_DEVICE static void scores(Block& b, const attention_backward_arguments<T>& a, const typename tile::rows_of_tile& t,
                               std::int64_t block, Staged& q, Staged& dout, Staged& keys, Staged& values, Scores& p,
                               Scores& ds, R& product, R& other, bool gradients = true) {
    const auto& places = a.places;
    clear_tile(b, product);
    multiply<T>(b, product, as_operand<false>(q, tile::stride), 0, as_operand<false>(keys, tile::stride), 0,
                tile::width);
    clear_tile(b, other);
    if (gradients)
      multiply<T>(b, other, as_operand<false>(dout, tile::stride), 0, as_operand<false>(values, tile::stride), 0,
                  tile::width);
    b.each([&](int thread) {
      QL_UNROLL
      for (int e = 0; e < tile_part::elements; ++e) {
        const int r = tile_map<T>::row(thread, e), c = tile_map<T>::column(thread, e);
        float weight = 0, gradient = 0;
        if (r < t.count) {
          const std::int64_t at = t.token(r) * places.heads + t.head(r);
          if (block * key_block + c <= places.position[t.token(r)]) {
            weight = math::exp(math::fma(product[thread].x[e], places.scale, -a.lse[at]));
            gradient = weight * (other[thread].x[e] - a.delta[at]) * places.scale;
          }
        }
        p.set(r * score_stride<T> + c, rounded<T>(weight));
        ds.set(r * score_stride<T> + c, rounded<T>(gradient));
      }
    });
  }
};

// dK or dV: a block of threads owns the keys or the values of one page of one key-value head, and gathers its runs in
// order.
template <class T, int Chunks, bool OfValues>
struct attention_keys_dx_body {
  using arguments = attention_backward_arguments<T>;
  using gradient = attention_gradient_tile<T, Chunks>;
  using tile = attention_tile<T, Chunks>;
  static constexpr launch_shape shape(const arguments& a) {
    return {a.use_count * a.places.kv_heads, gradient::shared_bytes};
  }
  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    const auto& places = a.places;
    const std::int64_t at = b.index() / places.kv_heads, kv = b.index() % places.kv_heads;
    const page_use use = a.uses[at];
    const std::int64_t plane = key_block * places.padded_dim;
    auto q = b.template share<T>(tile_rows * tile::stride);
    auto dout = b.template share<T>(tile_rows * tile::stride);
    auto keys = b.template share<T>(tile_rows * tile::stride);
    auto values = b.template share<T>(tile_rows * tile::stride);
    auto p = b.template share<T>(tile_rows * score_stride<T>);
    auto ds = b.template share<T>(tile_rows * score_stride<T>);
    typename Block::template registers<tile_part> one(b), two(b);
    typename Block::template registers<tile_parts<Chunks>> total(b);
    const T* from = a.use_pages[at] + kv * 2 * plane;
    float* to = a.use_gradients[at] + kv * 2 * plane + (OfValues ? plane : 0);
    tile::stage_page(b, keys, places, from);
    tile::stage_page(b, values, places, from + plane);
    b.each([&](int thread) {
      QL_UNROLL
      for (int chunk = 0; chunk < Chunks; ++chunk)
        for_elements<T>(thread, total[thread][chunk], [&](int r, int c, float& x) {
          const std::int64_t d = chunk * tile_columns + c;
          x = d < places.padded_dim ? to[r * places.padded_dim + d] : 0.0f;
        });
    });
    for (std::int32_t i = use.first; i < use.first + use.count; ++i)
      for (std::int32_t run = a.ranges[i].first; run < a.ranges[i].first + a.ranges[i].count; ++run)
        for (int part = 0; part < places.run_tiles; ++part) {
          const auto t = tile::find(places, (run * places.kv_heads + kv) * places.run_tiles + part);
          if (t.count <= 0) break;
          b.sync();
          tile::stage_rows(b, q, places, t, a.q);
          tile::stage_rows(b, dout, places, t, a.dout);
          b.sync();
          gradient::scores(b, a, t, use.block, q, dout, keys, values, p, ds, one, two, !OfValues);
          b.sync();
          // += weights^T rows, over the 64 rows of the tile: dV = P^T dO, dK = dS^T Q
          QL_UNROLL
          for (int chunk = 0; chunk < Chunks; ++chunk) {
            clear_tile(b, one);
            if constexpr (OfValues) {
              multiply<T>(b, one, as_operand<true>(p, score_stride<T>), 0, as_operand<true>(dout, tile::stride),
                          chunk * tile_columns, tile_rows);
            } else {
              multiply<T>(b, one, as_operand<true>(ds, score_stride<T>), 0, as_operand<true>(q, tile::stride),
                          chunk * tile_columns, tile_rows);
            }
            b.each([&](int thread) {
              QL_UNROLL
              for (int e = 0; e < tile_part::elements; ++e)
                total[thread][chunk].x[e] = total[thread][chunk].x[e] + one[thread].x[e];
            });
          }
        }
    b.each([&](int thread) {
      QL_UNROLL
      for (int chunk = 0; chunk < Chunks; ++chunk)
        for_elements<T>(thread, total[thread][chunk], [&](int r, int c, float x) {
          const std::int64_t d = chunk * tile_columns + c;
          if (d < places.padded_dim) to[r * places.padded_dim + d] = x;
        });
    });
  }
};

// dQ: a block of threads owns 64 rows and goes through their pages in ascending order.
template <class T, int Chunks>
struct attention_queries_dx_body {
  using arguments = attention_backward_arguments<T>;
  using gradient = attention_gradient_tile<T, Chunks>;
  using tile = attention_tile<T, Chunks>;
  static constexpr launch_shape shape(const arguments& a) {
    return {a.places.run_count * a.places.kv_heads * a.places.run_tiles, gradient::shared_bytes};
  }
  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    const auto& places = a.places;
    const auto t = tile::find(places, b.index());
    if (t.count <= 0) return;
    auto q = b.template share<T>(tile_rows * tile::stride);
    auto dout = b.template share<T>(tile_rows * tile::stride);
    auto keys = b.template share<T>(tile_rows * tile::stride);
    auto values = b.template share<T>(tile_rows * tile::stride);
    auto p = b.template share<T>(tile_rows * score_stride<T>);
    auto ds = b.template share<T>(tile_rows * score_stride<T>);
    typename Block::template registers<tile_part> one(b), two(b);
    typename Block::template registers<tile_parts<Chunks>> total(b);
    tile::stage_rows(b, q, places, t, a.q);
    tile::stage_rows(b, dout, places, t, a.dout);
    b.each([&](int thread) {
      QL_UNROLL
      for (int chunk = 0; chunk < Chunks; ++chunk) {
        QL_UNROLL
        for (int e = 0; e < tile_part::elements; ++e) total[thread][chunk].x[e] = 0;
      }
    });
    for (std::int64_t block = 0; block < t.shared_blocks; ++block) {
      b.sync();
      tile::stage_page(b, keys, places, places.keys(t.first, block, t.kv));
      tile::stage_page(b, values, places, places.values(t.first, block, t.kv));
      b.sync();
      gradient::scores(b, a, t, block, q, dout, keys, values, p, ds, one, two);
      b.sync();
      QL_UNROLL
      for (int chunk = 0; chunk < Chunks; ++chunk) {
        clear_tile(b, one);
        multiply<T>(b, one, as_operand<false>(ds, score_stride<T>), 0, as_operand<true>(keys, tile::stride),
                    chunk * tile_columns, key_block);
        b.each([&](int thread) {
          QL_UNROLL
          for (int e = 0; e < tile_part::elements; ++e)
            total[thread][chunk].x[e] = total[thread][chunk].x[e] + one[thread].x[e];
        });
      }
    }
    b.each([&](int thread) {
      QL_UNROLL
      for (int chunk = 0; chunk < Chunks; ++chunk)
        for_elements<T>(thread, total[thread][chunk], [&](int r, int c, float x) {
          const std::int64_t d = chunk * tile_columns + c;
          if (r < t.count && d < places.padded_dim)
            a.dq[((t.kv * places.rows + t.token(r)) * t.group + (t.offset + r) % t.group) * places.padded_dim + d] = x;
        });
    });
  }
};

// ---------------------------------------------------------------- rotation

template <class T>
struct rotary_arguments {
  attention_places<T> places;
  std::int64_t columns = 0;  // of qkv
  const float* qkv = nullptr;
  const float *q_norm = nullptr, *k_norm = nullptr;
  float eps = 0;
  const float *cosine = nullptr, *sine = nullptr;  // by row: (rows, head_dim / 2)
  T* q = nullptr;
  float* rstd = nullptr;
};

// y1 = fma(x1, c, (-x2) s), y2 = fma(x2, c, x1 s)
struct rotated_pair {
  float first, second;
  QL_DEVICE rotated_pair(float x1, float x2, float c, float s)
      : first(math::fma(x1, c, -x2 * s)), second(math::fma(x2, c, x1 * s)) {}
};

// One warp a (row, head of queries, keys and values).
template <class T>
struct rotary_body {
  using arguments = rotary_arguments<T>;
  static constexpr launch_shape shape(const arguments& a) {
    return shape_of_rows(a.places.rows * (a.places.heads + 2 * a.places.kv_heads));
  }
  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    const auto& p = a.places;
    const std::int64_t all = p.heads + 2 * p.kv_heads, normalised = p.heads + p.kv_heads, d = p.head_dim;
    typename Block::template registers<float> squares(b);
    b.each([&](int t) {
      const auto [at, lane] = row_of(b.index(), t);
      squares[t] = 0;
      if (at >= p.rows * all || a.q_norm == nullptr) return;
      const float* x = a.qkv + at / all * a.columns + at % all * d;
      for (std::int64_t c = lane; c < d; c += warp_lanes) squares[t] = math::fma(x[c], x[c], squares[t]);
    });
    b.warp_sum(squares);
    b.each([&](int t) {
      const auto [at, lane] = row_of(b.index(), t);
      if (at >= p.rows * all) return;
      const std::int64_t row = at / all, h = at % all, half = d / 2;
      const float* x = a.qkv + row * a.columns + h * d;
      const std::int64_t block = p.position[row] / key_block, column = p.position[row] % key_block;
      if (h >= normalised) {
        T* to = p.values(row, block, h - normalised) + column * p.padded_dim;
        for (std::int64_t c = lane; c < d; c += warp_lanes) to[c] = rounded<T>(x[c]);
        return;
      }
      T* to = h < p.heads ? a.q + (row * p.heads + h) * d : p.keys(row, block, h - p.heads) + column * p.padded_dim;
      const float* w = a.q_norm == nullptr ? nullptr : h < p.heads ? a.q_norm : a.k_norm;
      const float r = w == nullptr ? 1.0f : 1.0f / math::sqrt(squares[t] / static_cast<float>(d) + a.eps);
      if (w != nullptr && lane == 0) a.rstd[row * normalised + h] = r;
      for (std::int64_t c = lane; c < half; c += warp_lanes) {
        const float x1 = w == nullptr ? x[c] : x[c] * r * w[c];
        const float x2 = w == nullptr ? x[c + half] : x[c + half] * r * w[c + half];
        const rotated_pair y(x1, x2, a.cosine[row * half + c], a.sine[row * half + c]);
        to[c] = rounded<T>(y.first);
        to[c + half] = rounded<T>(y.second);
      }
    });
  }
};

// dqkv from dq and the pages' gradients, rotated back.
template <class T>
struct rotary_dx_element {
  attention_places<T> places;
  const float *cosine, *sine;  // by row
  const float* dq;
  float* const* gradients;  // [path[row] + block]
  std::int64_t columns;
  float* dqkv;
  // i counts (row, head, half of head_dim)
  QL_DEVICE void operator()(std::int64_t i) const {
    const auto& p = places;
    const std::int64_t half = p.head_dim / 2, all = p.heads + 2 * p.kv_heads;
    const std::int64_t c = i % half, h = i / half % all, row = i / half / all;
    const std::int64_t block = p.position[row] / key_block, column = p.position[row] % key_block;
    float* to = dqkv + row * columns + h * p.head_dim;
    const float* from = nullptr;
    if (h < p.heads) {
      const std::int64_t group = p.group();
      from = dq + ((h / group * p.rows + row) * group + h % group) * p.padded_dim;
    } else {
      const std::int64_t kv = h - p.heads, which = kv >= p.kv_heads;
      from = gradients[p.path[row] + block] +
             ((2 * (which ? kv - p.kv_heads : kv) + which) * key_block + column) * p.padded_dim;
      if (which) {
        to[c] = from[c];
        to[c + half] = from[c + half];
        return;
      }
    }
    const rotated_pair y(from[c], from[c + half], cosine[row * half + c], -sine[row * half + c]);
    to[c] = y.first;
    to[c + half] = y.second;
  }
};

}  // namespace ql::cuda
