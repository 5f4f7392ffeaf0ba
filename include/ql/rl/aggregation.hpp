// SPDX-License-Identifier: Apache-2.0
#pragma once

// How per-token terms become one number. The denominator is the whole update's (all micro-batches and ranks): count
// first, then weigh. So a split of the batch never changes value or gradient.

#include <ql/rl/rules.hpp>
#include <ql/rl/token_term.hpp>

#include <concepts>
#include <cstdint>

namespace ql::rl {

// What an update is divided by. Sequences and prompts without any loss token do not count.
struct batch_counts {
  std::int64_t tokens = 0, sequences = 0, prompts = 0;

  friend constexpr bool operator==(const batch_counts&, const batch_counts&) = default;
  // Over micro-batches and ranks; a prompt's sequences must not be torn apart.
  constexpr batch_counts& operator+=(const batch_counts& o) {
    tokens += o.tokens;
    sequences += o.sequences;
    prompts += o.prompts;
    return *this;
  }
};

// A sequence's loss tokens, and those of all sequences of its prompt.
struct sequence_counts {
  std::int64_t tokens = 0, prompt_tokens = 0;
};

// `weight` multiplies every token term of a sequence; `split_invariant` says whether the result is the same however the
// update is cut into micro-batches.
template <class A>
concept aggregation = std::copyable<A> && requires(const A& a, sequence_counts s, batch_counts b) {
  { a.weight(s, b) } -> std::same_as<double>;
  { A::split_invariant } -> std::convertible_to<bool>;
};

// A may be used with the loss L: some losses are defined for one aggregation only.
template <class A, class L>
concept aggregation_for =
    aggregation<A> && (std::same_as<required_aggregation_t<L>, void> || std::same_as<required_aggregation_t<L>, A>);

namespace detail {
// Says in words why A cannot be used with L.
template <class A, class L>
constexpr void explain_aggregation() {
  static_assert(std::copyable<A>, "ql: aggregation: it must be copyable");
  static_assert(
      requires(const A& a, sequence_counts s, batch_counts b) {
        { a.weight(s, b) } -> std::same_as<double>;
      }, "ql: aggregation: it has no member `double weight(ql::rl::sequence_counts, ql::rl::batch_counts) const`");
  static_assert(
      requires {
        { A::split_invariant } -> std::convertible_to<bool>;
      }, "ql: aggregation: it has no member `static constexpr bool split_invariant`");
  static_assert(std::same_as<required_aggregation_t<L>, void> || std::same_as<required_aggregation_t<L>, A>,
                "ql: aggregation_for: this loss is defined for one aggregation only, its `required_aggregation` "
                "(for sequence ratios: sequence_mean_token_mean)");
}
}  // namespace detail

// sum l / N: every token has the same weight (DAPO).
struct token_mean {
  static constexpr bool split_invariant = true;
  constexpr double weight(sequence_counts, batch_counts b) const { return 1.0 / static_cast<double>(b.tokens); }
};
// mean_i (sum_t l / L_i): every sequence has the same weight (GRPO, GSPO, SAPO).
struct sequence_mean_token_mean {
  static constexpr bool split_invariant = true;
  constexpr double weight(sequence_counts s, batch_counts b) const {
    return 1.0 / (static_cast<double>(b.sequences) * static_cast<double>(s.tokens));
  }
};
// mean_i sum_t l (REINFORCE per trajectory).
struct sequence_mean_token_sum {
  static constexpr bool split_invariant = true;
  constexpr double weight(sequence_counts, batch_counts b) const { return 1.0 / static_cast<double>(b.sequences); }
};
// mean_i (sum_t l / H) with a constant H, such as the longest allowed answer (Dr.GRPO). Never the padded width.
struct sequence_mean_token_sum_norm {
  double horizon;  // no default
  static constexpr bool split_invariant = true;
  constexpr void validate(rule_book& r) const {
    r.require(horizon > 0, "sequence_mean_token_sum_norm.horizon", horizon, "above 0",
              "use the longest answer allowed");
  }
  constexpr double weight(sequence_counts, batch_counts b) const {
    return 1.0 / (static_cast<double>(b.sequences) * horizon);
  }
};
// sum l
struct token_sum {
  static constexpr bool split_invariant = true;
  constexpr double weight(sequence_counts, batch_counts) const { return 1.0; }
};
// mean over prompts of the token mean within the prompt's sequences (SkyRL; QwenLong-L1's printed formula).
struct prompt_mean {
  static constexpr bool split_invariant = true;
  constexpr double weight(sequence_counts s, batch_counts b) const {
    return 1.0 / (static_cast<double>(b.prompts) * static_cast<double>(s.prompt_tokens));
  }
};
// Token mean inside each micro-batch, micro-batches weighted by their share of the sequences: what the released
// QwenLong-L1 demonstration computes. Depends on how the batch is cut; for reproduction only.
// `micro` are the counts of the micro-batch at hand.
struct micro_batch_token_mean {
  batch_counts micro;
  static constexpr bool split_invariant = false;
  constexpr double weight(sequence_counts, batch_counts b) const {
    return static_cast<double>(micro.sequences) /
           (static_cast<double>(b.sequences) * static_cast<double>(micro.tokens));
  }
};

}  // namespace ql::rl
