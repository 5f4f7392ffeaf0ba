// SPDX-License-Identifier: Apache-2.0
#include "model/support/instances_session.hpp"

namespace ql::test {
template std::int64_t grower<float>::step(any_sampler<float>, const model::stop_tokens&);
}  // namespace ql::test
