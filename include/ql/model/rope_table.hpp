// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/model/config.hpp>

#include <vector>

namespace ql::model {

// Cosines and sines by position, grown when a longer context asks. A position's entries never depend on the others.
// Angles are rounded as the checkpoints' own training code rounds them: frequency and product to A, then cos and sin.
template <class A>
class rope_table {
 public:
  rope_table() = default;
  rope_table(const rope_config& r, std::int64_t head_dim) : scale_(rope_scale(r)) {
    for (double f : rope_frequencies(r, head_dim)) frequency_.push_back(static_cast<A>(f));
  }
  // Makes positions [0, n) available. Invalidates the pointers.
  void reach(std::int64_t n) {
    for (auto p = positions_; p < n; ++p)
      for (A f : frequency_) {
        const double angle = static_cast<double>(static_cast<A>(static_cast<A>(p) * f));
        cosine_.push_back(static_cast<A>(math::cos(angle) * scale_));
        sine_.push_back(static_cast<A>(math::sin(angle) * scale_));
      }
    positions_ = n > positions_ ? n : positions_;
  }
  const A* cosine() const { return cosine_.data(); }
  const A* sine() const { return sine_.data(); }

 private:
  double scale_ = 1;
  std::int64_t positions_ = 0;
  std::vector<A> frequency_, cosine_, sine_;
};

}  // namespace ql::model
