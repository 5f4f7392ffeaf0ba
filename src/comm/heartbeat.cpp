// SPDX-License-Identifier: Apache-2.0
#include "heartbeat.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <ql/error.hpp>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

namespace ql::comm {

struct heartbeat::message {
  std::uint64_t key;
  std::int32_t rank;
  std::int32_t blamed;
};

std::int64_t heartbeat::now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

heartbeat::heartbeat() {
  const auto fails = [](const char* what) {
    throw backend_error(std::string("comm::heartbeat: ") + what + ": " + std::strerror(errno));
  };
  socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (socket_ < 0) fails("a UDP socket");
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_ANY);
  if (::bind(socket_, reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0) {
    ::close(socket_);
    fails("a UDP port");
  }
  socklen_t length = sizeof any;
  if (::getsockname(socket_, reinterpret_cast<sockaddr*>(&any), &length) != 0) {
    ::close(socket_);
    fails("the number of a UDP port");
  }
  own_.port = any.sin_port;
  own_.process = static_cast<std::int32_t>(::getpid());
  ::gethostname(own_.host, sizeof own_.host - 1);
  own_.address = htonl(INADDR_LOOPBACK);
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) == 0) {
    for (const auto* i = list; i != nullptr; i = i->ifa_next) {
      if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK) != 0 ||
          (i->ifa_flags & IFF_UP) == 0)
        continue;
      sockaddr_in at{};
      std::memcpy(&at, i->ifa_addr, sizeof at);
      own_.address = at.sin_addr.s_addr;
      break;
    }
    ::freeifaddrs(list);
  }
}

heartbeat::~heartbeat() {
  stop();
  ::close(socket_);
}

void heartbeat::start(int rank, std::vector<heart> all, std::uint64_t key, double beat_seconds) {
  rank_ = rank, all_ = std::move(all), key_ = key, beat_ = beat_seconds;
  for (auto& h : all_)  // on one machine no network is needed
    if (std::strncmp(h.host, own_.host, sizeof h.host) == 0) h.address = htonl(INADDR_LOOPBACK);
  heard_ = std::make_unique<std::atomic<std::int64_t>[]>(all_.size());
  for (std::size_t r = 0; r < all_.size(); ++r) heard_[r] = now();
  thread_ = std::thread([this] { run(); });
}

void heartbeat::stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void heartbeat::send(std::int32_t blamed) const {
  const message m{key_, rank_, blamed};
  for (std::size_t r = 0; r < all_.size(); ++r) {
    if (static_cast<int>(r) == rank_) continue;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = all_[r].address;
    to.sin_port = all_[r].port;
    // a datagram that is lost is followed by others
    (void)::sendto(socket_, &m, sizeof m, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }
}

void heartbeat::run() {
  const auto beat = static_cast<std::int64_t>(beat_ * 1e9);
  auto next = now(), before = next;
  while (!stop_) {
    auto at = now();
    // This process itself was frozen: the others' signs of life wait in the socket, their silence says nothing.
    if (at - before > 4 * beat)
      for (std::size_t r = 0; r < all_.size(); ++r) heard_[r] = at;
    before = at;
    if (at >= next) {
      send(blamed_);
      next = at + beat;
    }
    pollfd p{socket_, POLLIN, 0};
    (void)::poll(&p, 1, static_cast<int>((next - at) / 1000000 + 1));
    message m;
    while (::recv(socket_, &m, sizeof m, 0) == static_cast<ssize_t>(sizeof m)) {
      if (m.key != key_ || m.rank < 0 || static_cast<std::size_t>(m.rank) >= all_.size()) continue;
      heard_[static_cast<std::size_t>(m.rank)] = now();
      if (m.blamed >= 0 && static_cast<std::size_t>(m.blamed) < all_.size() && m.blamed != rank_) {
        int nobody = -1;
        blamed_.compare_exchange_strong(nobody, m.blamed);
      }
    }
  }
}

int heartbeat::lost(double seconds) const {
  if (const int b = blamed_; b >= 0) return b;
  const auto oldest = now() - static_cast<std::int64_t>(seconds * 1e9);
  for (std::size_t r = 0; r < all_.size(); ++r)
    if (static_cast<int>(r) != rank_ && heard_[r] < oldest) return static_cast<int>(r);
  return -1;
}

void heartbeat::blame(int rank) {
  int nobody = -1;
  blamed_.compare_exchange_strong(nobody, rank);
  for (int i = 0; i < 3; ++i) send(blamed_);
}

std::string heartbeat::name_of(int rank) const {
  const auto& h = all_[static_cast<std::size_t>(rank)];
  return "rank " + std::to_string(rank) + " (process " + std::to_string(h.process) + " on " +
         std::string(h.host, ::strnlen(h.host, sizeof h.host)) + ")";
}

}  // namespace ql::comm
