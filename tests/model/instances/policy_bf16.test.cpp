// SPDX-License-Identifier: Apache-2.0
#include "model/support/instances_policy.hpp"

namespace ql::test {
template decoder_ptr<bf16> make_decoder<bf16>(cpu::context&, const model::decoder_config&, lane_options, std::uint64_t,
                                              double);
template void publish<bf16>(cpu::context&, decoder_of<bf16>&);
template void zero_gradients<bf16>(cpu::context&, decoder_of<bf16>&);
template void finish_gradients<bf16>(cpu::context&, decoder_of<bf16>&);
template struct dispose<bf16>;
}  // namespace ql::test
