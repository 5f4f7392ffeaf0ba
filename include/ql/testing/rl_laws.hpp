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

}  // namespace detail

namespace laws {

// dlogp and dentropy are the derivatives of the value, by central differences in double; tokens at a kink, where the
// two one-sided differences disagree, are passed over and may be at most one in five.
template <class Loss>
  requires rl::policy_loss<Loss, double>
std::string gradient(const Loss& loss, std::uint64_t seed = 1) {
  constexpr double h = 1e-6;
  std::int64_t tested = 0, kinks = 0;
  const auto judge = [&](std::string_view what, double below, double here, double above, double got) -> std::string {
    const double left = (here - below) / h, right = (above - here) / h;
    ++tested;
    if (!detail::close(left, right, 1e-4)) {
      ++kinks;
      return "";
    }
    const double middle = (above - below) / (2 * h);
    return detail::close(middle, got, 1e-6) ? "" : detail::differ(what, middle, got);
  };
  for (std::uint64_t round = 0; round < 8; ++round) {
    random_batch<double> r(seed + round);
    if constexpr (rl::pointwise_loss<Loss, double>) {
      for (std::size_t t = 0; t < r.logp.size(); ++t) {
        const rl::token_term<double> at{r.logp[t], r.old[t],     r.rollout[t],
                                        r.ref[t],  r.entropy[t], r.sequence_advantage[t % r.sequence_advantage.size()]};
        const auto value = [&](double dlogp, double dentropy) {
          auto x = at;
          x.logp += dlogp;
          x.entropy += dentropy;
          return rl::surrogate(loss, x, at);
        };
        const auto g = loss(at);
        if (!detail::close(value(0, 0), g.value, 1e-12)) return detail::differ("value", value(0, 0), g.value);
        auto bad = judge("dlogp", value(-h, 0), g.value, value(h, 0), g.dlogp);
        if (bad.empty()) bad = judge("dentropy", value(0, -h), g.value, value(0, h), g.dentropy);
        if (!bad.empty()) return bad;
      }
    } else if constexpr (rl::has_exact_gradient<Loss>) {
      const detail::aggregation_of<Loss> how{};
      const std::size_t n = r.logp.size();
      std::vector<double> dlogp(n), dentropy(n), scratch(n), scratch2(n);
      const double here = rl::apply_loss(loss, r.view(), how, {dlogp, dentropy}).value;
      const auto moved = [&](double& x, double by) {
        const double kept = x;
        x += by;
        const double v = rl::apply_loss(loss, r.view(), how, {scratch, scratch2}).value;
        x = kept;
        return v;
      };
      for (std::size_t t = 0; t < n; ++t) {
        auto bad = judge("dlogp", moved(r.logp[t], -h), here, moved(r.logp[t], h), dlogp[t]);
        if (bad.empty() && rl::has(Loss::reads, rl::input::entropy))
          bad = judge("dentropy", moved(r.entropy[t], -h), here, moved(r.entropy[t], h), dentropy[t]);
        if (!bad.empty()) return bad;
      }
    }
  }
  if (kinks * 5 > tested) return "more than one kink in five tokens: the value jumps";
  return "";
}

// Inputs that the loss does not declare do not matter.
template <class Loss>
  requires rl::policy_loss<Loss, double>
std::string declared_inputs(const Loss& loss, std::uint64_t seed = 1) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const random_batch<double> r(seed);
  for (std::size_t t = 0; t < r.logp.size(); ++t) {
    const rl::token_term<double> all{r.logp[t], r.old[t],     r.rollout[t],
                                     r.ref[t],  r.entropy[t], r.sequence_advantage[t % r.sequence_advantage.size()]};
    auto some = all;
    if (!rl::has(Loss::reads, rl::input::logp)) some.logp = nan;
    if (!rl::has(Loss::reads, rl::input::old)) some.old = nan;
    if (!rl::has(Loss::reads, rl::input::rollout)) some.rollout = nan;
    if (!rl::has(Loss::reads, rl::input::ref)) some.ref = nan;
    if (!rl::has(Loss::reads, rl::input::entropy)) some.entropy = nan;
    if (!rl::has(Loss::reads, rl::input::advantage)) some.advantage = nan;
    const auto term = [&](const rl::token_term<double>& x) {
      rl::sequence_term<rl::sums_of<Loss>> s;
      const auto c = rl::contribution_of(loss, x);
      for (std::size_t k = 0; k < c.size(); ++k) s.sum[k] = c[k];
      s.count = 1;
      return rl::evaluate(loss, x, s);
    };
    const auto a = term(all), b = term(some);
    if (a.value != b.value || a.dlogp != b.dlogp || a.dentropy != b.dentropy)
      return "the loss reads an input that it does not declare";
  }
  return "";
}

// Where logp == old == rollout == ref, the gradient of a policy term is -A.
template <class Loss>
  requires rl::policy_loss<Loss, double>
std::string on_policy_gradient(const Loss& loss, std::uint64_t seed = 1) {
  const random_batch<double> r(seed);
  for (std::size_t t = 0; t < r.logp.size(); ++t) {
    const double lp = r.logp[t], a = r.sequence_advantage[t % r.sequence_advantage.size()];
    const rl::token_term<double> x{lp, lp, lp, lp, r.entropy[t], a};
    rl::sequence_term<rl::sums_of<Loss>> s;
    const auto c = rl::contribution_of(loss, x);
    for (std::size_t k = 0; k < c.size(); ++k) s.sum[k] = c[k];
    s.count = 1;
    const auto g = rl::evaluate(loss, x, s);
    if (!detail::close(g.dlogp, -a, 1e-12)) return detail::differ("dlogp at ratio 1", -a, g.dlogp);
    auto still = x;
    still.advantage = 0;
    const auto z = rl::evaluate(loss, still, s);
    if (z.value != 0 || z.dlogp != 0) return detail::differ("value with A = 0", 0, z.value);
  }
  return "";
}

// Bit for bit: what masked tokens hold does not matter; gradients follow their sequences under permutation; a batch cut
// between prompts gives the same value and gradients, when the report is carried and the counts are the update's.
template <class Loss, class Aggregation>
  requires rl::policy_loss<Loss, double> && rl::aggregation_for<Aggregation, Loss>
std::string batching(const Loss& loss, const Aggregation& how, std::uint64_t seed = 1) {
  static_assert(Aggregation::split_invariant, "ql: this aggregation depends on how the update is cut, and says so");
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  random_batch<double> r(seed, 5);
  const std::size_t n = r.logp.size();
  std::vector<double> dlogp(n), dentropy(n), other(n), other2(n);
  const auto whole = rl::apply_loss(loss, r.view(), how, {dlogp, dentropy});
  const auto counts = rl::count(r.view());

  auto dirty = r;
  for (std::size_t t = 0; t < n; ++t)
    if (dirty.mask[t] == 0) dirty.logp[t] = dirty.old[t] = dirty.rollout[t] = dirty.ref[t] = dirty.entropy[t] = nan;
  const auto masked = rl::apply_loss(loss, dirty.view(), how, {other, other2});
  if (masked.value != whole.value || !detail::same_bits(other, dlogp) || !detail::same_bits(other2, dentropy))
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
    rl::apply_loss(loss, b, how, counts, {d, e}, parts);
    joined.insert(joined.end(), d.begin(), d.end());
    joined2.insert(joined2.end(), e.begin(), e.end());
  }
  if (parts.value != whole.value || !detail::same_bits(joined, dlogp) || !detail::same_bits(joined2, dentropy))
    return "a split batch gives other bits";

  // prompts in reverse order
  random_batch<double> p(seed, 0);
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
  const auto turned = rl::apply_loss(loss, p.view(), how, {other, other2});
  if (!detail::same_bits(other, expected)) return "gradients depend on the order of the sequences";
  if (!detail::close(turned.value, whole.value, 1e-13)) return "the value depends on the order of the sequences";
  return "";
}

// All laws of a policy loss but on_policy_gradient, which KL and entropy terms rightly break.
template <class Loss>
std::string policy_loss(const Loss& loss, std::uint64_t seed = 1) {
  auto bad = declared_inputs(loss, seed);
  if (bad.empty()) bad = gradient(loss, seed);
  if (bad.empty()) bad = batching(loss, detail::aggregation_of<Loss>{}, seed);
  return bad;
}

// A correction is 1 where old == rollout == logp, and never negative.
template <class C>
std::string correction(const C& c, std::uint64_t seed = 1) {
  numbers r(seed);
  for (int round = 0; round < 100; ++round) {
    const double lp = r.uniform(-4, 0), a = r.uniform(-1, 1);
    const auto weight = [&](double rollout) {
      const rl::token_term<double> x{lp, lp, rollout, lp, 0.5, a};
      rl::sequence_term<C::sums> s;
      if constexpr (C::sums == 1) s.sum[0] = c.contribution(x);
      s.count = 1;
      return static_cast<double>(c.weight(x, s));
    };
    if (weight(lp) != 1.0) return detail::differ("weight of an unchanged policy", 1, weight(lp));
    if (const double w = weight(lp + r.uniform(-30, 30)); !(w >= 0)) return detail::differ("weight", 0, w);
  }
  return "";
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
    estimator(in, ql::view<double, 1>(out));
    const auto compare = [&](std::string_view what) -> std::string {
      estimator(in, ql::view<double, 1>(other));
      for (std::size_t i = 0; i < out.size(); ++i)
        if (!detail::close(out[i], other[i], 1e-4)) return detail::differ(what, out[i], other[i]);
      return "";
    };
    std::string bad;
    if (traits.zero_sum) {
      for (std::int64_t g = 0; g < groups; ++g) {
        double sum = 0;
        for (std::int64_t i = g * members; i < (g + 1) * members; ++i) sum += out[static_cast<std::size_t>(i)];
        if (!detail::close(sum, 0, 1e-9)) return detail::differ("sum within a group", 0, sum);
      }
    }
    auto kept = reward;
    if (traits.shift) {
      for (std::size_t i = 0; i < reward.size(); ++i) reward[i] = kept[i] + 3.0;
      if (bad = compare("advantage after a shift"); !bad.empty()) return bad;
    }
    if (traits.scale) {
      for (std::size_t i = 0; i < reward.size(); ++i) reward[i] = kept[i] * 5.0;
      if (bad = compare("advantage after scaling"); !bad.empty()) return bad;
    }
    for (auto& x : reward) x = 1.0;
    estimator(in, ql::view<double, 1>(other));
    if (traits.zero_sum)
      for (double a : other)
        if (a != 0) return detail::differ("advantage in a group of equal rewards", 0, a);
  }
  return "";
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
