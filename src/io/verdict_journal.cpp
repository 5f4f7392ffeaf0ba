// SPDX-License-Identifier: Apache-2.0
#include <ql/io/json.hpp>
#include <ql/io/verdict_journal.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace ql::io {
namespace {

constexpr std::size_t largest_file = std::size_t{4} << 30;

[[noreturn]] void fail_errno(const std::string& path, const char* doing, int code) {
  throw file_error(path + ": cannot " + doing + ": " + std::strerror(code));
}

void sync_folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && ::fsync(fd) == 0;
  const int code = errno;
  if (fd >= 0) ::close(fd);
  if (!synced) fail_errno(folder, "sync", code);
}

}  // namespace

sha256_digest verdict_key(std::string_view model, std::string_view prompt, std::string_view question,
                          std::span<const std::string_view> gold, std::string_view prediction) {
  sha256 h;
  h.add_field(model).add_field(prompt).add_field(question).add_field(std::to_string(gold.size()));
  for (auto g : gold) h.add_field(g);
  return h.add_field(prediction).finish();
}

struct verdict_journal::state {
  std::string path;
  int descriptor = -1;
  std::uint64_t good = 0;  // bytes of whole, synced lines
  bool broken = false;
  std::map<sha256_digest, bool> verdicts;
  std::set<std::pair<std::uint64_t, std::uint64_t>> dropped;

  state() = default;
  ~state() {
    if (descriptor >= 0) ::close(descriptor);
  }
  state(const state&) = delete;
  state& operator=(const state&) = delete;

  // Takes in one line; false where it is no record.
  bool take(std::string_view line) {
    try {
      const auto v = json::parse(line, path, {.bytes = 1 << 16, .depth = 4});
      if (const auto* key = v.find("key")) {
        sha256_digest d{};
        const auto& said = v.at("verdict").string();
        if (!from_hex(key->string(), d) || (said != "yes" && said != "no")) return false;
        verdicts.emplace(d, said == "yes");
        return true;
      }
      const auto step = v.at("step").integer(), group = v.at("drop").integer();
      if (step < 0 || group < 0) return false;
      dropped.emplace(static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(group));
      return true;
    } catch (const format_error&) {
      return false;
    }
  }

  void open() {
    descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (descriptor < 0)
      fail_errno(path, errno == ELOOP ? "open the journal, which is a symbolic link" : "open the journal", errno);
    struct stat s{};
    if (::fstat(descriptor, &s) != 0) fail_errno(path, "examine", errno);
    if (!S_ISREG(s.st_mode)) throw file_error(path + ": the journal is not a regular file");
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) throw file_error(path + ": another process uses this journal");
      fail_errno(path, "lock", errno);
    }
    if (::fstat(descriptor, &s) != 0) fail_errno(path, "examine", errno);
    const auto size = static_cast<std::size_t>(s.st_size);
    if (size > largest_file) throw format_error(path + ": the journal is larger than 4 GiB; move it away");
    std::vector<char> block(1 << 20);
    std::string line;
    std::size_t at = 0, number = 0;
    bool too_long = false;
    while (at < size) {
      const ssize_t n = ::pread(descriptor, block.data(), block.size(), static_cast<off_t>(at));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_errno(path, "read", errno);
      if (n == 0) break;
      for (ssize_t i = 0; i < n; ++i) {
        const char c = block[static_cast<std::size_t>(i)];
        if (c != '\n') {
          too_long = too_long || line.size() > (1 << 16);
          if (!too_long) line += c;
          continue;
        }
        ++number;
        const std::size_t end = at + static_cast<std::size_t>(i) + 1;
        if (too_long || !take(line)) {
          if (end == size) break;  // the last line: a crash may have left anything there
          throw format_error(
              path + ":" + std::to_string(number) +
              ": not a record of a verdict; the file is damaged. Remove the line: its verdict is asked again");
        }
        good = end;
        line.clear();
      }
      at += static_cast<std::size_t>(n);
    }
    if (good < size && ::ftruncate(descriptor, static_cast<off_t>(good)) != 0) fail_errno(path, "cut", errno);
    if (::fsync(descriptor) != 0) fail_errno(path, "sync", errno);
    sync_folder_of(path);
  }

  // All of text or nothing, on disk when it returns.
  void keep(std::string_view text) {
    if (descriptor < 0) return;
    if (broken) throw file_error(path + ": the journal could not be written before; start again");
    std::size_t done = 0;
    int code = 0;
    while (done < text.size() && code == 0) {
      const ssize_t n = ::write(descriptor, text.data() + done, text.size() - done);
      if (n >= 0) {
        done += static_cast<std::size_t>(n);
      } else if (errno != EINTR) {
        code = errno;
      }
    }
    if (code != 0) {
      broken = ::ftruncate(descriptor, static_cast<off_t>(good)) != 0;
      fail_errno(path, "write", code);
    }
    if (::fdatasync(descriptor) != 0) {
      code = errno;
      broken = true;  // what the system still holds of it is unknown
      fail_errno(path, "sync", code);
    }
    good += text.size();
  }
};

verdict_journal::verdict_journal() : s_(new state) {}
verdict_journal::verdict_journal(const file_path& path) : verdict_journal() {
  s_->path = path.text;
  if (!path.empty()) s_->open();
}
verdict_journal::~verdict_journal() { delete s_; }
verdict_journal::verdict_journal(verdict_journal&& o) noexcept : s_(std::exchange(o.s_, nullptr)) {}
verdict_journal& verdict_journal::operator=(verdict_journal&& o) noexcept {
  std::swap(s_, o.s_);
  return *this;
}

std::optional<bool> verdict_journal::find(const sha256_digest& key) const {
  const auto at = s_->verdicts.find(key);
  if (at == s_->verdicts.end()) return std::nullopt;
  return at->second;
}
std::size_t verdict_journal::size() const { return s_->verdicts.size(); }

void verdict_journal::append(std::span<const verdict> verdicts, std::string_view model, std::string_view prompt) {
  std::map<sha256_digest, bool> fresh;
  std::string text;
  for (const auto& v : verdicts) {
    if (s_->verdicts.contains(v.key) || !fresh.emplace(v.key, v.yes).second) continue;
    text += "{\"key\": \"" + hex(v.key) + "\", \"verdict\": \"" + (v.yes ? "yes" : "no") +
            "\", \"model\": " + json::dump_string(model, true) + ", \"template\": " + json::dump_string(prompt, true) +
            "}\n";
  }
  if (fresh.empty()) return;
  s_->keep(text);
  s_->verdicts.merge(fresh);
}

void verdict_journal::append_drop(std::uint64_t step, std::uint64_t group, std::string_view why) {
  if (dropped(step, group)) return;
  s_->keep("{\"step\": " + std::to_string(step) + ", \"drop\": " + std::to_string(group) +
           ", \"why\": " + json::dump_string(why, true) + "}\n");
  s_->dropped.emplace(step, group);
}
bool verdict_journal::dropped(std::uint64_t step, std::uint64_t group) const {
  return s_->dropped.contains({step, group});
}
std::size_t verdict_journal::drops() const { return s_->dropped.size(); }

}  // namespace ql::io
