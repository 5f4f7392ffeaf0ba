// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/error.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace ql::io {

// A file that grows by whole records: a record that does not fit leaves nothing behind.
class growing_file {
 public:
  // Cuts the file to `size` bytes, or throws where it is shorter.
  growing_file(const std::string& folder, std::string_view name, std::uint64_t size)
      : folder_(folder), path_(folder + "/" + std::string(name)), size_(size) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd_ < 0) fail("open", errno);
    struct stat s{};
    if (::fstat(fd_, &s) != 0 || !S_ISREG(s.st_mode)) close_and_fail("not a regular file");
    if (static_cast<std::uint64_t>(s.st_size) < size)
      close_and_fail(std::to_string(s.st_size) + " bytes, but the checkpoint was taken at " + std::to_string(size) +
                     "; the file was cut or removed since then");
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0 || ::lseek(fd_, 0, SEEK_END) < 0)
      close_and_fail(std::string("cannot cut: ") + std::strerror(errno));
  }
  ~growing_file() {
    if (fd_ >= 0) ::close(fd_);
  }
  growing_file(const growing_file&) = delete;
  growing_file& operator=(const growing_file&) = delete;

  void append(std::string_view bytes) {
    std::string_view left = bytes;
    while (!left.empty()) {
      const ssize_t n = ::write(fd_, left.data(), left.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        const int code = errno;
        cut(size_);
        if (code == ENOSPC || code == EDQUOT || code == EFBIG) {
          struct statvfs s{};
          const bool known = code == ENOSPC && ::statvfs(folder_.c_str(), &s) == 0;
          const std::uint64_t room = known ? std::uint64_t{s.f_bavail} * s.f_frsize : 0;
          throw disk_full_error(folder_, "a line of " + path_, bytes.size(),
                                room < bytes.size() ? bytes.size() - room : bytes.size());
        }
        fail("write", code);
      }
      left.remove_prefix(static_cast<std::size_t>(n));
    }
    size_ += bytes.size();
  }
  // Back to an earlier size().
  void cut(std::uint64_t size) {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0 || ::lseek(fd_, 0, SEEK_END) < 0) fail("cut", errno);
    size_ = size;
  }
  void sync() {
    if (::fsync(fd_) != 0) fail("sync", errno);
  }
  std::uint64_t size() const { return size_; }

 private:
  [[noreturn]] void fail(const char* doing, int code) {
    throw file_error(path_ + ": cannot " + doing + ": " + std::strerror(code));
  }
  [[noreturn]] void close_and_fail(const std::string& why) {
    ::close(std::exchange(fd_, -1));
    throw file_error(path_ + ": " + why);
  }

  std::string folder_, path_;
  std::uint64_t size_ = 0;
  int fd_ = -1;
};

}  // namespace ql::io
