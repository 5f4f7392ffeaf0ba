// SPDX-License-Identifier: Apache-2.0
#include <ql/checkpoint.hpp>
#include <ql/io/json.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

namespace ql {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t alignment = 64;
constexpr std::size_t manifest_limit = std::size_t{64} << 20;
constexpr std::string_view manifest_name = "manifest.json", format_name = "ql checkpoint";
constexpr std::string_view aside_prefix = "writing_", damaged_prefix = "damaged_", step_prefix = "step_";

detail::disk_hook hook = nullptr;

// 0, or the errno that a test wants the call to fail with.
int fault(std::string_view call, std::string_view path) { return hook == nullptr ? 0 : hook(call, path); }

[[noreturn]] void fail_errno(const std::string& path, const char* doing, int code) {
  throw io::file_error(path + ": cannot " + doing + ": " + std::strerror(code));
}

// result = f(), which returns -1 and sets errno where it fails, unless a test lets it fail first.
template <class F>
int call(std::string_view name, const std::string& path, F&& f) {
  if (const int code = fault(name, path); code != 0) {
    errno = code;
    return code < 0 ? 0 : -1;
  }
  return f();
}

struct descriptor {
  int fd = -1;
  descriptor() = default;
  explicit descriptor(int f) : fd(f) {}
  descriptor(descriptor&& o) noexcept : fd(std::exchange(o.fd, -1)) {}
  descriptor& operator=(descriptor&&) = delete;
  ~descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

void sync_folder(const std::string& folder) {
  const descriptor d(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (d.fd < 0) fail_errno(folder, "open", errno);
  if (call("fsync", folder, [&] { return ::fsync(d.fd); }) != 0) fail_errno(folder, "sync", errno);
}

std::uint64_t free_bytes(const std::string& folder) {
  struct statvfs s{};
  if (::statvfs(folder.c_str(), &s) != 0) fail_errno(folder, "examine", errno);
  return std::uint64_t{s.f_bavail} * s.f_frsize;
}

std::uint64_t padded(std::uint64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

std::string count(std::uint64_t bytes) { return std::to_string(bytes); }

// "weights/model.norm": letters, digits, '_', '-', '.', in parts that do not begin with a dot.
void check_name(std::string_view name) {
  bool fine = !name.empty() && name.size() <= 512 && name.back() != '/';
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool first = i == 0 || name[i - 1] == '/';
    fine = fine && (first ? c != '.' && c != '/' : true) &&
           (('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') || c == '_' || c == '-' ||
            c == '.' || c == '/');
  }
  if (!fine)
    throw argument_error("checkpoint: the blob name \"" + std::string(name.substr(0, 100)) +
                         "\": expected letters, digits, '_', '-' and '.' in parts between '/'");
}

std::string file_of(std::string_view name) { return std::string(name.substr(0, name.find('/'))) + ".bin"; }

std::size_t size_of_type(std::string_view type) {
  if (type == "text" || type == "archive" || type == "b") return 1;
  if (type == "bf16") return 2;
  if (!type.empty() && type[0] == 'e') type.remove_prefix(1);
  for (const std::string_view known : {"i8", "u8", "i16", "u16", "i32", "u32", "f32", "i64", "u64", "f64", "f128"})
    if (type == known) {
      std::size_t bits = 0;
      std::from_chars(type.data() + 1, type.data() + type.size(), bits);
      return bits / 8;
    }
  return 0;
}

std::optional<io::digest> digest_of(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  std::uint64_t half[2] = {};
  for (int i = 0; i < 2; ++i) {
    const char* first = text.data() + 16 * i;
    const auto [end, code] = std::from_chars(first, first + 16, half[i], 16);
    if (code != std::errc() || end != first + 16) return std::nullopt;
  }
  return io::digest{half[0], half[1]};
}

using io::json::value;

// A manifest is JSON in exactly one spelling; its last member is the hash of the text without it.
std::string manifest_text(value::object_type body) {
  const std::string text = io::json::dump(body, {.indent = 1});
  body.emplace_back("hash", io::hash(text).text());
  return io::json::dump(body, {.indent = 1}) + "\n";
}

value::object_type parse_manifest(const std::string& text, const std::string& shown) {
  value::object_type body = io::json::parse(text, shown, {.bytes = manifest_limit, .depth = 8}).object();
  if (body.empty() || body.back().first != "hash")
    throw io::checkpoint_error(shown + ": it has no hash; it is damaged");
  body.pop_back();
  if (manifest_text(body) != text) throw io::checkpoint_error(shown + ": its hash does not fit; it is damaged");
  return body;
}

value::object_type manifest_of(std::int64_t step, const std::vector<checkpoint_blob>& blobs) {
  value::array_type list;
  for (const auto& b : blobs) {
    value::array_type shape;
    for (const auto n : b.shape) shape.emplace_back(n);
    list.push_back(value::object_type{{"name", b.name},
                                      {"file", b.file},
                                      {"type", b.type},
                                      {"shape", shape},
                                      {"offset", static_cast<std::int64_t>(b.offset)},
                                      {"bytes", static_cast<std::int64_t>(b.bytes)},
                                      {"hash", b.hash.text()}});
  }
  return {{"format", format_name}, {"version", 1}, {"step", step}, {"blobs", std::move(list)}};
}

// (step, serial) of "step_00000012" or "step_00000012.1"; nothing for another name.
std::optional<std::pair<std::int64_t, std::int64_t>> order_of(std::string_view name) {
  if (!name.starts_with(step_prefix)) return std::nullopt;
  name.remove_prefix(step_prefix.size());
  std::int64_t step = 0, serial = 0;
  const char* last = name.data() + name.size();
  auto [end, code] = std::from_chars(name.data(), last, step);
  if (code != std::errc() || end == name.data()) return std::nullopt;
  if (end != last) {
    if (*end != '.') return std::nullopt;
    const auto [rest, code2] = std::from_chars(end + 1, last, serial);
    if (code2 != std::errc() || rest != last) return std::nullopt;
  }
  return std::pair(step, serial);
}

void remove_folder(const std::string& folder) {
  if (fault("unlink", folder) != 0) return;
  std::error_code ignored;  // what stays is removed by the next save
  fs::remove_all(folder, ignored);
}

}  // namespace

namespace detail {

disk_hook set_disk_hook(disk_hook h) { return std::exchange(hook, h); }

void checkpoint_plan::add(std::string_view name, std::string_view type, std::span<const std::int64_t> shape,
                          std::uint64_t size) {
  check_name(name);
  for (const auto& b : blobs)
    if (b.name == name) throw argument_error("checkpoint: the blob \"" + std::string(name) + "\" is put twice");
  checkpoint_blob b;
  b.name = name, b.file = file_of(name), b.type = type;
  b.shape.assign(shape.begin(), shape.end());
  b.bytes = size;
  for (const auto& other : blobs)
    if (other.file == b.file) b.offset = other.offset + padded(other.bytes);
  blobs.push_back(std::move(b));
  bytes += padded(size);
}

}  // namespace detail

// ---- writing

struct checkpoint_writer::files {
  std::string folder;
  std::uint64_t needed = 0, written = 0;
  std::map<std::string, descriptor> open;

  [[noreturn]] void fail(const std::string& path, const char* doing, int code) {
    if (code != ENOSPC && code != EDQUOT) fail_errno(path, doing, code);
    const std::uint64_t left = needed > written ? needed - written : 0;
    const std::uint64_t room = code == EDQUOT ? 0 : free_bytes(folder);
    const std::string parent = fs::path(folder).parent_path().string();  // of the folder that is written aside
    throw io::disk_full_error(parent, "a checkpoint", needed,
                              left > room ? left - room : std::max<std::uint64_t>(left, 1));
  }

  int file(const std::string& name) {
    const auto found = open.find(name);
    if (found != open.end()) return found->second.fd;
    const std::string path = folder + "/" + name;
    const int fd = call(
        "open", path, [&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666); });
    if (fd < 0) fail(path, "create", errno);
    open.emplace(name, descriptor(fd));
    return fd;
  }

  void write(const std::string& name, std::span<const std::byte> bytes) {
    const int fd = file(name);
    const std::string path = folder + "/" + name;
    while (!bytes.empty()) {
      ssize_t n = -1;
      if (const int code = fault("write", path); code != 0)
        errno = code;
      else
        n = ::write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), std::size_t{1} << 30));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail(path, "write", errno);
      written += static_cast<std::uint64_t>(n);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  void sync(const std::string& name) {
    const std::string path = folder + "/" + name;
    const int fd = file(name);
    if (call("fsync", path, [&] { return ::fsync(fd); }) != 0) fail(path, "sync", errno);
  }
};

void checkpoint_writer::add(std::string_view name, std::string_view type, std::span<const std::int64_t> shape,
                            std::span<const std::byte> bytes) {
  std::int64_t size = 1;
  for (const auto n : shape) size *= n;
  if (!shape.empty() && static_cast<std::uint64_t>(size) * size_of_type(type) != bytes.size())
    throw shape_error("checkpoint: the blob \"" + std::string(name) + "\": expected a shape of " +
                      count(bytes.size() / std::max<std::size_t>(size_of_type(type), 1)) + " values, got " +
                      detail::show_shape(shape));
  plan_.add(name, type, shape, bytes.size());
  if (files_ == nullptr) return;
  static constexpr std::array<std::byte, alignment> zeros{};
  const auto padding = std::span(zeros).first(padded(bytes.size()) - bytes.size());
  io::hasher h;
  h.update(bytes);
  h.update(padding);
  plan_.blobs.back().hash = h.finish();
  const std::string& file = plan_.blobs.back().file;
  if (bytes.empty()) files_->file(file);
  files_->write(file, bytes);
  files_->write(file, padding);
}

checkpoint_store::saving::saving(checkpoint_store& s, std::int64_t at_step, const detail::checkpoint_plan& c)
    : store(s), counted(c), step(at_step), needed(0), files(nullptr) {
  if (step < 0) throw argument_error("checkpoint: step: expected at least 0, got " + std::to_string(step));
  for (const auto& entry : fs::directory_iterator(store.directory_))  // what a killed process left
    if (entry.path().filename().string().starts_with(aside_prefix)) remove_folder(entry.path().string());
  needed = counted.bytes + manifest_text(manifest_of(step, counted.blobs)).size();
  if (const std::uint64_t room = free_bytes(store.directory_); room < needed)
    throw io::disk_full_error(store.directory_, "a checkpoint", needed, needed - room);
  aside = store.directory_ + "/" + std::string(aside_prefix) + std::to_string(step);
  if (call("mkdir", aside, [&] { return ::mkdir(aside.c_str(), 0777); }) != 0) {
    if (errno == ENOSPC || errno == EDQUOT) throw io::disk_full_error(store.directory_, "a checkpoint", needed, needed);
    fail_errno(aside, "make", errno);
  }
  files = new checkpoint_writer::files{aside, needed, 0, {}};
}

checkpoint_store::saving::~saving() {
  delete files;
  if (!aside.empty()) remove_folder(aside);
}

std::string checkpoint_store::saving::commit(const detail::checkpoint_plan& written) {
  const auto same = [](const checkpoint_blob& a, const checkpoint_blob& b) {
    return a.name == b.name && a.type == b.type && a.shape == b.shape && a.bytes == b.bytes;
  };
  if (!std::equal(counted.blobs.begin(), counted.blobs.end(), written.blobs.begin(), written.blobs.end(), same))
    throw argument_error("checkpoint: the second call of a save put other blobs than the first");
  std::set<std::string> names;
  for (const auto& b : written.blobs) names.insert(b.file);
  for (const auto& name : names) files->sync(name);
  const std::string manifest(manifest_name), text = manifest_text(manifest_of(step, written.blobs));
  files->write(manifest, std::as_bytes(std::span(text)));
  files->sync(manifest);
  sync_folder(aside);
  if (store.options_.read_back) {
    try {
      checkpoint_reader back{io::file_path(aside)};
    } catch (const error& e) {
      throw io::file_error(aside + ": what was written does not read back: " + e.what() +
                           "; the disk is not to be trusted");
    }
  }

  char number[32];
  std::snprintf(number, sizeof number, "%08lld", static_cast<long long>(step));
  const std::string stem = std::string(step_prefix) + number;
  std::string name = stem;
  for (int serial = 1; fs::exists(fs::symlink_status(store.directory_ + "/" + name)); ++serial)
    name = stem + "." + std::to_string(serial);
  const std::string path = store.directory_ + "/" + name;
  if (call("rename", path, [&] { return ::rename(aside.c_str(), path.c_str()); }) != 0) {
    const int code = errno;
    if (code == ENOSPC || code == EDQUOT) throw io::disk_full_error(store.directory_, "a checkpoint", needed, 1);
    fail_errno(path, "put in place", code);
  }
  aside.clear();
  sync_folder(store.directory_);
  store.prune();
  return name;
}

// ---- reading

namespace {

// Reads [offset, offset + out.size()) of a file whose size has been checked.
class file_reader {
 public:
  file_reader(const std::string& folder, const std::string& name) : path_(folder + "/" + name) {
    if (!io::is_plain_file_name(name)) throw io::checkpoint_error(path_ + ": expected a plain file name");
    d_.fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (d_.fd < 0) fail_errno(path_, "open", errno);
    struct stat s{};
    if (::fstat(d_.fd, &s) != 0) fail_errno(path_, "examine", errno);
    if (!S_ISREG(s.st_mode)) throw io::file_error(path_ + ": not a regular file");
    size_ = static_cast<std::uint64_t>(s.st_size);
  }
  std::uint64_t size() const { return size_; }
  const std::string& path() const { return path_; }
  void read(std::uint64_t offset, std::span<std::byte> out) const {
    while (!out.empty()) {
      const ssize_t n = ::pread(d_.fd, out.data(), std::min<std::size_t>(out.size(), std::size_t{1} << 30),
                                static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_errno(path_, "read", errno);
      if (n == 0) throw io::checkpoint_error(path_ + ": it ends early");
      offset += static_cast<std::uint64_t>(n);
      out = out.subspan(static_cast<std::size_t>(n));
    }
  }

 private:
  std::string path_;
  descriptor d_;
  std::uint64_t size_ = 0;
};

checkpoint_blob blob_of(const value& v, const std::string& shown) {
  checkpoint_blob b;
  b.name = v.at("name").string(), b.file = v.at("file").string(), b.type = v.at("type").string();
  const auto hash = digest_of(v.at("hash").string());
  std::uint64_t values = 1;
  bool fine = hash.has_value() && v.at("offset").integer() >= 0 && v.at("bytes").integer() >= 0 &&
              io::is_plain_file_name(b.file) && size_of_type(b.type) > 0;
  for (const auto& n : v.at("shape").array()) {
    b.shape.push_back(n.integer());
    fine =
        fine && n.integer() >= 0 && !__builtin_mul_overflow(values, static_cast<std::uint64_t>(n.integer()), &values);
  }
  if (fine) {
    b.offset = static_cast<std::uint64_t>(v.at("offset").integer());
    b.bytes = static_cast<std::uint64_t>(v.at("bytes").integer());
    b.hash = *hash;
    fine = !__builtin_mul_overflow(values, std::uint64_t{size_of_type(b.type)}, &values) &&
           (b.shape.empty() || values == b.bytes);
  }
  if (!fine) throw io::checkpoint_error(shown + ": the entry of \"" + b.name + "\" contradicts itself");
  return b;
}

}  // namespace

checkpoint_reader::checkpoint_reader(const io::file_path& path) : folder_(path.text) {
  while (folder_.size() > 1 && folder_.back() == '/') folder_.pop_back();
  const std::string shown = folder_ + "/" + std::string(manifest_name);
  const auto body = parse_manifest(io::read_file(shown, manifest_limit), shown);
  const io::json::value manifest(body);
  if (!manifest.at("format").is_string() || manifest.at("format").string() != format_name)
    throw io::checkpoint_error(shown + ": not a checkpoint's manifest");
  if (manifest.at("version").integer() != 1)
    throw io::checkpoint_error(shown + ": version " + std::to_string(manifest.at("version").integer()) +
                               " of the format; this program reads version 1");
  step_ = manifest.at("step").integer();
  for (const auto& v : manifest.at("blobs").array()) blobs_.push_back(blob_of(v, shown));

  std::map<std::string, std::vector<const checkpoint_blob*>> by_file;
  for (const auto& b : blobs_) by_file[b.file].push_back(&b);
  std::vector<std::byte> block(std::size_t{1} << 20);
  for (const auto& [name, blobs] : by_file) {
    const file_reader file(folder_, name);
    std::uint64_t end = 0;
    for (const auto* b : blobs) {
      if (b->offset != end || b->bytes > std::uint64_t{1} << 62)
        throw io::checkpoint_error(shown + ": \"" + b->name + "\" does not lie behind the blob before it");
      end += padded(b->bytes);
    }
    if (file.size() != end)
      throw io::checkpoint_error(file.path() + ": " + count(file.size()) + " bytes, its manifest says " + count(end) +
                                 (file.size() < end ? "; it was cut short" : ""));
    for (const auto* b : blobs) {
      io::hasher h;
      for (std::uint64_t done = 0, all = padded(b->bytes); done < all;) {
        const auto part = std::span(block).first(std::min<std::uint64_t>(block.size(), all - done));
        file.read(b->offset + done, part);
        h.update(part);
        done += part.size();
      }
      if (h.finish() != b->hash)
        throw io::checkpoint_error(file.path() + ": \"" + b->name + "\" does not have the hash of its manifest; " +
                                   "it is damaged");
    }
  }
}

std::string checkpoint_reader::name() const { return fs::path(folder_).filename().string(); }

const checkpoint_blob* checkpoint_reader::find(std::string_view name) const {
  for (const auto& b : blobs_)
    if (b.name == name) return &b;
  return nullptr;
}

const checkpoint_blob& checkpoint_reader::at(std::string_view name, std::string_view type) const {
  const auto* b = find(name);
  if (b == nullptr) throw io::checkpoint_error(folder_ + ": it has no blob \"" + std::string(name) + "\"");
  if (b->type != type)
    throw io::checkpoint_error(folder_ + ": \"" + b->name + "\" is of type " + b->type + ", wanted is " +
                               std::string(type));
  return *b;
}

void checkpoint_reader::read(std::string_view name, std::string_view type, std::span<std::byte> out) const {
  const auto& b = at(name, type);
  if (b.bytes != out.size())
    throw io::checkpoint_error(folder_ + ": \"" + b.name + "\" has " + count(b.bytes) + " bytes, wanted are " +
                               count(out.size()));
  file_reader(folder_, b.file).read(b.offset, out);
}

std::string checkpoint_reader::whole(std::string_view name, std::string_view type) const {
  const auto& b = at(name, type);
  std::string s(b.bytes, '\0');  // no larger than the file, whose size has been checked
  file_reader(folder_, b.file).read(b.offset, std::as_writable_bytes(std::span(s)));
  return s;
}

// ---- the store

checkpoint_store::checkpoint_store(const io::file_path& directory, const checkpoint_options& options)
    : directory_(directory.text), options_(options) {
  while (directory_.size() > 1 && directory_.back() == '/') directory_.pop_back();
  if (options_.keep < 1) throw argument_error("checkpoint_store: keep: expected at least 1, got 0");
  std::error_code code;
  fs::create_directories(directory_, code);
  if (code || !fs::is_directory(directory_))
    throw io::file_error(directory_ +
                         ": cannot make the folder: " + (code ? code.message() : "a file is in its place"));
}

std::vector<std::string> checkpoint_store::names() const {
  std::vector<std::pair<std::pair<std::int64_t, std::int64_t>, std::string>> found;
  for (const auto& entry : fs::directory_iterator(directory_)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_symlink() || !entry.is_directory()) continue;
    if (const auto order = order_of(name)) found.emplace_back(*order, name);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> out;
  for (auto& f : found) out.push_back(std::move(f.second));
  return out;
}

checkpoint_reader checkpoint_store::open(std::string_view name) const {
  if (!order_of(name))
    throw io::file_error(directory_ + ": \"" + std::string(name.substr(0, 100)) + "\" is no name of a checkpoint");
  return checkpoint_reader(io::file_path(directory_ + "/" + std::string(name)));
}

std::optional<checkpoint_reader> checkpoint_store::newest(std::vector<checkpoint_damage>* passed_over) {
  std::vector<checkpoint_damage> damaged;
  std::optional<checkpoint_reader> found;
  const auto all = names();
  for (auto name = all.rbegin(); name != all.rend() && !found; ++name) {
    try {
      found.emplace(open(*name));
    } catch (const error& e) {
      damaged.push_back({*name, e.what()});
    }
  }
  if (!found && !damaged.empty()) {
    std::string s = directory_ + ": none of its checkpoints is complete:";
    for (const auto& d : damaged) s += "\n  " + d.name + ": " + d.reason;
    throw io::checkpoint_error(s + "\nRemove the folder to begin anew.");
  }
  for (const auto& d : damaged) {  // out of the way, or they would pass for the newest
    const fs::path from = fs::path(directory_) / d.name;
    fs::path to = fs::path(directory_) / (std::string(damaged_prefix) + d.name);
    for (int i = 1; fs::exists(to); ++i)
      to = fs::path(directory_) / (std::string(damaged_prefix) + d.name + "." + std::to_string(i));
    std::error_code ignored;
    fs::rename(from, to, ignored);
  }
  if (passed_over != nullptr) *passed_over = std::move(damaged);
  return found;
}

void checkpoint_store::set_best(std::string_view name) {
  if (!order_of(name) || !fs::is_directory(directory_ + "/" + std::string(name)))
    throw argument_error("checkpoint_store: best: expected the name of a checkpoint in " + directory_ + ", got \"" +
                         std::string(name.substr(0, 100)) + "\"");
  const std::string target(name), link = directory_ + "/best", aside = directory_ + "/best.new";
  ::unlink(aside.c_str());
  if (call("symlink", aside, [&] { return ::symlink(target.c_str(), aside.c_str()); }) != 0)
    fail_errno(aside, "make", errno);
  if (call("rename", link, [&] { return ::rename(aside.c_str(), link.c_str()); }) != 0)
    fail_errno(link, "put in place", errno);
  sync_folder(directory_);
}

std::string checkpoint_store::best() const {
  std::error_code code;
  const std::string name = fs::read_symlink(directory_ + "/best", code).string();
  return !code && order_of(name) ? name : std::string();
}

void checkpoint_store::prune() {
  const auto all = names();
  const std::string kept = best();
  for (std::size_t i = 0; i + options_.keep < all.size(); ++i) {
    if (all[i] == kept) continue;
    // Under another name first: a half removed folder must not look like a checkpoint.
    const std::string from = directory_ + "/" + all[i], to = directory_ + "/" + std::string(aside_prefix) + all[i];
    if (call("rename", to, [&] { return ::rename(from.c_str(), to.c_str()); }) == 0) remove_folder(to);
  }
}

}  // namespace ql
