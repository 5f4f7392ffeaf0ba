// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runs a policy loss over a packed batch: loops, sums over sequences, aggregation, value and gradients. The consumer
// brings pointers; the loss is any function object of token_term.hpp.

#include <ql/dispatch.hpp>
#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/aggregation.hpp>
#include <ql/rl/token_term.hpp>
#include <ql/tensor/view.hpp>

#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

namespace ql::rl {

// Sequences lie one behind the other: sequence i owns the tokens [offsets[i], offsets[i + 1]). Inputs that the loss
// does not read may be empty. Views are dense.
template <class T>
struct token_batch {
  view<const std::int64_t, 1> offsets;  // (sequences + 1)
  view<const std::uint8_t, 1> mask;     // (tokens): loss tokens; empty: all. Masked tokens may hold anything, even NaN
  view<const std::int64_t, 1> prompts;  // (prompts + 1) offsets into sequences; empty: one prompt per sequence
  view<const T, 1> logp, old, rollout, ref, entropy;  // (tokens)
  view<const T, 1> advantage;                         // (tokens), or empty if sequence_advantage is given
  view<const T, 1> sequence_advantage;                // (sequences)

  std::int64_t sequences() const { return offsets.empty() ? 0 : offsets.size() - 1; }
  std::int64_t tokens() const { return logp.size(); }
};

// Where derivatives go, already multiplied with the aggregation's weight. dentropy may be empty if nothing depends on
// the entropy. Every element is written (masked tokens: 0), or added to where `accumulate`.
template <class T>
struct loss_gradient {
  view<T, 1> dlogp, dentropy;
  bool accumulate = false;
};

// What an update's loss was. Carried from one micro-batch to the next, value is the same bits as in one call.
struct loss_report {
  double value = 0;
  std::int64_t tokens = 0;
  std::int64_t non_finite = 0;  // loss tokens whose value or derivative is not finite
  bool finite() const { return non_finite == 0; }
};

namespace detail {

template <class T>
void expects_adjacent(std::string_view operation, std::string_view argument, view<T, 1> v) {
  if (!v.empty()) expects_dense(operation, argument, v);
}

inline void expects_offsets(std::string_view operation, std::string_view argument, view<const std::int64_t, 1> offsets,
                            std::int64_t last) {
  expects_adjacent(operation, argument, offsets);
  expects<shape_error>(offsets.size() >= 1, operation, argument, "at least one offset", offsets.size());
  expects<shape_error>(offsets[0] == 0, operation, argument, "0 as the first offset", offsets[0]);
  for (std::int64_t i = 0; i + 1 < offsets.size(); ++i)
    expects<shape_error>(offsets[i] <= offsets[i + 1], operation, argument, "ascending offsets", offsets[i + 1]);
  expects<shape_error>(offsets[offsets.size() - 1] == last, operation, argument, last, offsets[offsets.size() - 1]);
}

template <class T>
void expects_input(std::string_view operation, std::string_view argument, view<const T, 1> v, bool read,
                   std::int64_t n) {
  if (!read) return;
  expects_adjacent(operation, argument, v);
  expects<shape_error>(v.size() == n, operation, argument, std::to_string(n) + " elements (this loss reads them)",
                       v.size());
}

inline std::int64_t count_tokens(view<const std::uint8_t, 1> mask, std::int64_t begin, std::int64_t end) {
  if (mask.empty()) return end - begin;
  std::int64_t n = 0;
  const std::uint8_t* m = mask.data_handle();
  for (std::int64_t t = begin; t < end; ++t) n += m[t] != 0 ? 1 : 0;
  return n;
}

// Pointers to what a loss reads; NaN stands for the rest, so that a loss which lies about its inputs shows it.
template <class T>
struct term_source {
  const T *logp, *old, *rollout, *ref, *entropy, *advantage;
  T sequence_advantage;

  template <input Reads, bool PerToken>
  QL_INLINE token_term<T> at(std::int64_t t) const {
    constexpr T nan = std::numeric_limits<T>::quiet_NaN();
    return {has(Reads, input::logp) ? logp[t] : nan,
            has(Reads, input::old) ? old[t] : nan,
            has(Reads, input::rollout) ? rollout[t] : nan,
            has(Reads, input::ref) ? ref[t] : nan,
            has(Reads, input::entropy) ? entropy[t] : nan,
            !has(Reads, input::advantage) ? nan
            : advantage != nullptr        ? advantage[t]
                                          : sequence_advantage};
  }
};

// Sum of 8 lanes in a fixed tree.
inline double fold(const double (&lane)[8]) {
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

// One sequence. Values are summed in 8 lanes by the token's index in the sequence.
template <bool PerToken, class T, class Loss>
double apply_sequence(const Loss& loss, const term_source<T>& source, const std::uint8_t* mask, std::int64_t begin,
                      std::int64_t end, const sequence_term<sums_of<Loss>>& s, T weight, const loss_gradient<T>& out,
                      std::int64_t& non_finite) {
  constexpr std::int64_t block = 128;
  T value[block], dlogp[block], dentropy[block];
  double lane[8] = {};
  T* const to_logp = out.dlogp.data_handle();
  T* const to_entropy = out.dentropy.empty() ? nullptr : out.dentropy.data_handle();
  for (std::int64_t first = begin; first < end; first += block) {
    const std::int64_t n = end - first < block ? end - first : block;
    for (std::int64_t j = 0; j < n; ++j) {
      const auto r = evaluate(loss, source.template at<Loss::reads, PerToken>(first + j), s);
      value[j] = r.value;
      dlogp[j] = r.dlogp * weight;
      dentropy[j] = r.dentropy * weight;
    }
    if (mask != nullptr) {
      for (std::int64_t j = 0; j < n; ++j) {
        const bool keep = mask[first + j] != 0;
        value[j] = keep ? value[j] : T(0);
        dlogp[j] = keep ? dlogp[j] : T(0);
        dentropy[j] = keep ? dentropy[j] : T(0);
      }
    }
    for (std::int64_t j = 0; j < n; ++j) {
      const T x = (value[j] - value[j]) + (dlogp[j] - dlogp[j]) + (dentropy[j] - dentropy[j]);  // NaN unless finite
      non_finite += x == T(0) ? 0 : 1;
    }
    for (std::int64_t j = 0; j + 8 <= n; j += 8)
      for (std::int64_t k = 0; k < 8; ++k) lane[k] += static_cast<double>(value[j + k]);
    for (std::int64_t j = n & ~std::int64_t{7}; j < n; ++j) lane[j & 7] += static_cast<double>(value[j]);
    if (out.accumulate) {
      for (std::int64_t j = 0; j < n; ++j) to_logp[first + j] += dlogp[j];
      if (to_entropy != nullptr)
        for (std::int64_t j = 0; j < n; ++j) to_entropy[first + j] += dentropy[j];
    } else {
      for (std::int64_t j = 0; j < n; ++j) to_logp[first + j] = dlogp[j];
      if (to_entropy != nullptr)
        for (std::int64_t j = 0; j < n; ++j) to_entropy[first + j] = dentropy[j];
    }
  }
  return fold(lane);
}

template <bool PerToken, class Loss, class T>
sequence_term<sums_of<Loss>> sum_sequence(const Loss& loss, const term_source<T>& source, const std::uint8_t* mask,
                                          std::int64_t begin, std::int64_t end, std::int64_t count) {
  sequence_term<sums_of<Loss>> s;
  s.count = count;
  if constexpr (sums_of < Loss >> 0) {
    for (std::int64_t t = begin; t < end; ++t) {
      if (mask != nullptr && mask[t] == 0) continue;
      const auto c = contribution_of(loss, source.template at<Loss::reads, PerToken>(t));
      for (std::size_t k = 0; k < c.size(); ++k) s.sum[k] += static_cast<double>(c[k]);
    }
  }
  return s;
}

}  // namespace detail

// The counts of a batch. Add those of all micro-batches and ranks of an update before apply_loss.
inline batch_counts count(view<const std::int64_t, 1> offsets, view<const std::uint8_t, 1> mask = {},
                          view<const std::int64_t, 1> prompts = {}) {
  batch_counts c;
  const std::int64_t sequences = offsets.empty() ? 0 : offsets.size() - 1;
  const std::int64_t groups = prompts.empty() ? sequences : prompts.size() - 1;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t first = prompts.empty() ? g : prompts[g], last = prompts.empty() ? g + 1 : prompts[g + 1];
    bool any = false;
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t n = detail::count_tokens(mask, offsets[i], offsets[i + 1]);
      c.tokens += n;
      c.sequences += n > 0 ? 1 : 0;
      any = any || n > 0;
    }
    c.prompts += any ? 1 : 0;
  }
  return c;
}
template <class T>
batch_counts count(const token_batch<T>& b) {
  return count(b.offsets, b.mask, b.prompts);
}

// Adds the batch's part of the update's loss to `report` and writes its gradients. `denominator` counts the whole
// update. Sequences are visited in index order; calling this once for a batch or once for each of its contiguous parts
// gives the same bits in value and gradients, if the aggregation is split_invariant.
//   token_mean over one token with A = 1 and logp == old under clip{}: value -1, dlogp -1
template <class Loss, class T, class Aggregation>
  requires policy_loss<Loss, T> && aggregation_for<Aggregation, Loss>
void apply_loss(const Loss& loss, const token_batch<T>& b, const Aggregation& how, const batch_counts& denominator,
                const loss_gradient<T>& out, loss_report& report) {
  static_assert(detail::legal_as_loss<Loss>(),
                "ql: k1 as a loss has zero expected gradient on-policy; put it into the reward, or use "
                "score_function<k1>, k2 or k3");
  constexpr std::string_view me = "apply_loss";
  expects_valid(loss);
  expects_valid(how);
  const std::int64_t n = b.tokens(), sequences = b.sequences();
  detail::expects_offsets(me, "offsets", b.offsets, n);
  detail::expects_input<T>(me, "logp", b.logp, true, n);
  detail::expects_input<T>(me, "old", b.old, has(Loss::reads, input::old), n);
  detail::expects_input<T>(me, "rollout", b.rollout, has(Loss::reads, input::rollout), n);
  detail::expects_input<T>(me, "ref", b.ref, has(Loss::reads, input::ref), n);
  detail::expects_input<T>(me, "entropy", b.entropy, has(Loss::reads, input::entropy), n);
  constexpr bool advantages = has(Loss::reads, input::advantage);
  const bool per_token = !b.advantage.empty();
  if (advantages && n > 0) {
    detail::expects<shape_error>(per_token == b.sequence_advantage.empty(), me, "advantage",
                                 "either advantage or sequence_advantage", per_token ? "both" : "neither");
    detail::expects_input<T>(me, "advantage", b.advantage, per_token, n);
    detail::expects_input<T>(me, "sequence_advantage", b.sequence_advantage, !per_token, sequences);
    if constexpr (needs_sequence_advantage<Loss>)
      detail::expects(!per_token, me, "advantage", "sequence_advantage: one per sequence for this loss",
                      "one per token");
  }
  detail::expects_adjacent(me, "mask", b.mask);
  detail::expects<shape_error>(b.mask.empty() || b.mask.size() == n, me, "mask", n, b.mask.size());
  if (!b.prompts.empty()) detail::expects_offsets(me, "prompts", b.prompts, sequences);
  detail::expects_adjacent(me, "dlogp", out.dlogp);
  detail::expects_adjacent(me, "dentropy", out.dentropy);
  detail::expects<shape_error>(out.dlogp.size() == n, me, "dlogp", n, out.dlogp.size());
  detail::expects<shape_error>(out.dentropy.size() == n || (out.dentropy.empty() && !has(Loss::reads, input::entropy)),
                               me, "dentropy", n, out.dentropy.size());

  const std::uint8_t* mask = b.mask.empty() ? nullptr : b.mask.data_handle();
  detail::term_source<T> source{b.logp.data_handle(),
                                b.old.data_handle(),
                                b.rollout.data_handle(),
                                b.ref.data_handle(),
                                b.entropy.data_handle(),
                                per_token ? b.advantage.data_handle() : nullptr,
                                T(0)};
  const std::int64_t groups = b.prompts.empty() ? sequences : b.prompts.size() - 1;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t first = b.prompts.empty() ? g : b.prompts[g];
    const std::int64_t last = b.prompts.empty() ? g + 1 : b.prompts[g + 1];
    const std::int64_t prompt_tokens =
        first == last ? 0 : detail::count_tokens(b.mask, b.offsets[first], b.offsets[last]);
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t begin = b.offsets[i], end = b.offsets[i + 1];
      const std::int64_t loss_tokens = detail::count_tokens(b.mask, begin, end);
      double weight = 0.0;
      if (loss_tokens > 0) {
        weight = how.weight({loss_tokens, prompt_tokens}, denominator);
        detail::expects(math::isfinite(weight), me, "denominator",
                        "the counts of the whole update, not smaller than "
                        "those of this batch",
                        weight);
        if (advantages && !per_token) source.sequence_advantage = b.sequence_advantage[i];
      }
      const auto run = [&]<bool PerToken>(std::bool_constant<PerToken>) {
        const auto s = detail::sum_sequence<PerToken>(loss, source, mask, begin, end, loss_tokens);
        return detail::apply_sequence<PerToken>(loss, source, mask, begin, end, s, static_cast<T>(weight), out,
                                                report.non_finite);
      };
      const double sum = per_token ? run(std::true_type{}) : run(std::false_type{});
      report.value = loss_tokens > 0 ? math::fma(weight, sum, report.value) : report.value;
      report.tokens += loss_tokens;
    }
  }
}

// A whole update at once.
template <class Loss, class T, class Aggregation>
  requires policy_loss<Loss, T> && aggregation_for<Aggregation, Loss>
loss_report apply_loss(const Loss& loss, const token_batch<T>& b, const Aggregation& how, const loss_gradient<T>& out) {
  loss_report r;
  apply_loss(loss, b, how, count(b), out, r);
  return r;
}

struct apply_loss_op {};  // kernel<apply_loss_op, Backend>::run(ctx, loss, batch, how, denominator, out, report)

// The same on a context: host memory runs the loops above, other backends their kernel.
template <execution_context Context, class Loss, class T, class Aggregation>
void apply_loss(Context& ctx, const Loss& loss, const token_batch<T>& b, const Aggregation& how,
                const batch_counts& denominator, const loss_gradient<T>& out, loss_report& report) {
  if constexpr (has_kernel<apply_loss_op, typename Context::backend>) {
    kernel<apply_loss_op, typename Context::backend>::run(ctx, loss, b, how, denominator, out, report);
  } else {
    static_assert(std::same_as<typename Context::memory_space, host_space>,
                  "ql: no apply_loss kernel for this backend; include its kernels before you use it");
    apply_loss(loss, b, how, denominator, out, report);
  }
}

}  // namespace ql::rl
