// SPDX-License-Identifier: Apache-2.0
#include <ql/checkpoint.hpp>

#include "io/folder.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <numeric>
#include <set>

namespace {

namespace fs = std::filesystem;
using ql::checkpoint_reader;
using ql::checkpoint_store;
using ql::checkpoint_writer;
using ql::io::file_error;
using ql::io::format_error;

struct state {
  std::int64_t step = 0;
  std::vector<double> means;
  friend bool operator==(const state&, const state&) = default;
};

// What a run of `step` steps would save.
struct content {
  std::vector<float> weights;
  std::vector<ql::bf16> compute;
  std::string note;
  state s;

  explicit content(std::int64_t step = 0)
      : weights(1000), note(static_cast<std::size_t>(step % 7), 'n'), s{step, {0.5}} {
    std::iota(weights.begin(), weights.end(), static_cast<float>(step));
    for (std::size_t i = 0; i < 33; ++i) compute.emplace_back(static_cast<float>(i + 1));
  }
  void write(checkpoint_writer& out) const {
    const std::int64_t shape[] = {10, 100};
    out.array("weights/a.weight", weights, shape);
    out.value("state/run", s);
    out.array("weights/b", compute);
    out.text("state/note", note);
    out.text("recipe", "{\"lr\": 1}");
    out.array("weights/none", std::vector<std::int32_t>());
  }
  static content read(const checkpoint_reader& in) {
    content c;
    c.weights.assign(1000, 0);
    in.array("weights/a.weight", c.weights);
    c.compute.assign(33, ql::bf16());
    in.array("weights/b", c.compute);
    c.note = in.text("state/note");
    c.s = in.value<state>("state/run");
    return c;
  }
  friend bool operator==(const content&, const content&) = default;
};

std::string save(checkpoint_store& store, std::int64_t step) {
  return store.save(step, [&](checkpoint_writer& out) { content(step).write(out); });
}

TEST(Hash, IsThePolynomialItIsSaidToBe) {
  using ql::io::hash;
  EXPECT_EQ(hash("").text(), std::string(32, '0'));
  // hand calculation: words 0x61 and length 1, ((0x61 k) + 1) k modulo 2^61 - 1
  __extension__ using wide = unsigned __int128;
  const auto by_hand = [](std::vector<std::uint64_t> words, std::uint64_t k) {
    const wide p = (wide{1} << 61) - 1;
    wide h = 0;
    for (const auto w : words) h = (h + w) % p * (k % p) % p;
    return static_cast<std::uint64_t>(h);
  };
  const auto a = hash("a");
  EXPECT_EQ(a.first, by_hand({0x61, 1}, 0x9e3779b97f4a7c15u));
  EXPECT_EQ(a.second, by_hand({0x61, 1}, 0x6a09e667f3bcc908u));
  const auto eight = hash("abcdefgh");
  EXPECT_EQ(eight.first, by_hand({0x67666564636261, 0x68, 8}, 0x9e3779b97f4a7c15u));
  std::string text(1000, '\xff');
  const auto whole = hash(text);
  for (std::size_t cut = 0; cut <= 40; ++cut) {  // however it is cut
    ql::io::hasher h;
    h.update(std::string_view(text).substr(0, cut));
    h.update(std::string_view(text).substr(cut, 3));
    h.update(std::string_view(text).substr(cut + 3));
    EXPECT_EQ(h.finish(), whole) << cut;
  }
  std::set<std::string> seen{whole.text(), hash(text + '\0').text(), hash(text.substr(1)).text()};
  for (std::size_t i = 0; i < text.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      text[i] = static_cast<char>(text[i] ^ (1 << bit));
      seen.insert(hash(text).text());
      text[i] = static_cast<char>(text[i] ^ (1 << bit));
    }
  EXPECT_EQ(seen.size(), 8003u);
}

TEST(Checkpoint, ComesBackAsItWas) {
  const ql::test::folder f;
  checkpoint_store store(f / "c");
  EXPECT_FALSE(store.newest());
  EXPECT_EQ(save(store, 12), "step_00000012");
  const auto in = store.newest();
  ASSERT_TRUE(in);
  EXPECT_EQ(in->step(), 12);
  EXPECT_EQ(in->name(), "step_00000012");
  EXPECT_TRUE(content::read(*in) == content(12));
  EXPECT_EQ(in->text("recipe"), "{\"lr\": 1}");
  ASSERT_NE(in->find("weights/a.weight"), nullptr);
  EXPECT_EQ(in->find("weights/a.weight")->shape, (std::vector<std::int64_t>{10, 100}));
  EXPECT_EQ(in->find("weights/a.weight")->type, "f32");
  EXPECT_EQ(in->find("weights/b")->offset % 64, 0u);
  EXPECT_EQ(in->find("absent"), nullptr);
  const std::string file = ql::test::bytes_of(f / "c/step_00000012/weights.bin");
  EXPECT_EQ(std::memcmp(file.data(), content(12).weights.data(), 4000), 0);
  std::vector<float> wrong(999);
  std::vector<double> other(500);
  QL_EXPECT_MESSAGE(in->array("weights/a.weight", wrong), format_error, "has 4000 bytes, wanted are 3996");
  QL_EXPECT_MESSAGE(in->array("weights/a.weight", other), format_error, "is of type f32, wanted is f64");
  QL_EXPECT_MESSAGE(in->text("weights/b"), format_error, "is of type bf16, wanted is text");
  QL_EXPECT_MESSAGE(in->text("nothing"), format_error, "has no blob \"nothing\"");
  QL_EXPECT_MESSAGE(in->value<double>("state/run"), ql::archive_error, "saved as {i64,[f64]}, wanted as f64");
}

TEST(Checkpoint, KeepsTheNewestAndTheBest) {
  const ql::test::folder f;
  checkpoint_store store(f / "c");
  EXPECT_EQ(store.best(), "");
  store.set_best(save(store, 1));
  for (const int step : {2, 3, 4}) save(store, step);
  EXPECT_EQ(store.names(), (std::vector<std::string>{"step_00000001", "step_00000003", "step_00000004"}));
  EXPECT_EQ(store.best(), "step_00000001");
  EXPECT_EQ(store.open(store.best()).step(), 1);
  store.set_best("step_00000004");
  save(store, 5);
  EXPECT_EQ(store.names(), (std::vector<std::string>{"step_00000004", "step_00000005"}));
  EXPECT_EQ(save(store, 5), "step_00000005.1");  // again at the same step
  EXPECT_EQ(store.newest()->name(), "step_00000005.1");
  EXPECT_THROW(store.set_best("step_00000001"), ql::argument_error);
  EXPECT_THROW(store.set_best("../c"), ql::argument_error);
  EXPECT_THROW(store.open("best/.."), file_error);
}

TEST(Checkpoint, RefusesWhatItCannotSave) {
  const ql::test::folder f;
  checkpoint_store store(f / "c");
  save(store, 1);
  const auto with = [&](auto&& put) { store.save(2, [&](checkpoint_writer& out) { put(out); }); };
  for (const char* name : {"", "/a", "a/", "a//b", ".a", "a/..", "a b", "a\\b"})
    QL_EXPECT_MESSAGE(with([&](auto& out) { out.text(name, "x"); }), ql::argument_error, "the blob name");
  QL_EXPECT_MESSAGE(with([&](auto& out) { out.text("a", "x"), out.text("a", "y"); }), ql::argument_error, "put twice");
  const std::int64_t shape[] = {3};
  QL_EXPECT_MESSAGE(with([&](auto& out) { out.array("a", std::vector<float>(4), shape); }), ql::shape_error,
                    "expected a shape of 4 values, got (3)");
  int calls = 0;
  QL_EXPECT_MESSAGE(with([&](auto& out) { out.text("a", std::string(static_cast<std::size_t>(++calls), 'x')); }),
                    ql::argument_error, "other blobs than the first");
  EXPECT_THROW(store.save(-1, [](auto&) {}), ql::argument_error);
  EXPECT_THROW(with([](auto&) { throw std::bad_alloc(); }), std::bad_alloc);
  EXPECT_EQ(store.names(), (std::vector<std::string>{"step_00000001"}));
  EXPECT_EQ(std::distance(fs::directory_iterator(f / "c"), {}), 1);  // nothing is left beside it
  f.write("file", "");
  EXPECT_THROW(checkpoint_store(f / "file"), file_error);
  EXPECT_THROW(checkpoint_store(f / "c", {.keep = 0}), ql::argument_error);
}

// ---- damage

TEST(Checkpoint, EveryFlippedByteIsFoundAndTheOneBeforeUsed) {
  const ql::test::folder f;
  checkpoint_store store(f / "c");
  save(store, 1);
  save(store, 2);
  const fs::path newest = f / "c/step_00000002";
  std::size_t flips = 0;
  for (const auto& entry : fs::directory_iterator(newest)) {
    const std::string whole = ql::test::bytes_of(entry.path());
    const std::size_t stride = whole.size() > 3000 ? 11 : 1;
    for (std::size_t i = 0; i < whole.size(); i += stride, ++flips) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
      std::ofstream(entry.path(), std::ios::binary) << damaged;
      EXPECT_THROW(store.open("step_00000002"), ql::error) << entry.path() << " " << i;
    }
    for (std::size_t n = 0; n < whole.size(); n += whole.size() / 50 + 1) {
      std::ofstream(entry.path(), std::ios::binary) << whole.substr(0, n);
      EXPECT_THROW(store.open("step_00000002"), ql::error) << entry.path() << " cut to " << n;
    }
    std::ofstream(entry.path(), std::ios::binary) << whole << '\0';
    EXPECT_THROW(store.open("step_00000002"), ql::error);
    fs::remove(entry.path());
    EXPECT_THROW(store.open("step_00000002"), ql::error);
    std::ofstream(entry.path(), std::ios::binary) << whole;
    EXPECT_EQ(store.open("step_00000002").step(), 2);
  }
  EXPECT_GT(flips, 1500u);

  std::string weights = ql::test::bytes_of(newest / "weights.bin");
  weights[100] = static_cast<char>(weights[100] ^ 4);
  std::ofstream(newest / "weights.bin", std::ios::binary) << weights;
  std::vector<ql::checkpoint_damage> damage;
  const auto in = store.newest(&damage);
  ASSERT_TRUE(in);
  EXPECT_TRUE(content::read(*in) == content(1));
  ASSERT_EQ(damage.size(), 1u);
  EXPECT_EQ(damage[0].name, "step_00000002");
  EXPECT_NE(damage[0].reason.find("\"weights/a.weight\" does not have the hash"), std::string::npos);
  EXPECT_TRUE(fs::exists(f / "c/damaged_step_00000002"));
  EXPECT_EQ(save(store, 2), "step_00000002");  // and the run goes on
  EXPECT_TRUE(content::read(*store.newest()) == content(2));
}

TEST(Checkpoint, ReasonsAreNamed) {
  const ql::test::folder f;
  checkpoint_store store(f / "c");
  save(store, 1);
  const fs::path c = f / "c/step_00000001";
  const std::string weights = ql::test::bytes_of(c / "weights.bin"), manifest = ql::test::bytes_of(c / "manifest.json");
  fs::resize_file(c / "weights.bin", 100);
  QL_EXPECT_MESSAGE(store.open("step_00000001"), format_error,
                    "weights.bin: 100 bytes, its manifest says 4160; it was cut");
  fs::remove(c / "weights.bin");
  QL_EXPECT_MESSAGE(store.open("step_00000001"), file_error, "weights.bin: cannot open: No such file");
  fs::create_symlink("/dev/zero", c / "weights.bin");
  EXPECT_THROW(store.open("step_00000001"), file_error);
  fs::remove(c / "weights.bin");
  std::ofstream(c / "weights.bin", std::ios::binary) << weights;
  std::ofstream(c / "manifest.json") << manifest.substr(0, 40);
  QL_EXPECT_MESSAGE(store.newest(), format_error, "none of its checkpoints is complete:\n  step_00000001: ");
  // A manifest that was made up: a path in a file's name, sizes that overflow.
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"\"weights.bin\"", "\"../weights.bin\""},
                                                        {"4000", "9223372036854775807"},
                                                        {"\"f32\"", "\"f3\""},
                                                        {"\"offset\": 0", "\"offset\": 64"},
                                                        {"\"version\": 1", "\"version\": 2"},
                                                        {"\"step\"", "\"stop\""}}) {
    std::string body = manifest.substr(0, manifest.rfind(",\n \"hash\"")) + "\n}";
    body.replace(body.find(from), from.size(), to);
    const std::string hash = ql::io::hash(body).text();
    std::ofstream(c / "manifest.json") << body.substr(0, body.size() - 2) << ",\n \"hash\": \"" << hash << "\"\n}\n";
    const std::string message = ql::test::message_of<ql::error>([&] { store.open("step_00000001"); });
    EXPECT_NE(message, "nothing thrown") << to;
    EXPECT_EQ(message.find("does not fit"), std::string::npos) << message;
  }
}

// ---- faults of the disk: a hook counts the calls, fails or dies at the n-th

int calls_made, fail_at, fail_with;
bool die;
std::vector<std::string>* called;

int hook(std::string_view call, std::string_view path) {
  if (called != nullptr) called->push_back(std::string(call) + " " + fs::path(path).filename().string());
  if (++calls_made != fail_at) return call == "fsync" ? -1 : 0;  // nobody pulls the plug here
  if (die) ::_exit(9);
  return fail_with;
}

// Saves without waiting for the disk.
std::string save_quickly(checkpoint_store& store, std::int64_t step) {
  fail_at = 0;
  ql::detail::set_disk_hook(hook);
  auto name = save(store, step);
  ql::detail::set_disk_hook(nullptr);
  return name;
}

struct hooked {
  explicit hooked(int at, int with, bool dying = false) {
    calls_made = 0, fail_at = at, fail_with = with, die = dying;
    ql::detail::set_disk_hook(hook);
  }
  ~hooked() { ql::detail::set_disk_hook(nullptr), called = nullptr; }
};

std::vector<std::string> calls_of_a_save() {
  const ql::test::folder f;
  checkpoint_store store(f / "c");
  for (const int step : {1, 2}) save_quickly(store, step);
  std::vector<std::string> all;
  const hooked h(0, 0);
  called = &all;
  save(store, 3);
  return all;
}

TEST(Checkpoint, StepsOfASave) {
  const auto all = calls_of_a_save();
  const auto at = [&](const std::string& call) { return std::find(all.begin(), all.end(), call) - all.begin(); };
  const auto end = static_cast<std::ptrdiff_t>(all.size());
  ASSERT_LT(at("rename step_00000003"), end);
  EXPECT_EQ(at("mkdir writing_3"), 0);
  for (const char* file : {"weights.bin", "state.bin", "recipe.bin"}) {
    EXPECT_LT(at(std::string("write ") + file), at(std::string("fsync ") + file));
    EXPECT_LT(at(std::string("fsync ") + file), at("write manifest.json"));
  }
  EXPECT_LT(at("fsync manifest.json"), at("fsync writing_3"));
  EXPECT_LT(at("fsync writing_3"), at("rename step_00000003"));
  EXPECT_LT(at("rename step_00000003"), at("fsync c"));
  EXPECT_LT(at("fsync c"), at("rename writing_step_00000001"));
}

TEST(Checkpoint, KilledAtEveryStepLeavesAWholeOne) {
  const auto all = calls_of_a_save();
  int third = 0;
  for (int n = 1; n <= static_cast<int>(all.size()); ++n) {
    const ql::test::folder f;
    {
      checkpoint_store store(f / "c");
      for (const int step : {1, 2}) save_quickly(store, step);
    }
    const pid_t child = ::fork();
    if (child == 0) {
      const hooked h(n, 0, true);
      checkpoint_store store(f / "c");
      save(store, 3);
      ::_exit(1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(WEXITSTATUS(status), 9) << "the save has a call " << n << " to die at";
    checkpoint_store store(f / "c");
    std::vector<ql::checkpoint_damage> damage;
    const auto in = store.newest(&damage);
    ASSERT_TRUE(in);
    EXPECT_TRUE(damage.empty()) << all[static_cast<std::size_t>(n) - 1];
    EXPECT_TRUE(in->step() == 2 || in->step() == 3);
    third += in->step() == 3;
    EXPECT_TRUE(content::read(*in) == content(in->step()));
    save_quickly(store, 4);
    EXPECT_EQ(store.newest()->step(), 4);
    EXPECT_EQ(store.names().size(), 2u);
    EXPECT_EQ(std::distance(fs::directory_iterator(f / "c"), {}), 2) << "what the dead left is gone";
  }
  EXPECT_GE(third, 1);
}

TEST(Checkpoint, EveryFailingCallLeavesThePreviousOne) {
  const auto all = calls_of_a_save();
  for (const int code : {ENOSPC, EIO}) {
    for (int n = 1; n <= static_cast<int>(all.size()); ++n) {
      const ql::test::folder f;
      checkpoint_store store(f / "c");
      for (const int step : {1, 2}) save_quickly(store, step);
      bool threw = false;
      {
        const hooked h(n, code);
        try {
          save(store, 3);
        } catch (const ql::io::disk_full_error& e) {
          threw = true;
          EXPECT_NE(code, EIO);
          EXPECT_GT(e.missing_bytes(), 0u);
          EXPECT_EQ(e.directory(), (f / "c").string());
        } catch (const file_error& e) {
          threw = true;
          EXPECT_TRUE(code == EIO || all[static_cast<std::size_t>(n) - 1].starts_with("fsync")) << e.what();
        }
      }
      const auto in = store.newest();
      ASSERT_TRUE(in);
      EXPECT_TRUE(in->step() == 3 || (threw && in->step() == 2)) << n;
      EXPECT_TRUE(content::read(*in) == content(in->step()));
      save_quickly(store, 4);
      EXPECT_EQ(store.newest()->step(), 4);
    }
  }
}

TEST(Checkpoint, AFullDiskSaysHowMuchIsMissing) {
  const ql::test::folder f;
  checkpoint_store store(f / "c");
  save(store, 1);
  // Counted only: nothing of this size is ever made.
  const std::size_t huge = std::size_t{1} << 50;
  try {
    store.save(2, [&](checkpoint_writer& out) {
      out.array("weights/huge", std::span<const float>(static_cast<const float*>(nullptr), huge));
    });
    FAIL() << "a petabyte was written";
  } catch (const ql::io::disk_full_error& e) {
    EXPECT_GT(e.needed_bytes(), 4 * huge);
    EXPECT_LT(e.missing_bytes(), e.needed_bytes());
    EXPECT_GT(e.missing_bytes(), 2 * huge);
    EXPECT_NE(std::string(e.what()).find("bytes, " + std::to_string(e.missing_bytes()) + " are missing"),
              std::string::npos);
  }
  EXPECT_TRUE(content::read(*store.newest()) == content(1));
}

}  // namespace
