// SPDX-License-Identifier: Apache-2.0
#include <ql/io/text_writer.hpp>

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

namespace ql::io {

struct text_writer::state {
  std::optional<atomic_file> file;  // absent: standard output
  bool packed = false;
  z_stream z{};
  std::vector<unsigned char> out;

  void put(const void* data, std::size_t size) {
    if (file) {
      file->write(std::span(static_cast<const std::byte*>(data), size));
    } else if (std::fwrite(data, 1, size, stdout) != size) {
      throw file_error(std::string("standard output: cannot write: ") + std::strerror(errno));
    }
  }
  void deflate_some(int flush) {
    do {
      z.next_out = out.data();
      z.avail_out = static_cast<uInt>(out.size());
      ::deflate(&z, flush);
      put(out.data(), out.size() - z.avail_out);
    } while (z.avail_out == 0);
  }
  ~state() {
    if (packed) ::deflateEnd(&z);
  }
};

text_writer::text_writer(const file_path& path) {
  auto s = std::make_unique<state>();
  if (path.text != "-") s->file.emplace(path);
  if (path.text.ends_with(".gz")) {
    if (::deflateInit2(&s->z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
      throw file_error(path.text + ": cannot start zlib");
    s->packed = true;
    s->out.resize(std::size_t{1} << 18);
  }
  state_ = s.release();
}

text_writer::~text_writer() { delete state_; }

void text_writer::write(std::string_view text) {
  if (!state_->packed) return state_->put(text.data(), text.size());
  while (!text.empty()) {
    const std::size_t n = std::min<std::size_t>(text.size(), std::size_t{1} << 30);
    state_->z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    state_->z.avail_in = static_cast<uInt>(n);
    state_->deflate_some(Z_NO_FLUSH);
    text.remove_prefix(n);
  }
}

void text_writer::commit() {
  if (state_->packed) state_->deflate_some(Z_FINISH);
  if (state_->file) {
    state_->file->commit();
  } else if (std::fflush(stdout) != 0) {
    throw file_error(std::string("standard output: cannot write: ") + std::strerror(errno));
  }
}

}  // namespace ql::io
