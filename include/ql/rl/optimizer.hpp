// SPDX-License-Identifier: Apache-2.0
#pragma once

// Optimizers: hyper-parameters are aggregates, state is a separate type that a checkpoint can walk, and the pointwise
// update is a function of its own, so that a fused kernel or a consumer's loop can call it on any memory.

#include <ql/context.hpp>
#include <ql/detail/wide.hpp>
#include <ql/dispatch.hpp>
#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/tensor.hpp>
#include <ql/tensor/view.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace ql::rl {

// `init` makes the state for the weights w; `step` moves w against the gradient g at the learning rate lr. The
// optimizer itself never changes. State lists its buffers to a visitor, so that a checkpoint can save and restore it:
// `state.visit([](std::string_view name, view<T, 1> buffer) {...})`, and counts its steps in `state.steps`.
// Rank 1: any weights as one row. Rank 2: an optimizer that looks at a matrix, of the shape it is used in (out, in).
template <class O, class C, class T, std::size_t Rank = 1>
concept optimizer =
    execution_context<C> && std::copyable<O> &&
    requires(const O& o, C& c, view<T, Rank, typename C::memory_space> w,
             view<const T, Rank, typename C::memory_space> g, typename O::template state<T, C>& s, double lr) {
      { o.init(c, w) } -> std::same_as<typename O::template state<T, C>>;
      { o.step(c, w, g, s, lr) } -> std::same_as<void>;
      { s.steps } -> std::convertible_to<std::int64_t>;
      s.visit([](std::string_view, auto) {});
    };

namespace detail {

// b^n by squaring: the same products in the same order everywhere.
constexpr double integer_power(double b, std::int64_t n) {
  double r = 1.0;
  for (; n > 0; n >>= 1) {
    if ((n & 1) != 0) r *= b;
    b *= b;
  }
  return r;
}

template <class T, execution_context C>
tensor<T, 1, C> zeros(C& ctx, std::int64_t n) {
  static_assert(std::same_as<typename C::memory_space, host_space>,
                "ql: optimizer state is zeroed on the host only; a device backend makes its own state");
  tensor<T, 1, C> t(ctx, {n});
  T* p = t.data();
  for (std::int64_t i = 0; i < n; ++i) p[i] = T(0);
  return t;
}

template <class T, std::size_t Rank>
void expects_update(std::string_view operation, view<T, Rank> w, view<const T, Rank> g, std::int64_t slots) {
  detail::expects_dense(operation, "w", w);
  detail::expects_dense(operation, "g", g);
  for (std::size_t d = 0; d < Rank; ++d)
    detail::expects<shape_error>(g.extent(d) == w.extent(d), operation, "g", w.extent(d), g.extent(d));
  detail::expects<shape_error>(slots == w.size(), operation, "state", w.size(), slots);
}

// f(g[i], to[0][i], to[1][i], ...) for all i < n: in chunks of 16 through local memory, so that the loop vectorises
// although the buffers might overlap.
template <class T, std::size_t K, class F>
QL_INLINE void update_each(std::int64_t n, const T* g, std::array<T*, K> to, F f) {
  constexpr std::int64_t chunk = 16;
  [&]<std::size_t... At>(std::index_sequence<At...>) {
    T d[chunk], x[K][chunk];
    std::int64_t i = 0;
    for (; i + chunk <= n; i += chunk) {
      for (std::int64_t j = 0; j < chunk; ++j) d[j] = g[i + j];
      for (std::size_t k = 0; k < K; ++k)
        for (std::int64_t j = 0; j < chunk; ++j) x[k][j] = to[k][i + j];
      for (std::int64_t j = 0; j < chunk; ++j) f(d[j], x[At][j]...);
      for (std::size_t k = 0; k < K; ++k)
        for (std::int64_t j = 0; j < chunk; ++j) to[k][i + j] = x[k][j];
    }
    for (; i < n; ++i) f(g[i], to[At][i]...);
  }(std::make_index_sequence<K>{});
}

}  // namespace detail

struct adamw_step_op {};  // kernel<adamw_step_op, Backend>::run(ctx, adamw, w, g, m, v, steps, lr) overrides the loop
struct sgd_step_op {};    // kernel<sgd_step_op, Backend>::run(ctx, sgd, w, g, momentum, lr)

// AdamW, "Decoupled weight decay regularization" (arXiv 1711.05101), algorithm 2, in the form PyTorch computes:
//   w -= lr weight_decay w;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   w -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps),  t = 1 for the first step
struct adamw {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.0;

  friend constexpr bool operator==(const adamw&, const adamw&) = default;
  constexpr void validate(rule_book& r) const {
    r.require(beta1 >= 0 && beta1 < 1, "adamw.beta1", beta1, "in [0, 1)", "use 0.9");
    r.require(beta2 >= 0 && beta2 < 1, "adamw.beta2", beta2, "in [0, 1)", "use 0.999");
    r.require(eps > 0, "adamw.eps", eps, "above 0", "use 1e-8");
    r.require(weight_decay >= 0, "adamw.weight_decay", weight_decay, "at least 0", "use 0 or 0.01");
  }

  // What one step is made of, rounded once to T.
  template <class T>
  struct coefficients {
    T beta1, rest1, beta2, rest2, inv_sqrt_correction2, eps, minus_rate, minus_decay;
  };
  // The coefficients of step t (1 is the first) at the learning rate lr.
  template <class T>
  constexpr coefficients<T> at(std::int64_t t, double lr) const {
    const double correction1 = 1.0 - detail::integer_power(beta1, t);
    const double correction2 = 1.0 - detail::integer_power(beta2, t);
    return {static_cast<T>(beta1),
            static_cast<T>(1.0 - beta1),
            static_cast<T>(beta2),
            static_cast<T>(1.0 - beta2),
            static_cast<T>(1.0 / math::sqrt(correction2)),
            static_cast<T>(eps),
            static_cast<T>(-(lr / correction1)),
            static_cast<T>(-(lr * weight_decay))};
  }
  // One element: w, m and v are read and written. The order of these roundings is part of the contract.
  template <class T>
  QL_HD static constexpr void update(const coefficients<T>& c, T& w, T g, T& m, T& v) {
    m = math::fma(c.beta1, m, c.rest1 * g);
    v = math::fma(c.beta2, v, (c.rest2 * g) * g);
    const T denominator = math::fma(math::sqrt(v), c.inv_sqrt_correction2, c.eps);
    w = math::fma(c.minus_rate, m / denominator, math::fma(c.minus_decay, w, w));
  }
  // Plain host memory: the elements of w, g, m and v correspond; t = 1 for the first step.
  template <class T>
  void update_all(view<T, 1> w, view<const T, 1> g, view<T, 1> m, view<T, 1> v, std::int64_t t, double lr) const {
    detail::expects_update<T>("adamw", w, g, m.size());
    detail::expects_dense("adamw", "m", m);
    detail::expects_dense("adamw", "v", v);
    detail::expects<shape_error>(v.size() == w.size(), "adamw", "v", w.size(), v.size());
    detail::expects(t >= 1, "adamw", "t", "at least 1", t);
    ql::detail::wide([c = at<T>(t, lr), n = w.size(), from = g.data_handle(),
                      to = std::array<T*, 3>{w.data_handle(), m.data_handle(), v.data_handle()}] {
      detail::update_each(n, from, to, [&](T d, T& x, T& first, T& second) { update(c, x, d, first, second); });
    });
  }

  template <class T, execution_context C>
  struct state {
    std::int64_t steps = 0;
    tensor<T, 1, C> m, v;
    template <class F>
    void visit(F&& f) {
      f(std::string_view("m"), m.view());
      f(std::string_view("v"), v.view());
    }
  };
  template <class T, execution_context C>
  state<T, C> init(C& ctx, view<T, 1, typename C::memory_space> w) const {
    return {0, detail::zeros<T>(ctx, w.size()), detail::zeros<T>(ctx, w.size())};
  }
  template <class T, execution_context C>
  void step(C& ctx, view<T, 1, typename C::memory_space> w, view<const T, 1, typename C::memory_space> g,
            state<T, C>& s, double lr) const {
    expects_valid(*this);
    if constexpr (has_kernel<adamw_step_op, typename C::backend>) {
      kernel<adamw_step_op, typename C::backend>::run(ctx, *this, w, g, s.m.view(), s.v.view(), s.steps + 1, lr);
    } else {
      update_all<T>(w, g, s.m.view(), s.v.view(), s.steps + 1, lr);
    }
    ++s.steps;
  }
};

// Stochastic gradient descent with heavy-ball momentum as PyTorch computes it (no dampening):
//   g += weight_decay w;  b = momentum b + g (b = g in the first step);  w -= lr (nesterov ? g + momentum b : b)
struct sgd {
  double momentum = 0.0, weight_decay = 0.0;
  bool nesterov = false;

  friend constexpr bool operator==(const sgd&, const sgd&) = default;
  constexpr void validate(rule_book& r) const {
    r.require(momentum >= 0 && momentum < 1, "sgd.momentum", momentum, "in [0, 1)", "use 0 or 0.9");
    r.require(weight_decay >= 0, "sgd.weight_decay", weight_decay, "at least 0", "use 0");
    r.require(!nesterov || momentum > 0, "sgd.nesterov", 1, "only with momentum above 0", "set momentum = 0.9");
  }

  template <class T>
  struct coefficients {
    T momentum, decay, minus_rate;
    bool nesterov;
  };
  template <class T>
  constexpr coefficients<T> at(double lr) const {
    return {static_cast<T>(momentum), static_cast<T>(weight_decay), static_cast<T>(-lr), nesterov};
  }
  template <class T>
  QL_HD static constexpr void update(const coefficients<T>& c, T& w, T g, T& b) {
    const T d = math::fma(c.decay, w, g);
    b = math::fma(c.momentum, b, d);
    w = math::fma(c.minus_rate, c.nesterov ? math::fma(c.momentum, b, d) : b, w);
  }
  template <class T>
  void update_all(view<T, 1> w, view<const T, 1> g, view<T, 1> b, double lr) const {
    detail::expects_update<T>("sgd", w, g, b.size());
    detail::expects_dense("sgd", "b", b);
    ql::detail::wide([c = at<T>(lr), n = w.size(), from = g.data_handle(),
                      to = std::array<T*, 2>{w.data_handle(), b.data_handle()}] {
      detail::update_each(n, from, to, [&](T d, T& x, T& momentum_of) { update(c, x, d, momentum_of); });
    });
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
  state<T, C> init(C& ctx, view<T, 1, typename C::memory_space> w) const {
    return {0, detail::zeros<T>(ctx, w.size())};
  }
  template <class T, execution_context C>
  void step(C& ctx, view<T, 1, typename C::memory_space> w, view<const T, 1, typename C::memory_space> g,
            state<T, C>& s, double lr) const {
    expects_valid(*this);
    if constexpr (has_kernel<sgd_step_op, typename C::backend>) {
      kernel<sgd_step_op, typename C::backend>::run(ctx, *this, w, g, s.b.view(), lr);
    } else {
      update_all<T>(w, g, s.b.view(), lr);
    }
    ++s.steps;
  }
};

// The Euclidean norm of all gradients handed to it, accumulated in double in the order of the calls.
class gradient_norm {
 public:
  template <class T>
  void add(view<const T, 1> g) {
    // 8 lanes by index, folded in order: vectorises, and the order is fixed
    double lane[8] = {};
    ql::detail::wide([n = g.size(), stride = g.stride(0), p = g.data_handle(), to = &lane] {
      double sum[8] = {};
      std::int64_t i = 0;
      for (; i + 8 <= n; i += 8)
        for (std::int64_t k = 0; k < 8; ++k) {
          const double x = static_cast<double>(p[(i + k) * stride]);
          sum[k] = math::fma(x, x, sum[k]);
        }
      for (; i < n; ++i) {
        const double x = static_cast<double>(p[i * stride]);
        sum[i & 7] = math::fma(x, x, sum[i & 7]);
      }
      for (std::int64_t k = 0; k < 8; ++k) (*to)[k] = sum[k];
    });
    for (double l : lane) sum_ += l;
  }
  double value() const { return math::sqrt(sum_); }
  // What to multiply gradients with so that their norm is at most `limit`: 1, or limit / (norm + 1e-6) as PyTorch has
  // it. 0 when the norm is not finite: the step then changes nothing but decay, and `finite` tells the trainer.
  double clip_scale(double limit) const {
    const double norm = value();
    if (!math::isfinite(norm)) return 0.0;
    const double scale = limit / (norm + 1e-6);
    return scale < 1.0 ? scale : 1.0;
  }
  bool finite() const { return math::isfinite(sum_); }

 private:
  double sum_ = 0.0;
};

}  // namespace ql::rl
