// SPDX-License-Identifier: Apache-2.0
#include "model/support/device_policy_code.hpp"

namespace ql::test {
template device_policy<float>::device_policy(const decoder_of<float>&, const cuda::emulation&);
template device_policy<float>::~device_policy();
template void device_policy<float>::split_rows(comm::any, model::attention_split);
template std::vector<float> device_policy<float>::gradient(std::size_t) const;
template std::vector<float> device_policy<float>::weights(std::size_t) const;
template double device_policy<float>::gradient_norm() const;
template bool device_policy<float>::update(double, double);
}  // namespace ql::test
