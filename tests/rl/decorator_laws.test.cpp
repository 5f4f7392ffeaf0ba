// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/entropy.hpp>
#include <ql/rl/kl.hpp>

#include "rl/support/loss_laws.hpp"

namespace {
using namespace ql::rl;
using namespace ql::test;

TEST(LossLaws, Decorated) {
  holds(kl_penalized{clip{}, k2{}, 0.3});
  holds(kl_penalized{clip{}, k3{}, 0.3});
  holds(kl_penalized{clip{}, k3{.input_limit = 0.2, .output_limit = 0.01}, 0.3});
  holds(kl_penalized{clip{}, absolute_kl{}, 0.3});
  holds(kl_penalized{clip{}, straight_through<k1>{}, 0.3});
  holds(kl_penalized{cispo{}, score_function<k1>{}, 0.3});
  holds(kl_penalized{clip{}, importance_weighted<k3>{}, 0.3});
  holds(kl_penalized{gmpo{}, k3{}, 0.3});
  holds(entropy_bonus{clip{}, 0.01});
  holds(entropy_bonus{gmpo{}, 0.01});
  holds(negative_clip_token{clip{}, 1.0});
  holds(negative_clip_sequence{gmpo{}, 1.0});
  holds(negative_clip_sequence{clip{}, 1.0});
  holds(negatives_masked{clip{}, true});
  is_policy_term(negatives_masked{clip{}, false});
}
}  // namespace
