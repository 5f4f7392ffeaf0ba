// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runs a policy loss over a packed batch: loops, sums over sequences, aggregation, value and gradients. The consumer
// brings pointers; the loss is any function object of token_term.hpp.

#include <ql/detail/wide.hpp>
#include <ql/dispatch.hpp>
#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/aggregation.hpp>
#include <ql/rl/token_term.hpp>
#include <ql/tensor/view.hpp>

#include <concepts>
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

// Tokens whose terms are computed together: loops of this length are vectorised at any optimisation level from -O2.
inline constexpr std::int64_t term_chunk = 16;

// Pointers to what a loss reads; NaN stands for the rest, so that a loss which lies about its inputs shows it.
template <class T>
struct term_source {
  const T *logp, *old, *rollout, *ref, *entropy, *advantage;
  std::int64_t advances;  // -1: one advantage a token; 0: `advantage` is a chunk of copies of the sequence's

  // Token j of the chunk that begins at `first`.
  template <input Reads>
  QL_INLINE token_term<T> at(std::int64_t first, std::int64_t j) const {
    constexpr T nan = std::numeric_limits<T>::quiet_NaN();
    return {has(Reads, input::logp) ? logp[first + j] : nan,
            has(Reads, input::old) ? old[first + j] : nan,
            has(Reads, input::rollout) ? rollout[first + j] : nan,
            has(Reads, input::ref) ? ref[first + j] : nan,
            has(Reads, input::entropy) ? entropy[first + j] : nan,
            has(Reads, input::advantage) ? advantage[(first & advances) + j] : nan};
  }
  // The same from token t on.
  template <input Reads>
  QL_INLINE term_source from(std::int64_t t) const {
    const auto moved = [t](bool read, const T* p) { return read ? p + t : nullptr; };
    return {moved(has(Reads, input::logp), logp),
            moved(has(Reads, input::old), old),
            moved(has(Reads, input::rollout), rollout),
            moved(has(Reads, input::ref), ref),
            moved(has(Reads, input::entropy), entropy),
            advances == 0 ? advantage : moved(has(Reads, input::advantage), advantage),
            advances};
  }
};

// The last tokens of a sequence, fewer than a chunk, with copies of the very last in place of those that are missing.
template <class T>
struct padded_terms {
  T input[6][term_chunk], dlogp[term_chunk], dentropy[term_chunk];
  std::uint8_t mask[term_chunk];

  template <rl::input Reads>
  QL_INLINE term_source<T> fill(const term_source<T>& from, const std::uint8_t* kept, std::int64_t n) {
    const auto copy = [&](int k, bool read, const T* p) {
      if (read)
        for (std::int64_t j = 0; j < term_chunk; ++j) input[k][j] = p[j < n ? j : n - 1];
      return input[k];
    };
    for (std::int64_t j = 0; j < term_chunk; ++j)
      mask[j] = static_cast<std::uint8_t>(j < n && (kept == nullptr || kept[j < n ? j : 0] != 0));
    return {copy(0, has(Reads, rl::input::logp), from.logp),
            copy(1, has(Reads, rl::input::old), from.old),
            copy(2, has(Reads, rl::input::rollout), from.rollout),
            copy(3, has(Reads, rl::input::ref), from.ref),
            copy(4, has(Reads, rl::input::entropy), from.entropy),
            copy(5, has(Reads, rl::input::advantage), from.advantage),
            0};
  }
};

// Sum of 8 lanes in a fixed tree.
inline double fold(const double (&lane)[8]) {
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

// What a sequence adds to the report.
struct sequence_result {
  double value = 0;
  std::int64_t non_finite = 0;
};

// Where a sequence's derivatives go.
template <class T>
struct gradient_target {
  T *logp, *entropy;  // entropy may be null
  bool accumulate;
};

template <class T>
QL_INLINE void add_or_put(T* to, const T (&from)[term_chunk], bool add) {
  if (add) {
    for (std::int64_t j = 0; j < term_chunk; ++j) to[j] += from[j];
  } else {
    for (std::int64_t j = 0; j < term_chunk; ++j) to[j] = from[j];
  }
}

// One sequence: its whole chunks, then the padded rest. Values are summed in 8 lanes by the token's index in the
// sequence. The loss is called in one place, where g++ inlines it whatever its size.
template <class T, class Loss>
QL_INLINE sequence_result apply_sequence(const Loss& loss, const term_source<T>& source, const std::uint8_t* mask,
                                         std::int64_t n, const sequence_term<sums_of<Loss>>& s, T weight,
                                         const gradient_target<T>& to) {
  using counter = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  constexpr bool entropic = has(Loss::reads, input::entropy);  // otherwise nothing depends on it
  double lane[8] = {};
  counter bad[term_chunk] = {};
  T dentropy[term_chunk] = {};  // stays 0 unless entropic
  padded_terms<T> rest;
  const std::int64_t whole = n - n % term_chunk;
  auto terms = source;
  const std::uint8_t* kept = mask;
  auto out = to;
  bool asks = mask != nullptr || to.entropy != nullptr || to.accumulate;  // one question a chunk is enough
  const auto tally = [&](const T(&value)[term_chunk], const T(&dlogp)[term_chunk]) {
    for (std::int64_t j = 0; j < term_chunk; ++j) {  // 0 times a number that is not finite is NaN
      T x = math::fma(value[j], T(0), dlogp[j] * T(0));
      if constexpr (entropic) x = math::fma(dentropy[j], T(0), x);
      bad[j] += x == T(0) ? 0 : 1;
    }
    for (std::int64_t j = 0; j < 8; ++j) lane[j] += static_cast<double>(value[j]);
    for (std::int64_t j = 0; j < 8; ++j) lane[j] += static_cast<double>(value[j + 8]);
  };
  for (std::int64_t end = whole;;) {
    for (std::int64_t first = 0; first < end; first += term_chunk) {
      T value[term_chunk], dlogp[term_chunk];
      for (std::int64_t j = 0; j < term_chunk; ++j) {
        const auto r = evaluate(loss, terms.template at<Loss::reads>(first, j), s);
        value[j] = r.value;
        dlogp[j] = r.dlogp * weight;
        if constexpr (entropic) dentropy[j] = r.dentropy * weight;
      }
      if (asks) {
        if (kept != nullptr) {
          for (std::int64_t j = 0; j < term_chunk; ++j) {
            const bool keep = kept[first + j] != 0;
            value[j] = math::keep_if(keep, value[j]);
            dlogp[j] = math::keep_if(keep, dlogp[j]);
            if constexpr (entropic) dentropy[j] = math::keep_if(keep, dentropy[j]);
          }
        }
        tally(value, dlogp);
        add_or_put(out.logp + first, dlogp, out.accumulate);
        if (out.entropy != nullptr) add_or_put(out.entropy + first, dentropy, out.accumulate);
      } else {
        tally(value, dlogp);
        for (std::int64_t j = 0; j < term_chunk; ++j) out.logp[first + j] = dlogp[j];
      }
    }
    if (whole == n || out.logp == rest.dlogp) break;
    terms = rest.template fill<Loss::reads>(source.template from<Loss::reads>(whole),
                                            mask == nullptr ? nullptr : mask + whole, n - whole);
    kept = rest.mask;
    out = {rest.dlogp, rest.dentropy, false};
    asks = true;
    end = term_chunk;
  }
  for (std::int64_t t = whole; t < n; ++t) {
    const T d = rest.dlogp[t - whole], e = rest.dentropy[t - whole];
    to.logp[t] = to.accumulate ? to.logp[t] + d : d;
    if (to.entropy != nullptr) to.entropy[t] = to.accumulate ? to.entropy[t] + e : e;
  }
  sequence_result r{fold(lane), 0};
  for (std::int64_t j = 0; j < term_chunk; ++j) r.non_finite += bad[j];
  return r;
}

template <class Loss, class T>
QL_INLINE sequence_term<sums_of<Loss>> sum_sequence(const Loss& loss, const term_source<T>& source,
                                                    const std::uint8_t* mask, std::int64_t n, std::int64_t count) {
  sequence_term<sums_of<Loss>> s;
  s.count = count;
  if constexpr (sums_of < Loss >> 0) {
    for (std::int64_t t = 0; t < n; ++t) {
      if (mask != nullptr && mask[t] == 0) continue;
      const auto c = contribution_of(loss, source.template at<Loss::reads>(t - t % term_chunk, t % term_chunk));
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

namespace detail {

template <class Loss, class T, class Aggregation>
void apply_loss_to_batch(const Loss& loss, const token_batch<T>& b, const Aggregation& how,
                         const batch_counts& denominator, const loss_gradient<T>& out, loss_report& report) {
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
  T copies[detail::term_chunk];  // of a sequence's advantage
  const detail::term_source<T> source{b.logp.data_handle(),    b.old.data_handle(),
                                      b.rollout.data_handle(), b.ref.data_handle(),
                                      b.entropy.data_handle(), per_token ? b.advantage.data_handle() : copies,
                                      per_token ? -1 : 0};
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
      }
      if (advantages && !per_token)
        for (T& copy : copies) copy = b.sequence_advantage[i];
      detail::sequence_result r;
      const detail::gradient_target<T> to{out.dlogp.data_handle() + begin,
                                          out.dentropy.empty() ? nullptr : out.dentropy.data_handle() + begin,
                                          out.accumulate};
      const auto run = [loss, source = source.template from<Loss::reads>(begin),
                        mask = mask == nullptr ? mask : mask + begin, n = end - begin, loss_tokens,
                        weight = static_cast<T>(weight), to, result = &r] {
        const auto s = detail::sum_sequence(loss, source, mask, n, loss_tokens);
        *result = detail::apply_sequence(loss, source, mask, n, s, weight, to);
      };
      if constexpr (std::same_as<T, float>) {
        ql::detail::wide(run);
      } else {
        run();  // double is the oracle's type: not worth the time to compile it twice
      }
      report.value = loss_tokens > 0 ? math::fma(weight, r.value, report.value) : report.value;
      report.non_finite += r.non_finite;
      report.tokens += loss_tokens;
    }
  }
}

}  // namespace detail

// Adds the batch's part of the update's loss to `report` and writes its gradients. `denominator` counts the whole
// update. Sequences are visited in index order; calling this once for a batch or once for each of its contiguous parts
// gives the same bits in value and gradients, if the aggregation is split_invariant.
//   token_mean over one token with A = 1 and logp == old under clip{}: value -1, dlogp -1
template <class Loss, class T, class Aggregation>
void apply_loss(const Loss& loss, const token_batch<T>& b, const Aggregation& how, const batch_counts& denominator,
                const loss_gradient<T>& out, loss_report& report) {
  if constexpr (!policy_loss<Loss, T>) {
    detail::explain_policy_loss<Loss, T>();
  } else if constexpr (!aggregation_for<Aggregation, Loss>) {
    detail::explain_aggregation<Aggregation, Loss>();
  } else {
    detail::apply_loss_to_batch(loss, b, how, denominator, out, report);
  }
}

// A whole update at once.
template <class Loss, class T, class Aggregation>
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
