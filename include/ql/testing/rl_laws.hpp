// SPDX-License-Identifier: Apache-2.0
#pragma once

// Laws that every component of ql::rl keeps, for your own as well. A law returns an empty string, or the first thing
// that is wrong. No test framework is needed:
//   EXPECT_EQ(ql::testing::laws::policy_loss(my_loss{}), "");

#include <ql/math.hpp>
#include <ql/random.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/aggregation.hpp>
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/correction.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/rl/token_term.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace ql::testing {

// A stream of test numbers that is the same everywhere.
class numbers {
 public:
  explicit numbers(std::uint64_t seed) : key_{.seed = seed, .what = purpose::test} {}
  double uniform(double low, double high) { return math::fma(ql::uniform(key_, next_++), high - low, low); }
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(ql::uniform(key_, next_++) * static_cast<double>(n));
  }

 private:
  random_key key_;
  std::uint64_t next_ = 0;
};

// A packed batch of random sequences (some empty, some tokens masked), two or more sequences to a prompt.
template <class T>
struct random_batch {
  std::vector<std::int64_t> offsets{0}, prompts{0};
  std::vector<std::uint8_t> mask;
  std::vector<T> logp, old, rollout, ref, entropy, sequence_advantage;

  explicit random_batch(std::uint64_t seed, std::int64_t groups = 3) {
    numbers r(seed);
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t members = 2 + r.below(3);
      for (std::int64_t i = 0; i < members; ++i) {
        const std::int64_t length = r.below(12);
        for (std::int64_t t = 0; t < length; ++t) {
          const double o = r.uniform(-3, -0.01);
          old.push_back(static_cast<T>(o));
          logp.push_back(static_cast<T>(math::min(o + r.uniform(-0.6, 0.6), -1e-3)));
          rollout.push_back(static_cast<T>(math::min(o + r.uniform(-0.1, 0.1), -1e-3)));
          ref.push_back(static_cast<T>(math::min(o + r.uniform(-0.5, 0.5), -1e-3)));
          entropy.push_back(static_cast<T>(r.uniform(0, 2)));
          mask.push_back(static_cast<std::uint8_t>(r.below(6) != 0));
        }
        offsets.push_back(static_cast<std::int64_t>(logp.size()));
        sequence_advantage.push_back(static_cast<T>(r.uniform(-2, 2)));
      }
      prompts.push_back(static_cast<std::int64_t>(offsets.size()) - 1);
    }
  }
  rl::token_batch<T> view() const {
    rl::token_batch<T> b;
    b.offsets = offsets, b.mask = mask, b.prompts = prompts;
    b.logp = logp, b.old = old, b.rollout = rollout, b.ref = ref, b.entropy = entropy;
    b.sequence_advantage = sequence_advantage;
    return b;
  }
};

namespace detail {

inline bool close(double a, double b, double tolerance) {
  const double scale = math::max(1.0, math::max(math::abs(a), math::abs(b)));
  return math::abs(a - b) <= tolerance * scale;
}
inline std::string differ(std::string_view what, double expected, double got) {
  return std::string(what) + ": expected " + std::to_string(expected) + ", got " + std::to_string(got);
}
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class Loss>
using aggregation_of = std::conditional_t<std::is_void_v<rl::required_aggregation_t<Loss>>, rl::token_mean,
                                          rl::required_aggregation_t<Loss>>;

// A loss and an aggregation without their types: a law is compiled once, not once for each loss.
struct loss_under_test {
  const void* loss;
  rl::input reads;
  bool pointwise, exact;
  // of the sequence of this token alone
  rl::loss_and_grad<double> (*term)(const void* loss, const rl::token_term<double>&);
  double (*surrogate)(const void* loss, const rl::token_term<double>&, const rl::token_term<double>& at);
  rl::detail::bound_loss<double> bound;

  rl::loss_and_grad<double> operator()(const rl::token_term<double>& x) const { return term(loss, x); }
  rl::loss_report apply(const rl::token_batch<double>& b, const rl::batch_counts& update,
                        const rl::loss_gradient<double>& out, rl::loss_report so_far = {}) const {
    rl::detail::apply_loss_to_batch(bound, b, update, out, so_far);
    return so_far;
  }
};
template <class Loss, class Aggregation>
loss_under_test erase(const Loss& loss, const Aggregation& how) {
  rl::expects_valid(loss);
  rl::expects_valid(how);
  return {&loss,
          Loss::reads,
          rl::pointwise_loss<Loss, double>,
          rl::has_exact_gradient<Loss>,
          [](const void* l, const rl::token_term<double>& x) {
            const auto& typed = *static_cast<const Loss*>(l);
            rl::sequence_term<rl::sums_of<Loss>> s;
            const auto c = rl::contribution_of(typed, x);
            for (std::size_t k = 0; k < c.size(); ++k) s.sum[k] = c[k];
            s.count = 1;
            return rl::evaluate(typed, x, s);
          },
          [](const void* l, const rl::token_term<double>& x, const rl::token_term<double>& at) {
            if constexpr (rl::pointwise_loss<Loss, double>) {
              return rl::surrogate(*static_cast<const Loss*>(l), x, at);
            } else {
              return 0.0;
            }
          },
          rl::detail::bind_loss<double>(loss, how)};
}

inline rl::token_term<double> term_of(const random_batch<double>& r, std::size_t t) {
  return {r.logp[t], r.old[t],     r.rollout[t],
          r.ref[t],  r.entropy[t], r.sequence_advantage[t % r.sequence_advantage.size()]};
}

// Central differences against derivatives; tokens at a kink are counted and passed over.
class differences {
 public:
  static constexpr double h = 1e-6;
  std::string judge(std::string_view what, double below, double here, double above, double got) {
    const double left = (here - below) / h, right = (above - here) / h;
    ++tested_;
    if (!close(left, right, 1e-4)) {
      ++kinks_;
      return "";
    }
    const double middle = (above - below) / (2 * h);
    return close(middle, got, 1e-6) ? "" : differ(what, middle, got);
  }
  bool jumps() const { return kinks_ * 5 > tested_; }

 private:
  std::int64_t tested_ = 0, kinks_ = 0;
};

inline std::string pointwise_gradient(const loss_under_test& loss, const random_batch<double>& r, differences& d) {
  constexpr double h = differences::h;
  for (std::size_t t = 0; t < r.logp.size(); ++t) {
    const auto at = term_of(r, t);
    const auto value = [&](double dlogp, double dentropy) {
      auto x = at;
      x.logp += dlogp;
      x.entropy += dentropy;
      return loss.surrogate(loss.loss, x, at);
    };
    const auto g = loss(at);
    if (!close(value(0, 0), g.value, 1e-12)) return differ("value", value(0, 0), g.value);
    auto bad = d.judge("dlogp", value(-h, 0), g.value, value(h, 0), g.dlogp);
    if (bad.empty()) bad = d.judge("dentropy", value(0, -h), g.value, value(0, h), g.dentropy);
    if (!bad.empty()) return bad;
  }
  return "";
}
inline std::string sequence_gradient(const loss_under_test& loss, random_batch<double>& r, differences& d) {
  constexpr double h = differences::h;
  const std::size_t n = r.logp.size();
  std::vector<double> dlogp(n), dentropy(n), scratch(n), scratch2(n);
  const auto update = rl::count(r.view());
  const double here = loss.apply(r.view(), update, {dlogp, dentropy}).value;
  const auto moved = [&](double& x, double by) {
    const double kept = x;
    x += by;
    const double v = loss.apply(r.view(), update, {scratch, scratch2}).value;
    x = kept;
    return v;
  };
  for (std::size_t t = 0; t < n; ++t) {
    auto bad = d.judge("dlogp", moved(r.logp[t], -h), here, moved(r.logp[t], h), dlogp[t]);
    if (bad.empty() && rl::has(loss.reads, rl::input::entropy))
      bad = d.judge("dentropy", moved(r.entropy[t], -h), here, moved(r.entropy[t], h), dentropy[t]);
    if (!bad.empty()) return bad;
  }
  return "";
}
inline std::string gradient(const loss_under_test& loss, std::uint64_t seed) {
  differences d;
  for (std::uint64_t round = 0; round < 8; ++round) {
    random_batch<double> r(seed + round);
    std::string bad;
    if (loss.pointwise) {
      bad = pointwise_gradient(loss, r, d);
    } else if (loss.exact) {
      bad = sequence_gradient(loss, r, d);
    }
    if (!bad.empty()) return bad;
  }
  return d.jumps() ? "more than one kink in five tokens: the value jumps" : "";
}

inline std::string declared_inputs(const loss_under_test& loss, std::uint64_t seed) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const random_batch<double> r(seed);
  for (std::size_t t = 0; t < r.logp.size(); ++t) {
    const auto all = term_of(r, t);
    auto some = all;
    if (!rl::has(loss.reads, rl::input::logp)) some.logp = nan;
    if (!rl::has(loss.reads, rl::input::old)) some.old = nan;
    if (!rl::has(loss.reads, rl::input::rollout)) some.rollout = nan;
    if (!rl::has(loss.reads, rl::input::ref)) some.ref = nan;
    if (!rl::has(loss.reads, rl::input::entropy)) some.entropy = nan;
    if (!rl::has(loss.reads, rl::input::advantage)) some.advantage = nan;
    const auto a = loss(all), b = loss(some);
    if (a.value != b.value || a.dlogp != b.dlogp || a.dentropy != b.dentropy)
      return "the loss reads an input that it does not declare";
  }
  return "";
}

inline std::string on_policy_gradient(const loss_under_test& loss, std::uint64_t seed) {
  const random_batch<double> r(seed);
  for (std::size_t t = 0; t < r.logp.size(); ++t) {
    auto x = term_of(r, t);
    x.old = x.rollout = x.ref = x.logp;
    const auto g = loss(x);
    if (!close(g.dlogp, -x.advantage, 1e-12)) return differ("dlogp at ratio 1", -x.advantage, g.dlogp);
    x.advantage = 0;
    const auto z = loss(x);
    if (z.value != 0 || z.dlogp != 0) return differ("value with A = 0", 0, z.value);
  }
  return "";
}

// The prompts of a batch, one by one or in reverse order.
inline std::string batching(const loss_under_test& loss, std::uint64_t seed) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  random_batch<double> r(seed, 5);
  const std::size_t n = r.logp.size();
  std::vector<double> dlogp(n), dentropy(n), other(n), other2(n);
  const auto counts = rl::count(r.view());
  const auto whole = loss.apply(r.view(), counts, {dlogp, dentropy});

  auto dirty = r;
  for (std::size_t t = 0; t < n; ++t)
    if (dirty.mask[t] == 0) dirty.logp[t] = dirty.old[t] = dirty.rollout[t] = dirty.ref[t] = dirty.entropy[t] = nan;
  const auto masked = loss.apply(dirty.view(), counts, {other, other2});
  if (masked.value != whole.value || !same_bits(other, dlogp) || !same_bits(other2, dentropy))
    return "masked tokens matter";

  rl::loss_report parts;
  std::vector<double> joined, joined2;
  for (std::size_t g = 0; g + 1 < r.prompts.size(); ++g) {
    const auto first = r.prompts[g], last = r.prompts[g + 1];
    const auto begin = r.offsets[static_cast<std::size_t>(first)], end = r.offsets[static_cast<std::size_t>(last)];
    std::vector<std::int64_t> offsets;
    for (auto i = first; i <= last; ++i) offsets.push_back(r.offsets[static_cast<std::size_t>(i)] - begin);
    const std::int64_t one[] = {0, last - first};
    const auto cut = [&](const std::vector<double>& x) {
      return ql::view<const double, 1>(x.data() + begin, end - begin);
    };
    rl::token_batch<double> b;
    b.offsets = offsets;
    b.prompts = ql::view<const std::int64_t, 1>(one, 2);
    b.mask = ql::view<const std::uint8_t, 1>(r.mask.data() + begin, end - begin);
    b.logp = cut(r.logp), b.old = cut(r.old), b.rollout = cut(r.rollout), b.ref = cut(r.ref),
    b.entropy = cut(r.entropy);
    b.sequence_advantage = ql::view<const double, 1>(r.sequence_advantage.data() + first, last - first);
    std::vector<double> d(static_cast<std::size_t>(end - begin)), e(d.size());
    parts = loss.apply(b, counts, {d, e}, parts);
    joined.insert(joined.end(), d.begin(), d.end());
    joined2.insert(joined2.end(), e.begin(), e.end());
  }
  if (parts.value != whole.value || !same_bits(joined, dlogp) || !same_bits(joined2, dentropy))
    return "a split batch gives other bits";

  random_batch<double> p(seed, 0);  // prompts in reverse order
  p.offsets = {0}, p.prompts = {0};
  std::vector<double> expected;
  for (std::size_t g = r.prompts.size() - 1; g-- > 0;) {
    for (auto i = static_cast<std::size_t>(r.prompts[g]); i < static_cast<std::size_t>(r.prompts[g + 1]); ++i) {
      const auto begin = r.offsets[i], end = r.offsets[i + 1];
      const auto move = [&](auto& to, const auto& from) {
        to.insert(to.end(), from.begin() + begin, from.begin() + end);
      };
      move(p.logp, r.logp), move(p.old, r.old), move(p.rollout, r.rollout), move(p.ref, r.ref);
      move(p.entropy, r.entropy), move(p.mask, r.mask), move(expected, dlogp);
      p.offsets.push_back(static_cast<std::int64_t>(p.logp.size()));
      p.sequence_advantage.push_back(r.sequence_advantage[i]);
    }
    p.prompts.push_back(static_cast<std::int64_t>(p.offsets.size()) - 1);
  }
  const auto turned = loss.apply(p.view(), counts, {other, other2});
  if (!same_bits(other, expected)) return "gradients depend on the order of the sequences";
  if (!close(turned.value, whole.value, 1e-13)) return "the value depends on the order of the sequences";
  return "";
}

inline std::string correction(double (*weight)(const void*, const rl::token_term<double>&), const void* c,
                              std::uint64_t seed) {
  numbers r(seed);
  for (int round = 0; round < 100; ++round) {
    const double lp = r.uniform(-4, 0), a = r.uniform(-1, 1);
    const double kept = weight(c, {lp, lp, lp, lp, 0.5, a});
    if (kept != 1.0) return differ("weight of an unchanged policy", 1, kept);
    if (const double w = weight(c, {lp, lp, lp + r.uniform(-30, 30), lp, 0.5, a}); !(w >= 0))
      return differ("weight", 0, w);
  }
  return "";
}

using estimate = void (*)(const void*, const rl::outcome_batch<double>&, ql::view<double, 1>);
inline std::string advantage(estimate call, const void* a, bool shift, bool scale, bool zero_sum, std::uint64_t seed) {
  numbers r(seed);
  for (int round = 0; round < 20; ++round) {
    const std::int64_t members = 2 + r.below(7), groups = 1 + r.below(4), n = members * groups;
    std::vector<std::int64_t> offsets{0}, length;
    std::vector<double> reward, out(static_cast<std::size_t>(n)), other(out), greedy;
    std::vector<std::int32_t> task;
    for (std::int64_t g = 0; g < groups; ++g) {
      offsets.push_back((g + 1) * members);
      greedy.push_back(0);
      for (std::int64_t i = 0; i < members; ++i) {
        reward.push_back(r.uniform(0, 1));
        length.push_back(1 + r.below(50));
        task.push_back(static_cast<std::int32_t>(g % 2));
      }
    }
    rl::outcome_batch<double> in;
    in.reward = reward, in.groups = offsets, in.length = length, in.task = task, in.greedy = greedy;
    call(a, in, ql::view<double, 1>(out));
    const auto compare = [&](std::string_view what) -> std::string {
      call(a, in, ql::view<double, 1>(other));
      for (std::size_t i = 0; i < out.size(); ++i)
        if (!close(out[i], other[i], 1e-4)) return differ(what, out[i], other[i]);
      return "";
    };
    std::string bad;
    if (zero_sum) {
      for (std::int64_t g = 0; g < groups; ++g) {
        double sum = 0;
        for (std::int64_t i = g * members; i < (g + 1) * members; ++i) sum += out[static_cast<std::size_t>(i)];
        if (!close(sum, 0, 1e-9)) return differ("sum within a group", 0, sum);
      }
    }
    auto kept = reward;
    if (shift) {
      for (std::size_t i = 0; i < reward.size(); ++i) reward[i] = kept[i] + 3.0;
      if (bad = compare("advantage after a shift"); !bad.empty()) return bad;
    }
    if (scale) {
      for (std::size_t i = 0; i < reward.size(); ++i) reward[i] = kept[i] * 5.0;
      if (bad = compare("advantage after scaling"); !bad.empty()) return bad;
    }
    for (auto& x : reward) x = 1.0;
    call(a, in, ql::view<double, 1>(other));
    if (zero_sum)
      for (double x : other)
        if (x != 0) return differ("advantage in a group of equal rewards", 0, x);
  }
  return "";
}

}  // namespace detail

namespace laws {

// dlogp and dentropy are the derivatives of the value, by central differences in double; tokens at a kink, where the
// two one-sided differences disagree, are passed over and may be at most one in five.
template <class Loss>
  requires rl::policy_loss<Loss, double>
std::string gradient(const Loss& loss, std::uint64_t seed = 1) {
  const detail::aggregation_of<Loss> how{};
  return detail::gradient(detail::erase(loss, how), seed);
}

// Inputs that the loss does not declare do not matter.
template <class Loss>
  requires rl::policy_loss<Loss, double>
std::string declared_inputs(const Loss& loss, std::uint64_t seed = 1) {
  const detail::aggregation_of<Loss> how{};
  return detail::declared_inputs(detail::erase(loss, how), seed);
}

// Where logp == old == rollout == ref, the gradient of a policy term is -A.
template <class Loss>
  requires rl::policy_loss<Loss, double>
std::string on_policy_gradient(const Loss& loss, std::uint64_t seed = 1) {
  const detail::aggregation_of<Loss> how{};
  return detail::on_policy_gradient(detail::erase(loss, how), seed);
}

// Bit for bit: what masked tokens hold does not matter; gradients follow their sequences under permutation; a batch cut
// between prompts gives the same value and gradients, when the report is carried and the counts are the update's.
template <class Loss, class Aggregation>
  requires rl::policy_loss<Loss, double> && rl::aggregation_for<Aggregation, Loss>
std::string batching(const Loss& loss, const Aggregation& how, std::uint64_t seed = 1) {
  static_assert(Aggregation::split_invariant, "ql: this aggregation depends on how the update is cut, and says so");
  return detail::batching(detail::erase(loss, how), seed);
}

// All laws of a policy loss but on_policy_gradient, which KL and entropy terms rightly break.
template <class Loss>
  requires rl::policy_loss<Loss, double>
std::string policy_loss(const Loss& loss, std::uint64_t seed = 1) {
  const detail::aggregation_of<Loss> how{};
  const auto erased = detail::erase(loss, how);
  auto bad = detail::declared_inputs(erased, seed);
  if (bad.empty()) bad = detail::gradient(erased, seed);
  if (bad.empty()) bad = detail::batching(erased, seed);
  return bad;
}

// A correction is 1 where old == rollout == logp, and never negative.
template <class C>
std::string correction(const C& c, std::uint64_t seed = 1) {
  return detail::correction(
      [](const void* p, const rl::token_term<double>& x) {
        const auto& typed = *static_cast<const C*>(p);
        rl::sequence_term<C::sums> s;
        if constexpr (C::sums == 1) s.sum[0] = typed.contribution(x);
        s.count = 1;
        return static_cast<double>(typed.weight(x, s));
      },
      &c, seed);
}

// What an estimator's advantages do not depend on.
struct advantage_traits {
  bool shift = true;     // R + c for all members of a group
  bool scale = true;     // R * c, c > 0 (up to the epsilon)
  bool zero_sum = true;  // within a group
};
template <class A>
  requires rl::advantage_estimator<A, double>
std::string advantage(const A& estimator, advantage_traits traits = {}, std::uint64_t seed = 1) {
  return detail::advantage([](const void* a, const rl::outcome_batch<double>& in,
                              ql::view<double, 1> out) { (*static_cast<const A*>(a))(in, out); },
                           &estimator, traits.shift, traits.scale, traits.zero_sum, seed);
}

// State survives a checkpoint: buffers copied through `visit` and `steps` give the same bits in the next step; and a
// step at learning rate 0 changes no weight, unless the state holds steps of former rates.
template <std::size_t Rank = 1, class O, class Context>
std::string optimizer(const O& opt, Context& ctx, std::uint64_t seed = 1, bool rests_at_rate_zero = true) {
  numbers r(seed);
  std::vector<float> w(42), g(42);
  std::array<std::int64_t, Rank> shape;
  if constexpr (Rank == 1) {
    shape = {42};
  } else {
    shape = {6, 7};
  }
  for (auto& x : w) x = static_cast<float>(r.uniform(-1, 1));
  auto state = opt.template init<float>(ctx, ql::view<float, Rank>(w.data(), shape));
  const auto step = [&](auto& weights, auto& s, double lr) {
    opt.template step<float>(ctx, ql::view<float, Rank>(weights.data(), shape),
                             ql::view<const float, Rank>(g.data(), shape), s, lr);
  };
  for (int k = 0; k < 3; ++k) {
    for (auto& x : g) x = static_cast<float>(r.uniform(-1, 1));
    step(w, state, 0.01);
  }
  if (state.steps != 3) return detail::differ("steps", 3, static_cast<double>(state.steps));
  std::vector<std::vector<float>> saved;
  state.visit([&](std::string_view, auto v) {
    saved.emplace_back();
    for (std::int64_t i = 0; i < v.size(); ++i) saved.back().push_back(static_cast<float>(v[i]));
  });
  auto w2 = w;
  auto restored = opt.template init<float>(ctx, ql::view<float, Rank>(w2.data(), shape));
  std::size_t next = 0;
  restored.visit([&](std::string_view, auto v) {
    for (std::int64_t i = 0; i < v.size(); ++i)
      v[i] = static_cast<std::remove_cvref_t<decltype(v[i])>>(saved[next][static_cast<std::size_t>(i)]);
    ++next;
  });
  restored.steps = state.steps;
  step(w, state, 0.01);
  step(w2, restored, 0.01);
  if (!detail::same_bits(w, w2)) return "a restored state steps elsewhere";
  w2 = w;
  step(w2, restored, 0.0);
  return rests_at_rate_zero && !detail::same_bits(w, w2) ? "a step at learning rate 0 moves weights" : "";
}

}  // namespace laws
}  // namespace ql::testing
