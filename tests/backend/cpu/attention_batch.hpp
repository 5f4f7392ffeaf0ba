// SPDX-License-Identifier: Apache-2.0
#pragma once

// Attention over a whole token tree, with pages and runs laid out by the test: rotation, keys, attention, backward.
// The code stands in attention_batch_code.hpp and is compiled once for each scalar.

#include <ql/backend/cpu/context.hpp>
#include <ql/tensor/operations.hpp>
#include <ql/tensor/token_tree.hpp>

#include "support/numbers.hpp"

#include <cstdint>
#include <vector>

namespace ql::test {

template <class T>
struct attention_batch {
  using A = accumulate_t<T>;
  struct copy {
    std::int32_t from, to;
    std::int64_t keys;
  };
  cpu::context& ctx;
  attention_shape shape;
  std::int64_t rows = 0;
  std::vector<std::vector<std::int32_t>> pages_of;  // by segment
  std::vector<copy> copies;                         // parents first
  std::vector<query_run> runs;
  std::vector<std::int32_t> run_root;
  std::vector<std::int64_t> position, path;
  std::vector<std::int32_t> path_pages;
  std::vector<std::vector<T>> pages;
  std::vector<T*> page_base;
  std::vector<A> cosine, sine, q_norm, k_norm, rstd, lse;
  std::vector<T> q, out;
  bool normalised;

  // Rows are the tokens of a packed tree, in its order; every token is a query.
  attention_batch(cpu::context& c, const attention_shape& s, const token_tree& tree, bool with_norm,
                  std::uint64_t seed = 1);
  attention_batch(const attention_batch&) = delete;
  attention_batch& operator=(const attention_batch&) = delete;

  row_places places() const { return {rows, runs, position.data(), path.data(), path_pages.data()}; }
  rotary_args<T> rotation(const std::vector<A>& qkv) {
    rotary_args<T> a;
    a.shape = shape;
    a.places = places();
    a.qkv = qkv.data();
    if (normalised) a.q_norm = q_norm.data(), a.k_norm = k_norm.data(), a.rstd = rstd.data();
    a.eps = A(1e-3);
    a.cosine = cosine.data();
    a.sine = sine.data();
    a.q = q.data();
    a.page_base = page_base.data();
    return a;
  }
  attention_args<T> attending() {
    attention_args<T> a;
    a.shape = shape;
    a.places = places();
    a.q = q.data();
    a.out = out.data();
    a.lse = lse.data();
    a.page_base = page_base.data();
    return a;
  }
  void forward(const std::vector<A>& qkv);
  void attend(const attention_args<T>& a);  // what attention() does, from the file that holds its code

  struct gradients {
    std::vector<A> qkv, q_norm, k_norm;
  };
  gradients backward(const std::vector<A>& qkv, const std::vector<A>& dout);
};

// A tree whose branches begin inside blocks of keys, at their boundaries, and twice in the same block; two roots.
inline token_tree branching_tree(numbers& r) {
  token_tree t;
  const auto ids = [&](std::int64_t n) {
    return std::vector<token>(static_cast<std::size_t>(n), static_cast<token>(r.below(9)));
  };
  const auto root = t.add_root(ids(70));
  const auto a = t.add(root, ids(9));                  // starts inside block 1
  t.add(a, ids(5));                                    // and again, a copy of a copy
  t.add(a, ids(60));                                   // over the end of block 1
  const auto e = t.add(root, ids(0));                  // nothing of its own
  t.add(e, ids(58));                                   // ends with block 1
  const auto b = t.add(t.add(root, ids(58)), ids(3));  // its child starts with block 2
  t.add(b, ids(1));
  const auto other = t.add_root(ids(33));
  t.add(other, ids(40));
  t.add(other, ids(2));
  return t;
}

}  // namespace ql::test
