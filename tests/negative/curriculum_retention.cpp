// SPDX-License-Identifier: Apache-2.0
// expect-gcc: retention<.*silent
// expect-clang: 'silent' does not satisfy 'retention'
// expect: needs_scores
#include <ql/curriculum/curriculum.hpp>

struct silent {
  std::vector<ql::curriculum::example_id> retain(std::span<const ql::curriculum::scored_example>,
                                                 const ql::curriculum::retention_request&) const {
    return {};
  }
};

#ifdef QL_NEGATIVE
ql::curriculum::phased<silent> course;
#else
ql::curriculum::phased<ql::curriculum::none> course;
#endif
