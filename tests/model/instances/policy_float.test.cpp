// SPDX-License-Identifier: Apache-2.0
#include "model/support/instances_policy.hpp"

namespace ql::test {
template decoder_ptr<float> make_decoder<float>(cpu::context&, const model::decoder_config&, lane_options,
                                                std::uint64_t, double);
template void publish<float>(cpu::context&, decoder_of<float>&);
template void zero_gradients<float>(cpu::context&, decoder_of<float>&);
template void finish_gradients<float>(cpu::context&, decoder_of<float>&);
template struct dispose<float>;
}  // namespace ql::test
