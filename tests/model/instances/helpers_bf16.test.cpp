// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/gradient.hpp"
#include "model/support/row_rule.hpp"

namespace ql::test {
template model::rollout<float> sample_forest<bf16>(cpu::context&, decoder_of<bf16>&, dice&, const sampling&);
template token_scores<float> score_tree<bf16>(cpu::context&, decoder_of<bf16>&, const token_tree&, const distribution&,
                                              model::keep, const frozen_support*);
template row_difference compare_rollout<bf16>(cpu::context&, decoder_of<bf16>&, const model::rollout<float>&,
                                              const distribution&, model::keep);
template gradient_list<float> gradients_of<bf16>(cpu::context&, decoder_of<bf16>&, const demand<float>&, model::keep,
                                                 std::span<const unit_range>);
}  // namespace ql::test
