// SPDX-License-Identifier: Apache-2.0
#include <ql/comm/threads.hpp>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace ql::comm {

struct thread_group::meeting {
  struct place {
    std::uint64_t posted = 0;    // exchanges begun
    std::uint64_t finished = 0;  // exchanges in which this rank has copied everything
    bool left = false;
    std::vector<std::span<const std::byte>> send;
  };
  std::chrono::duration<double> patience;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<place> places;

  // Waits until done(place) for all ranks.
  template <class Done>
  void wait(std::unique_lock<std::mutex>& lock, int me, std::uint64_t turn, Done done) {
    const auto until =
        std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::nanoseconds>(patience);
    for (;;) {
      int missing = -1, gone = -1;
      for (std::size_t r = places.size(); r-- > 0;) {
        if (done(places[r])) continue;
        missing = static_cast<int>(r);
        if (places[r].left) gone = missing;
      }
      if (missing < 0) return;
      if (gone < 0 && std::chrono::steady_clock::now() < until) {
        changed.wait_until(lock, until);
        continue;
      }
      const auto who = gone >= 0 ? gone : missing;
      throw comm_error(
          "threads::exchange: exchange " + std::to_string(turn) + ": rank " + std::to_string(me) + " waits for rank " +
              std::to_string(who) +
              (gone >= 0 ? ", which has left" : ", which is silent for " + std::to_string(patience.count()) + " s"),
          who);
    }
  }
};

thread_group::thread_group(int size, double patience) : size_(size), meeting_(std::make_unique<meeting>()) {
  detail::expects(size >= 1, "thread_group", "size", "1 or more", size);
  detail::expects(patience > 0, "thread_group", "patience", "above 0 s", patience);
  meeting_->patience = std::chrono::duration<double>(patience);
  meeting_->places.resize(static_cast<std::size_t>(size));
}
thread_group::~thread_group() = default;

threads::threads(thread_group& group, int rank) : group_(&group), rank_(rank) {
  detail::expects(rank >= 0 && rank < group.size(), "comm::threads", "rank", "below the size of the group", rank);
}
threads::~threads() {
  auto& m = *group_->meeting_;
  const std::lock_guard lock(m.mutex);
  m.places[static_cast<std::size_t>(rank_)].left = true;
  m.changed.notify_all();
}

void threads::exchange(send_list send, receive_list receive) {
  auto& m = *group_->meeting_;
  const auto size = m.places.size(), me = static_cast<std::size_t>(rank_);
  detail::expects<shape_error>(send.size() == size && receive.size() == size, "threads::exchange", "send, receive",
                               size, send.size());
  std::unique_lock lock(m.mutex);
  auto& mine = m.places[me];
  mine.send.assign(send.begin(), send.end());
  const auto turn = ++mine.posted;
  m.changed.notify_all();
  m.wait(lock, rank_, turn, [&](const auto& p) { return p.posted >= turn; });
  // nobody posts the next exchange before all have finished this one: what is posted stays as it is
  const auto sent_by = [&](std::size_t r) { return m.places[r].send[me]; };
  std::size_t misfit = 0;
  while (misfit < size && sent_by(misfit).size() == receive[misfit].size()) ++misfit;
  if (misfit < size) {
    const comm_error wrong("threads::exchange: exchange " + std::to_string(turn) + ": rank " + std::to_string(me) +
                               " expects " + std::to_string(receive[misfit].size()) + " bytes of rank " +
                               std::to_string(misfit) + ", which sends " + std::to_string(sent_by(misfit).size()) +
                               "; the ranks are not at the same place of the program",
                           static_cast<int>(misfit));
    mine.finished = turn;
    m.changed.notify_all();
    throw wrong;
  }
  lock.unlock();
  for (std::size_t r = 0; r < size; ++r)
    if (!receive[r].empty()) std::memmove(receive[r].data(), sent_by(r).data(), receive[r].size());
  lock.lock();
  mine.finished = turn;
  m.changed.notify_all();
  m.wait(lock, rank_, turn, [&](const auto& p) { return p.finished >= turn; });
}

void detail::on_threads(int size, void (*run)(void*, threads&), void* what, double patience) {
  thread_group group(size, patience);
  std::vector<std::exception_ptr> cause(static_cast<std::size_t>(size)), consequence(static_cast<std::size_t>(size));
  std::vector<std::unique_ptr<threads>> ranks;
  for (int r = 0; r < size; ++r) ranks.push_back(std::make_unique<threads>(group, r));
  std::vector<std::thread> running;
  for (std::size_t r = 0; r < ranks.size(); ++r)
    running.emplace_back([&, r] {
      try {
        run(what, *ranks[r]);
      } catch (const comm_error&) {
        consequence[r] = std::current_exception();
      } catch (...) {
        cause[r] = std::current_exception();
      }
      ranks[r].reset();
    });
  for (auto& t : running) t.join();
  for (const auto* list : {&cause, &consequence})
    for (const auto& e : *list)
      if (e) std::rethrow_exception(e);
}

}  // namespace ql::comm
