// SPDX-License-Identifier: Apache-2.0
#pragma once

// Ranks that are threads of one process, to test what runs on many processes. Link ql::comm.

#include <ql/comm/communicator.hpp>

#include <memory>

namespace ql::comm {

// Where the ranks meet. `patience`: seconds that an exchange waits for the others.
class thread_group {
 public:
  explicit thread_group(int size, double patience = 10);
  ~thread_group();
  thread_group(const thread_group&) = delete;
  thread_group& operator=(const thread_group&) = delete;
  int size() const { return size_; }

 private:
  friend class threads;
  struct meeting;
  int size_;
  std::unique_ptr<meeting> meeting_;
};

// One rank of a group. It leaves the group when it is destroyed: whoever waits for it is told.
class threads {
 public:
  threads(thread_group& group, int rank);
  ~threads();
  threads(const threads&) = delete;
  threads& operator=(const threads&) = delete;

  int rank() const { return rank_; }
  int size() const { return group_->size(); }
  void exchange(send_list send, receive_list receive);

 private:
  thread_group* group_;
  int rank_;
};

namespace detail {
void on_threads(int size, void (*run)(void*, threads&), void* what, double patience);
}

// Runs f(communicator of the rank) on `size` threads. Rethrows the exception of the lowest rank, one that is no
// comm_error before one that is: the cause before its consequences.
template <class F>
void on_threads(int size, F&& f, double patience = 10) {
  using Function = std::remove_reference_t<F>;
  detail::on_threads(
      size, [](void* what, threads& c) { (*static_cast<Function*>(what))(c); },
      const_cast<void*>(static_cast<const void*>(&f)), patience);
}

}  // namespace ql::comm
