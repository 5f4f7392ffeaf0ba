// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/correction.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/kl.hpp>

#include "rl/support/loss_laws.hpp"

namespace {
using namespace ql::rl;
using namespace ql::test;

TEST(LossLaws, Corrected) {
  is_policy_term(corrected{clip{}, no_correction{}});
  is_policy_term(corrected{clip{}, token_tis{.cap = ratio_cap{1.02}}});
  is_policy_term(corrected{clip{}, token_mask{.low = 0.95, .high = 1.05}});
  is_policy_term(corrected{clip{}, sequence_tis{.cap = ratio_cap{1.02}}});
  is_policy_term(corrected{clip{}, sequence_mask{.low = 0.9, .high = 1.1}});
  is_policy_term(corrected{clip{}, geometric_rejection{.low = 0.98, .high = 1.02, .raw_weights = true}});
  is_policy_term(corrected{cispo{}, divergence_rejection{}});
  is_policy_term(corrected{clip{}, divergence_rejection<drift_of::token>{}});
  is_policy_term(corrected{gmpo{}, divergence_rejection<drift_of::maximum>{divergence::k2, 0.004}});
  is_policy_term(corrected{clip{}, normalised{token_tis{}, 1.0}});
  is_policy_term(corrected{clip{}, sequence_error_mask{}});
  is_policy_term(corrected{corrected{clip{}, token_tis{}}, off_policy_sequence_mask{}});
  is_policy_term(corrected{gmpo{}, sequence_tis{}});
  holds(kl_penalized{entropy_bonus{corrected{clip_higher, token_tis{}}, 0.001}, k3{}, 0.01});
}
}  // namespace
