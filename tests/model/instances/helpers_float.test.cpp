// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/gradient.hpp"
#include "model/support/row_rule.hpp"

namespace ql::test {
template model::rollout<float> sample_forest<float>(cpu::context&, decoder_of<float>&, dice&, const sampling&);
template token_scores<float> score_tree<float>(cpu::context&, decoder_of<float>&, const token_tree&,
                                               const distribution&, model::keep, const frozen_support*);
template row_difference compare_rollout<float>(cpu::context&, decoder_of<float>&, const model::rollout<float>&,
                                               const distribution&, model::keep);
template gradient_list<float> gradients_of<float>(cpu::context&, decoder_of<float>&, const demand<float>&, model::keep,
                                                  std::span<const unit_range>);
}  // namespace ql::test
