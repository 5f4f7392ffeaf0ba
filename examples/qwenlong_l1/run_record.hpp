// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/observer.hpp>

#include <sys/resource.h>

#include <cstdint>
#include <optional>
#include <string>

namespace ql::qwenlong {

inline std::int64_t memory_peak() {
  rusage u{};
  getrusage(RUSAGE_SELF, &u);
  return static_cast<std::int64_t>(u.ru_maxrss) * 1024;
}

// Where a run's events go: the files of its folder, the log, and a line for whoever watches. Without a folder, on ranks
// that write nothing, nowhere.
class run_record {
 public:
  run_record() = default;
  run_record(const std::string& directory, const metric_files_state& files) {
    files_.emplace(directory, files);
    log_.emplace(directory);
  }

  template <class Event>
  void operator()(const Event& e) {
    if constexpr (requires { e.time.memory_peak_bytes; }) {
      Event with_memory = e;
      with_memory.time.memory_peak_bytes = memory_peak();
      last_step_ = e.step;
      tell(with_memory);
    } else {
      tell(e);
    }
  }
  metric_files_state sync() { return files_ ? files_->sync() : metric_files_state{}; }
  std::int64_t last_step() const { return last_step_; }

 private:
  template <class Event>
  void tell(const Event& e) {
    if (!files_) return;
    observers all(*files_, *log_, line_);
    all(e);
  }
  std::optional<metric_files> files_;
  std::optional<run_log> log_;
  progress_line line_;
  std::int64_t last_step_ = 0;
};

}  // namespace ql::qwenlong
