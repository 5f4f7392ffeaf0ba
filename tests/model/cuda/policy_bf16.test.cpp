// SPDX-License-Identifier: Apache-2.0
#include "model/support/device_policy_code.hpp"

namespace ql::test {
template device_policy<bf16>::device_policy(const decoder_of<bf16>&, const cuda::emulation&);
template device_policy<bf16>::~device_policy();
template void device_policy<bf16>::split_rows(comm::any, model::attention_split);
template std::vector<float> device_policy<bf16>::gradient(std::size_t) const;
template std::vector<float> device_policy<bf16>::weights(std::size_t) const;
template double device_policy<bf16>::gradient_norm() const;
template bool device_policy<bf16>::update(double, double);
}  // namespace ql::test
