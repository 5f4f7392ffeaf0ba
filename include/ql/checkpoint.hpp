// SPDX-License-Identifier: Apache-2.0
#pragma once

// Checkpoints: sets of named blobs in a folder that is there whole or not at all.
//
//   checkpoints/step_00000012/manifest.json   names, types, shapes, sizes, hashes; written last
//   checkpoints/step_00000012/weights.bin     the blobs "weights/...", each at a multiple of 64 bytes
//   checkpoints/step_00000012/state.bin       the blobs "state/..."
//   checkpoints/best -> step_00000012
//
// A folder is written aside, every file synced, the manifest last, renamed, and its parent synced. Whatever moment a
// process dies at, the newest folder whose manifest verifies is a complete checkpoint.

#include <ql/archive.hpp>
#include <ql/io/error.hpp>
#include <ql/io/file.hpp>
#include <ql/io/hash.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ql {

using io::disk_full_error;

// One entry of a manifest. `type` is "f32", "bf16", "i64", ... for arrays, "text" or "archive".
struct checkpoint_blob {
  std::string name, file, type;
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0, bytes = 0;
  io::digest hash;  // of the bytes and the zeros that follow them up to a multiple of 64
};

namespace detail {

// The body of a checkpoint's folder on its way to the disk; defined in src/io/checkpoint.cpp.
struct checkpoint_plan {
  std::vector<checkpoint_blob> blobs;
  std::uint64_t bytes = 0;
  void add(std::string_view name, std::string_view type, std::span<const std::int64_t> shape, std::uint64_t bytes);
};

// Called before each system call of a save with its name ("mkdir", "open", "write", "fsync", "rename", "symlink",
// "unlink") and path; what it returns, if positive, is taken for the call's errno; a negative value lets an
// "fsync" be skipped. For tests of crashes and full disks.
using disk_hook = int (*)(std::string_view call, std::string_view path);
disk_hook set_disk_hook(disk_hook hook);

}  // namespace detail

// What a save is given to put its blobs into. A name is a group and a path, "weights/model.norm.weight"; a group is one
// file.
class checkpoint_writer {
 public:
  // An array of numbers, straight from where it lies; `shape` is for readers, {size} unless given.
  template <detail::plain_number T>
  void array(std::string_view name, std::span<const T> values, std::span<const std::int64_t> shape = {}) {
    const std::int64_t flat[1] = {static_cast<std::int64_t>(values.size())};
    add(name, layout_of<T>(), shape.empty() ? std::span<const std::int64_t>(flat) : shape, std::as_bytes(values));
  }
  template <class Values>
    requires requires(const Values& v) { std::span(v.data(), v.size()); }
  void array(std::string_view name, const Values& v, std::span<const std::int64_t> shape = {}) {
    using T = std::remove_cvref_t<decltype(*v.data())>;
    array(name, std::span<const T>(v.data(), static_cast<std::size_t>(v.size())), shape);
  }
  void text(std::string_view name, std::string_view text) { add(name, "text", {}, std::as_bytes(std::span(text))); }
  // Anything that save(archive_writer&, ...) takes.
  template <class T>
  void value(std::string_view name, const T& v) {
    const std::string bytes = to_bytes(v);
    add(name, "archive", {}, std::as_bytes(std::span(bytes)));
  }

 private:
  friend class checkpoint_store;
  struct files;  // open files; none while sizes are counted
  void add(std::string_view name, std::string_view type, std::span<const std::int64_t> shape,
           std::span<const std::byte> bytes);

  detail::checkpoint_plan plan_;
  files* files_ = nullptr;
};

// A checkpoint that has been verified byte by byte.
class checkpoint_reader {
 public:
  // Throws file_error or format_error naming the first file or blob that is missing, cut short or damaged.
  explicit checkpoint_reader(const io::file_path& folder);

  std::int64_t step() const { return step_; }
  const std::string& folder() const { return folder_; }
  std::string name() const;  // the folder's own name
  std::span<const checkpoint_blob> blobs() const { return blobs_; }
  const checkpoint_blob* find(std::string_view name) const;

  // Reads an array of exactly this type and size, straight to where it shall lie.
  template <detail::plain_number T>
  void array(std::string_view name, std::span<T> out) const {
    read(name, layout_of<T>(), std::as_writable_bytes(out));
  }
  template <class Values>
    requires requires(Values& v) { std::span(v.data(), v.size()); }
  void array(std::string_view name, Values&& v) const {
    using T = std::remove_reference_t<decltype(*v.data())>;
    array(name, std::span<T>(v.data(), static_cast<std::size_t>(v.size())));
  }
  std::string text(std::string_view name) const { return whole(name, "text"); }
  template <class T>
  T value(std::string_view name) const {
    return from_bytes<T>(whole(name, "archive"));
  }

 private:
  const checkpoint_blob& at(std::string_view name, std::string_view type) const;
  void read(std::string_view name, std::string_view type, std::span<std::byte> out) const;
  std::string whole(std::string_view name, std::string_view type) const;

  std::string folder_;
  std::int64_t step_ = 0;
  std::vector<checkpoint_blob> blobs_;
};

struct checkpoint_options {
  std::size_t keep = 2;   // complete checkpoints to keep, the newest ones; at least 1
  bool read_back = true;  // verify what was written before older ones go
};

// Why a checkpoint was passed over.
struct checkpoint_damage {
  std::string name, reason;
};

// The checkpoints of one run. One process at a time writes (io::run_directory holds a lock).
class checkpoint_store {
 public:
  // The folder is made where it is absent.
  explicit checkpoint_store(const io::file_path& directory, const checkpoint_options& options = {});

  // Calls write(checkpoint_writer&) twice: to count what will be written, and to write it; both times it must put the
  // same blobs. Returns the new checkpoint's name. Throws io::disk_full_error; and file_error for everything else that
  // fails. Whatever is thrown, the checkpoints that were there still are.
  template <class F>
  std::string save(std::int64_t step, F&& write) {
    checkpoint_writer counted;
    write(counted);
    saving s(*this, step, counted.plan_);
    checkpoint_writer writer;
    writer.files_ = s.files;
    write(writer);
    return s.commit(writer.plan_);
  }

  // The newest complete checkpoint; none where there is no checkpoint at all. Damaged ones on the way are set aside
  // (renamed to damaged_...) and reported. Throws format_error where there are checkpoints, but none is complete.
  std::optional<checkpoint_reader> newest(std::vector<checkpoint_damage>* passed_over = nullptr);

  // Names of the checkpoints, oldest first, unverified.
  std::vector<std::string> names() const;
  // Throws file_error or format_error.
  checkpoint_reader open(std::string_view name) const;

  // Lets `best` point at a checkpoint, which is then kept until another one is best.
  void set_best(std::string_view name);
  std::string best() const;  // its name, "" where there is none

  const std::string& directory() const { return directory_; }

 private:
  // A save in progress; what is not committed is removed.
  struct saving {
    saving(checkpoint_store& store, std::int64_t step, const detail::checkpoint_plan& counted);
    ~saving();
    saving(const saving&) = delete;
    saving& operator=(const saving&) = delete;
    std::string commit(const detail::checkpoint_plan& written);

    checkpoint_store& store;
    const detail::checkpoint_plan& counted;
    std::int64_t step;
    std::uint64_t needed;
    std::string aside;
    checkpoint_writer::files* files;
  };
  void prune();

  std::string directory_;
  checkpoint_options options_;
};

}  // namespace ql
