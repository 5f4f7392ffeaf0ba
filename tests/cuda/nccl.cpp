// SPDX-License-Identifier: Apache-2.0
// A program that links ql::nccl starts where there is no driver, and says so in words. Where there is a device a
// communicator of one rank keeps the laws. Usage: nccl
#include <ql/comm/nccl.hpp>
#include <ql/testing/communicator.hpp>

#include <cstdio>
#include <string>

static_assert(ql::comm::communicator<ql::comm::nccl>);

int main() {
  const auto have = ql::comm::nccl_available();
  std::printf("NCCL %d\n", have.version);
  if (have.version < 21800) return 1;
  ql::comm::solo alone;
  if (!have) {
    std::printf("no device: %s\n", have.why.c_str());
    try {
      ql::comm::nccl c{ql::comm::any(alone)};
    } catch (const ql::backend_error& e) {
      std::printf("%s\n", e.what());
      return std::string(e.what()).find(have.why) == std::string::npos ? 1 : 0;
    }
    return 1;  // a communicator of no device
  }
  ql::comm::nccl c{ql::comm::any(alone)};
  const auto said = ql::testing::laws::communicator(c);
  if (!said.empty()) std::printf("%s\n", said.c_str());
  return said.empty() ? 0 : 1;
}
