// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which rank of how many this process is, as its launcher says in the environment.

#include <ql/comm/communicator.hpp>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace ql::comm {

struct launch {
  int rank = 0, size = 1;
  int local_rank = 0;    // among the ranks of this machine
  std::string master{};  // host of rank 0, where the launcher says it
  int port = 0;
  std::string by = "alone";  // who said so: torchrun, mpirun (Open MPI), mpirun (PMI), srun
  friend bool operator==(const launch&, const launch&) = default;
};

namespace detail {

template <class Lookup>
int number_in(const Lookup& get, const char* name, int lowest, int otherwise = -1) {
  const char* text = get(name);
  if (text == nullptr) {
    expects(otherwise >= 0, "find_launch", name, "to be set, since its launcher's other variables are", "nothing");
    return otherwise;
  }
  int n = -1;
  const auto [end, bad] = std::from_chars(text, text + std::strlen(text), n);
  expects(bad == std::errc() && *end == '\0' && n >= lowest, "find_launch", name,
          "an integer, " + std::to_string(lowest) + " or more", std::string_view(text).substr(0, 40));
  return n;
}

}  // namespace detail

// Asks, in this order: torchrun (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT), Open MPI's mpirun
// (OMPI_COMM_WORLD_*), an mpirun with PMI (PMI_*; MPICH, Intel), srun (SLURM_PROCID, SLURM_STEP_NUM_TASKS,
// SLURM_LOCALID). `get(name)` is std::getenv, or what a test puts in its place. Throws argument_error for a variable
// that is no number, is missing beside its fellows, or contradicts another launcher's; srun's are only asked where
// nobody else speaks, since an mpirun within a job inherits them.
template <class Lookup>
launch find_launch(const Lookup& get) {
  struct convention {
    const char *by, *rank, *size, *local;
  };
  constexpr convention known[] = {
      {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"},
      {"mpirun (Open MPI)", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
      {"mpirun (PMI)", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
      {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"}};
  launch found;
  bool any = false;
  for (const auto& k : known) {
    const bool slurm = &k == &known[3];
    // RANK alone means little; srun's variables stand in a batch script too, but for the number of tasks of a step
    if (get(slurm ? k.size : k.rank) == nullptr || (&k == &known[0] && get(k.size) == nullptr)) continue;
    if (any && slurm) continue;
    launch l;
    l.by = k.by;
    l.rank = detail::number_in(get, k.rank, 0);
    l.size = detail::number_in(get, k.size, 1);
    l.local_rank = detail::number_in(get, k.local, 0, l.rank);
    detail::expects(l.rank < l.size, "find_launch", k.rank,
                    "below " + std::string(k.size) + " = " + std::to_string(l.size), l.rank);
    if (any) {
      detail::expects(
          l.rank == found.rank && l.size == found.size, "find_launch", k.by,
          "rank " + std::to_string(found.rank) + " of " + std::to_string(found.size) + " as " + found.by + " says",
          std::to_string(l.rank) + " of " + std::to_string(l.size));
      continue;
    }
    found = l;
    any = true;
  }
  if (any) {
    if (const char* host = get("MASTER_ADDR")) found.master = host;
    if (get("MASTER_PORT") != nullptr) found.port = detail::number_in(get, "MASTER_PORT", 1);
    detail::expects(found.port < 65536, "find_launch", "MASTER_PORT", "below 65536", found.port);
  }
  return found;
}
inline launch find_launch() {
  return find_launch([](const char* name) -> const char* { return std::getenv(name); });
}

}  // namespace ql::comm
