// SPDX-License-Identifier: Apache-2.0
// expect-gcc: index_sampler<.*blind
// expect-clang: 'blind' does not satisfy 'index_sampler'
#include <ql/curriculum/curriculum.hpp>

struct blind {  // cannot be told what a step has already
  using state = ql::curriculum::epoch_sampler::state;
  std::vector<std::uint32_t> draw(state&, const ql::curriculum::index_list&, std::int64_t) const { return {}; }
};

#ifdef QL_NEGATIVE
ql::curriculum::phased<ql::curriculum::none, blind> course;
#else
ql::curriculum::phased<ql::curriculum::none, ql::curriculum::task_balanced> course;
#endif
