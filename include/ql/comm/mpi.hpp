// SPDX-License-Identifier: Apache-2.0
#pragma once

// Ranks that are processes started by mpirun or srun. Link ql::mpi.

#include <ql/comm/communicator.hpp>

#include <memory>

namespace ql::comm {

struct mpi_options {
  double beat = 0.25;   // seconds between signs of life, sent beside MPI by a thread of each rank
  double patience = 8;  // silent for so long, a rank is given up
};

// All of MPI_COMM_WORLD. Initialises MPI unless that is done, and finalises it again in that case. Between exchanges a
// rank may compute as long as it likes: what counts is that its process is alive. When one is dead or frozen,
// exchange() throws comm_error on all others, with its rank, host and process, within `patience` and a beat; MPI is
// then beyond use, and the program ends without finalising it: std::_Exit(75).
class mpi {
 public:
  explicit mpi(mpi_options options = {});
  ~mpi();
  mpi(const mpi&) = delete;
  mpi& operator=(const mpi&) = delete;

  int rank() const;
  int size() const;
  void exchange(send_list send, receive_list receive);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace ql::comm
