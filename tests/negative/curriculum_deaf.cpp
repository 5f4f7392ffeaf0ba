// SPDX-License-Identifier: Apache-2.0
// expect-gcc: curriculum<.*deaf
// expect-clang: 'deaf' does not satisfy 'curriculum'
// expect-gcc: observe
// expect-clang: same_as<void, (_Bool|bool)>
#include <ql/curriculum/curriculum.hpp>

template <ql::curriculum::curriculum C>
void train(const C&) {}

struct deaf : ql::curriculum::mixed {
  void observe(state&, ql::curriculum::example_id, std::span<const double>) const {}
};

void use() {
#ifdef QL_NEGATIVE
  train(deaf{});
#else
  train(ql::curriculum::mixed{});
#endif
}
