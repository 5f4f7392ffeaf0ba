// SPDX-License-Identifier: Apache-2.0
#pragma once

// Optimizers made of optimizers: a running average of the weights, and gradients added up over several calls. Their
// state holds the inner state, and a checkpoint walks all of it.

#include <ql/context.hpp>
#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/tensor.hpp>
#include <ql/tensor/view.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>

namespace ql::rl {

// Keeps average = decay average + (1 - decay) w after each step; it begins as a copy of the weights. Evaluate with
// state.average.
template <class O>
struct averaged {
  O inner;
  double decay = 0.999;

  constexpr void validate(rule_book& b) const {
    if constexpr (checked<O>) inner.validate(b);
    b.require(decay >= 0 && decay < 1, "averaged.decay", decay, "in [0, 1)", "use 0.999");
  }
  template <class T, execution_context C>
  struct state {
    typename O::template state<T, C> inner;
    std::int64_t steps = 0;
    tensor<T, 1, C> average;
    template <class F>
    void visit(F&& f) {
      inner.visit(f);
      f(std::string_view("average"), average.view());
    }
  };
  template <class T, execution_context C>
  state<T, C> init(C& ctx, view<T, 1, typename C::memory_space> w) const {
    state<T, C> s{inner.template init<T>(ctx, w), 0, detail::zeros<T>(ctx, w.size())};
    for (std::int64_t i = 0; i < w.size(); ++i) s.average.data()[i] = w[i];
    return s;
  }
  template <class T, execution_context C>
  void step(C& ctx, view<T, 1, typename C::memory_space> w, view<const T, 1, typename C::memory_space> g,
            state<T, C>& s, double lr) const {
    expects_valid(*this);
    s.inner.steps = s.steps;
    inner.template step<T>(ctx, w, g, s.inner, lr);
    ++s.steps;
    const T rest = static_cast<T>(1.0 - decay);
    T* a = s.average.data();
    for (std::int64_t i = 0; i < w.size(); ++i) a[i] = math::fma(rest, w[i] - a[i], a[i]);
  }
};
template <class O>
averaged(O, double) -> averaged<O>;

// Adds gradients up and lets the inner optimizer step at every `every`-th call, on their sum: the loss's denominator
// counts the whole update already. `steps` counts calls; the inner count is steps / every.
template <class O>
struct accumulated {
  O inner;
  std::int64_t every;

  constexpr void validate(rule_book& b) const {
    if constexpr (checked<O>) inner.validate(b);
    b.require(every >= 1, "accumulated.every", static_cast<double>(every), "at least 1",
              "the micro-batches of an update");
  }
  template <class T, execution_context C>
  struct state {
    typename O::template state<T, C> inner;
    std::int64_t steps = 0;
    tensor<T, 1, C> sum;
    template <class F>
    void visit(F&& f) {
      inner.visit(f);
      f(std::string_view("sum"), sum.view());
    }
  };
  template <class T, execution_context C>
  state<T, C> init(C& ctx, view<T, 1, typename C::memory_space> w) const {
    return {inner.template init<T>(ctx, w), 0, detail::zeros<T>(ctx, w.size())};
  }
  template <class T, execution_context C>
  void step(C& ctx, view<T, 1, typename C::memory_space> w, view<const T, 1, typename C::memory_space> g,
            state<T, C>& s, double lr) const {
    expects_valid(*this);
    detail::expects<shape_error>(g.size() == s.sum.size(), "accumulated", "g", s.sum.size(), g.size());
    T* sum = s.sum.data();
    for (std::int64_t i = 0; i < g.size(); ++i) sum[i] += g[i];
    s.inner.steps = s.steps / every;
    if (++s.steps % every != 0) return;
    inner.template step<T>(ctx, w, s.sum.view(), s.inner, lr);
    for (std::int64_t i = 0; i < g.size(); ++i) sum[i] = T(0);
  }
};
template <class O>
accumulated(O, std::int64_t) -> accumulated<O>;

// One optimizer for matrices and another for all else, as Muon wants it: by_shape{muon{}, adamw{}}.
template <class Matrices, class Rest>
struct by_shape {
  Matrices matrices;
  Rest rest;

  constexpr void validate(rule_book& b) const {
    if constexpr (checked<Matrices>) matrices.validate(b);
    if constexpr (checked<Rest>) rest.validate(b);
  }
  template <class T, execution_context C>
  struct state {
    std::int64_t steps = 0;
    std::variant<typename Rest::template state<T, C>, typename Matrices::template state<T, C>> inner;
    template <class F>
    void visit(F&& f) {
      std::visit([&](auto& s) { s.visit(f); }, inner);
    }
  };
  template <class T, execution_context C>
  state<T, C> init(C& ctx, view<T, 1, typename C::memory_space> w) const {
    state<T, C> s;
    s.inner.template emplace<0>(rest.template init<T>(ctx, w));
    return s;
  }
  template <class T, execution_context C>
  state<T, C> init(C& ctx, view<T, 2, typename C::memory_space> w) const {
    state<T, C> s;
    s.inner.template emplace<1>(matrices.template init<T>(ctx, w));
    return s;
  }
  template <class T, execution_context C>
  void step(C& ctx, view<T, 1, typename C::memory_space> w, view<const T, 1, typename C::memory_space> g,
            state<T, C>& s, double lr) const {
    run<0>(rest, ctx, w, g, s, lr);
  }
  template <class T, execution_context C>
  void step(C& ctx, view<T, 2, typename C::memory_space> w, view<const T, 2, typename C::memory_space> g,
            state<T, C>& s, double lr) const {
    run<1>(matrices, ctx, w, g, s, lr);
  }

 private:
  template <std::size_t Which, class O, class C, class W, class G, class S>
  static void run(const O& o, C& ctx, W w, G g, S& s, double lr) {
    auto* inner = std::get_if<Which>(&s.inner);
    detail::expects(inner != nullptr, "by_shape", "state", "one made for weights of this rank", "of another rank");
    inner->steps = s.steps;
    o.template step<typename W::element_type>(ctx, w, g, *inner, lr);
    ++s.steps;
  }
};
template <class Matrices, class Rest>
by_shape(Matrices, Rest) -> by_shape<Matrices, Rest>;

}  // namespace ql::rl
