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

// Non-zero bytes of a mask, 64 lanes of a byte at a time.
inline std::int64_t count_tokens(view<const std::uint8_t, 1> mask, std::int64_t begin, std::int64_t end) {
  if (mask.empty()) return end - begin;
  std::int64_t n = 0, t = begin;
  const std::uint8_t* m = mask.data_handle();
  while (t + 64 <= end) {
    std::uint8_t lane[64] = {};
    for (int rounds = 0; rounds < 255 && t + 64 <= end; ++rounds, t += 64)
      for (std::int64_t j = 0; j < 64; ++j) lane[j] = static_cast<std::uint8_t>(lane[j] + (m[t + j] != 0 ? 1 : 0));
    for (const auto k : lane) n += k;
  }
  for (; t < end; ++t) n += m[t] != 0 ? 1 : 0;
  return n;
}

// Tokens whose terms are computed together: loops of this length are vectorised at any optimisation level from -O2. The
// terms wait in a buffer until they are summed and written: what waits for the long chain of operations of a term must
// not fill the processor's queues.
template <class T>
inline constexpr std::int64_t term_block = sizeof(T) == 4 ? 256 : 16;  // double is the oracle's type, in short tests

// Pointers to what a loss reads; NaN stands for the rest, so that a loss which lies about its inputs shows it.
template <class T>
struct term_source {
  const T *logp, *old, *rollout, *ref, *entropy, *advantage;
  bool copies;  // `advantage` is a block of copies of the sequence's one

  // Token i of the block that begins here.
  template <input Reads>
  QL_INLINE token_term<T> at(std::int64_t i) const {
    constexpr T nan = std::numeric_limits<T>::quiet_NaN();
    return {has(Reads, input::logp) ? logp[i] : nan,       has(Reads, input::old) ? old[i] : nan,
            has(Reads, input::rollout) ? rollout[i] : nan, has(Reads, input::ref) ? ref[i] : nan,
            has(Reads, input::entropy) ? entropy[i] : nan, has(Reads, input::advantage) ? advantage[i] : nan};
  }
  // The same from token t on; for a loss that reads these inputs, which are then not null.
  template <input Reads = input::none>
  QL_INLINE term_source from(std::int64_t t) const {
    const auto moved = [t](input what, const T* p) {
      if constexpr (Reads == input::none) return p == nullptr ? p : p + t;
      return has(Reads, what) ? p + t : nullptr;
    };
    return {moved(input::logp, logp),
            moved(input::old, old),
            moved(input::rollout, rollout),
            moved(input::ref, ref),
            moved(input::entropy, entropy),
            copies ? advantage : moved(input::advantage, advantage),
            copies};
  }
};

// A sequence shorter than a block, and zeros behind it.
template <class T>
struct padded_terms {
  T input[6][term_block<T>];

  QL_INLINE term_source<T> fill(const term_source<T>& from, std::int64_t n) {
    const auto copy = [&](int k, const T* p) {
      if (p == nullptr) return p;
      for (std::int64_t j = 0; j < term_block<T>; ++j) input[k][j] = T(0);
      for (std::int64_t j = 0; j < n; ++j) input[k][j] = p[j];
      return static_cast<const T*>(input[k]);
    };
    return {copy(0, from.logp),
            copy(1, from.old),
            copy(2, from.rollout),
            copy(3, from.ref),
            copy(4, from.entropy),
            copy(5, from.advantage),
            false};
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
QL_INLINE void put(T* to, const T (&from)[term_block<T>]) {
  for (std::int64_t j = 0; j < term_block<T>; ++j) to[j] = from[j];
}
template <class T>
QL_INLINE void add_or_put(T* to, const T (&from)[term_block<T>], bool add) {
  if (add) {
    for (std::int64_t j = 0; j < term_block<T>; ++j) to[j] += from[j];
  } else {
    put(to, from);
  }
}

// The terms of a block of tokens: derivatives already weighted.
template <class T, class Loss>
struct terms_of {
  Loss loss;
  sequence_term<sums_of<Loss>> sums;
  T weight;
  static constexpr bool entropic = has(Loss::reads, input::entropy);  // otherwise nothing depends on it

  QL_INLINE term_source<T> from(const term_source<T>& source, std::int64_t t) const {
    return source.template from<Loss::reads>(t);
  }
  QL_INLINE void operator()(const term_source<T>& block, T* value, T* dlogp, T* dentropy) const {
    for (std::int64_t j = 0; j < term_block<T>; ++j) {
      const auto r = evaluate(loss, block.template at<Loss::reads>(j), sums);
      value[j] = r.value;
      dlogp[j] = r.dlogp * weight;
      if constexpr (entropic) dentropy[j] = r.dentropy * weight;
    }
  }
};
// The same by a call, so that what is around it is compiled once for all losses: for double, the type of tests and
// comparisons, where the time to compile weighs more than the time to run.
template <class T>
struct called_terms {
  const void* terms;
  void (*call)(const void* terms, const term_source<T>& block, T* value, T* dlogp, T* dentropy);
  static constexpr bool entropic = true;

  term_source<T> from(const term_source<T>& source, std::int64_t t) const { return source.from(t); }
  void operator()(const term_source<T>& block, T* value, T* dlogp, T* dentropy) const {
    call(terms, block, value, dlogp, dentropy);
  }
};

// 1 if a term is not finite: 0 times a number that is not is NaN.
template <bool Entropic, class T>
QL_INLINE int not_finite(T value, T dlogp, T dentropy) {
  T x = math::fma(value, T(0), dlogp * T(0));
  if constexpr (Entropic) x = math::fma(dentropy, T(0), x);
  return x == T(0) ? 0 : 1;
}
template <bool Entropic, class T, class Counter>
QL_INLINE void tally(const T (&value)[term_block<T>], const T (&dlogp)[term_block<T>],
                     const T (&dentropy)[term_block<T>], double (&lane)[8], Counter (&bad)[8]) {
  for (std::int64_t k = 0; k < term_block<T>; k += 8) {
    for (std::int64_t j = 0; j < 8; ++j) {
      lane[j] += static_cast<double>(value[k + j]);
      bad[j] += not_finite<Entropic>(value[k + j], dlogp[k + j], Entropic ? dentropy[k + j] : T(0));
    }
  }
}

// One sequence: its whole blocks, then the rest, computed with the block that ends with it. Values are summed in 8
// lanes by the token's index in the sequence. The terms are computed in one place, where g++ inlines them whatever
// their size.
template <class T, class Terms>
QL_INLINE sequence_result apply_sequence(const Terms& terms, const term_source<T>& source, const std::uint8_t* mask,
                                         std::int64_t n, const gradient_target<T>& to) {
  using counter = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
  constexpr bool entropic = Terms::entropic;
  double lane[8] = {};
  counter bad[8] = {};
  T value[term_block<T>], dlogp[term_block<T>], dentropy[term_block<T>];
  if (!entropic && to.entropy != nullptr)
    for (T& e : dentropy) e = T(0);
  padded_terms<T> padded;
  const bool asks = mask != nullptr || to.entropy != nullptr || to.accumulate;  // one question a block is enough
  const std::int64_t whole = n - n % term_block<T>, rest = n < term_block<T> ? 0 : n - term_block<T>;
  for (std::int64_t first = 0; first < n; first += term_block<T>) {
    auto block = terms.from(source, first);
    if (first == whole) block = first == 0 ? padded.fill(block, n) : terms.from(source, rest);
    terms(block, value, dlogp, dentropy);
    if (first == whole) break;
    if (asks) {
      if (mask != nullptr) {
        for (std::int64_t j = 0; j < term_block<T>; ++j) {
          const bool keep = mask[first + j] != 0;
          value[j] = math::keep_if(keep, value[j]);
          dlogp[j] = math::keep_if(keep, dlogp[j]);
          if constexpr (entropic) dentropy[j] = math::keep_if(keep, dentropy[j]);
        }
      }
      tally<entropic>(value, dlogp, dentropy, lane, bad);
      add_or_put(to.logp + first, dlogp, to.accumulate);
      if (to.entropy != nullptr) add_or_put(to.entropy + first, dentropy, to.accumulate);
    } else {
      tally<entropic>(value, dlogp, dentropy, lane, bad);
      put(to.logp + first, dlogp);
    }
  }
  double last[8];  // indexed by a variable: lane itself stays in registers
  for (std::int64_t j = 0; j < 8; ++j) last[j] = lane[j];
  for (std::int64_t t = whole; t < n; ++t) {
    const std::int64_t i = t - rest;
    const bool keep = mask == nullptr || mask[t] != 0;
    const T d = keep ? dlogp[i] : T(0), e = keep && to.entropy != nullptr ? dentropy[i] : T(0);
    if (keep) {
      last[t % 8] += static_cast<double>(value[i]);
      bad[0] += not_finite<entropic>(value[i], dlogp[i], entropic ? dentropy[i] : T(0));
    }
    to.logp[t] = to.accumulate ? to.logp[t] + d : d;
    if (to.entropy != nullptr) to.entropy[t] = to.accumulate ? to.entropy[t] + e : e;
  }
  sequence_result r{fold(last), 0};
  for (const auto k : bad) r.non_finite += k;
  return r;
}

// The sums a loss asks for, in 8 lanes by the token's index in the sequence.
template <class Loss, class T>
QL_INLINE sequence_term<sums_of<Loss>> sum_sequence(const Loss& loss, const term_source<T>& source,
                                                    const std::uint8_t* mask, std::int64_t n, std::int64_t count) {
  sequence_term<sums_of<Loss>> s;
  s.count = count;
  if constexpr (sums_of < Loss >> 0) {
    constexpr std::size_t sums = sums_of<Loss>;
    double lane[sums][8] = {};
    constexpr std::int64_t chunk = 16;
    const std::int64_t whole = n - n % chunk;
    for (std::int64_t first = 0; first < whole; first += chunk) {
      T part[sums][chunk];
      const auto terms = source.template from<Loss::reads>(first);
      for (std::int64_t j = 0; j < chunk; ++j) {
        const auto c = contribution_of(loss, terms.template at<Loss::reads>(j));
        for (std::size_t k = 0; k < sums; ++k) part[k][j] = c[k];
      }
      for (std::size_t k = 0; k < sums; ++k) {
        if (mask != nullptr)
          for (std::int64_t j = 0; j < chunk; ++j) part[k][j] = math::keep_if(mask[first + j] != 0, part[k][j]);
        for (std::int64_t j = 0; j < 8; ++j) lane[k][j] += static_cast<double>(part[k][j]);
        for (std::int64_t j = 0; j < 8; ++j) lane[k][j] += static_cast<double>(part[k][j + 8]);
      }
    }
    const auto rest = source.template from<Loss::reads>(whole);
    for (std::int64_t t = whole; t < n; ++t) {
      if (mask != nullptr && mask[t] == 0) continue;
      const auto c = contribution_of(loss, rest.template at<Loss::reads>(t - whole));
      for (std::size_t k = 0; k < sums; ++k) lane[k][t % 8] += static_cast<double>(c[k]);
    }
    for (std::size_t k = 0; k < sums; ++k) s.sum[k] = fold(lane[k]);
  }
  return s;
}

// One sequence of a batch.
template <class T>
struct sequence_job {
  term_source<T> source;  // the whole batch's
  std::int64_t begin;
  const std::uint8_t* mask;  // may be null
  std::int64_t tokens, loss_tokens;
  T advantage, weight;  // the advantage is read where source.copies
  gradient_target<T> to;
};

// A sequence's one advantage as a block.
template <class T>
struct advantage_copies {
  T copy[term_block<T>];

  template <input Reads>
  QL_INLINE term_source<T> in(const sequence_job<T>& job) {
    auto source = job.source.template from<Reads>(job.begin);
    if (source.copies) {
      for (std::int64_t j = 0; j < term_block<T>; ++j) copy[j] = job.advantage;
      source.advantage = copy;
    }
    return source;
  }
};

// Runs a loss over a sequence by `how`: widest, wide or plain.
template <class Loss, class T, class How>
sequence_result run_sequence(const Loss& loss, const sequence_job<T>& job, How how) {
  sequence_result result;
  how([loss, from = &job, to = &result] {
    const auto own = *from;  // no other pointer leads to a copy
    advantage_copies<T> copies;
    const auto source = copies.template in<Loss::reads>(own);
    const terms_of<T, Loss> terms{loss, sum_sequence(loss, source, own.mask, own.tokens, own.loss_tokens), own.weight};
    *to = apply_sequence(terms, source, own.mask, own.tokens, own.to);
  });
  return result;
}
template <class T>
[[gnu::noinline]] sequence_result run_sequence_by_calls(const called_terms<T>& terms, const term_source<T>& source,
                                                        const sequence_job<T>& job) {
  return apply_sequence(terms, source, job.mask, job.tokens, job.to);
}
template <class Loss, class T>
sequence_result run_sequence_by_calls(const Loss& loss, const sequence_job<T>& job) {
  using terms_type = terms_of<T, Loss>;
  advantage_copies<T> copies;
  const auto source = copies.template in<Loss::reads>(job);
  const terms_type terms{loss, sum_sequence(loss, source, job.mask, job.tokens, job.loss_tokens), job.weight};
  const auto call = [](const void* p, const term_source<T>& block, T* value, T* dlogp, T* dentropy) {
    if constexpr (!terms_type::entropic)
      for (std::int64_t j = 0; j < term_block<T>; ++j) dentropy[j] = T(0);
    (*static_cast<const terms_type*>(p))(block, value, dlogp, dentropy);
  };
  return run_sequence_by_calls(called_terms<T>{&terms, call}, source, job);
}

// What apply_loss has to know of a loss and its aggregation, so that all but the loops is compiled once for each T.
template <class T>
struct bound_loss {
  const void *loss, *aggregation;
  input reads;
  bool sequence_advantage;
  double (*weight)(const void* aggregation, const sequence_counts& sequence, const batch_counts& update);
  sequence_result (*run)(const void* loss, const sequence_job<T>& job);
};
template <class T, class Loss, class Aggregation>
bound_loss<T> bind_loss(const Loss& loss, const Aggregation& how) {
  return {&loss,
          &how,
          Loss::reads,
          needs_sequence_advantage<Loss>,
          [](const void* a, const sequence_counts& s, const batch_counts& b) {
            return static_cast<const Aggregation*>(a)->weight(s, b);
          },
          [](const void* l, const sequence_job<T>& job) {
            const auto& typed = *static_cast<const Loss*>(l);
            if constexpr (std::same_as<T, float>) {
              return run_sequence(typed, job, [](auto f) { ql::detail::widest(f); });
            } else {
              return run_sequence_by_calls(typed, job);
            }
          }};
}

}  // namespace detail

// The counts of a batch. Add those of all micro-batches and ranks of an update before apply_loss.
inline batch_counts count(view<const std::int64_t, 1> offsets, view<const std::uint8_t, 1> mask = {},
                          view<const std::int64_t, 1> prompts = {}) {
  batch_counts c;
  const std::int64_t sequences = offsets.empty() ? 0 : offsets.size() - 1;
  if (prompts.empty()) {
    for (std::int64_t i = 0; i < sequences; ++i) {
      const std::int64_t n = detail::count_tokens(mask, offsets[i], offsets[i + 1]);
      c.tokens += n;
      c.sequences += n > 0 ? 1 : 0;
    }
    c.prompts = c.sequences;
    return c;
  }
  for (std::int64_t g = 0; g + 1 < prompts.size(); ++g) {
    bool any = false;
    for (std::int64_t i = prompts[g]; i < prompts[g + 1]; ++i) {
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

template <class T>
void check_loss_batch(const token_batch<T>& b, const loss_gradient<T>& out, input reads, bool sequence_advantage) {
  constexpr std::string_view me = "apply_loss";
  const std::int64_t n = b.tokens(), sequences = b.sequences();
  detail::expects_offsets(me, "offsets", b.offsets, n);
  detail::expects_input<T>(me, "logp", b.logp, true, n);
  detail::expects_input<T>(me, "old", b.old, has(reads, input::old), n);
  detail::expects_input<T>(me, "rollout", b.rollout, has(reads, input::rollout), n);
  detail::expects_input<T>(me, "ref", b.ref, has(reads, input::ref), n);
  detail::expects_input<T>(me, "entropy", b.entropy, has(reads, input::entropy), n);
  if (has(reads, input::advantage) && n > 0) {
    const bool per_token = !b.advantage.empty();
    detail::expects<shape_error>(per_token == b.sequence_advantage.empty(), me, "advantage",
                                 "either advantage or sequence_advantage", per_token ? "both" : "neither");
    detail::expects_input<T>(me, "advantage", b.advantage, per_token, n);
    detail::expects_input<T>(me, "sequence_advantage", b.sequence_advantage, !per_token, sequences);
    detail::expects(!(per_token && sequence_advantage), me, "advantage",
                    "sequence_advantage: one per sequence for this loss", "one per token");
  }
  detail::expects_adjacent(me, "mask", b.mask);
  detail::expects<shape_error>(b.mask.empty() || b.mask.size() == n, me, "mask", n, b.mask.size());
  if (!b.prompts.empty()) detail::expects_offsets(me, "prompts", b.prompts, sequences);
  detail::expects_adjacent(me, "dlogp", out.dlogp);
  detail::expects_adjacent(me, "dentropy", out.dentropy);
  detail::expects<shape_error>(out.dlogp.size() == n, me, "dlogp", n, out.dlogp.size());
  detail::expects<shape_error>(out.dentropy.size() == n || (out.dentropy.empty() && !has(reads, input::entropy)), me,
                               "dentropy", n, out.dentropy.size());
}

template <class T>
void apply_loss_to_batch(const bound_loss<T>& loss, const token_batch<T>& b, const batch_counts& denominator,
                         const loss_gradient<T>& out, loss_report& report) {
  check_loss_batch(b, out, loss.reads, loss.sequence_advantage);
  const bool advantages = has(loss.reads, input::advantage), per_token = !b.advantage.empty();
  const term_source<T> source{b.logp.data_handle(),    b.old.data_handle(),     b.rollout.data_handle(),
                              b.ref.data_handle(),     b.entropy.data_handle(), b.advantage.data_handle(),
                              advantages && !per_token};
  const std::int64_t groups = b.prompts.empty() ? b.sequences() : b.prompts.size() - 1;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t first = b.prompts.empty() ? g : b.prompts[g];
    const std::int64_t last = b.prompts.empty() ? g + 1 : b.prompts[g + 1];
    std::int64_t prompt_tokens = 0;
    if (last - first > 1) prompt_tokens = count_tokens(b.mask, b.offsets[first], b.offsets[last]);
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t begin = b.offsets[i], end = b.offsets[i + 1];
      const std::int64_t loss_tokens = count_tokens(b.mask, begin, end);
      double weight = 0.0;
      if (loss_tokens > 0) {
        weight =
            loss.weight(loss.aggregation, {loss_tokens, last - first > 1 ? prompt_tokens : loss_tokens}, denominator);
        detail::expects(math::isfinite(weight), "apply_loss", "denominator",
                        "the counts of the whole update, not smaller than "
                        "those of this batch",
                        weight);
      }
      const sequence_job<T> job{source,
                                begin,
                                b.mask.empty() ? nullptr : b.mask.data_handle() + begin,
                                end - begin,
                                loss_tokens,
                                source.copies ? b.sequence_advantage[i] : T(0),
                                static_cast<T>(weight),
                                {out.dlogp.data_handle() + begin,
                                 out.dentropy.empty() ? nullptr : out.dentropy.data_handle() + begin, out.accumulate}};
      const auto r = loss.run(loss.loss, job);
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
    static_assert(detail::legal_as_loss<Loss>(),
                  "ql: k1 as a loss has zero expected gradient on-policy; put it into the reward, or use "
                  "score_function<k1>, k2 or k3");
    expects_valid(loss);
    expects_valid(how);
    detail::apply_loss_to_batch(detail::bind_loss<T>(loss, how), b, denominator, out, report);
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

// The same on a context. A batch is host memory, whatever computed its log-probs: where the backend has no kernel of
// its own for it, the loops above run.
template <execution_context Context, class Loss, class T, class Aggregation>
void apply_loss(Context& ctx, const Loss& loss, const token_batch<T>& b, const Aggregation& how,
                const batch_counts& denominator, const loss_gradient<T>& out, loss_report& report) {
  if constexpr (has_kernel<apply_loss_op, typename Context::backend>) {
    kernel<apply_loss_op, typename Context::backend>::run(ctx, loss, b, how, denominator, out, report);
  } else {
    apply_loss(loss, b, how, denominator, out, report);
  }
}

}  // namespace ql::rl
