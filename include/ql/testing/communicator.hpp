// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a communicator promises beyond its signature. All ranks call the law together; each gets an empty string, or
// what is wrong:
//
//   ql::comm::on_threads(4, [](auto& c) { EXPECT_EQ(ql::testing::laws::communicator(c), ""); });
//
// And the smallest type that models the concept, with types that miss it by one thing.

#include <ql/comm/communicator.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ql::testing {
namespace laws {

// Messages of all sizes arrive whole and in order, empty ones too; collectives do what they say; a sum is the same bits
// on all ranks, folded in the order of ranks; ranks that differ are named on every rank.
template <ql::comm::communicator C>
std::string communicator(C& c, std::int64_t largest = 100000) {
  namespace comm = ql::comm;
  const int me = c.rank(), size = c.size();
  if (size < 1 || me < 0 || me >= size) return "rank " + std::to_string(me) + " of " + std::to_string(size);
  const auto ranks = static_cast<std::size_t>(size);

  // from r to s in round t go (7 r + 3 s + t) mod 11 * scale bytes of one value
  const auto count = [](int from, int to, int round, std::int64_t scale) {
    return static_cast<std::size_t>((7 * from + 3 * to + round) % 11 * scale);
  };
  const auto value = [](int from, int to, int round) {
    return static_cast<std::byte>(1 + (31 * from + 7 * to + round) % 251);
  };
  for (int round = 0; round < 20; ++round) {
    const auto scale = round % 5 == 4 ? largest : round;
    std::vector<std::vector<std::byte>> out(ranks), in(ranks);
    std::vector<std::span<const std::byte>> send;
    std::vector<std::span<std::byte>> receive;
    for (int r = 0; r < size; ++r) {
      const auto i = static_cast<std::size_t>(r);
      out[i].assign(count(me, r, round, scale), value(me, r, round));
      in[i].assign(count(r, me, round, scale), std::byte{0});
      send.emplace_back(out[i]);
      receive.emplace_back(in[i]);
    }
    c.exchange(send, receive);
    for (auto& o : out) o.assign(o.size(), std::byte{255});  // may be overwritten now
    for (int r = 0; r < size; ++r)
      for (const auto b : in[static_cast<std::size_t>(r)])
        if (b != value(r, me, round)) return "what rank " + std::to_string(r) + " sent arrives changed";
  }

  std::vector<std::int32_t> all(ranks * 3, -1);
  const std::int32_t own[] = {me, me * me, -me};
  comm::all_gather<C, std::int32_t>(c, own, all);
  for (int r = 0; r < size; ++r)
    for (int k = 0; k < 3; ++k)
      if (all[3 * static_cast<std::size_t>(r) + static_cast<std::size_t>(k)] != (k == 0 ? r : k == 1 ? r * r : -r))
        return "all_gather mixes up ranks";

  for (int root = 0; root < size; ++root) {
    std::vector<double> x(static_cast<std::size_t>(root + 1), me == root ? 0.5 + root : -1.0);
    comm::broadcast<C, double>(c, x, root);
    for (const double y : x)
      if (y != 0.5 + root) return "broadcast does not bring the root's values";
  }

  // floats whose sum depends on the order
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{37}, std::size_t{4096}}) {
    std::vector<float> x(n), every(n * ranks), expected(n);
    for (std::size_t i = 0; i < n; ++i)
      x[i] = static_cast<float>(
          1.0 / (1.0 + static_cast<double>((i * 7919 + static_cast<std::size_t>(me) * 104729) % 1000003)) *
          ((i + static_cast<std::size_t>(me)) % 3 == 0 ? -1e4 : 1.0));
    comm::all_gather<C, float>(c, x, every);
    for (std::size_t i = 0; i < n; ++i) {
      expected[i] = every[i];
      for (std::size_t r = 1; r < ranks; ++r) expected[i] += every[r * n + i];
    }
    comm::all_reduce_sum<C, float>(c, x);
    for (std::size_t i = 0; i < n; ++i)
      if (x[i] != expected[i]) return "a sum is not folded in the order of ranks";
  }
  comm::barrier(c);
  comm::expect_same(c, "a law", 17);
  if (size > 1) {
    bool told = false;
    try {
      comm::expect_same(c, "a law", me == size - 1 ? 18 : 17);
    } catch (const comm::comm_error& e) {
      told = e.rank() == size - 1;
    }
    if (!told) return "a rank that differs is not named";
  }
  return "";
}

}  // namespace laws

namespace archetypes {

struct communicator {
  int rank() const { return 0; }
  int size() const { return 1; }
  void exchange(ql::comm::send_list, ql::comm::receive_list) {}
};
struct communicator_of_many_tongues : communicator {  // sizes are int, as in MPI
  std::size_t size() const { return 1; }
};
struct communicator_that_only_sends : communicator {
  void exchange(ql::comm::send_list) {}
};
static_assert(ql::comm::communicator<communicator> && ql::comm::communicator<ql::comm::solo>);
static_assert(!ql::comm::communicator<communicator_of_many_tongues>);
static_assert(!ql::comm::communicator<communicator_that_only_sends>);

}  // namespace archetypes
}  // namespace ql::testing
