// SPDX-License-Identifier: Apache-2.0
#pragma once

// Signs of life between the processes of a run, by UDP, from a thread of its own.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace ql::comm {

// Where a rank's signs of life go; sent once to all ranks by other means.
struct heart {
  char host[64] = {};
  std::uint32_t address = 0;  // IPv4, network order
  std::uint16_t port = 0;
  std::int32_t process = 0;
};

class heartbeat {
 public:
  heartbeat();
  ~heartbeat();
  const heart& own() const { return own_; }
  // Starts to send, and to listen. `key` is the same on all ranks of a run and differs from run to run.
  void start(int rank, std::vector<heart> all, std::uint64_t key, double beat_seconds);
  void stop();

  // A rank that has been silent for `seconds`, or that another rank has given up; -1: none.
  int lost(double seconds) const;
  // Tells all others that `rank` is lost.
  void blame(int rank);
  std::string name_of(int rank) const;

 private:
  struct message;
  void run();
  void send(std::int32_t blamed) const;
  static std::int64_t now();

  int socket_ = -1;
  heart own_;
  int rank_ = 0;
  std::vector<heart> all_;
  std::uint64_t key_ = 0;
  double beat_ = 1;
  std::unique_ptr<std::atomic<std::int64_t>[]> heard_;  // nanoseconds, by rank
  std::atomic<int> blamed_ = -1;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace ql::comm
