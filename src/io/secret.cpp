// SPDX-License-Identifier: Apache-2.0
#include <ql/io/secret.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace ql::io {
namespace {

constexpr std::size_t longest = 4096;

std::string from_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw file_error(path + ": cannot open the key file: " + std::strerror(errno));
  struct closer {
    int fd;
    ~closer() { ::close(fd); }
  } guard{fd};
  struct stat s{};
  if (::fstat(fd, &s) != 0) throw file_error(path + ": cannot examine the key file: " + std::strerror(errno));
  if (!S_ISREG(s.st_mode)) throw file_error(path + ": the key file is not a regular file");
  if ((s.st_mode & 077) != 0)
    throw file_error(path + ": others may read the key file; run: chmod 600 on it, and take a new key if they did");
  if (s.st_uid != ::geteuid() && s.st_uid != 0) throw file_error(path + ": the key file belongs to another user");
  std::string text(longest + 1, '\0');
  std::size_t got = 0;
  while (got < text.size()) {
    const ssize_t n = ::read(fd, text.data() + got, text.size() - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw file_error(path + ": cannot read the key file: " + std::strerror(errno));
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  text.resize(got);
  return text;
}

}  // namespace

secret secret::read(std::string_view where) {
  if (where.empty()) return {};
  const std::string shown(where);
  std::string text;
  if (where.starts_with("env:")) {
    const char* value = std::getenv(shown.c_str() + 4);
    if (value == nullptr) throw argument_error(shown + ": the environment has no such variable; export it");
    text = value;
  } else if (where.starts_with("file:")) {
    text = from_file(shown.substr(5));
  } else {
    // what was given may be the key itself: it is not repeated
    throw argument_error("API key: expected env:NAME or file:PATH; a key itself is not accepted here");
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  if (text.empty()) throw argument_error(shown + ": the key is empty");
  if (text.size() > longest)
    throw argument_error(shown + ": the key is longer than " + std::to_string(longest) + " bytes");
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c > '~'; }))
    throw argument_error(shown + ": the key holds blanks, line ends or bytes that are not ASCII");
  return secret(std::move(text));
}

}  // namespace ql::io
