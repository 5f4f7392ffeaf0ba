// SPDX-License-Identifier: Apache-2.0
#include "model/support/instances_policy.hpp"

namespace ql::test {
template decoder_ptr<double> make_decoder<double>(cpu::context&, const model::decoder_config&, lane_options,
                                                  std::uint64_t, double);
template void publish<double>(cpu::context&, decoder_of<double>&);
template void zero_gradients<double>(cpu::context&, decoder_of<double>&);
template void finish_gradients<double>(cpu::context&, decoder_of<double>&);
template struct dispose<double>;
}  // namespace ql::test
