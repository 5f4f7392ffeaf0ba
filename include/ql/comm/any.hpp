// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/comm/communicator.hpp>

namespace ql::comm {

// Any communicator, by reference: for code that is compiled once for all of them. What it refers to must outlive it.
class any {
 public:
  template <communicator C>
    requires(!std::same_as<C, any>)
  any(C& c)  // NOLINT: implicit by design
      : object_(&c),
        rank_(c.rank()),
        size_(c.size()),
        exchange_([](void* object, send_list send, receive_list receive) {
          static_cast<C*>(object)->exchange(send, receive);
        }) {}
  int rank() const { return rank_; }
  int size() const { return size_; }
  void exchange(send_list send, receive_list receive) { exchange_(object_, send, receive); }

 private:
  void* object_;
  int rank_, size_;
  void (*exchange_)(void*, send_list, receive_list);
};

}  // namespace ql::comm
