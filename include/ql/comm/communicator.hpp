// SPDX-License-Identifier: Apache-2.0
#pragma once

// Several processes (ranks) that work on one run. One primitive, `exchange`; all collectives are made of it, in an
// order of additions that is the ranks', so that a sum has the same bits on every rank and in every run.

#include <ql/error.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace ql::comm {

namespace detail {
using namespace ql::detail;  // `detail::expects` means the same in ql and in ql::comm
}

// A rank is dead, frozen, gone or out of step: what() names it and the operation. The run cannot go on; the last
// checkpoint stands, and a program ends with exit code 75.
class comm_error : public error {
 public:
  comm_error(const std::string& what, int rank) : error(what), rank_(rank) {}
  const char* id() const noexcept override { return "QL-E0401"; }
  int rank() const { return rank_; }  // the first one that is named

 private:
  int rank_;
};

// send[r] goes to rank r, receive[r] comes from rank r (the rank itself included); every rank calls with sizes that
// fit.
using send_list = std::span<const std::span<const std::byte>>;
using receive_list = std::span<const std::span<std::byte>>;

// `exchange` is called by all ranks in the same order; when it returns, everything has arrived and what was sent may be
// overwritten. Throws comm_error when a rank is missing for longer than the communicator's patience.
template <class C>
concept communicator = requires(C& c, const C& cc, send_list send, receive_list receive) {
  { cc.rank() } -> std::same_as<int>;
  { cc.size() } -> std::same_as<int>;
  { c.exchange(send, receive) } -> std::same_as<void>;
};

template <class T>
concept transferable = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>;

// One process alone.
class solo {
 public:
  int rank() const { return 0; }
  int size() const { return 1; }
  void exchange(send_list send, receive_list receive) {
    detail::expects<shape_error>(send.size() == 1 && receive.size() == 1 && send[0].size() == receive[0].size(),
                                 "solo::exchange", "receive", "as many bytes as are sent",
                                 receive.empty() ? 0 : receive[0].size());
    if (!send[0].empty()) std::memmove(receive[0].data(), send[0].data(), send[0].size());
  }
};

// sent[r] goes to rank r; received[r], which has its size already, comes from rank r.
template <communicator C, transferable T>
void exchange(C& c, std::span<const std::vector<T>> sent, std::span<std::vector<T>> received) {
  const auto size = static_cast<std::size_t>(c.size());
  detail::expects<shape_error>(sent.size() == size && received.size() == size, "comm::exchange", "sent", size,
                               sent.size());
  std::vector<std::span<const std::byte>> send(size);
  std::vector<std::span<std::byte>> receive(size);
  for (std::size_t r = 0; r < size; ++r) {
    send[r] = std::as_bytes(std::span<const T>(sent[r]));
    receive[r] = std::as_writable_bytes(std::span<T>(received[r]));
  }
  c.exchange(send, receive);
}

// parts[r], which rank r has, is written into parts[r] of all others. Sizes are the same on all ranks, and may differ
// from part to part.
template <communicator C, transferable T>
void share(C& c, std::span<const std::span<T>> parts) {
  const auto size = static_cast<std::size_t>(c.size()), me = static_cast<std::size_t>(c.rank());
  detail::expects<shape_error>(parts.size() == size, "comm::share", "parts", size, parts.size());
  std::vector<std::span<const std::byte>> send(size);
  std::vector<std::span<std::byte>> receive(size);
  for (std::size_t r = 0; r < size; ++r) {
    if (r == me) continue;  // is where it belongs
    send[r] = std::as_bytes(parts[me]);
    receive[r] = std::as_writable_bytes(parts[r]);
  }
  c.exchange(send, receive);
}

// all[r * own.size() ...] = own of rank r
template <communicator C, transferable T>
void all_gather(C& c, std::span<const T> own, std::span<T> all) {
  const auto size = static_cast<std::size_t>(c.size()), me = static_cast<std::size_t>(c.rank());
  detail::expects<shape_error>(all.size() == size * own.size(), "comm::all_gather", "all", size * own.size(),
                               all.size());
  std::vector<std::span<T>> parts(size);
  for (std::size_t r = 0; r < size; ++r) parts[r] = all.subspan(r * own.size(), own.size());
  if (!own.empty()) std::memmove(parts[me].data(), own.data(), own.size_bytes());
  share<C, T>(c, parts);
}

// x of all ranks becomes that of `root`.
template <communicator C, transferable T>
void broadcast(C& c, std::span<T> x, int root) {
  detail::expects(root >= 0 && root < c.size(), "comm::broadcast", "root", "a rank", root);
  std::vector<std::span<T>> parts(static_cast<std::size_t>(c.size()));
  parts[static_cast<std::size_t>(root)] = x;
  share<C, T>(c, parts);
}

// [begin, end) of rank r's share of n elements: the shares are consecutive and differ by one element at most.
struct share_range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
  friend bool operator==(const share_range&, const share_range&) = default;
};
constexpr share_range share_of(std::int64_t n, int rank, int size) {
  const auto each = n / size, more = n % size;
  const auto begin = each * rank + (rank < more ? rank : more);
  return {begin, begin + each + (rank < more ? 1 : 0)};
}

// x = (((x of rank 0) + x of rank 1) + ...) on all ranks: the same bits on all, whatever the transport does.
template <communicator C, class T>
  requires std::is_arithmetic_v<T>
void all_reduce_sum(C& c, std::span<T> x) {
  const auto size = static_cast<std::size_t>(c.size()), me = static_cast<std::size_t>(c.rank());
  const auto part = [&](std::size_t r) {
    const auto s = share_of(static_cast<std::int64_t>(x.size()), static_cast<int>(r), c.size());
    return x.subspan(static_cast<std::size_t>(s.begin), static_cast<std::size_t>(s.size()));
  };
  const auto own = part(me);
  std::vector<T> all(own.size() * size);
  std::vector<std::span<const std::byte>> send(size);
  std::vector<std::span<std::byte>> receive(size);
  for (std::size_t r = 0; r < size; ++r) {
    send[r] = std::as_bytes(part(r));
    receive[r] = std::as_writable_bytes(std::span(all).subspan(r * own.size(), own.size()));
  }
  c.exchange(send, receive);
  std::copy_n(all.begin(), own.size(), own.begin());
  for (std::size_t r = 1; r < size; ++r)
    for (std::size_t i = 0; i < own.size(); ++i) own[i] = static_cast<T>(own[i] + all[r * own.size() + i]);
  std::vector<std::span<T>> parts(size);
  for (std::size_t r = 0; r < size; ++r) parts[r] = part(r);
  share<C, T>(c, parts);
}

// Returns when all ranks have come this far.
template <communicator C>
void barrier(C& c) {
  std::vector<std::byte> all(static_cast<std::size_t>(c.size()));
  const std::byte own[1] = {};
  all_gather<C, std::byte>(c, own, all);
}

// Throws comm_error on every rank unless `value` (a hash of a recipe, a step, a world size) is the same on all.
template <communicator C>
void expect_same(C& c, std::string_view what, std::uint64_t value) {
  std::vector<std::uint64_t> all(static_cast<std::size_t>(c.size()));
  all_gather<C, std::uint64_t>(c, std::span<const std::uint64_t>(&value, 1), all);
  for (std::size_t r = 1; r < all.size(); ++r)
    if (all[r] != all[0])
      throw comm_error("comm::expect_same: " + std::string(what) + ": rank " + std::to_string(r) + " has " +
                           std::to_string(all[r]) + ", rank 0 has " + std::to_string(all[0]) +
                           "; start all ranks with the same recipe, data and checkpoint",
                       static_cast<int>(r));
}

}  // namespace ql::comm
