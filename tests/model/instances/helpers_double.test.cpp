// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/gradient.hpp"
#include "model/support/row_rule.hpp"

namespace ql::test {
template model::rollout<double> sample_forest<double>(cpu::context&, decoder_of<double>&, dice&, const sampling&);
template token_scores<double> score_tree<double>(cpu::context&, decoder_of<double>&, const token_tree&,
                                                 const distribution&, model::keep, const frozen_support*);
template row_difference compare_rollout<double>(cpu::context&, decoder_of<double>&, const model::rollout<double>&,
                                                const distribution&, model::keep);
template gradient_list<double> gradients_of<double>(cpu::context&, decoder_of<double>&, const demand<double>&,
                                                    model::keep, std::span<const unit_range>);
}  // namespace ql::test
