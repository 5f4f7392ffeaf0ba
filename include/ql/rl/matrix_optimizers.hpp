// SPDX-License-Identifier: Apache-2.0
#pragma once

// Optimizers that look at a matrix of weights as a whole: Muon and Adafactor. They step views of rank 2, (out, in);
// vectors (biases, norms) and embeddings belong to another optimizer, as their authors say of Muon; Adafactor takes
// vectors too.

#include <ql/context.hpp>
#include <ql/detail/wide.hpp>
#include <ql/dispatch.hpp>
#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/tensor.hpp>
#include <ql/tensor/view.hpp>

#include <cstdint>
#include <string_view>
#include <vector>

namespace ql::rl {

namespace detail {

// c = alpha a b + beta c for row-major a (m, k), b (k, n), c (m, n): sums run over k in order.
template <class T>
void multiply(std::int64_t m, std::int64_t k, std::int64_t n, T alpha, const T* a, const T* b, T beta, T* c) {
  ql::detail::wide([=] {
    constexpr std::int64_t rows = 4, columns = 32;  // a tile of c, held while k passes
    for (std::int64_t i = 0; i < m; i += rows)
      for (std::int64_t j = 0; j < n; j += columns) {
        const std::int64_t height = m - i < rows ? m - i : rows, width = n - j < columns ? n - j : columns;
        T sum[rows][columns] = {};
        for (std::int64_t s = 0; s < k; ++s) {
          T row[columns] = {};
          if (width == columns) {
            for (std::int64_t v = 0; v < columns; ++v) row[v] = b[s * n + j + v];
          } else {
            for (std::int64_t v = 0; v < width; ++v) row[v] = b[s * n + j + v];
          }
          for (std::int64_t u = 0; u < rows; ++u) {
            const T x = u < height ? a[(i + u) * k + s] : T(0);
            for (std::int64_t v = 0; v < columns; ++v) sum[u][v] = math::fma(x, row[v], sum[u][v]);
          }
        }
        for (std::int64_t u = 0; u < height; ++u)
          for (std::int64_t v = 0; v < width; ++v) {
            T& to = c[(i + u) * n + j + v];
            to = math::fma(alpha, sum[u][v], beta * to);
          }
      }
  });
}

template <class T>
void transpose(std::int64_t rows, std::int64_t columns, const T* from, T* to) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) to[j * rows + i] = from[i * columns + j];
}

// The root of the mean square, summed in double in index order.
template <class T>
double root_mean_square(std::int64_t n, const T* x) {
  gradient_norm sum;
  sum.add(view<const T, 1>(x, n));
  return n == 0 ? 0.0 : sum.value() / math::sqrt(static_cast<double>(n));
}

}  // namespace detail

struct muon_step_op {};  // kernel<muon_step_op, Backend>::run(ctx, muon, w, g, momentum, lr) overrides the loops

// How far a Muon step goes in a matrix of (out, in).
enum class muon_scale {
  original,         // sqrt(max(1, out / in)): Jordan's
  match_rms_adamw,  // 0.2 sqrt(max(out, in)): AdamW's learning rates fit (arXiv 2502.16982)
  spectral          // sqrt(out / in)
};

// Muon (K. Jordan, "Muon: an optimizer for hidden layers in neural networks", 2024) in the form PyTorch computes:
//   b = momentum b + (1 - momentum) g;  u = nesterov ? momentum b + (1 - momentum) g : b
//   w -= lr weight_decay w;  w -= lr scale orthogonal(u)
// PyTorch orthogonalises in bfloat16, this does in the weights' type.
struct muon {
  double momentum = 0.95, weight_decay = 0.1;
  bool nesterov = true;
  muon_scale scale = muon_scale::original;
  double a = 3.4445, b = -4.7750, c = 2.0315;  // of the quintic iteration
  int iterations = 5;
  double eps = 1e-7;  // least norm of u

  friend constexpr bool operator==(const muon&, const muon&) = default;
  constexpr void validate(rule_book& r) const {
    r.require(momentum >= 0 && momentum < 1, "muon.momentum", momentum, "in [0, 1)", "use 0.95");
    r.require(weight_decay >= 0, "muon.weight_decay", weight_decay, "at least 0", "use 0 or 0.1");
    r.require(iterations >= 1 && iterations < 100, "muon.iterations", iterations, "in [1, 99]", "use 5");
    r.require(eps > 0, "muon.eps", eps, "above 0", "use 1e-7");
  }
  constexpr double rate_scale(std::int64_t rows, std::int64_t columns) const {
    const double out = static_cast<double>(rows), in = static_cast<double>(columns);
    switch (scale) {
      case muon_scale::original: return math::sqrt(math::max(1.0, out / in));
      case muon_scale::match_rms_adamw: return 0.2 * math::sqrt(math::max(out, in));
      case muon_scale::spectral: return math::sqrt(out / in);
    }
    return 1.0;
  }

  // About U V^T of u = U S V^T: X = u / |u|, then `iterations` times X = a X + (b G + c G G) X with G = X X^T, on the
  // shorter side. Singular values end between 0.7 and 1.2. Dense views of one shape; needs 2 to 3 times their memory.
  template <class T>
  void orthogonalise(view<const T, 2> u, view<T, 2> out) const {
    detail::expects_dense("muon", "u", u);
    detail::expects_dense("muon", "out", out);
    const bool tall = u.extent(0) > u.extent(1);
    const std::int64_t m = tall ? u.extent(1) : u.extent(0), n = tall ? u.extent(0) : u.extent(1), size = m * n;
    detail::expects<shape_error>(out.extent(0) == u.extent(0) && out.extent(1) == u.extent(1), "muon", "out", size,
                                 out.size());
    gradient_norm norm;
    norm.add(view<const T, 1>(u.data_handle(), size));
    const T shrink = static_cast<T>(1.0 / math::max(norm.value(), eps));
    std::vector<T> x(static_cast<std::size_t>(size)), turned(x), gram(static_cast<std::size_t>(m * m)), power(gram);
    if (tall) {
      detail::transpose(n, m, u.data_handle(), x.data());
    } else {
      for (std::int64_t i = 0; i < size; ++i) x[static_cast<std::size_t>(i)] = u.data_handle()[i];
    }
    for (T& v : x) v = shrink * v;
    for (int k = 0; k < iterations; ++k) {
      detail::transpose(m, n, x.data(), turned.data());
      detail::multiply(m, n, m, T(1), x.data(), turned.data(), T(0), gram.data());
      power = gram;
      detail::multiply(m, m, m, static_cast<T>(c), gram.data(), gram.data(), static_cast<T>(b), power.data());
      turned = x;
      detail::multiply(m, m, n, T(1), power.data(), turned.data(), static_cast<T>(a), x.data());
    }
    if (tall) {
      detail::transpose(m, n, x.data(), out.data_handle());
    } else {
      for (std::int64_t i = 0; i < size; ++i) out.data_handle()[i] = x[static_cast<std::size_t>(i)];
    }
  }

  template <class T, execution_context C>
  struct state {
    std::int64_t steps = 0;
    tensor<T, 1, C> b;
    template <class F>
    void visit(F&& f) {
      f(std::string_view("b"), b.view());
    }
  };
  template <class T, execution_context C>
  state<T, C> init(C& ctx, view<T, 2, typename C::memory_space> w) const {
    return {0, detail::zeros<T>(ctx, w.size())};
  }
  template <class T, execution_context C>
  void step(C& ctx, view<T, 2, typename C::memory_space> w, view<const T, 2, typename C::memory_space> g,
            state<T, C>& s, double lr) const {
    expects_valid(*this);
    if constexpr (has_kernel<muon_step_op, typename C::backend>) {
      kernel<muon_step_op, typename C::backend>::run(ctx, *this, w, g, s.b.view(), lr);
    } else {
      detail::expects_update<T, 2>("muon", w, g, s.b.size());
      const std::int64_t n = w.size();
      const T keep = static_cast<T>(momentum), rest = static_cast<T>(1.0 - momentum);
      std::vector<T> u(static_cast<std::size_t>(n));
      T *pb = s.b.data(), *pw = w.data_handle();
      const T* pg = g.data_handle();
      for (std::int64_t i = 0; i < n; ++i) {
        pb[i] = math::fma(keep, pb[i], rest * pg[i]);
        u[static_cast<std::size_t>(i)] = nesterov ? math::fma(keep, pb[i], rest * pg[i]) : pb[i];
      }
      const view<T, 2> direction(u.data(), w.extents());
      orthogonalise<T>(direction, direction);
      const T decay = static_cast<T>(-(lr * weight_decay));
      const T rate = static_cast<T>(-(lr * rate_scale(w.extent(0), w.extent(1))));
      for (std::int64_t i = 0; i < n; ++i)
        pw[i] = math::fma(rate, u[static_cast<std::size_t>(i)], math::fma(decay, pw[i], pw[i]));
    }
    ++s.steps;
  }
};

// Adafactor (arXiv 1804.04235, algorithms 4 and 5) as transformers computes it, with the learning rate from outside:
//   beta2_t = 1 - t^-decay;  r, c = running means over rows and columns of g^2 + eps1 (a vector keeps them all)
//   u = g / sqrt(r c^T / mean(r));  u /= max(1, rms(u) / clip);  u *= lr (scale_by_weights ? max(eps2, rms(w)) : 1)
//   with beta1 > 0: m = beta1 m + (1 - beta1) u, u = m (m holds steps of former rates);  w -= weight_decay lr' w;  w -=
//   u,  lr' the scaled rate
// The state of an (out, in) matrix is out + in numbers.
struct adafactor {
  double decay = 0.8, eps1 = 1e-30, eps2 = 1e-3, clip = 1.0, beta1 = 0.0, weight_decay = 0.0;
  bool scale_by_weights = true;

  friend constexpr bool operator==(const adafactor&, const adafactor&) = default;
  constexpr void validate(rule_book& r) const {
    r.require(decay > 0 && decay <= 1, "adafactor.decay", decay, "in (0, 1]", "use 0.8");
    r.require(eps1 > 0, "adafactor.eps1", eps1, "above 0", "use 1e-30");
    r.require(eps2 > 0, "adafactor.eps2", eps2, "above 0", "use 1e-3");
    r.require(clip > 0, "adafactor.clip", clip, "above 0", "use 1");
    r.require(beta1 >= 0 && beta1 < 1, "adafactor.beta1", beta1, "in [0, 1)", "use 0 for no first moment");
    r.require(weight_decay >= 0, "adafactor.weight_decay", weight_decay, "at least 0", "use 0");
  }

  template <class T, execution_context C>
  struct state {
    std::int64_t steps = 0;
    tensor<T, 1, C> row, column;  // a vector has its second moments in `row`, and no `column`
    tensor<T, 1, C> m;            // with beta1 > 0
    template <class F>
    void visit(F&& f) {
      f(std::string_view("row"), row.view());
      if (!column.empty()) f(std::string_view("column"), column.view());
      if (!m.empty()) f(std::string_view("m"), m.view());
    }
  };
  template <class T, execution_context C>
  state<T, C> init(C& ctx, view<T, 1, typename C::memory_space> w) const {
    return make<T>(ctx, w.size(), 0, w.size());
  }
  template <class T, execution_context C>
  state<T, C> init(C& ctx, view<T, 2, typename C::memory_space> w) const {
    return make<T>(ctx, w.extent(0), w.extent(1), w.size());
  }
  template <class T, execution_context C>
  void step(C& ctx, view<T, 1, typename C::memory_space> w, view<const T, 1, typename C::memory_space> g,
            state<T, C>& s, double lr) const {
    expects_valid(*this);
    detail::expects_update<T, 1>("adafactor", w, g, s.row.size());
    const double keep = second_moment(s.steps + 1);
    std::vector<T> u(static_cast<std::size_t>(w.size()));
    for (std::int64_t i = 0; i < w.size(); ++i) {
      const double x = static_cast<double>(g[i]);
      const double v = math::fma(keep, static_cast<double>(s.row.data()[i]), (1.0 - keep) * math::fma(x, x, eps1));
      s.row.data()[i] = static_cast<T>(v);
      u[static_cast<std::size_t>(i)] = static_cast<T>(x / math::sqrt(v));
    }
    finish(ctx, w.size(), w.data_handle(), u, s, lr);
  }
  template <class T, execution_context C>
  void step(C& ctx, view<T, 2, typename C::memory_space> w, view<const T, 2, typename C::memory_space> g,
            state<T, C>& s, double lr) const {
    expects_valid(*this);
    const std::int64_t rows = w.extent(0), columns = w.extent(1);
    detail::expects_update<T, 2>("adafactor", w, g, w.size());
    detail::expects<shape_error>(s.row.size() == rows && s.column.size() == columns, "adafactor", "state", rows,
                                 s.row.size());
    if (w.empty()) return;
    const double keep = second_moment(s.steps + 1);
    const T* pg = g.data_handle();
    std::vector<double> down(static_cast<std::size_t>(columns));
    double all = 0;  // sum of the new row means
    for (std::int64_t i = 0; i < rows; ++i) {
      double across = 0;
      for (std::int64_t j = 0; j < columns; ++j) {
        const double x = static_cast<double>(pg[i * columns + j]), square = math::fma(x, x, eps1);
        across += square;
        down[static_cast<std::size_t>(j)] += square;
      }
      T& r = s.row.data()[i];
      r = static_cast<T>(
          math::fma(keep, static_cast<double>(r), (1.0 - keep) * (across / static_cast<double>(columns))));
      all += static_cast<double>(r);
    }
    const double mean = all / static_cast<double>(rows);
    for (std::int64_t j = 0; j < columns; ++j) {
      T& c = s.column.data()[j];
      double& d = down[static_cast<std::size_t>(j)];
      c = static_cast<T>(math::fma(keep, static_cast<double>(c), (1.0 - keep) * (d / static_cast<double>(rows))));
      d = 1.0 / math::sqrt(static_cast<double>(c));
    }
    std::vector<T> u(static_cast<std::size_t>(w.size()));
    for (std::int64_t i = 0; i < rows; ++i) {
      const double r = 1.0 / math::sqrt(static_cast<double>(s.row.data()[i]) / mean);
      for (std::int64_t j = 0; j < columns; ++j)
        u[static_cast<std::size_t>(i * columns + j)] =
            static_cast<T>((r * down[static_cast<std::size_t>(j)]) * static_cast<double>(pg[i * columns + j]));
    }
    finish(ctx, w.size(), w.data_handle(), u, s, lr);
  }

 private:
  template <class T, execution_context C>
  state<T, C> make(C& ctx, std::int64_t rows, std::int64_t columns, std::int64_t size) const {
    state<T, C> s{0, detail::zeros<T>(ctx, rows), {}, {}};
    if (columns > 0) s.column = detail::zeros<T>(ctx, columns);
    if (beta1 > 0) s.m = detail::zeros<T>(ctx, size);
    return s;
  }
  // beta2 of step t = 1, 2, ...; 0 in the first.
  constexpr double second_moment(std::int64_t t) const {
    return t == 1 ? 0.0 : 1.0 - math::pow(static_cast<double>(t), -decay);
  }
  template <class T, execution_context C>
  void finish(C&, std::int64_t n, T* w, std::vector<T>& u, state<T, C>& s, double lr) const {
    detail::expects<shape_error>(beta1 == 0 || s.m.size() == n, "adafactor", "state m", n, s.m.size());
    const double over = detail::root_mean_square(n, u.data()) / clip;
    if (scale_by_weights) lr *= math::max(eps2, detail::root_mean_square(n, w));
    const T rate = static_cast<T>(lr / math::max(1.0, over)), back = static_cast<T>(-(weight_decay * lr));
    const T keep = static_cast<T>(beta1), rest = static_cast<T>(1.0 - beta1);
    for (std::int64_t i = 0; i < n; ++i) {
      T x = rate * u[static_cast<std::size_t>(i)];
      if (beta1 > 0) x = s.m.data()[i] = math::fma(keep, s.m.data()[i], rest * x);
      w[i] = math::fma(back, w[i], w[i]) - x;
    }
    ++s.steps;
  }
};

}  // namespace ql::rl
