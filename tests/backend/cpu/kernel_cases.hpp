// SPDX-License-Identifier: Apache-2.0
#pragma once

// Every entry of a kernel table on seeded inputs: one function an entry, which returns all that the kernel wrote. Two
// tables agree when the same seed gives the same bits.

#include <ql/backend/cpu/context.hpp>
#include <ql/backend/cpu/kernel_table.hpp>

#include "support/numbers.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace ql::test {

using cpu::kernel_table;
using cpu::row_set;

// What a kernel writes to, with room around it that it must leave alone.
template <class E>
class guarded {
 public:
  static constexpr std::int64_t room = 40;
  explicit guarded(const std::vector<E>& start) : all_(start.size() + 2 * room) {
    for (std::size_t i = 0; i < all_.size(); ++i) all_[i] = to<E>(-3.0 - static_cast<double>(i % 5));
    std::copy(start.begin(), start.end(), all_.begin() + room);
    before_ = all_;
  }
  E* data() { return all_.data() + room; }
  std::int64_t size() const { return static_cast<std::int64_t>(all_.size()) - 2 * room; }
  bool intact() const {
    const auto same = [&](std::size_t i) { return wide(all_[i]) == wide(before_[i]); };
    for (std::size_t i = 0; i < room; ++i)
      if (!same(i) || !same(all_.size() - 1 - i)) return false;
    return true;
  }
  std::span<const E> written() const { return std::span(all_).subspan(room, all_.size() - 2 * room); }

 private:
  std::vector<E> all_, before_;
};

template <class T>
struct outcome {
  using A = accumulate_t<T>;
  std::vector<A> sums;
  std::vector<T> stored;
  double extra = 0;
  bool outside = false;  // something beyond the results was written

  void see(const guarded<A>& g)
    requires(!std::is_same_v<A, T>)
  {
    sums.insert(sums.end(), g.written().begin(), g.written().end());
    outside |= !g.intact();
  }
  void see(const guarded<T>& g) {
    stored.insert(stored.end(), g.written().begin(), g.written().end());
    outside |= !g.intact();
  }
};
template <class T>
std::string difference(const outcome<T>& a, const outcome<T>& b) {
  if (a.outside || b.outside) return "memory around the results was written";
  if (auto d = difference(a.sums, b.sums); !d.empty()) return "sums: " + d;
  if (auto d = difference(a.stored, b.stored); !d.empty()) return "stored: " + d;
  return difference(a.extra, b.extra);
}

template <class T>
struct cases {
  using A = accumulate_t<T>;
  using table = kernel_table<T>;
  static constexpr auto pair = cpu::panel_pair<T>;

  static std::int64_t length(numbers& r) {
    static constexpr int some[] = {0,  1,  2,  3,  5,  7,  13, 15,  16,  17,  23, 31,
                                   32, 33, 47, 63, 64, 65, 97, 127, 128, 129, 257};
    return some[r.below(23)];
  }
  static std::int64_t depth(numbers& r) {
    static constexpr int some[] = {0, 1, 2, 3, 17, 31, 32, 33, 63, 64, 65, 96, 255, 256, 257, 300, 511, 512, 513, 530};
    return some[r.below(20)];
  }
  template <class E>
  static std::vector<E> values(numbers& r, std::int64_t n) {
    return r.below(2) == 0 ? normals<E>(r, n) : awkward<E>(r, n);
  }
  template <class E>
  struct rows_of {
    std::vector<E> memory;
    row_set<E> set;
  };
  // `rows` x `k` elements in one of the layouts that callers use
  template <class E>
  static rows_of<E> some_rows(numbers& r, std::int64_t rows, std::int64_t k) {
    rows_of<E> s;
    const auto pad = r.below(5);
    switch (r.below(4)) {
      case 0:  // row-major with a stride
        s.set = {nullptr, k + pad, 0, 1, 1};
        break;
      case 1:  // transposed
        s.set = {nullptr, 1, 0, 1, rows + pad};
        break;
      case 2: {  // heads of a group
        const auto group = 1 + r.below(3);
        s.set = {nullptr, group * k + pad, k, group, 1};
        break;
      }
      default:  // neither rows nor elements are adjacent
        s.set = {nullptr, 2 * k + 1, 0, 1, 2};
    }
    const auto last = rows == 0 ? 0 : (rows - 1) / s.set.group * s.set.outer + (rows - 1) % s.set.group * s.set.inner;
    s.memory = values<E>(r, last + (k > 0 ? (k - 1) * s.set.step : 0) + 1);
    s.set.data = s.memory.data();
    return s;
  }
  template <class E>
  static rows_of<E> plain_rows(numbers& r, std::int64_t rows, std::int64_t k) {
    rows_of<E> s;
    const auto group = 1 + r.below(3);
    s.set = {nullptr, group * k + r.below(5), k, group, 1};
    const auto last = rows == 0 ? 0 : (rows - 1) / group * s.set.outer + (rows - 1) % group * s.set.inner;
    s.memory = values<E>(r, last + k);
    s.set.data = s.memory.data();
    return s;
  }

  static outcome<T> product(const table& t, numbers r) {
    outcome<T> out;
    const auto k = depth(r), columns = 1 + r.below(32);
    const std::int64_t rows = 1 + r.below(r.below(4) == 0 ? 70 : 14);
    std::vector<char> packed(static_cast<std::size_t>(t.packed_rows_bytes(rows, k)) + 64);
    char* a = packed.data() + (64 - reinterpret_cast<std::uintptr_t>(packed.data()) % 64) % 64;
    if (r.below(2) == 0) {
      const auto s = some_rows<T>(r, rows, k);
      t.pack_rows(s.set, rows, k, a);
    } else {
      const auto s = some_rows<A>(r, rows, k);
      t.pack_rows_rounded(s.set, rows, k, a);
    }
    const auto stride = (r.below(2) == 0 ? 32 : 64) * pair;
    guarded<T> panel(std::vector<T>(static_cast<std::size_t>((cpu::padded_k<T>(k) / pair) * stride + 32 * pair)));
    switch (r.below(3)) {
      case 0: t.pack_panel(some_panel<T>(r, k, columns).set, k, columns, panel.data(), stride); break;
      case 1: t.pack_panel_rounded(some_panel<A>(r, k, columns).set, k, columns, panel.data(), stride); break;
      default: {
        const auto w = values<A>(r, columns * (k + 3));
        std::vector<T> dense(static_cast<std::size_t>(cpu::panel_size<T>(k)));
        const auto cut = k / 2 / 32 * 32;
        t.pack_weights(w.data(), k + 3, columns, 0, cut, dense.data());
        t.pack_weights(w.data(), k + 3, columns, cut, k, dense.data());
        for (std::int64_t kk = 0; kk < cpu::padded_k<T>(k) / pair; ++kk)
          std::copy_n(dense.data() + kk * 32 * pair, 32 * pair, panel.data() + kk * stride);
      }
    }
    out.see(panel);
    cpu::product_args<T> p;
    p.a = a;
    p.rows = rows;
    p.k = k;
    p.panel = panel.data();
    p.panel_stride = stride;
    p.columns = columns;
    p.what = static_cast<cpu::epilogue>(r.below(5));
    p.ldc = columns + r.below(4);
    p.ldt = columns + r.below(4);
    const auto bias = values<A>(r, columns), scale = values<A>(r, rows);
    if (r.below(2) == 0 && p.what != cpu::epilogue::chain && p.what != cpu::epilogue::scale_add) p.bias = bias.data();
    p.scale = scale.data();
    guarded<A> c(values<A>(r, rows * p.ldc));
    guarded<T> rounded(values<T>(r, rows * p.ldt));
    p.c = c.data();
    p.t = rounded.data();
    t.product(p);
    out.see(c);
    out.see(rounded);
    return out;
  }
  template <class E>
  static rows_of<E> some_panel(numbers& r, std::int64_t k, std::int64_t columns) {
    rows_of<E> s;
    s.set = {nullptr, columns + r.below(4), 0, 1, 1};
    s.memory = values<E>(r, k * s.set.outer + columns);
    s.set.data = s.memory.data();
    return s;
  }

  static outcome<T> round(const table& t, numbers r) {
    outcome<T> out;
    const auto n = length(r);
    const auto x = values<A>(r, n);
    guarded<T> y(values<T>(r, n));
    t.round(x.data(), n, y.data());
    out.see(y);
    return out;
  }
  static outcome<T> widen(const table& t, numbers r) {
    outcome<T> out;
    const auto n = length(r);
    const auto x = values<T>(r, n);
    guarded<A> y(values<A>(r, n));
    t.widen(x.data(), n, y.data());
    out.see(y);
    return out;
  }
  static outcome<T> add(const table& t, numbers r) {
    outcome<T> out;
    const auto n = length(r);
    const auto x = values<A>(r, n);
    guarded<A> y(values<A>(r, n));
    t.add(x.data(), n, y.data());
    out.see(y);
    return out;
  }
  static outcome<T> dot(const table& t, numbers r) {
    outcome<T> out;
    const auto n = length(r);
    const auto x = values<A>(r, n);
    const auto y = values<T>(r, n);
    out.extra = static_cast<double>(t.dot(x.data(), y.data(), n));
    return out;
  }
  static outcome<T> rms_norm(const table& t, numbers r) {
    outcome<T> out;
    const auto n = 1 + length(r);
    const auto x = values<A>(r, n), w = values<A>(r, n);
    guarded<T> y(values<T>(r, n));
    guarded<A> wide_y(values<A>(r, n)), rstd(std::vector<A>(1));
    t.rms_norm(x.data(), w.data(), A(1e-6), n, r.below(3) == 0 ? nullptr : y.data(),
               r.below(3) == 0 ? nullptr : wide_y.data(), r.below(3) == 0 ? nullptr : rstd.data());
    out.see(y);
    out.see(wide_y);
    out.see(rstd);
    return out;
  }
  static outcome<T> rms_norm_dx(const table& t, numbers r) {
    outcome<T> out;
    const auto n = 1 + length(r);
    const auto dy = values<A>(r, n), x = normals<A>(r, n), w = normals<A>(r, n);
    guarded<A> dx(values<A>(r, n));
    t.rms_norm_dx(dy.data(), x.data(), w.data(), static_cast<A>(r.uniform(0.1, 3)), n, dx.data());
    out.see(dx);
    return out;
  }
  static outcome<T> rms_norm_dw(const table& t, numbers r) {
    outcome<T> out;
    const auto n = 1 + length(r), rows = r.below(3) == 0 ? 250 + r.below(300) : r.below(20);
    const auto dy = plain_rows<A>(r, rows, n), x = plain_rows<A>(r, rows, n);
    const auto rstd = normals<A>(r, rows + 1);
    guarded<A> dw(values<A>(r, n));
    const auto j0 = r.below(n), j1 = j0 + r.below(n - j0 + 1);
    t.rms_norm_dw(dy.set, x.set, rstd.data(), rows, j0, j1, dw.data());
    out.see(dw);
    return out;
  }
  static outcome<T> column_sum(const table& t, numbers r) {
    outcome<T> out;
    const auto n = 1 + length(r), rows = r.below(3) == 0 ? 250 + r.below(300) : r.below(20);
    const auto dy = plain_rows<A>(r, rows, n);
    guarded<A> db(values<A>(r, n));
    const auto j0 = r.below(n), j1 = j0 + r.below(n - j0 + 1);
    t.column_sum(dy.set, rows, j0, j1, db.data());
    out.see(db);
    return out;
  }
  static outcome<T> rope(const table& t, numbers r) {
    outcome<T> out;
    const auto half = 1 + r.below(70), d = 2 * half, heads = 1 + r.below(4);
    const auto x = values<A>(r, heads * d), c = values<A>(r, half), s = values<A>(r, half);
    guarded<T> y(values<T>(r, heads * d));
    guarded<A> wide_y(values<A>(r, heads * d));
    t.rope(x.data(), heads, d, c.data(), s.data(), r.below(2) == 0, r.below(3) == 0 ? nullptr : y.data(),
           r.below(3) == 0 ? nullptr : wide_y.data());
    out.see(y);
    out.see(wide_y);
    return out;
  }
  static outcome<T> swiglu(const table& t, numbers r) {
    outcome<T> out;
    const auto n = length(r);
    const auto gate = values<T>(r, n), up = values<T>(r, n);
    guarded<T> y(values<T>(r, n));
    t.swiglu(gate.data(), up.data(), n, y.data());
    out.see(y);
    return out;
  }
  static outcome<T> swiglu_dx(const table& t, numbers r) {
    outcome<T> out;
    const auto n = length(r);
    const auto gate = values<T>(r, n), up = values<T>(r, n);
    const auto dy = values<A>(r, n);
    guarded<A> dgate(values<A>(r, n)), dup(values<A>(r, n));
    t.swiglu_dx(gate.data(), up.data(), dy.data(), n, dgate.data(), dup.data());
    out.see(dgate);
    out.see(dup);
    return out;
  }
  static std::vector<std::int32_t> some_visible(numbers& r, std::int64_t rows) {
    std::vector<std::int32_t> v(static_cast<std::size_t>(rows));
    for (auto& n : v) n = 1 + static_cast<std::int32_t>(r.below(64));
    return v;
  }
  static outcome<T> softmax_block(const table& t, numbers r) {
    outcome<T> out;
    const auto rows = 1 + r.below(9);
    const auto visible = some_visible(r, rows);
    guarded<A> s(normals<A>(r, rows * key_block, r.below(2) == 0 ? 3 : 200)), max(normals<A>(r, rows)),
        sum(normals<A>(r, rows)), factor(normals<A>(r, rows));
    if (r.below(2) == 0) {  // the first block of a row
      std::fill_n(max.data(), rows, -std::numeric_limits<A>::infinity());
      std::fill_n(sum.data(), rows, A(0));
    }
    t.softmax_block(s.data(), rows, visible.data(), static_cast<A>(r.uniform(0.05, 1)), max.data(), sum.data(),
                    factor.data());
    for (const auto* g : {&s, &max, &sum, &factor}) out.see(*g);
    return out;
  }
  static outcome<T> softmax_block_dx(const table& t, numbers r) {
    outcome<T> out;
    const auto rows = 1 + r.below(9);
    const auto visible = some_visible(r, rows);
    guarded<A> s(normals<A>(r, rows * key_block, 3)), dp(values<A>(r, rows * key_block));
    const auto lse = normals<A>(r, rows, 4), delta = normals<A>(r, rows);
    t.softmax_block_dx(s.data(), dp.data(), rows, visible.data(), static_cast<A>(r.uniform(0.05, 1)), lse.data(),
                       delta.data());
    out.see(s);
    out.see(dp);
    return out;
  }
  static outcome<T> divide(const table& t, numbers r) {
    outcome<T> out;
    const auto n = length(r);
    const auto x = values<A>(r, n);
    guarded<T> y(values<T>(r, n));
    t.divide(x.data(), static_cast<A>(r.uniform(0.5, 100)), n, y.data());
    out.see(y);
    return out;
  }
  static outcome<T> logsumexp_block(const table& t, numbers r) {
    outcome<T> out;
    const auto n = 1 + (r.below(3) == 0 ? 300 + r.below(700) : length(r));
    guarded<A> z(normals<A>(r, n, r.below(2) == 0 ? 2 : 60)),
        state(std::vector<A>{-std::numeric_limits<A>::infinity(), 0, 0});
    if (r.below(2) == 0) {
      state.data()[0] = static_cast<A>(r.normal());
      state.data()[1] = static_cast<A>(r.uniform(1, 5));
      state.data()[2] = static_cast<A>(r.normal());
    }
    t.logsumexp_block(z.data(), n, static_cast<A>(r.uniform(0.3, 3)), state.data(), state.data() + 1, state.data() + 2);
    out.see(z);
    out.see(state);
    return out;
  }
  static outcome<T> logits_dx(const table& t, numbers r) {
    outcome<T> out;
    const auto n = length(r);
    guarded<A> z(normals<A>(r, n, 3));
    t.logits_dx(z.data(), n, static_cast<A>(r.uniform(0.3, 3)), static_cast<A>(r.uniform(2, 8)),
                static_cast<A>(r.uniform(0, 5)), static_cast<A>(r.normal()),
                r.below(2) == 0 ? A(0) : static_cast<A>(r.normal()));
    out.see(z);
    return out;
  }
  static outcome<T> exp_sums(const table& t, numbers r) {
    outcome<T> out;
    const auto n = length(r);
    const auto z = normals<A>(r, n, 5);
    guarded<A> sums(normals<A>(r, (n + 15) / 16));
    t.exp_sums(z.data(), n, static_cast<A>(r.uniform(0, 10)), sums.data());
    out.see(sums);
    return out;
  }
  static outcome<T> adamw(const table& t, numbers r) {
    outcome<T> out;
    const auto n = length(r);
    const auto g = values<A>(r, n);
    guarded<A> w(values<A>(r, n)), m(normals<A>(r, n)), v(normals<A>(r, n));
    for (std::int64_t i = 0; i < n; ++i) v.data()[i] *= v.data()[i];
    const adamw_args p{.lr = 1e-3,
                       .beta1 = 0.9,
                       .beta2 = 0.99,
                       .eps = 1e-8,
                       .weight_decay = 0.1,
                       .correction1 = 0.19,
                       .correction2 = 0.02,
                       .gradient_scale = r.below(2) == 0 ? 1.0 : 0.37};
    t.adamw(w.data(), g.data(), m.data(), v.data(), n, p);
    for (const auto* x : {&w, &m, &v}) out.see(*x);
    return out;
  }
  static outcome<T> sgd(const table& t, numbers r) {
    outcome<T> out;
    const auto n = length(r);
    const auto g = values<A>(r, n);
    guarded<A> w(values<A>(r, n)), m(values<A>(r, n));
    sgd_args p;
    p.lr = 1e-3;
    p.momentum = 0.9;
    p.weight_decay = 0.1;
    p.gradient_scale = r.below(2) == 0 ? 1.0 : 0.37;
    t.sgd(w.data(), g.data(), r.below(2) == 0 ? nullptr : m.data(), n, p);
    out.see(w);
    out.see(m);
    return out;
  }
  static outcome<T> sum_of_squares(const table& t, numbers r) {
    outcome<T> out;
    const auto n = r.below(2) == 0 ? length(r) : r.below(5000);
    const auto g = values<A>(r, n);
    out.extra = t.sum_of_squares(g.data(), n);
    return out;
  }

  struct entry {
    std::string_view name;
    outcome<T> (*run)(const table&, numbers);
    int seeds;
  };
  static constexpr entry all[] = {
      {"product", product, 150},
      {"round", round, 40},
      {"widen", widen, 40},
      {"add", add, 40},
      {"dot", dot, 60},
      {"rms_norm", rms_norm, 60},
      {"rms_norm_dx", rms_norm_dx, 60},
      {"rms_norm_dw", rms_norm_dw, 40},
      {"column_sum", column_sum, 40},
      {"rope", rope, 60},
      {"swiglu", swiglu, 60},
      {"swiglu_dx", swiglu_dx, 60},
      {"softmax_block", softmax_block, 60},
      {"softmax_block_dx", softmax_block_dx, 60},
      {"divide", divide, 40},
      {"logsumexp_block", logsumexp_block, 60},
      {"logits_dx", logits_dx, 60},
      {"exp_sums", exp_sums, 60},
      {"adamw", adamw, 60},
      {"sgd", sgd, 60},
      {"sum_of_squares", sum_of_squares, 40},
  };
};

// Where two tables differ: "entry, seed: what"; empty where they agree on every entry and seed.
template <class T>
std::string difference(const kernel_table<T>& got, const kernel_table<T>& expected, std::string_view only = "") {
  for (const auto& e : cases<T>::all) {
    if (!only.empty() && only != e.name) continue;
    for (int seed = 1; seed <= e.seeds; ++seed) {
      cpu::flush_subnormals scope;
      const numbers r(static_cast<std::uint64_t>(seed));
      const auto d = difference(e.run(got, r), e.run(expected, r));
      if (!d.empty()) return std::string(e.name) + ", seed " + std::to_string(seed) + ": " + d;
    }
  }
  return {};
}

}  // namespace ql::test
