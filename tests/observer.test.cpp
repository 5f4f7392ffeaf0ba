// SPDX-License-Identifier: Apache-2.0
#include <ql/observer.hpp>

#include <ql/io/json.hpp>

#include "io/folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <sstream>

namespace {

namespace fs = std::filesystem;
using ql::metric_files;
using ql::step_finished;
using ql::test::bytes_of;

step_finished row(std::int64_t step, std::int64_t phase = 0) {
  step_finished e;
  e.phase = phase, e.step = step;
  e.reward_mean = 0.125 * static_cast<double>(step), e.accuracy = 0.5;
  e.groups_mixed = 3;
  e.learning_rate = 3e-4;
  e.tokens_generated = 1000 + step;
  e.time.total = 1.5, e.time.wall = 1e9 + static_cast<double>(step);
  return e;
}

ql::validation_finished validation(std::int64_t step) {
  ql::validation_finished v;
  v.step = step, v.accuracy = 0.5, v.low = 0.4, v.high = 0.6, v.items = 100;
  v.by_length = {{128, 0.9, 0.8, 0.95, 50}, {256, 0.1, 0.05, 0.2, 50}};
  return v;
}

std::vector<std::string> lines(const fs::path& path) {
  std::istringstream in(bytes_of(path));
  std::vector<std::string> out;
  for (std::string line; std::getline(in, line);) out.push_back(line);
  return out;
}

// ---- a reader of event files that shares nothing with the writer

std::uint32_t crc32c_bitwise(std::string_view s) {
  std::uint32_t c = 0xffffffffu;
  for (const char b : s) {
    c ^= static_cast<unsigned char>(b);
    for (int k = 0; k < 8; ++k) c = c % 2 == 1 ? c / 2 ^ 0x82f63b78u : c / 2;
  }
  return c ^ 0xffffffffu;
}

struct event {
  double wall = 0;
  std::int64_t step = 0;
  std::string version;
  std::vector<std::pair<std::string, float>> scalars;
};

struct proto {
  std::string_view s;
  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
      const auto b = static_cast<unsigned char>(s.at(0));
      s.remove_prefix(1);
      v |= std::uint64_t{b & 127u} << shift;
      if (b < 128) return v;
    }
  }
  template <class T>
  T fixed() {
    T v;
    std::memcpy(&v, s.substr(0, sizeof v).data(), sizeof v);
    s.remove_prefix(sizeof v);
    return v;
  }
  std::string_view bytes() {
    const auto n = varint();
    const auto b = s.substr(0, n);
    s.remove_prefix(n);
    return b;
  }
};

std::vector<event> read_events(const std::string& file) {
  std::vector<event> out;
  proto f{file};
  while (!f.s.empty()) {
    const std::string_view length_bytes = f.s.substr(0, 8);
    const auto length = f.fixed<std::uint64_t>();
    const auto check = [](std::string_view bytes, std::uint32_t masked) {
      const std::uint32_t c = crc32c_bitwise(bytes);
      EXPECT_EQ(masked, ((c >> 15) | (c << 17)) + 0xa282ead8u);
    };
    check(length_bytes, f.fixed<std::uint32_t>());
    proto e{f.s.substr(0, length)};
    f.s.remove_prefix(length);
    check(e.s, f.fixed<std::uint32_t>());
    event parsed;
    while (!e.s.empty()) {
      switch (e.varint()) {
        case 1 << 3 | 1: parsed.wall = e.fixed<double>(); break;
        case 2 << 3 | 0: parsed.step = static_cast<std::int64_t>(e.varint()); break;
        case 3 << 3 | 2: parsed.version = e.bytes(); break;
        case 5 << 3 | 2: {
          proto summary{e.bytes()};
          while (!summary.s.empty()) {
            EXPECT_EQ(summary.varint(), 1u << 3 | 2u);
            proto value{summary.bytes()};
            EXPECT_EQ(value.varint(), 1u << 3 | 2u);
            const std::string tag(value.bytes());
            EXPECT_EQ(value.varint(), 2u << 3 | 5u);
            parsed.scalars.emplace_back(tag, value.fixed<float>());
            EXPECT_TRUE(value.s.empty());
          }
          break;
        }
        default: ADD_FAILURE() << "an unknown field"; return out;
      }
    }
    out.push_back(parsed);
  }
  return out;
}

TEST(MetricFiles, ARowAStepInThreeFormats) {
  const ql::test::folder f;
  metric_files files(f.path());
  files(row(1)), files(row(2));
  files(validation(2));
  files.sync();
  const auto json = lines(f / "metrics.jsonl");
  ASSERT_EQ(json.size(), 2u);
  const auto first = ql::io::json::parse(json[0]);
  EXPECT_EQ(first.at("step").integer(), 1);
  EXPECT_EQ(first.at("reward_mean").real(), 0.125);
  EXPECT_EQ(first.at("time").at("total").real(), 1.5);
  EXPECT_EQ(first.find("kl"), nullptr);  // what is not there is not a zero
  const auto csv = lines(f / "metrics.csv");
  ASSERT_EQ(csv.size(), 3u);
  EXPECT_TRUE(csv[0].starts_with("phase,step,stage,reward_mean,reward_std,score_mean,accuracy,"));
  EXPECT_TRUE(csv[0].ends_with(",time.memory_peak_bytes,time.wall"));
  EXPECT_TRUE(csv[1].starts_with("0,1,rl,0.125,,,0.5,"));
  for (const auto& line : csv)
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), std::count(csv[0].begin(), csv[0].end(), ','));

  const auto events = read_events(bytes_of(f / "events.out.tfevents.0.ql"));
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].version, "brain.Event:2");
  EXPECT_EQ(events[2].step, 2);
  EXPECT_EQ(events[2].wall, 1e9 + 2);
  const auto scalar = [](const event& e, const std::string& tag) {
    for (const auto& [name, x] : e.scalars)
      if (name == tag) return x;
    return -1.0f;
  };
  EXPECT_EQ(scalar(events[2], "rl/reward_mean"), 0.25f);
  EXPECT_EQ(scalar(events[2], "rl/tokens_generated"), 1002.0f);
  EXPECT_EQ(scalar(events[2], "time/total"), 1.5f);
  EXPECT_EQ(scalar(events[2], "rl/kl"), -1.0f);
  EXPECT_EQ(scalar(events[3], "validation/accuracy_256"), 0.1f);
  const auto told = ql::io::json::parse(lines(f / "events.jsonl").at(0));
  EXPECT_EQ(told.at("event").string(), "validation_finished");
  EXPECT_EQ(told.at("by_length").array()[0].at("high").real(), 0.95);
}

TEST(MetricFiles, GoldenBytesOfTensorBoard) {
  const ql::test::folder f;
  metric_files files(f.path());
  files.sync();
  const std::string header = bytes_of(f / "events.out.tfevents.0.ql");
  // length 24, its masked CRC32C, then 09 <time> 1a 0d "brain.Event:2"
  ASSERT_EQ(header.size(), 40u);
  EXPECT_EQ(header.substr(0, 12), std::string("\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22", 12));
  EXPECT_EQ(header.substr(12, 1), "\x09");
  EXPECT_EQ(header.substr(21, 15),
            "\x1a\x0d"
            "brain.Event:2");
}

TEST(MetricFiles, AResumedRunsFilesAreAnUndisturbedRuns) {
  const ql::test::folder f;
  fs::create_directory(f / "a"), fs::create_directory(f / "b");
  const auto play = [](metric_files& files, std::int64_t first, std::int64_t last) {
    for (std::int64_t step = first; step <= last; ++step) {
      if (step == 4) files(ql::phase_started{.phase = 1, .step = 3, .stage = "rl", .name = "longer"});
      files(row(step, step >= 4));
      ql::sample_logged s;
      s.step = step, s.response = "r" + std::to_string(step);
      files(s);
      if (step % 2 == 0) files(ql::scoring_finished{.phase = 1, .step = step, .histogram = {1, 2}});
    }
  };
  {
    metric_files whole(f / "a");
    play(whole, 1, 6);
  }
  for (int kept = 0; kept <= 5; ++kept) {
    ql::metric_files_state state;
    {
      metric_files first(f / "b");
      play(first, 1, kept);
      if (kept > 0) state = first.sync();
      play(first, kept + 1, 5);  // after the checkpoint: lost with the process
    }
    {
      metric_files again(f / "b", state);
      play(again, kept + 1, 6);
    }
    for (const char* name : {"metrics.jsonl", "metrics.csv", "events.jsonl", "samples.jsonl"})
      EXPECT_EQ(bytes_of(f / "a" / name), bytes_of(f / "b" / name)) << name << " " << kept;
    const auto a = read_events(bytes_of(f / "a/events.out.tfevents.0.ql"));
    const auto b = read_events(bytes_of(f / "b/events.out.tfevents.0.ql"));
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 1; i < a.size(); ++i) EXPECT_EQ(a[i].scalars, b[i].scalars);
  }
}

TEST(MetricFiles, NoRowTwice) {
  const ql::test::folder f;
  metric_files files(f.path());
  files(row(3, 1));
  EXPECT_THROW(files(row(3, 1)), ql::argument_error);
  EXPECT_THROW(files(row(2, 1)), ql::argument_error);
  QL_EXPECT_MESSAGE(files(row(4, 0)), ql::argument_error, "expected one after phase 1, step 3, got phase 0, step 4");
  files(row(4, 2));
  const auto state = files.sync();
  EXPECT_EQ(state.step, 4);
  metric_files again(f.path(), state);
  EXPECT_THROW(again(row(4, 2)), ql::argument_error);
  fs::resize_file(f / "metrics.csv", 10);
  QL_EXPECT_MESSAGE(metric_files(f.path(), state), ql::io::file_error, "metrics.csv: 10 bytes, but the checkpoint");
}

TEST(MetricFiles, WhatIsNoNumberOrTextStaysValidJson) {
  const ql::test::folder f;
  metric_files files(f.path());
  auto e = row(1);
  e.gradient_norm = std::numeric_limits<double>::quiet_NaN();
  e.loss = std::numeric_limits<double>::infinity();
  files(e);
  ql::sample_logged s;
  s.response = "a\xff\xc3(\xed\xa0\x80 \xf0\x9f\x8d\x8e\n\"</script>";
  s.logp = {-0.5f, -0.25f};
  files(s);
  const auto parsed = ql::io::json::parse(lines(f / "metrics.jsonl").at(0));
  EXPECT_TRUE(parsed.at("gradient_norm").is_null());
  EXPECT_TRUE(parsed.at("loss").is_null());
  const auto sample = ql::io::json::parse(lines(f / "samples.jsonl").at(0));
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(sample.at("response").string(), "a" + bad + bad + "(" + bad + bad + bad + " \xf0\x9f\x8d\x8e\n\"</script>");
  EXPECT_EQ(sample.at("logp").array()[1].real(), -0.25);
  EXPECT_EQ(sample.find("ids"), nullptr);
  EXPECT_EQ(sample.find("judge"), nullptr);
}

TEST(MetricFiles, AFullDiskLeavesNoPartOfARow) {
  const ql::test::folder f;
  const auto old = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  {
    metric_files files(f.path());
    files(row(1)), files(row(2));
    const auto state = files.sync();
    // The next line of the first file does not fit by a few bytes.
    rlimit tight = before;
    tight.rlim_cur = state.metrics + 20;
    ::setrlimit(RLIMIT_FSIZE, &tight);
    EXPECT_THROW(files(row(3)), ql::io::disk_full_error);
    ::setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(files.sync(), state);
    files(row(3));
  }
  EXPECT_EQ(lines(f / "metrics.jsonl").size(), 3u);
  EXPECT_EQ(lines(f / "metrics.csv").size(), 4u);
  EXPECT_EQ(read_events(bytes_of(f / "events.out.tfevents.0.ql")).size(), 4u);
  std::signal(SIGXFSZ, old);
}

TEST(RunLog, KeepsEveryEventWithItsTime) {
  const ql::test::folder f;
  for (int i = 0; i < 2; ++i) {
    ql::run_log log(f.path());
    log(ql::run_started{.name = "demo", .directory = "run"});
    log(ql::warning{.what = "a \"batch\" was clamped", .step = 3});
    log(ql::run_finished{.reason = "interrupted", .step = 7});
  }
  const auto all = lines(f / "log.jsonl");
  ASSERT_EQ(all.size(), 6u);
  const auto w = ql::io::json::parse(all[4]);
  EXPECT_EQ(w.at("event").string(), "warning");
  EXPECT_EQ(w.at("what").string(), "a \"batch\" was clamped");
  EXPECT_GT(w.at("wall").real(), 1.6e9);
}

// ---- the list of observers

struct counting {
  int steps = 0, warnings = 0;
  void operator()(const step_finished&) { ++steps; }
  void operator()(const ql::warning&) { ++warnings; }
};
struct deaf {
  void operator()(int) {}
};
static_assert(ql::observer<counting> && ql::observer<metric_files> && ql::observer<ql::progress_line> &&
              ql::observer<ql::run_log> && !ql::observer<deaf> && !ql::observer<int>);
static_assert(ql::observers<counting>::wants<ql::warning> && !ql::observers<counting>::wants<ql::run_finished>);

TEST(Observers, EachGetsWhatItWantsInOrder) {
  counting a;
  std::vector<std::int64_t> seen;
  auto b = [&](const step_finished& e) { seen.push_back(e.step + a.steps); };
  const ql::observers both(a, b);
  static_assert(ql::observer<decltype(both)>);
  both(row(10)), both(row(20)), both(ql::warning{}), both(ql::run_finished{});
  EXPECT_EQ(a.steps, 2);
  EXPECT_EQ(a.warnings, 1);
  EXPECT_EQ(seen, (std::vector<std::int64_t>{11, 22}));
}

// ---- the line

struct captured {
  ql::test::folder f;
  int fd = ::open((f / "out").c_str(), O_RDWR | O_CREAT, 0600);
  ~captured() { ::close(fd); }
  std::string text() const { return bytes_of(f / "out"); }
};

void play(ql::progress_line& p) {
  p(ql::run_started{
      .name = "demo", .directory = "runs/demo", .total_steps = 3, .device = "cpu", .parameters = 115'000});
  p(ql::phase_started{.phase = 1, .stage = "rl", .name = "up to 256 tokens", .steps = 3, .pool = 512, .retained = 128});
  auto e = row(1, 1);
  e.time.total = 125, e.time.tokens_per_second = 18'200, e.entropy = 0.0412, e.length_mean = 21.25, e.kl = 0.01;
  p(e);
  p(validation(1));
  for (int i = 0; i <= 100; ++i) p(ql::scoring_progress{.done = i, .total = 100});
  p(ql::scoring_finished{.scored = 100, .retained = 25, .tokens = 1'234'567, .seconds = 3700});
  p(ql::checkpoint_saved{.step = 1, .name = "step_00000001", .bytes = 2'500'000, .best = true});
  p(ql::warning{.what = "evil \x1b[2Jtext\r"});
  p(ql::run_finished{.reason = "finished", .step = 3, .seconds = 95});
}

TEST(ProgressLine, PlainLinesWhereThereIsNoTerminal) {
  const captured c;
  ql::progress_line p({.descriptor = c.fd});
  play(p);
  const std::string expected =
      "demo, 115k parameters, cpu\nwrites to runs/demo\n"
      "phase 1 (rl): up to 256 tokens, 3 steps, 512 examples, 128 of them retained\n"
      "step 1/3  phase 1  reward 0.125  acc 50.0%  left 4m 10s  entropy 0.041  kl 0.0100  len 21.2  18.2k tok/s\n"
      "validation at step 1: 50.0% [40.0%, 60.0%] of 100  128: 90.0%  256: 10.0%\n";
  const std::string text = c.text();
  EXPECT_EQ(text.substr(0, expected.size()), expected);
  EXPECT_EQ(text.find('\x1b'), text.npos);
  EXPECT_EQ(text.find('\r'), text.npos);
  std::size_t scoring = 0;
  for (auto at = text.find("scoring "); at != text.npos; at = text.find("scoring ", at + 1)) ++scoring;
  EXPECT_EQ(scoring, 11u);  // every tenth
  EXPECT_NE(text.find("scored 100 examples, retained 25, 1.2M tokens, 1h 01m\n"), text.npos);
  EXPECT_NE(text.find("saved step_00000001, 2.5MB, the best so far\n"), text.npos);
  EXPECT_NE(text.find("finished at step 3 after 1m 35s\n"), text.npos);
}

TEST(ProgressLine, OfAPhaseWhereTheRunsLengthIsUnknown) {
  const captured c;
  ql::progress_line p({.descriptor = c.fd});
  p(ql::run_started{.name = "demo", .directory = "runs/demo"});
  const auto step = [&](std::int64_t phase, std::int64_t n, double seconds) {
    ql::step_finished e{.phase = phase, .step = n, .stage = "sft", .loss = 2.0};
    e.time.total = seconds;
    p(e);
  };
  p(ql::phase_started{.phase = 0, .stage = "sft", .steps = 1500});
  step(0, 100, 50);
  p(ql::phase_started{.phase = 1, .step = 100, .stage = "sft", .steps = 40});
  step(1, 110, 3);  // ten steps
  step(1, 150, 3);  // more than planned
  const std::string text = c.text();
  EXPECT_NE(text.find("\nstep 100  phase 0 100/1500  loss 2.0000  left 11m 40s\n"), text.npos) << text;
  EXPECT_NE(text.find("\nstep 110  phase 1 10/40  loss 2.0000  left 9s\n"), text.npos) << text;
  EXPECT_NE(text.find("\nstep 150  phase 1  loss 2.0000\n"), text.npos) << text;
}

TEST(ProgressLine, OneLineOnATerminalWithinItsWidth) {
  const captured c;
  ql::progress_line p({.descriptor = c.fd, .live = true, .colour = false, .width = 40});
  play(p);
  const std::string text = c.text();
  EXPECT_NE(text.find("\r\x1b[2Kscoring 57/100\r\x1b[2Kscoring 58/100"), text.npos);
  EXPECT_NE(text.find("step 1/3  phase 1  reward 0.125\r\x1b[2K"), text.npos);  // what fits into 39 columns
  EXPECT_EQ(text.find("\x1b[1m"), text.npos);
  EXPECT_EQ(text.find("\x1b[2J"), text.npos);  // foreign control characters
  EXPECT_NE(text.find("warning: evil  [2Jtext \n"), text.npos);
}

TEST(ProgressLine, ColoursWhereWantedUnlessNO_COLOR) {
  const captured a, b;
  ::unsetenv("NO_COLOR");
  ql::progress_line coloured({.descriptor = a.fd, .live = true});
  ::setenv("NO_COLOR", "1", 1);
  ql::progress_line not_coloured({.descriptor = b.fd, .live = true});
  ::unsetenv("NO_COLOR");
  play(coloured), play(not_coloured);
  EXPECT_NE(a.text().find("\x1b[33mwarning: "), std::string::npos);
  EXPECT_EQ(b.text().find("\x1b[33m"), std::string::npos);
}

}  // namespace
