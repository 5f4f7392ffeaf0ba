// SPDX-License-Identifier: Apache-2.0
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <ql/comm/nccl.hpp>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace ql::comm {
namespace {

using clock = std::chrono::steady_clock;

std::string text(cudaError_t e) { return std::string(cudaGetErrorName(e)) + " (" + cudaGetErrorString(e) + ")"; }

// Device memory for one side of the exchanges; grows, never shrinks.
struct buffer {
  void* data = nullptr;
  std::size_t size = 0;
};

}  // namespace

nccl_availability nccl_available() {
  nccl_availability a;
  if (ncclGetVersion(&a.version) != ncclSuccess) {
    a.why = "the NCCL library does not say its version";
    return a;
  }
  int devices = 0;
  const cudaError_t e = cudaGetDeviceCount(&devices);
  if (e == cudaSuccess && devices > 0) return a;
  cudaGetLastError();
  int driver = 0;
  cudaDriverGetVersion(&driver);
  a.why = driver == 0 ? "no CUDA driver is installed on this machine (libcuda.so.1 was not found); comm::mpi needs none"
                      : "the driver sees no device: " + text(e);
  return a;
}

struct nccl::state {
  nccl_options options;
  int rank = 0, size = 1;
  bool broken = false;
  std::uint64_t turn = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  buffer out, in;

  [[noreturn]] void lose(const std::string& why) {
    broken = true;
    if (comm != nullptr) ncclCommAbort(comm);
    comm = nullptr;
    throw comm_error("nccl::exchange: exchange " + std::to_string(turn) + ": " + why +
                         "; stop all ranks and go on from the last checkpoint",
                     -1);
  }
  void checked(cudaError_t e, const char* what) {
    if (e != cudaSuccess) lose(std::string(what) + ": " + text(e));
  }
  // f() is true when it is over; until then NCCL is asked whether a rank has failed.
  template <class F>
  void wait(const char* what, F&& over) {
    const auto end = clock::now() + std::chrono::duration<double>(options.patience);
    auto pause = std::chrono::microseconds(1);
    for (;;) {
      ncclResult_t now = ncclSuccess;
      const auto asked = ncclCommGetAsyncError(comm, &now);
      if (asked != ncclSuccess) lose(std::string(what) + ": " + ncclGetErrorString(asked));
      if (now != ncclSuccess && now != ncclInProgress) lose(std::string(what) + ": " + ncclGetLastError(comm));
      if (now == ncclSuccess && over()) return;
      if (clock::now() > end) lose(std::string(what) + ": no answer within the patience; a rank is dead or frozen");
      std::this_thread::sleep_for(pause);
      if (pause < std::chrono::microseconds(200)) pause *= 2;
    }
  }
  void issued(ncclResult_t r, const char* what) {
    if (r != ncclSuccess && r != ncclInProgress) lose(std::string(what) + ": " + ncclGetErrorString(r));
  }
  void room(buffer& b, std::size_t bytes) {
    if (bytes <= b.size) return;
    if (b.data != nullptr) checked(cudaFree(b.data), "cudaFree");
    b = {};
    checked(cudaMalloc(&b.data, bytes), "cudaMalloc");
    b.size = bytes;
  }

  // send[r] to rank r, receive[r] from it; none to the rank itself.
  void move(send_list send, receive_list receive) {
    const auto ranks = static_cast<std::size_t>(size), me = static_cast<std::size_t>(rank);
    std::size_t sent = 0, received = 0;
    for (std::size_t r = 0; r < ranks; ++r)
      if (r != me) sent += send[r].size(), received += receive[r].size();
    room(out, sent);
    room(in, received);
    std::size_t at = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      if (r == me || send[r].empty()) continue;
      checked(cudaMemcpyAsync(static_cast<std::byte*>(out.data) + at, send[r].data(), send[r].size(),
                              cudaMemcpyHostToDevice, stream),
              "copy to the device");
      at += send[r].size();
    }
    issued(ncclGroupStart(), "ncclGroupStart");
    std::size_t from = 0, to = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      if (r == me) continue;
      const int peer = static_cast<int>(r);
      if (!send[r].empty())
        issued(ncclSend(static_cast<std::byte*>(out.data) + from, send[r].size(), ncclUint8, peer, comm, stream),
               "ncclSend");
      if (!receive[r].empty())
        issued(ncclRecv(static_cast<std::byte*>(in.data) + to, receive[r].size(), ncclUint8, peer, comm, stream),
               "ncclRecv");
      from += send[r].size(), to += receive[r].size();
    }
    issued(ncclGroupEnd(), "ncclGroupEnd");
    wait("ncclGroupEnd", [] { return true; });
    at = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      if (r == me || receive[r].empty()) continue;
      checked(cudaMemcpyAsync(receive[r].data(), static_cast<std::byte*>(in.data) + at, receive[r].size(),
                              cudaMemcpyDeviceToHost, stream),
              "copy from the device");
      at += receive[r].size();
    }
    wait("exchange", [&] {
      const auto e = cudaStreamQuery(stream);
      if (e != cudaErrorNotReady) checked(e, "cudaStreamQuery");
      return e == cudaSuccess;
    });
  }
};

nccl::nccl(any first, const nccl_options& options) : state_(std::make_unique<state>()) {
  auto& s = *state_;
  detail::expects(options.patience > 0, "comm::nccl", "patience", "above 0 seconds", options.patience);
  const auto have = nccl_available();
  detail::expects<backend_error>(static_cast<bool>(have), "comm::nccl", "device", "a CUDA device for each rank",
                                 have.why);
  s.options = options;
  s.rank = first.rank(), s.size = first.size();
  s.checked(cudaSetDevice(options.device), "cudaSetDevice");
  s.checked(cudaStreamCreateWithFlags(&s.stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  ncclUniqueId id = {};
  if (s.rank == 0) s.issued(ncclGetUniqueId(&id), "ncclGetUniqueId");
  broadcast<any, char>(first, std::span(id.internal), 0);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  s.issued(ncclCommInitRankConfig(&s.comm, s.size, id, s.rank, &config), "ncclCommInitRankConfig");
  s.wait("ncclCommInitRankConfig", [] { return true; });
}

nccl::~nccl() {
  auto& s = *state_;
  if (s.comm != nullptr) {
    try {
      s.issued(ncclCommFinalize(s.comm), "ncclCommFinalize");
      s.wait("ncclCommFinalize", [] { return true; });
      ncclCommDestroy(s.comm);
    } catch (const comm_error&) {  // aborted
    }
  }
  if (s.out.data != nullptr) cudaFree(s.out.data);
  if (s.in.data != nullptr) cudaFree(s.in.data);
  if (s.stream != nullptr) cudaStreamDestroy(s.stream);
}

int nccl::rank() const { return state_->rank; }
int nccl::size() const { return state_->size; }

void nccl::exchange(send_list send, receive_list receive) {
  auto& s = *state_;
  const auto size = static_cast<std::size_t>(s.size), me = static_cast<std::size_t>(s.rank);
  detail::expects<shape_error>(send.size() == size && receive.size() == size, "nccl::exchange", "send, receive", size,
                               send.size());
  detail::expects<state_error>(!s.broken, "nccl::exchange", "communicator", "one that is whole",
                               "one that was aborted");
  ++s.turn;
  // first what is coming: ranks at different places of the program are told so
  struct header {
    std::uint64_t turn, bytes;
  };
  std::vector<header> out(size), in(size);
  std::vector<std::span<const std::byte>> heads;
  std::vector<std::span<std::byte>> from;
  for (std::size_t r = 0; r < size; ++r) {
    out[r] = {s.turn, send[r].size()};
    heads.push_back(std::as_bytes(std::span(&out[r], 1)));
    from.push_back(std::as_writable_bytes(std::span(&in[r], 1)));
  }
  s.move(heads, from);
  in[me] = out[me];
  for (std::size_t r = 0; r < size; ++r)
    if (in[r].turn != s.turn || in[r].bytes != receive[r].size())
      s.lose("rank " + std::to_string(s.rank) + " expects " + std::to_string(receive[r].size()) + " bytes of rank " +
             std::to_string(r) + ", which sends " + std::to_string(in[r].bytes) +
             "; the ranks are not at the same place of the program");
  if (!send[me].empty()) std::memmove(receive[me].data(), send[me].data(), send[me].size());
  s.move(send, receive);
}

}  // namespace ql::comm
