// SPDX-License-Identifier: Apache-2.0
// expect-gcc: communicator<.*mute
// expect-clang: 'mute' does not satisfy 'communicator'
// expect: exchange
#include <ql/comm/communicator.hpp>

struct mute {
  int rank() const { return 0; }
  int size() const { return 1; }
};

void use() {
#ifdef QL_NEGATIVE
  mute c;
#else
  ql::comm::solo c;
#endif
  ql::comm::barrier(c);
}
