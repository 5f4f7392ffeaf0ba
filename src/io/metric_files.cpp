// SPDX-License-Identifier: Apache-2.0
#include "append.hpp"
#include "events.hpp"
#include "tensorboard.hpp"

#include <chrono>
#include <cmath>
#include <filesystem>

namespace ql {
namespace {

using tree = io::json::value;

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// Bytes that are no UTF-8 become U+FFFD: what a model writes need not be text, but a JSON file is.
std::string as_utf8(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (std::size_t i = 0; i < s.size();) {
    const auto c = static_cast<unsigned char>(s[i]);
    const std::size_t n = c < 0x80                ? 1
                          : c >= 0xc2 && c < 0xe0 ? 2
                          : c >= 0xe0 && c < 0xf0 ? 3
                          : c >= 0xf0 && c < 0xf5 ? 4
                                                  : 0;
    bool fine = n > 0 && i + n <= s.size();
    for (std::size_t k = 1; fine && k < n; ++k) fine = (static_cast<unsigned char>(s[i + k]) & 0xc0u) == 0x80;
    if (fine && n > 2) {
      const auto d = static_cast<unsigned char>(s[i + 1]);
      fine = !(c == 0xe0 && d < 0xa0) && !(c == 0xed && d >= 0xa0) && !(c == 0xf0 && d < 0x90) &&
             !(c == 0xf4 && d >= 0x90);
    }
    out += fine ? s.substr(i, n) : std::string_view("\xef\xbf\xbd");
    i += fine ? n : 1;
  }
  return out;
}

// Fit for a line of JSON: members without a value left out, numbers that are none null, text valid.
tree tidy(const tree& t) {
  if (t.is_real() && !std::isfinite(t.real())) return nullptr;
  if (t.is_string()) return as_utf8(t.string());
  if (t.is_array()) {
    tree::array_type a;
    for (const auto& e : t.array()) a.push_back(tidy(e));
    return a;
  }
  if (t.is_object()) {
    tree::object_type o;
    for (const auto& [name, v] : t.object())
      if (!v.is_null()) o.emplace_back(name, tidy(v));
    return o;
  }
  return t;
}

std::string line_of(const tree& t) { return io::json::dump(tidy(t)) + "\n"; }

template <class Event>
tree named(std::string_view name, const Event& e) {
  tree::object_type o{{"event", name}};
  const tree fields = to_tree(e);
  for (const auto& m : fields.object()) o.push_back(m);
  return o;
}

std::string table_line(const std::vector<std::pair<std::string, tree>>& leaves, bool header) {
  std::string s;
  bool first = true;
  for (const auto& [key, v] : leaves) {
    if (!first) s += ',';
    first = false;
    if (header)
      s += key;
    else if (v.is_string())
      s += v.string();
    else if (!v.is_null() && !(v.is_real() && !std::isfinite(v.real())))
      s += io::json::dump(v);
  }
  return s + "\n";
}

}  // namespace

struct metric_files::files {
  io::growing_file metrics, table, tensorboard, events, samples;
  std::int64_t phase, step;
};

metric_files::metric_files(const io::file_path& directory, const metric_files_state& s)
    : files_(new files{{directory.text, "metrics.jsonl", s.metrics},
                       {directory.text, "metrics.csv", s.table},
                       {directory.text, "events.out.tfevents.0.ql", s.tensorboard},
                       {directory.text, "events.jsonl", s.events},
                       {directory.text, "samples.jsonl", s.samples},
                       s.phase,
                       s.step}) {
  try {
    if (s.tensorboard == 0) files_->tensorboard.append(io::tensorboard::version_record(now()));
    if (s.table == 0) files_->table.append(table_line(io::flatten(to_tree(step_finished{})), true));
  } catch (...) {
    delete files_;
    throw;
  }
}

metric_files::~metric_files() { delete files_; }

void metric_files::operator()(const step_finished& e) {
  auto& f = *files_;
  if (e.phase < f.phase || e.step <= f.step)
    throw argument_error("metric_files: step: expected one after phase " + std::to_string(f.phase) + ", step " +
                         std::to_string(f.step) + ", got phase " + std::to_string(e.phase) + ", step " +
                         std::to_string(e.step));
  const tree row = to_tree(e);
  const auto leaves = io::flatten(row);
  std::vector<std::pair<std::string, float>> scalars;
  for (const auto& [key, v] : leaves) {
    if (!v.is_number() || key == "step" || key == "time.wall") continue;
    scalars.emplace_back(key.starts_with("time.") ? "time/" + key.substr(5) : e.stage + "/" + key,
                         static_cast<float>(v.real()));
  }
  const std::uint64_t metrics = f.metrics.size(), table = f.table.size();
  try {
    f.metrics.append(line_of(row));
    f.table.append(table_line(leaves, false));
    f.tensorboard.append(io::tensorboard::scalars_record(e.time.wall, e.step, scalars));
  } catch (...) {
    f.metrics.cut(metrics), f.table.cut(table);
    throw;
  }
  f.phase = e.phase, f.step = e.step;
}

void metric_files::operator()(const phase_started& e) { files_->events.append(line_of(named("phase_started", e))); }

void metric_files::operator()(const validation_finished& e) {
  std::vector<std::pair<std::string, float>> scalars{{e.set + "/accuracy", static_cast<float>(e.accuracy)}};
  for (const auto& l : e.by_length)
    scalars.emplace_back(e.set + "/accuracy_" + std::to_string(l.length), static_cast<float>(l.accuracy));
  const std::uint64_t events = files_->events.size();
  files_->events.append(line_of(named("validation_finished", e)));
  try {
    files_->tensorboard.append(io::tensorboard::scalars_record(now(), e.step, scalars));
  } catch (...) {
    files_->events.cut(events);
    throw;
  }
}

void metric_files::operator()(const scoring_finished& e) {
  files_->events.append(line_of(named("scoring_finished", e)));
}

void metric_files::operator()(const sample_logged& e) {
  tree::object_type o = tidy(to_tree(e)).object();
  std::erase_if(o, [](const auto& m) {
    return (m.second.is_array() && m.second.array().empty()) || (m.first == "document" && m.second.string().empty());
  });
  files_->samples.append(io::json::dump(o) + "\n");
}

metric_files_state metric_files::sync() {
  auto& f = *files_;
  for (auto* one : {&f.metrics, &f.table, &f.tensorboard, &f.events, &f.samples}) one->sync();
  return {f.metrics.size(), f.table.size(), f.tensorboard.size(), f.events.size(), f.samples.size(), f.phase, f.step};
}

// ---- run_log

run_log::run_log(const io::file_path& directory) : path_(directory.text + "/log.jsonl") {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor_ < 0) throw io::file_error(path_ + ": cannot open: " + std::strerror(errno));
}
run_log::~run_log() { ::close(descriptor_); }

namespace {
// A log that cannot be written is no reason to stop a run.
template <class Event>
void log(int fd, std::string_view name, const Event& e) {
  tree::object_type o{{"wall", now()}};
  const tree fields = named(name, e);
  for (const auto& m : fields.object()) o.push_back(m);
  const std::string line = line_of(o);
  [[maybe_unused]] const ssize_t n = ::write(fd, line.data(), line.size());
}
}  // namespace

void run_log::operator()(const run_started& e) { log(descriptor_, "run_started", e); }
void run_log::operator()(const phase_started& e) { log(descriptor_, "phase_started", e); }
void run_log::operator()(const validation_finished& e) { log(descriptor_, "validation_finished", e); }
void run_log::operator()(const scoring_finished& e) { log(descriptor_, "scoring_finished", e); }
void run_log::operator()(const checkpoint_saved& e) { log(descriptor_, "checkpoint_saved", e); }
void run_log::operator()(const warning& e) { log(descriptor_, "warning", e); }
void run_log::operator()(const run_finished& e) { log(descriptor_, "run_finished", e); }

}  // namespace ql
