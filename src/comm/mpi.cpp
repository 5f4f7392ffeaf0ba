// SPDX-License-Identifier: Apache-2.0
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
#include <ql/comm/mpi.hpp>

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "heartbeat.hpp"

namespace ql::comm {

struct mpi::state {
  mpi_options options;
  int rank = 0, size = 1;
  bool finalises = false, broken = false;
  std::uint64_t turn = 0;
  MPI_Comm world = MPI_COMM_NULL;
  heartbeat beats;

  [[noreturn]] void lose(int who, const std::string& why) {
    broken = true;
    beats.blame(who);
    throw comm_error("mpi::exchange: exchange " + std::to_string(turn) + ": " + beats.name_of(who) + ": " + why +
                         "; stop all ranks and go on from the last checkpoint",
                     who);
  }
  void checked(int code, const char* what) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING] = {};
    int length = 0;
    MPI_Error_string(code, text, &length);
    broken = true;
    // a lost peer often shows as an error of the transport first
    const int who = beats.lost(options.patience);
    throw comm_error("mpi::exchange: exchange " + std::to_string(turn) + ": " + what + ": " +
                         std::string(text, static_cast<std::size_t>(length)) +
                         (who >= 0 ? "; lost is " + beats.name_of(who) : ""),
                     who >= 0 ? who : rank);
  }

  // Waits for all requests, with an eye on the other ranks.
  void wait(std::vector<MPI_Request>& requests, std::vector<MPI_Status>& statuses) {
    statuses.resize(requests.size());
    auto pause = std::chrono::microseconds(1);
    for (;;) {
      int done = 0;
      checked(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, statuses.data()), "MPI_Testall");
      if (done != 0) return;
      if (const int who = beats.lost(options.patience); who >= 0)
        lose(who, "gives no sign of life; it is dead, frozen or cut off");
      std::this_thread::sleep_for(pause);
      if (pause < std::chrono::microseconds(500)) pause *= 2;
    }
  }
};

mpi::mpi(mpi_options options) : state_(std::make_unique<state>()) {
  auto& s = *state_;
  detail::expects(options.beat > 0 && options.patience > 2 * options.beat, "comm::mpi", "patience",
                  "more than two beats", options.patience);
  s.options = options;
  int there = 0;
  MPI_Initialized(&there);
  if (there == 0) {
    int provided = 0;
    if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS ||
        provided < MPI_THREAD_FUNNELED)
      throw backend_error("comm::mpi: MPI_Init_thread: MPI does not start, or not beside threads");
    s.finalises = true;
  }
  MPI_Comm_dup(MPI_COMM_WORLD, &s.world);
  MPI_Comm_set_errhandler(s.world, MPI_ERRORS_RETURN);
  MPI_Comm_rank(s.world, &s.rank);
  MPI_Comm_size(s.world, &s.size);
  std::vector<heart> all(static_cast<std::size_t>(s.size));
  s.checked(MPI_Allgather(&s.beats.own(), sizeof(heart), MPI_BYTE, all.data(), sizeof(heart), MPI_BYTE, s.world),
            "MPI_Allgather");
  std::uint64_t key = 0;
  if (s.rank == 0) {  // names the run on the wire; decides nothing
    std::random_device device;
    key = std::uint64_t{device()} << 32 | device();
  }
  s.checked(MPI_Bcast(&key, sizeof key, MPI_BYTE, 0, s.world), "MPI_Bcast");
  s.beats.start(s.rank, std::move(all), key, options.beat);
}

mpi::~mpi() {
  auto& s = *state_;
  if (!s.broken) {
    try {
      barrier(*this);  // nobody stops giving signs of life while others wait for them
    } catch (const comm_error&) {
    }
  }
  s.beats.stop();
  if (!s.broken) {
    MPI_Comm_free(&s.world);
    if (s.finalises) MPI_Finalize();
  }
}

int mpi::rank() const { return state_->rank; }
int mpi::size() const { return state_->size; }

void mpi::exchange(send_list send, receive_list receive) {
  auto& s = *state_;
  const auto size = static_cast<std::size_t>(s.size), me = static_cast<std::size_t>(s.rank);
  detail::expects<shape_error>(send.size() == size && receive.size() == size, "mpi::exchange", "send, receive", size,
                               send.size());
  detail::expects<state_error>(!s.broken, "mpi::exchange", "communicator", "one that is whole", "one that lost a rank");
  ++s.turn;
  // first what is coming, so that ranks at different places of the program are told so and do not wait for ever
  struct header {
    std::uint64_t turn, bytes;
  };
  std::vector<header> out(size), in(size);
  std::vector<MPI_Request> requests;
  std::vector<MPI_Status> statuses;
  const int head = 1, body = 2;
  for (std::size_t r = 0; r < size; ++r) {
    if (r == me) continue;
    out[r] = {s.turn, send[r].size()};
    const int peer = static_cast<int>(r);
    s.checked(MPI_Irecv(&in[r], sizeof(header), MPI_BYTE, peer, head, s.world, &requests.emplace_back()), "MPI_Irecv");
    s.checked(MPI_Isend(&out[r], sizeof(header), MPI_BYTE, peer, head, s.world, &requests.emplace_back()), "MPI_Isend");
  }
  s.wait(requests, statuses);
  for (std::size_t r = 0; r < size; ++r) {
    const auto sent = r == me ? send[me].size() : in[r].bytes;
    if (sent == receive[r].size() && (r == me || in[r].turn == s.turn)) continue;
    s.broken = true;
    throw comm_error("mpi::exchange: exchange " + std::to_string(s.turn) + ": rank " + std::to_string(s.rank) +
                         " expects " + std::to_string(receive[r].size()) + " bytes of " +
                         s.beats.name_of(static_cast<int>(r)) + ", which sends " + std::to_string(sent) +
                         "; the ranks are not at the same place of the program",
                     static_cast<int>(r));
  }
  if (!send[me].empty()) std::memmove(receive[me].data(), send[me].data(), send[me].size());
  constexpr std::size_t piece = std::size_t{1} << 30;  // MPI counts in int
  requests.clear();
  const auto pieces = [&](auto bytes, auto&& f) {
    for (std::size_t at = 0; at < bytes.size(); at += piece)
      f(bytes.data() + at, static_cast<int>(std::min(piece, bytes.size() - at)));
  };
  for (std::size_t r = 0; r < size; ++r) {
    if (r == me) continue;
    const int peer = static_cast<int>(r);
    pieces(receive[r], [&](std::byte* to, int n) {
      s.checked(MPI_Irecv(to, n, MPI_BYTE, peer, body, s.world, &requests.emplace_back()), "MPI_Irecv");
    });
    pieces(send[r], [&](const std::byte* from, int n) {
      s.checked(MPI_Isend(from, n, MPI_BYTE, peer, body, s.world, &requests.emplace_back()), "MPI_Isend");
    });
  }
  s.wait(requests, statuses);
}

}  // namespace ql::comm
