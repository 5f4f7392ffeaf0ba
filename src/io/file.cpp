// SPDX-License-Identifier: Apache-2.0
#include <ql/io/file.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace ql::io {
namespace {

[[noreturn]] void fail_errno(const std::string& path, const char* doing, int code) {
  throw file_error(path + ": cannot " + doing + ": " + std::strerror(code));
}

struct descriptor {
  int fd;
  explicit descriptor(int f) : fd(f) {}
  ~descriptor() {
    if (fd >= 0) ::close(fd);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
};

struct stat checked_stat(int fd, const std::string& shown) {
  struct stat s{};
  if (::fstat(fd, &s) != 0) fail_errno(shown, "examine", errno);
  if (!S_ISREG(s.st_mode)) throw file_error(shown + ": not a regular file");
  return s;
}

}  // namespace

bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

std::string read_file(const file_path& path, std::size_t max_bytes) {
  const std::string& shown = path.text;
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const descriptor d(::open(path.text.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (d.fd < 0) fail_errno(shown, "open", errno);
  const auto size = static_cast<std::size_t>(checked_stat(d.fd, shown).st_size);
  if (size > max_bytes)
    throw format_error(shown + ": " + std::to_string(size) + " bytes, more than the limit of " +
                       std::to_string(max_bytes));
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::read(d.fd, text.data() + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(shown, "read", errno);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  text.resize(done);
  if (text.size() >= 2 && text[0] == '\x1f' && text[1] == '\x8b') return gunzip(text, shown, max_bytes);
  return text;
}

std::string gunzip(std::string_view data, std::string_view what, std::size_t max_bytes) {
  const std::string shown(what);
  z_stream z{};
  if (inflateInit2(&z, 15 + 16) != Z_OK) throw file_error(shown + ": cannot start zlib");
  struct end {
    z_stream* z;
    ~end() { inflateEnd(z); }
  } guard{&z};
  std::string out;
  char block[1 << 16];
  std::size_t fed = 0;
  for (;;) {
    if (z.avail_in == 0 && fed < data.size()) {
      const std::size_t n = std::min<std::size_t>(data.size() - fed, std::size_t{1} << 30);
      z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data() + fed));
      z.avail_in = static_cast<uInt>(n);
      fed += n;
    }
    z.next_out = reinterpret_cast<Bytef*>(block);
    z.avail_out = sizeof block;
    const int rc = inflate(&z, Z_NO_FLUSH);
    const std::size_t made = sizeof block - z.avail_out;
    if (made > max_bytes - out.size())
      throw format_error(shown + ": inflates to more than the limit of " + std::to_string(max_bytes) + " bytes");
    out.append(block, made);
    if (rc == Z_STREAM_END) {
      if (z.avail_in == 0 && fed == data.size()) return out;
      inflateReset(&z);  // a further member
      continue;
    }
    if (rc == Z_BUF_ERROR || (rc == Z_OK && made == 0 && z.avail_in == 0 && fed == data.size()))
      throw format_error(shown + ": the gzip stream ends early; fetch the file again");
    if (rc != Z_OK) throw format_error(shown + ": damaged gzip stream (" + (z.msg ? z.msg : "zlib") + ")");
  }
}

mapped_file::mapped_file(const file_path& path) {
  const descriptor d(::open(path.text.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (d.fd < 0) fail_errno(path.text, "open", errno);
  map(d.fd, path.text);
}

mapped_file::mapped_file(const file_path& folder_path, std::string_view name, const file_path& link_root) {
  namespace fs = std::filesystem;
  const fs::path directory(folder_path.text);
  std::string shown = (directory / std::string(name)).string();
  std::replace(shown.begin(), shown.end(), '\0', '?');  // messages end at a NUL
  if (!is_plain_file_name(name))
    throw format_error(shown + ": expected a plain file name; names with '/', '\\' or '..' are refused");
  const descriptor folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.fd < 0) fail_errno(directory.string(), "open", errno);
  const std::string file(name);
  const descriptor d(::openat(folder.fd, file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (d.fd >= 0) {
    map(d.fd, shown);
    return;
  }
  if (errno != ELOOP) fail_errno(shown, "open", errno);
  if (link_root.empty())
    throw file_error(shown + ": a symbolic link; allow links to a folder you trust (Hugging Face caches use them)");
  std::error_code ec;
  const fs::path target = fs::canonical(directory / file, ec);
  const fs::path root = ec ? fs::path() : fs::canonical(link_root.text, ec);
  if (ec) throw file_error(shown + ": cannot resolve the symbolic link: " + ec.message());
  const auto [r, t] = std::mismatch(root.begin(), root.end(), target.begin(), target.end());
  if (r != root.end()) throw file_error(shown + ": a symbolic link that leaves " + root.string());
  const descriptor resolved(::open(target.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (resolved.fd < 0) fail_errno(target.string(), "open", errno);
  map(resolved.fd, shown);
}

void mapped_file::map(int fd, const std::string& shown) {
  const auto size = static_cast<std::size_t>(checked_stat(fd, shown).st_size);
  if (size == 0) return;
  void* p = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (p == MAP_FAILED) fail_errno(shown, "map", errno);
  data_ = p;
  size_ = size;
}

mapped_file::mapped_file(mapped_file&& o) noexcept
    : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)) {}

mapped_file& mapped_file::operator=(mapped_file&& o) noexcept {
  std::swap(data_, o.data_);
  std::swap(size_, o.size_);
  return *this;
}

mapped_file::~mapped_file() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

atomic_file::atomic_file(file_path path) : path_(std::move(path.text)) {
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0; attempt < 100 && descriptor_ < 0; ++attempt) {
    temporary_ = path_ + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor_ < 0 && errno != EEXIST) break;
  }
  if (descriptor_ < 0) fail_errno(temporary_, "create", errno);
}

atomic_file::~atomic_file() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
  }
}

void atomic_file::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(descriptor_, bytes.data(), std::min<std::size_t>(bytes.size(), std::size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(temporary_, "write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void atomic_file::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void atomic_file::commit() {
  if (::fsync(descriptor_) != 0) fail_errno(temporary_, "sync", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_errno(path_, "put in place", errno);
  ::close(std::exchange(descriptor_, -1));
  const std::string shown_parent = std::filesystem::path(path_).parent_path().string();
  const std::string folder = shown_parent.empty() ? "." : shown_parent;
  const descriptor d(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (d.fd < 0 || ::fsync(d.fd) != 0) fail_errno(folder, "sync", errno);
}

void write_file(const file_path& path, std::string_view text) {
  atomic_file f(path);
  f.write(text);
  f.commit();
}

}  // namespace ql::io
