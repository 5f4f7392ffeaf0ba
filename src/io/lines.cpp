// SPDX-License-Identifier: Apache-2.0
#include <ql/io/lines.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ql::io {

struct line_reader::state {
  int descriptor = -1;
  std::size_t max_line = 0;
  bool gzip = false, member_open = false, file_ended = false, output_full = false;
  z_stream z{};
  std::array<char, 1 << 16> in{}, out{};
  std::size_t at = 0, end = 0;  // of `out`, what is not yet handed on

  ~state() {
    if (gzip) inflateEnd(&z);
    if (descriptor >= 0) ::close(descriptor);
  }

  std::size_t read_some(char* to, std::size_t size, const std::string& path) {
    for (;;) {
      const ssize_t n = ::read(descriptor, to, size);
      if (n >= 0) return static_cast<std::size_t>(n);
      if (errno != EINTR) throw file_error(path + ": cannot read: " + std::strerror(errno));
    }
  }

  // Fills `out`; false at the end of the file.
  bool fill(const std::string& path) {
    at = end = 0;
    if (!gzip) {
      end = read_some(out.data(), out.size(), path);
      return end > 0;
    }
    for (;;) {
      // What inflate still holds comes before more input.
      if (z.avail_in == 0 && !output_full && !file_ended) {
        z.next_in = reinterpret_cast<Bytef*>(in.data());
        z.avail_in = static_cast<uInt>(read_some(in.data(), in.size(), path));
        file_ended = z.avail_in == 0;
      }
      if (z.avail_in > 0 && !member_open) {
        inflateReset(&z);  // a further member
        member_open = true;
      }
      if (!member_open) return false;
      z.next_out = reinterpret_cast<Bytef*>(out.data());
      z.avail_out = static_cast<uInt>(out.size());
      const int rc = inflate(&z, Z_NO_FLUSH);
      end = out.size() - z.avail_out;
      output_full = rc == Z_OK && z.avail_out == 0;
      if (rc == Z_STREAM_END) {
        member_open = false;
      } else if (rc != Z_OK && rc != Z_BUF_ERROR) {
        throw format_error(path + ": damaged gzip stream (" + (z.msg ? z.msg : "zlib") + ")");
      } else if (end == 0 && z.avail_in == 0 && file_ended) {
        throw format_error(path + ": the gzip stream ends early; fetch the file again");
      }
      if (end > 0) return true;
    }
  }
};

line_reader::line_reader(const file_path& path, std::size_t max_line) : path_(path.text) {
  auto s = new state;
  state_ = s;
  try {
    s->max_line = max_line;
    const bool standard = path_ == "-";
    if (standard) path_ = "standard input";
    // O_NONBLOCK: opening a FIFO must not wait for a writer.
    s->descriptor = standard ? ::dup(STDIN_FILENO) : ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (s->descriptor < 0) throw file_error(path_ + ": cannot open: " + std::strerror(errno));
    struct stat about{};
    if (::fstat(s->descriptor, &about) != 0) throw file_error(path_ + ": cannot examine: " + std::strerror(errno));
    if (!standard && !S_ISREG(about.st_mode)) throw file_error(path_ + ": not a regular file");
    // The first bytes say whether it is gzip; a pipe cannot be read twice.
    std::size_t n = 0;
    for (std::size_t more = 1; n < 2 && more > 0; n += more) more = s->read_some(s->in.data() + n, 2 - n, path_);
    if (n == 2 && s->in[0] == '\x1f' && s->in[1] == '\x8b') {
      if (inflateInit2(&s->z, 15 + 16) != Z_OK) throw file_error(path_ + ": cannot start zlib");
      s->gzip = s->member_open = true;
      s->z.next_in = reinterpret_cast<Bytef*>(s->in.data());
      s->z.avail_in = 2;
    } else {
      std::copy_n(s->in.data(), n, s->out.data());
      s->end = n;
    }
  } catch (...) {
    delete s;
    throw;
  }
}

line_reader::~line_reader() { delete state_; }

line_reader::line_reader(line_reader&& o) noexcept
    : state_(std::exchange(o.state_, nullptr)), path_(std::move(o.path_)), number_(o.number_), too_long_(o.too_long_) {}

line_reader& line_reader::operator=(line_reader&& o) noexcept {
  std::swap(state_, o.state_);
  std::swap(path_, o.path_);
  std::swap(number_, o.number_);
  std::swap(too_long_, o.too_long_);
  return *this;
}

bool line_reader::next(std::string& line) {
  line.clear();
  too_long_ = false;
  state& s = *state_;
  for (bool began = false;;) {
    if (s.at == s.end && !s.fill(path_)) {
      if (!began) return false;
      break;
    }
    if (!began) ++number_;
    began = true;
    const char* from = s.out.data() + s.at;
    const auto* stop = static_cast<const char*>(std::memchr(from, '\n', s.end - s.at));
    const std::size_t n = stop ? static_cast<std::size_t>(stop - from) : s.end - s.at;
    if (line.size() + n > s.max_line) too_long_ = true;
    if (!too_long_) line.append(from, n);
    s.at += n + (stop ? 1 : 0);
    if (stop) break;
  }
  if (too_long_) line.clear();
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return true;
}

}  // namespace ql::io
