// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/error.hpp>
#include <ql/io/file.hpp>
#include <ql/scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ql::io {

enum class dtype : std::uint8_t {
  boolean,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  f64,
  i64,
  u64
};
// "F32", as safetensors writes it.
std::string_view dtype_name(dtype t);
std::size_t dtype_size(dtype t);

// A tensor of a file: its bytes are the file's (little-endian, row-major, at any alignment).
struct tensor_entry {
  std::string name;
  dtype type = dtype::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;

  std::int64_t size() const;
};

// Values of an F32, F16 or BF16 tensor; `out` must have its size. Other types throw format_error, naming tensor and
// type.
void read_values(const tensor_entry& t, std::span<float> out);
void read_values(const tensor_entry& t, std::span<bf16> out);  // rounds to nearest even

// IEEE binary16, exactly.
float half_to_float(std::uint16_t bits);
std::uint16_t float_to_half(float x);  // rounds to nearest even

// A safetensors file. Opening checks everything the format promises: a header of at most 100 MB, unique names, known
// types, and byte ranges that fit shapes and cover the data without gap or overlap. Throws format_error otherwise.
class safetensors {
 public:
  using metadata_type = std::vector<std::pair<std::string, std::string>>;

  static safetensors open(const file_path& path);
  static safetensors open(const file_path& directory, std::string_view name, const file_path& link_root);
  // The bytes must outlive the result.
  static safetensors view(std::span<const std::byte> file, std::string_view what = "safetensors");

  // In the order of their bytes.
  std::span<const tensor_entry> tensors() const { return tensors_; }
  const tensor_entry* find(std::string_view name) const;
  const metadata_type& metadata() const { return metadata_; }
  // The JSON text with its padding, as it stands in the file.
  std::string_view header() const { return header_; }

 private:
  mapped_file file_;
  std::string header_;
  std::vector<tensor_entry> tensors_;
  std::vector<std::size_t> by_name_;
  metadata_type metadata_;
  void parse(std::span<const std::byte> bytes, const std::string& what);
};

// The header that safetensors' own writer makes for these tensors, whose bytes then follow in the order in which
// `tensors` is left: by descending type, then by name.
std::string safetensors_header(std::vector<tensor_entry>& tensors, const safetensors::metadata_type& metadata);
std::string safetensors_header(std::vector<tensor_entry>& tensors);  // of {"format": "pt"}

// Writes a file of a known header, tensor by tensor; the file appears when commit() has checked that all bytes came.
class safetensors_writer {
 public:
  safetensors_writer(const file_path& path, std::string_view header, std::uint64_t data_bytes);
  void write(std::span<const std::byte> bytes);
  void commit();

 private:
  atomic_file file_;
  std::string path_;
  std::uint64_t left_;
};

// The weights of a Hugging Face model folder: model.safetensors, or the shards of model.safetensors.index.json. Tensors
// are views of the mapped files; nothing is copied.
class checkpoint {
 public:
  struct shard {
    std::string name;
    safetensors file;
  };

  // Symbolic links are refused, unless they lead into `link_root` (the folder of a Hugging Face cache).
  static checkpoint open(const file_path& directory, const file_path& link_root = {});

  // Shard by shard, in the order of their bytes; of a sharded model those that the index lists.
  std::span<const tensor_entry* const> tensors() const { return tensors_; }
  const tensor_entry* find(std::string_view name) const;
  // Throws format_error naming the folder and, where there is one, the most similar name.
  const tensor_entry& at(std::string_view name) const;
  std::span<const shard> shards() const { return shards_; }
  std::uint64_t bytes() const;
  // The text of the index; empty for a single file.
  const std::string& index() const { return index_; }

 private:
  std::string directory_, index_;
  std::vector<shard> shards_;
  std::vector<const tensor_entry*> tensors_, by_name_;
};

namespace detail {
void check_replacement(const tensor_entry& t, std::size_t bytes);
safetensors::metadata_type usual_metadata();
file_path joined(const file_path& directory, std::string_view name);
void check_free(const file_path& directory, bool sharded);
struct shard_plan {
  std::string name, header;
  std::vector<tensor_entry> tensors;
  std::uint64_t bytes = 0;
};
std::vector<shard_plan> plan_shards(std::vector<tensor_entry> tensors, std::uint64_t shard_bytes,
                                    const safetensors::metadata_type& metadata);
std::string index_of(const std::vector<shard_plan>& plan);
inline constexpr std::string_view single_name = "model.safetensors";
inline constexpr std::string_view index_name = "model.safetensors.index.json";
}  // namespace detail

// Writes a checkpoint again, with the same files, headers and order, so that an unchanged one comes out byte for byte.
// bytes_of(tensor) returns the bytes to write, of the tensor's own type and size, valid until the next call.
//   save(c, "out", [](const tensor_entry& t) { return t.bytes; });
template <class BytesOf>
void save(const checkpoint& c, const file_path& directory, BytesOf&& bytes_of) {
  detail::check_free(directory, !c.index().empty());
  for (const auto& s : c.shards()) {
    std::uint64_t total = 0;
    for (const auto& t : s.file.tensors()) total += t.bytes.size();
    safetensors_writer w(detail::joined(directory, s.name), s.file.header(), total);
    for (const auto& t : s.file.tensors()) {
      const std::span<const std::byte> bytes = c.find(t.name) == &t ? bytes_of(t) : t.bytes;
      detail::check_replacement(t, bytes.size());
      w.write(bytes);
    }
    w.commit();
  }
  if (!c.index().empty()) write_file(detail::joined(directory, detail::index_name), c.index());
}

struct save_options {
  std::uint64_t shard_bytes = 5'000'000'000;                       // of tensors in one file
  safetensors::metadata_type metadata = detail::usual_metadata();  // {"format": "pt"}
};

// Writes tensors (names, types, shapes) as a new checkpoint, in one file or in shards filled in the given order.
// bytes_of(tensor) as above; `bytes` of the given tensors is not read.
template <class BytesOf>
void save(std::vector<tensor_entry> tensors, const file_path& directory, BytesOf&& bytes_of,
          const save_options& options = {}) {
  const auto plan =
      detail::plan_shards(static_cast<std::vector<tensor_entry>&&>(tensors), options.shard_bytes, options.metadata);
  detail::check_free(directory, plan.size() > 1);
  for (const auto& s : plan) {
    safetensors_writer w(detail::joined(directory, s.name), s.header, s.bytes);
    for (const auto& t : s.tensors) {
      const std::span<const std::byte> bytes = bytes_of(t);
      detail::check_replacement(t, bytes.size());
      w.write(bytes);
    }
    w.commit();
  }
  if (plan.size() > 1) write_file(detail::joined(directory, detail::index_name), detail::index_of(plan));
}

}  // namespace ql::io
