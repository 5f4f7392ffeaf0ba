// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ql::io {

// The path of a file or folder, from a text or from a std::filesystem::path (whose header is slow to compile).
struct file_path {
  std::string text;

  file_path() = default;
  file_path(const char* s) : text(s) {}                                       // NOLINT: implicit by design
  file_path(std::string s) noexcept : text(static_cast<std::string&&>(s)) {}  // NOLINT
  file_path(std::string_view s) : text(s) {}                                  // NOLINT
  template <class Path>
    requires requires(const Path& p) { std::string(p.native()); }
  file_path(const Path& p) : text(p.native()) {}  // NOLINT

  bool empty() const { return text.empty(); }
};

// The whole of a regular file as text; a gzip file is inflated. Throws file_error, and format_error where the content
// (after inflation) is larger than max_bytes or the gzip stream is damaged.
std::string read_file(const file_path& path, std::size_t max_bytes = std::size_t{1} << 30);

// Inflates gzip data. Throws format_error where it is damaged or larger than max_bytes; `what` names it in messages.
std::string gunzip(std::string_view data, std::string_view what, std::size_t max_bytes = std::size_t{1} << 30);

// A regular file mapped for reading. The pages are the file's: nothing is copied, and the file must not shrink while it
// is mapped.
class mapped_file {
 public:
  mapped_file() = default;
  explicit mapped_file(const file_path& path);
  // Opens `name` in `directory`. The name must be a plain file name, and the file must not be a symbolic link unless
  // `link_root` is given and the link's target lies inside that folder.
  mapped_file(const file_path& directory, std::string_view name, const file_path& link_root);
  ~mapped_file();
  mapped_file(mapped_file&& o) noexcept;
  mapped_file& operator=(mapped_file&& o) noexcept;

  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(data_), size_}; }
  std::size_t size() const { return size_; }

 private:
  void map(int descriptor, const std::string& shown);
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

// A file that appears under its name only when it is complete: bytes go to a temporary file beside it; commit() syncs
// it, renames it and syncs the folder. Without commit() nothing is left behind.
class atomic_file {
 public:
  explicit atomic_file(file_path path);
  ~atomic_file();
  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void commit();

 private:
  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
};

// atomic_file with one write.
void write_file(const file_path& path, std::string_view text);

// name is not empty, not "." or "..", and holds neither '/', '\\' nor NUL.
bool is_plain_file_name(std::string_view name);

}  // namespace ql::io
