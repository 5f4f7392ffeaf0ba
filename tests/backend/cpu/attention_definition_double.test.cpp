// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/attention_definition.hpp"

namespace ql::test::attention_definition {
INSTANTIATE_TYPED_TEST_SUITE_P(Double, AttentionDefinition, double);
}  // namespace ql::test::attention_definition
