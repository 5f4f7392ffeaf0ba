// SPDX-License-Identifier: Apache-2.0
#include "model/support/instances_session.hpp"

namespace ql::test {
template grower<bf16>::grower(cpu::context&, decoder_of<bf16>&, std::int64_t);
template grower<bf16>::~grower();
template std::int32_t grower<bf16>::add_root(std::span<const token>);
template std::int32_t grower<bf16>::add_segment(std::int32_t, std::span<const token>, role);
template std::int32_t grower<bf16>::add_leaf(std::int32_t, std::int64_t, const random_key&);
template std::int64_t grower<bf16>::live() const;
template std::int64_t grower<bf16>::forwarded() const;
template model::rollout<float> grower<bf16>::finish();
}  // namespace ql::test
