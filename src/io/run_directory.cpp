// SPDX-License-Identifier: Apache-2.0
#include <ql/io/run_directory.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace ql::io {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view recipe_name = "/recipe.json", lock_name = "/lock";

[[noreturn]] void fail_errno(const std::string& path, const char* doing, int code) {
  throw file_error(path + ": cannot " + doing + ": " + std::strerror(code));
}

bool below(const std::string& key, const std::string& prefix) {
  return key.starts_with(prefix) &&
         (key.size() == prefix.size() || key[prefix.size()] == '.' || key[prefix.size()] == '[');
}

void make(const std::string& path) {
  std::error_code code;
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty()) fs::create_directories(parent, code);
  if (::mkdir(path.c_str(), 0700) == 0) return;
  if (errno != EEXIST) fail_errno(path, "make the run directory", errno);
  struct stat s{};
  if (::stat(path.c_str(), &s) != 0) fail_errno(path, "examine", errno);
  if (!S_ISDIR(s.st_mode)) throw file_error(path + ": a run directory is wanted, but a file is in its place");
  struct stat up{};
  const std::string above = parent.empty() ? "." : parent.string();
  if (s.st_uid != ::geteuid() && ::stat(above.c_str(), &up) == 0 && (up.st_mode & S_IWOTH) != 0)
    throw file_error(path +
                     ": it belongs to another user, in a folder where everybody may write; choose another place");
}

}  // namespace

run_directory::run_directory(const file_path& path, const json::value& recipe,
                             const std::vector<std::string>& may_differ)
    : path_(path.text) {
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  if (path_.empty()) throw file_error("a run directory needs a name");
  make(path_);
  const std::string lock = path_ + std::string(lock_name);
  lock_ = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock_ < 0) fail_errno(lock, "write to the run directory", errno);
  try {
    if (::flock(lock_, LOCK_EX | LOCK_NB) != 0)
      throw file_error(path_ + ": another process is using this run directory; wait for it or choose another one");
    const std::string file = path_ + std::string(recipe_name);
    std::error_code code;
    existed_ = fs::exists(fs::symlink_status(file, code));
    if (!existed_) {
      write_file(file, json::dump(recipe, {.indent = 2}) + "\n");
    } else {
      const auto before = json::parse(read_file(file, std::size_t{16} << 20), file);
      for (const auto& d : differences(before, recipe)) {
        if (std::any_of(may_differ.begin(), may_differ.end(), [&](const auto& p) { return below(d.key, p); })) continue;
        throw recipe_error(path_ + ": this run directory is of another recipe: " + d.key + " was " + d.before +
                               " and is now " + d.after + "; continue with the old value or choose another directory",
                           d);
      }
    }
  } catch (...) {
    ::close(lock_);
    throw;
  }
}

run_directory::~run_directory() { ::close(lock_); }

}  // namespace ql::io
