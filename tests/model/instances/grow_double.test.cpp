// SPDX-License-Identifier: Apache-2.0
#include "model/support/instances_session.hpp"

namespace ql::test {
template grower<double>::grower(cpu::context&, decoder_of<double>&, std::int64_t);
template grower<double>::~grower();
template std::int32_t grower<double>::add_root(std::span<const token>);
template std::int32_t grower<double>::add_segment(std::int32_t, std::span<const token>, role);
template std::int32_t grower<double>::add_leaf(std::int32_t, std::int64_t, const random_key&);
template std::int64_t grower<double>::live() const;
template std::int64_t grower<double>::forwarded() const;
template model::rollout<double> grower<double>::finish();
}  // namespace ql::test
