// SPDX-License-Identifier: Apache-2.0
#include <ql/observer.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace ql {
namespace {

template <class... A>
std::string text(const char* format, A... a) {
  char b[160];
  std::snprintf(b, sizeof b, format, a...);
  return b;
}

long long ll(std::int64_t n) { return static_cast<long long>(n); }

// 950, 18.2k, 3.1M
std::string amount(double n) {
  if (n < 999.5) return text("%.0f", n);
  if (n < 999'500) return text(n < 99'950 ? "%.1fk" : "%.0fk", n / 1e3);
  return text(n < 99.95e6 ? "%.1fM" : "%.0fM", n / 1e6);
}

// 8s, 4m 10s, 3h 05m, 2d 4h
std::string duration(double seconds) {
  const auto s = static_cast<long long>(seconds + 0.5);
  if (s < 60) return text("%llds", s);
  if (s < 3600) return text("%lldm %02llds", s / 60, s % 60);
  if (s < 86400) return text("%lldh %02lldm", s / 3600, s / 60 % 60);
  return text("%lldd %lldh", s / 86400, s / 3600 % 24);
}

std::string percent(double share) { return text("%.1f%%", 100 * share); }

// Control characters of foreign text must not reach a terminal.
std::string plain(std::string_view s) {
  std::string out;
  for (const char c : s) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  return out;
}

constexpr const char *bold = "1", *yellow = "33", *dim = "2";

}  // namespace

progress_line::progress_line(const progress_options& o) : options_(o) {
  live_ = o.live.value_or(::isatty(o.descriptor) != 0);
  const char* no_colour = std::getenv("NO_COLOR");
  colour_ = o.colour.value_or(live_ && (no_colour == nullptr || *no_colour == '\0'));
}

int progress_line::columns() const {
  if (options_.width > 0) return options_.width;
  winsize w{};
  if (live_ && ::ioctl(options_.descriptor, TIOCGWINSZ, &w) == 0 && w.ws_col > 0) return w.ws_col;
  return live_ ? 80 : 0;
}

std::string progress_line::coloured(std::string_view s, const char* code) const {
  return colour_ ? std::string("\x1b[") + code + "m" + std::string(s) + "\x1b[0m" : std::string(s);
}

// A passing text is overwritten by the next one where lines are live; others stay.
void progress_line::print(const std::string& s, bool passing) {
  std::string out;
  if (open_) out += "\r\x1b[2K";
  out += s;
  open_ = live_ && passing;
  if (!open_) out += '\n';
  for (std::size_t done = 0; done < out.size();) {
    const ssize_t n = ::write(options_.descriptor, out.data() + done, out.size() - done);
    if (n <= 0) return;  // nobody reads: a run goes on
    done += static_cast<std::size_t>(n);
  }
}

void progress_line::operator()(const run_started& e) {
  total_ = e.total_steps, last_step_ = e.resumed_at.value_or(0);
  std::string s = plain(e.name);
  if (e.parameters > 0) s += ", " + amount(static_cast<double>(e.parameters)) + " parameters";
  if (!e.device.empty()) s += ", " + plain(e.device);
  if (e.resumed_at) s += text(", continued from step %lld", ll(*e.resumed_at));
  print(coloured(s, bold) + "\n" + coloured("writes to " + plain(e.directory), dim), false);
}

void progress_line::operator()(const phase_started& e) {
  phase_ = e.phase, phase_first_ = e.step, phase_steps_ = e.steps;
  if (total_ == 0) done_here_ = 0, seconds_ = 0, last_step_ = e.step;  // the time left is the phase's
  std::string s = text("phase %lld", ll(e.phase)) + (e.stage.empty() ? "" : " (" + plain(e.stage) + ")");
  if (!e.name.empty()) s += ": " + plain(e.name);
  if (e.steps > 0) s += text(", %lld steps", ll(e.steps));
  if (e.pool > 0) s += text(", %lld examples", ll(e.pool));
  if (e.retained > 0) s += text(", %lld of them retained", ll(e.retained));
  print(coloured(s, bold), false);
}

void progress_line::operator()(const step_finished& e) {
  done_here_ += e.step - last_step_, last_step_ = e.step;  // a row may stand for several steps
  seconds_ += e.time.total;
  // The most important first: what does not fit is left out from the end.
  std::vector<std::string> parts;
  parts.push_back(total_ > 0 ? text("step %lld/%lld", ll(e.step), ll(total_)) : text("step %lld", ll(e.step)));
  // Where the length of a run is not known beforehand, that of its phase may be.
  const bool phase_known =
      total_ == 0 && e.phase == phase_ && phase_steps_ > 0 && e.step <= phase_first_ + phase_steps_;
  parts.push_back(text("phase %lld", ll(e.phase)) +
                  (phase_known ? text(" %lld/%lld", ll(e.step - phase_first_), ll(phase_steps_)) : ""));
  if (e.reward_mean) parts.push_back(text("reward %.3f", *e.reward_mean));
  if (e.accuracy) parts.push_back("acc " + percent(*e.accuracy));
  if (!e.reward_mean && e.loss) parts.push_back(text("loss %.4f", *e.loss));
  const std::int64_t end = phase_known ? phase_first_ + phase_steps_ : total_;
  if (end > e.step && done_here_ > 0)
    parts.push_back("left " + duration(seconds_ / static_cast<double>(done_here_) * static_cast<double>(end - e.step)));
  if (e.entropy) parts.push_back(text("entropy %.3f", *e.entropy));
  if (e.kl) parts.push_back(text("kl %.4f", *e.kl));
  if (e.length_mean) parts.push_back(text("len %.1f", *e.length_mean));
  if (e.time.tokens_per_second > 0) parts.push_back(amount(e.time.tokens_per_second) + " tok/s");
  if (e.truncated && *e.truncated > 0) parts.push_back("cut " + percent(*e.truncated));
  if (e.groups_kept && e.groups_mixed) parts.push_back(text("kept %lld", ll(*e.groups_kept)));
  if (e.mismatch_found > 0) parts.push_back(text("MISMATCH %lld", ll(e.mismatch_found)));
  if (e.skipped) parts.push_back("no update");
  const auto width = static_cast<std::size_t>(columns());
  std::string s;
  for (const auto& p : parts) {
    if (width > 0 && !s.empty() && s.size() + 2 + p.size() > width - 1) break;
    s += (s.empty() ? "" : "  ") + p;
  }
  if (width > 0 && s.size() > width - 1) s.resize(width - 1);
  print(s, true);
}

void progress_line::operator()(const validation_finished& e) {
  std::string s = plain(e.set) + (e.moment == "before" ? " before training" : text(" at step %lld", ll(e.step))) +
                  ": " + percent(e.accuracy) + " [" + percent(e.low) + ", " + percent(e.high) + "]" +
                  text(" of %lld", ll(e.items));
  for (const auto& l : e.by_length) s += text("  %lld: ", ll(l.length)) + percent(l.accuracy);
  print(s, false);
}

void progress_line::operator()(const scoring_progress& e) {
  if (e.total <= 0) return;
  const std::int64_t tenth = 10 * e.done / e.total;
  if (!live_ && tenth == shown_tenth_ && e.done != e.total) return;
  shown_tenth_ = e.done == e.total ? -1 : tenth;
  print(plain(e.what) + text(" %lld/%lld", ll(e.done), ll(e.total)), true);
}

void progress_line::operator()(const scoring_finished& e) {
  print(text("scored %lld examples, retained %lld", ll(e.scored), ll(e.retained)) + ", " +
            amount(static_cast<double>(e.tokens)) + " tokens, " + duration(e.seconds),
        false);
}

void progress_line::operator()(const checkpoint_saved& e) {
  print(coloured("saved " + plain(e.name) + (e.bytes > 0 ? ", " + amount(static_cast<double>(e.bytes)) + "B" : "") +
                     (e.best ? ", the best so far" : ""),
                 dim),
        false);
}

void progress_line::operator()(const warning& e) { print(coloured("warning: " + plain(e.what), yellow), false); }

void progress_line::operator()(const run_finished& e) {
  std::string s = plain(e.reason) + text(" at step %lld", ll(e.step));
  if (e.seconds > 0) s += " after " + duration(e.seconds);
  if (!e.detail.empty()) s += ": " + plain(e.detail);
  print(coloured(s, bold), false);
}

}  // namespace ql
