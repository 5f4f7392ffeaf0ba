// SPDX-License-Identifier: Apache-2.0
#include "ranks.hpp"

#include <ql/comm/launch.hpp>
#include <ql/data_parallel.hpp>
#include <ql/ranks.hpp>
#ifdef QL_TOOL_MPI
#include <ql/comm/mpi.hpp>
#endif

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "verb.hpp"

namespace ql::tool {
namespace {

// One of the processes says it.
[[noreturn]] void refuse(const comm::launch& l, const std::string& expected) {
  if (l.rank > 0) be_silent();
  ql::detail::fail<argument_error>("qwenlong-l1", "ranks", expected,
                                   std::to_string(l.size) + " processes, started by " + l.by);
}

}  // namespace

update_split split_of(std::string_view word) {
  return word == "rows" ? update_split::rows : word == "heads" ? update_split::heads : update_split::lanes;
}

#ifdef QL_TOOL_MPI
int on_ranks(const std::function<int(std::optional<comm::any>)>& f) {
  const auto l = comm::find_launch();
  if (l.size == 1) return f({});
  comm::mpi ranks;
  if (ranks.size() != l.size)
    refuse(l,
           "processes that are ranks of one job of the MPI that this program was built with: start it with that "
           "MPI's mpirun -n N (torchrun is not one)");
  try {
    return f(comm::any(ranks));
  } catch (const comm::comm_error& e) {
    std::fflush(stdout);
    std::fprintf(stderr, "qwenlong-l1: rank %d: %s [%s]\n", ranks.rank(), e.what(), e.id());
    std::fflush(stderr);
    std::_Exit(75);  // MPI is beyond use
  }
}
#else
int on_ranks(const std::function<int(std::optional<comm::any>)>& f) {
  if (const auto l = comm::find_launch(); l.size > 1)
    refuse(l,
           "one process, since this program was built without MPI; install it (Debian: libopenmpi-dev openmpi-bin) "
           "and configure with -DQL_MPI=ON");
  return f({});
}
#endif

void expect_alone() {
  if (const auto l = comm::find_launch(); l.size > 1)
    refuse(l, "one process: of the parts of a run only `train` is shared by ranks");
}

void together(const std::optional<comm::any>& ranks, const std::function<void()>& f) {
  if (!ranks) return f();
  std::exception_ptr mine;
  std::string why;
  try {
    f();
  } catch (const comm::comm_error&) {
    throw;
  } catch (const std::exception& e) {
    mine = std::current_exception();
    why = "failed: " + std::string(e.what());
  }
  const auto all = share_values(*ranks, why);
  if (mine) {
    if (ranks->rank() > 0 && all[0] == why) be_silent();
    std::rethrow_exception(mine);
  }
  for (std::size_t r = 0; r < all.size(); ++r)
    if (!all[r].empty()) {
      be_silent();
      ql::detail::fail<state_error>("qwenlong-l1", "ranks", "all of them to start", "rank " + std::to_string(r));
    }
}

}  // namespace ql::tool
