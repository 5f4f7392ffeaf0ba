// SPDX-License-Identifier: Apache-2.0
#include "policy_score.hpp"

namespace ql::tool {
template policy_of<bf16>::policy_of(const std::string&, const io::model_config&, int);
template policy_of<bf16>::~policy_of();
template std::vector<float> policy_of<bf16>::logprobs(std::span<const token>, std::vector<float>*);
template std::unique_ptr<policy> make_policy<bf16>(const std::string&, const io::model_config&, int);
}  // namespace ql::tool
