// SPDX-License-Identifier: Apache-2.0
#include "model/support/instances_session.hpp"

namespace ql::test {
template grower<float>::grower(cpu::context&, decoder_of<float>&, std::int64_t);
template grower<float>::~grower();
template std::int32_t grower<float>::add_root(std::span<const token>);
template std::int32_t grower<float>::add_segment(std::int32_t, std::span<const token>, role);
template std::int32_t grower<float>::add_leaf(std::int32_t, std::int64_t, const random_key&);
template std::int64_t grower<float>::live() const;
template std::int64_t grower<float>::forwarded() const;
template model::rollout<float> grower<float>::finish();
}  // namespace ql::test
