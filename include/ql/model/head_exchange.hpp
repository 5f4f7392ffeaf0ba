// SPDX-License-Identifier: Apache-2.0
#pragma once

// What ranks that split rows exchange where attention is split by heads.

#include <ql/comm/any.hpp>
#include <ql/tensor/operations.hpp>
#include <ql/tensor/transfer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ql::model {

// How ranks that hold some of the rows attend to the keys of all of them.
enum class attention_split : std::uint8_t {
  keys,   // each gets all keys and values, and attends for its own rows
  heads,  // each gets a share of the heads of all rows, and attends for all of them (Ulysses, arXiv 2309.14509)
};

namespace detail {

// Arrays go between two layouts: "own rows, all heads" (columns: rank r's heads are block r of every row) and "all
// rows, own heads" (rows). A message to each rank holds what was sent to it, in order; what arrives is taken in the
// order in which its sender sent it. Byte is a parameter so that none of this costs a compiler anything where nobody
// splits heads.
template <class Context, class Byte = std::byte>
class head_exchange {
 public:
  // Run i of all rows is rank_of_run[i]'s. Both must outlive the exchange.
  head_exchange(Context& ctx, comm::any ranks, std::span<const query_run> runs,
                std::span<const std::int32_t> rank_of_run)
      : ctx_(ctx),
        ranks_(ranks),
        runs_(runs),
        rank_of_run_(rank_of_run),
        sent_(static_cast<std::size_t>(ranks.size())),
        received_(sent_.size()),
        at_(sent_.size()),
        rows_(sent_.size()) {
    for (std::size_t i = 0; i < runs.size(); ++i) rows_[static_cast<std::size_t>(rank_of_run[i])] += runs[i].rows;
  }

  template <class E>
  void send(int rank, const E* x, std::int64_t n) {
    copy_out(ctx_, x, n, room<E>(static_cast<std::size_t>(rank), n));
  }
  template <class E>
  void take(int rank, E* x, std::int64_t n) {
    if (const E* from = next<E>(static_cast<std::size_t>(rank), n)) copy_in(ctx_, from, n, x);
  }
  // x: (own rows, ranks * width)
  template <class E>
  void send_columns(const E* x, std::int64_t width) {
    const auto ranks = static_cast<std::int64_t>(sent_.size()), rows = own_rows();
    std::vector<E> away;  // where the host cannot read x
    if constexpr (!on_host<Context>) {
      away.resize(static_cast<std::size_t>(rows * ranks * width));
      copy_out(ctx_, x, rows * ranks * width, away.data());
      x = away.data();
    }
    for (std::int64_t r = 0; r < ranks; ++r) {
      E* to = room<E>(static_cast<std::size_t>(r), rows * width);
      for (std::int64_t i = 0; i < rows; ++i) std::copy_n(x + (i * ranks + r) * width, width, to + i * width);
    }
  }
  // A null x is not written.
  template <class E>
  void take_columns(E* x, std::int64_t width) {
    const auto ranks = static_cast<std::int64_t>(sent_.size()), rows = own_rows();
    std::vector<E> away;
    E* to = x;
    if constexpr (!on_host<Context>) {
      away.resize(static_cast<std::size_t>(rows * ranks * width));
      to = away.data();
    }
    for (std::int64_t r = 0; r < ranks; ++r) {
      const E* from = next<E>(static_cast<std::size_t>(r), rows * width);
      for (std::int64_t i = 0; from != nullptr && x != nullptr && i < rows; ++i)
        std::copy_n(from + i * width, width, to + (i * ranks + r) * width);
    }
    if constexpr (!on_host<Context>) {
      if (!sizing_ && x != nullptr) copy_in(ctx_, static_cast<const E*>(to), rows * ranks * width, x);
    }
  }
  // x: (all rows, width)
  template <class E>
  void send_rows(const E* x, std::int64_t width) {
    for (std::size_t r = 0; r < sent_.size(); ++r) {
      E* to = room<E>(r, rows_[r] * width);
      each_run(r, [&](const query_run& run) {
        copy_out(ctx_, x + run.first * width, run.rows * width, to);
        to += run.rows * width;
      });
    }
  }
  template <class E>
  void take_rows(E* x, std::int64_t width) {
    for (std::size_t r = 0; r < sent_.size(); ++r) {
      const E* from = next<E>(r, rows_[r] * width);
      if (from == nullptr) continue;
      each_run(r, [&](const query_run& run) {
        copy_in(ctx_, from, run.rows * width, x + run.first * width);
        from += run.rows * width;
      });
    }
  }
  // arrive() takes everything that comes. It runs twice: first to learn how much that is.
  template <class Arrive>
  void deliver(Arrive&& arrive) {
    sizing_ = true;
    at_.assign(at_.size(), 0);
    arrive();
    for (std::size_t r = 0; r < at_.size(); ++r) received_[r].resize(at_[r]);
    comm::exchange<comm::any, Byte>(ranks_, sent_, received_);
    sizing_ = false;
    at_.assign(at_.size(), 0);
    arrive();
    for (auto& s : sent_) s.clear();
  }

 private:
  std::int64_t own_rows() const { return rows_[static_cast<std::size_t>(ranks_.rank())]; }
  template <class F>
  void each_run(std::size_t rank, F&& f) {
    for (std::size_t i = 0; i < runs_.size(); ++i)
      if (static_cast<std::size_t>(rank_of_run_[i]) == rank) f(runs_[i]);
  }
  // Every piece begins at a multiple of 16 bytes.
  template <class E>
  static std::size_t bytes(std::int64_t n) {
    return (static_cast<std::size_t>(n) * sizeof(E) + 15) / 16 * 16;
  }
  template <class E>
  E* room(std::size_t rank, std::int64_t n) {
    auto& s = sent_[rank];
    const auto at = s.size();
    s.resize(at + bytes<E>(n));
    return reinterpret_cast<E*>(s.data() + at);
  }
  template <class E>
  const E* next(std::size_t rank, std::int64_t n) {
    const auto at = at_[rank];
    at_[rank] += bytes<E>(n);
    return sizing_ ? nullptr : reinterpret_cast<const E*>(received_[rank].data() + at);
  }

  Context& ctx_;
  comm::any ranks_;
  std::span<const query_run> runs_;
  std::span<const std::int32_t> rank_of_run_;
  std::vector<std::vector<Byte>> sent_, received_;
  std::vector<std::size_t> at_;
  std::vector<std::int64_t> rows_;  // of each rank
  bool sizing_ = false;
};

}  // namespace detail
}  // namespace ql::model
