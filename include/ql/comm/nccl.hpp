// SPDX-License-Identifier: Apache-2.0
#pragma once

// Ranks with a GPU each. Link ql::nccl. Not yet run on a device.

#include <ql/comm/any.hpp>

#include <memory>
#include <string>

namespace ql::comm {

// Whether NCCL can be used here; if not, why. Never throws: a program that links ql::nccl starts without a driver.
struct nccl_availability {
  int version = 0;  // of the library, as NCCL counts (22809 = 2.28.9)
  std::string why;
  explicit operator bool() const { return why.empty(); }
};
nccl_availability nccl_available();

struct nccl_options {
  int device = 0;         // of this process: launch::local_rank
  double patience = 600;  // seconds that an exchange may take, the other ranks' computing before it included
};

// `exchange` through device memory and NCCL's point-to-point operations. Nothing blocks: the communicator is polled,
// and aborted when a rank reports a fault or `patience` is over; exchange() then throws comm_error. NCCL does not say
// which rank is at fault: `first`, whose ranks these are (comm::mpi), finds that out in its next exchange, and hands
// round what NCCL needs to begin with. Throws backend_error where nccl_available() says no.
class nccl {
 public:
  explicit nccl(any first, const nccl_options& options = {});
  ~nccl();
  nccl(const nccl&) = delete;
  nccl& operator=(const nccl&) = delete;

  int rank() const;
  int size() const;
  void exchange(send_list send, receive_list receive);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace ql::comm
