// SPDX-License-Identifier: Apache-2.0
#include <ql/detail/stable_sort.hpp>
#include <ql/io/json.hpp>
#include <ql/io/safetensors.hpp>

#include "dom.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <filesystem>
#include <map>
#include <numeric>
#include <utility>

namespace ql::io {
namespace {

namespace dom = simdjson::dom;

constexpr std::uint64_t largest_header = 100'000'000;
constexpr std::size_t largest_index = std::size_t{256} << 20;
constexpr std::size_t most_dimensions = 16;
constexpr std::size_t most_shards = 10'000;

struct type_entry {
  std::string_view name;
  std::size_t size;
};
constexpr type_entry types[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
                                {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
                                {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};

std::string shape_text(const std::vector<std::int64_t>& shape) { return ql::detail::show_shape(std::span(shape)); }

template <class Out>
void read_any(const tensor_entry& t, std::span<Out> out) {
  if (out.size() * dtype_size(t.type) != t.bytes.size())
    throw shape_error(ql::detail::complaint("read_values", t.name, std::to_string(t.size()) + " values of room",
                                            std::to_string(out.size())));
  const std::byte* p = t.bytes.data();
  const auto each = [&](auto zero, auto convert) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      auto bits = zero;
      std::memcpy(&bits, p + i * sizeof bits, sizeof bits);
      out[i] = convert(bits);
    }
  };
  constexpr bool same_width = std::same_as<Out, bf16>;
  switch (t.type) {
    case dtype::f32:
      if constexpr (!same_width) {
        if (!out.empty()) std::memcpy(out.data(), p, t.bytes.size());
      } else {
        each(0.0f, [](float x) { return bf16(x); });
      }
      return;
    case dtype::bf16:
      each(std::uint16_t{0}, [](std::uint16_t b) { return static_cast<Out>(bf16::from_bits(b)); });
      return;
    case dtype::f16: each(std::uint16_t{0}, [](std::uint16_t b) { return static_cast<Out>(half_to_float(b)); }); return;
    default:
      throw format_error("tensor \"" + t.name + "\" has type " + std::string(dtype_name(t.type)) +
                         "; weights must be F32, F16 or BF16");
  }
}

}  // namespace

std::string_view dtype_name(dtype t) { return types[static_cast<std::size_t>(t)].name; }
std::size_t dtype_size(dtype t) { return types[static_cast<std::size_t>(t)].size; }

float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16;
  const std::uint32_t exponent = (h >> 10) & 31u, fraction = h & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float tiny = static_cast<float>(fraction) * 0x1p-24f;
  return sign != 0 ? -tiny : tiny;
}

std::uint16_t float_to_half(float x) {
  const auto u = std::bit_cast<std::uint32_t>(x);
  const auto sign = static_cast<std::uint16_t>((u >> 16) & 0x8000u);
  const std::uint32_t magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {  // a subnormal half: the nearest multiple of 2^-24
    if (magnitude < 0x33000000u) return sign;
    const std::uint32_t shift = 126 - (magnitude >> 23);
    const std::uint32_t full = (magnitude & 0x7fffffu) | 0x800000u;
    const std::uint32_t kept = full >> shift, rest = full & ((1u << shift) - 1), half = 1u << (shift - 1);
    return static_cast<std::uint16_t>(sign | (kept + (rest > half || (rest == half && (kept & 1u)) ? 1u : 0u)));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

void read_values(const tensor_entry& t, std::span<float> out) { read_any(t, out); }
void read_values(const tensor_entry& t, std::span<bf16> out) { read_any(t, out); }

std::int64_t tensor_entry::size() const {
  std::int64_t n = 1;
  for (auto e : shape) n *= e;
  return n;
}

safetensors safetensors::open(const file_path& path) {
  safetensors s;
  s.file_ = mapped_file(path);
  s.parse(s.file_.bytes(), path.text);
  return s;
}

safetensors safetensors::open(const file_path& directory, std::string_view name, const file_path& link_root) {
  safetensors s;
  s.file_ = mapped_file(directory, name, link_root);
  s.parse(s.file_.bytes(), detail::joined(directory, name).text);
  return s;
}

safetensors safetensors::view(std::span<const std::byte> file, std::string_view what) {
  safetensors s;
  s.parse(file, std::string(what));
  return s;
}

void safetensors::parse(std::span<const std::byte> bytes, const std::string& what) {
  const auto refuse = [&](const std::string& why) { throw format_error(what + ": " + why); };
  if (bytes.size() < 8)
    refuse(std::to_string(bytes.size()) + " bytes, too short for a safetensors file; fetch it again");
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = (length << 8) | std::to_integer<std::uint64_t>(bytes[i]);
  if (length > largest_header)
    refuse("the header claims " + std::to_string(length) +
           " bytes, more than the limit of 100 MB; no safetensors file?");
  if (length > bytes.size() - 8)
    refuse("the header claims " + std::to_string(length) + " bytes, the file has " + std::to_string(bytes.size()) +
           "; it is truncated, fetch it again");
  const auto data = bytes.subspan(8 + static_cast<std::size_t>(length));
  header_.assign(reinterpret_cast<const char*>(bytes.data()) + 8, static_cast<std::size_t>(length));
  if (!header_.starts_with('{')) refuse("the header does not start with '{'; no safetensors file?");

  json::limits limits;
  limits.depth = 8;
  const json::detail::document d(header_, what + ": header", limits);
  dom::object fields;
  if (d.root.get(fields)) refuse("the header is no JSON object");
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  bool metadata_seen = false;
  for (const auto& field : fields) {
    const std::string name(field.key);
    if (name == "__metadata__") {
      dom::object entries;
      if (metadata_seen) refuse("the header holds __metadata__ twice");
      metadata_seen = true;
      if (field.value.get(entries)) refuse("__metadata__ is no object");
      for (const auto& e : entries) {
        std::string_view text;
        if (e.value.get(text)) refuse("__metadata__: the value of \"" + std::string(e.key) + "\" is no string");
        metadata_.emplace_back(e.key, text);
      }
      auto keys = metadata_;
      std::sort(keys.begin(), keys.end());
      for (std::size_t i = 1; i < keys.size(); ++i)
        if (keys[i].first == keys[i - 1].first) refuse("__metadata__: \"" + keys[i].first + "\" occurs twice");
      continue;
    }
    const auto wrong = [&](const std::string& why) { refuse("tensor \"" + name.substr(0, 200) + "\": " + why); };
    dom::object info;
    if (field.value.get(info)) wrong("expected an object with dtype, shape and data_offsets");
    tensor_entry t;
    t.name = name;
    bool seen[3] = {};
    std::uint64_t begin = 0, end = 0;
    for (const auto& e : info) {
      const int which = e.key == "dtype" ? 0 : e.key == "shape" ? 1 : e.key == "data_offsets" ? 2 : 3;
      if (which == 3) wrong("unknown field \"" + std::string(e.key).substr(0, 80) + "\"");
      if (std::exchange(seen[which], true)) wrong("the field \"" + std::string(e.key) + "\" occurs twice");
      if (which == 0) {
        std::string_view type;
        if (e.value.get(type)) wrong("dtype is no string");
        const auto* at =
            std::find_if(std::begin(types), std::end(types), [&](const auto& x) { return x.name == type; });
        if (at == std::end(types)) wrong("unknown dtype \"" + std::string(type).substr(0, 40) + "\"");
        t.type = static_cast<dtype>(at - std::begin(types));
        continue;
      }
      dom::array numbers;
      if (e.value.get(numbers)) wrong(std::string(e.key) + " is no array");
      std::vector<std::uint64_t> list;
      for (const auto& x : numbers) {
        std::uint64_t n = 0;
        if (x.get(n)) wrong(std::string(e.key) + " holds what is no count");
        list.push_back(n);
        if (list.size() > most_dimensions) wrong("more than " + std::to_string(most_dimensions) + " dimensions");
      }
      if (which == 2) {
        if (list.size() != 2 || list[0] > list[1]) wrong("expected data_offsets [begin, end]");
        begin = list[0];
        end = list[1];
      } else {
        for (std::uint64_t n : list) {
          if (n > std::uint64_t{1} << 62) wrong("a dimension of " + std::to_string(n));
          t.shape.push_back(static_cast<std::int64_t>(n));
        }
      }
    }
    if (!seen[0] || !seen[1] || !seen[2]) wrong("dtype, shape or data_offsets is missing");
    std::uint64_t expected = dtype_size(t.type);
    for (std::int64_t n : t.shape)
      if (__builtin_mul_overflow(expected, static_cast<std::uint64_t>(n), &expected)) wrong("a size beyond 64 bits");
    if (end > data.size())
      wrong("its bytes end at " + std::to_string(end) + ", the file's data at " + std::to_string(data.size()) +
            "; the file is truncated, fetch it again");
    if (end - begin != expected)
      wrong("shape " + shape_text(t.shape) + " of " + std::string(dtype_name(t.type)) + " needs " +
            std::to_string(expected) + " bytes, data_offsets give " + std::to_string(end - begin));
    t.bytes = data.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(expected));
    tensors_.push_back(std::move(t));
    ranges.emplace_back(begin, end);
  }

  std::vector<std::size_t> order(tensors_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  ql::detail::stable_sort(order.begin(), order.end(),
                          [&](std::size_t a, std::size_t b) { return ranges[a] < ranges[b]; });
  std::uint64_t covered = 0;
  std::vector<tensor_entry> sorted;
  sorted.reserve(order.size());
  for (std::size_t i : order) {
    if (ranges[i].first != covered)
      refuse("tensor \"" + tensors_[i].name.substr(0, 200) + "\" starts at " + std::to_string(ranges[i].first) +
             " where " + std::to_string(covered) + " was expected: tensors overlap or leave a gap");
    covered = ranges[i].second;
    sorted.push_back(std::move(tensors_[i]));
  }
  if (covered != data.size())
    refuse("the tensors end at " + std::to_string(covered) + ", the data at " + std::to_string(data.size()) +
           ": bytes that belong to no tensor");
  tensors_ = std::move(sorted);
  by_name_ = std::move(order);
  std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
  std::sort(by_name_.begin(), by_name_.end(),
            [&](std::size_t a, std::size_t b) { return tensors_[a].name < tensors_[b].name; });
  for (std::size_t i = 1; i < by_name_.size(); ++i)
    if (tensors_[by_name_[i]].name == tensors_[by_name_[i - 1]].name)
      refuse("tensor \"" + tensors_[by_name_[i]].name.substr(0, 200) + "\" occurs twice");
}

const tensor_entry* safetensors::find(std::string_view name) const {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                   [&](std::size_t i, std::string_view n) { return tensors_[i].name < n; });
  return at != by_name_.end() && tensors_[*at].name == name ? &tensors_[*at] : nullptr;
}

std::string safetensors_header(std::vector<tensor_entry>& tensors, const safetensors::metadata_type& metadata) {
  std::sort(tensors.begin(), tensors.end(),
            [](const auto& a, const auto& b) { return a.type != b.type ? a.type > b.type : a.name < b.name; });
  std::string text = "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, v] : metadata)
      text += (text.back() == '{' ? "" : ",") + json::dump_string(key) + ":" + json::dump_string(v);
    text += '}';
  }
  std::uint64_t at = 0;
  for (const auto& t : tensors) {
    std::uint64_t bytes = dtype_size(t.type);
    std::string shape;
    for (std::int64_t n : t.shape) {
      if (n < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(n), &bytes))
        throw shape_error("safetensors: tensor \"" + t.name + "\": impossible shape " + shape_text(t.shape));
      shape += (shape.empty() ? "" : ",") + std::to_string(n);
    }
    text += (text.size() == 1 ? "" : ",") + json::dump_string(t.name) + ":{\"dtype\":\"" +
            std::string(dtype_name(t.type)) + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + std::to_string(at) +
            "," + std::to_string(at + bytes) + "]}";
    at += bytes;
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

std::string safetensors_header(std::vector<tensor_entry>& tensors) {
  return safetensors_header(tensors, detail::usual_metadata());
}

safetensors_writer::safetensors_writer(const file_path& path, std::string_view header, std::uint64_t data_bytes)
    : file_(path), path_(path.text), left_(data_bytes) {
  std::byte length[8];
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(header.size() >> (8 * i));
  file_.write(length);
  file_.write(header);
}

void safetensors_writer::write(std::span<const std::byte> bytes) {
  if (bytes.size() > left_) throw shape_error("safetensors: " + path_ + ": more bytes than the header says");
  left_ -= bytes.size();
  file_.write(bytes);
}

void safetensors_writer::commit() {
  if (left_ != 0) throw shape_error("safetensors: " + path_ + ": " + std::to_string(left_) + " bytes are missing");
  file_.commit();
}

checkpoint checkpoint::open(const file_path& folder, const file_path& link_root) {
  const std::filesystem::path directory(folder.text);
  checkpoint c;
  c.directory_ = folder.text;
  const auto index = directory / std::string(detail::index_name);
  const auto add = [&](const std::string& name) {
    c.shards_.push_back(shard{name, safetensors::open(folder, name, link_root)});
    return &c.shards_.back();
  };
  if (exists(directory / std::string(detail::single_name))) {
    for (const auto& t : add(std::string(detail::single_name))->file.tensors()) c.tensors_.push_back(&t);
  } else if (exists(index)) {
    const mapped_file mapped(folder, detail::index_name, link_root);
    if (mapped.size() > largest_index) throw format_error(index.string() + ": larger than 256 MB");
    c.index_.assign(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.size());
    const json::value root = json::parse(c.index_, index.string());
    const json::value* map = root.find("weight_map");
    if (!map || !map->is_object()) throw format_error(index.string() + ": expected an object \"weight_map\"");
    std::map<std::string, const shard*, std::less<>> files;
    std::map<std::string, const std::string*, std::less<>> home;
    for (const auto& [name, file] : map->object()) {
      if (!file.is_string() || !is_plain_file_name(file.string()))
        throw format_error(index.string() + ": weight_map: \"" + name.substr(0, 200) +
                           "\": expected a plain file name; paths are refused");
      files.emplace(file.string(), nullptr);
      home.emplace(name, &file.string());
    }
    if (files.size() > most_shards) throw format_error(index.string() + ": more than 10000 files");
    c.shards_.reserve(files.size());  // `files` points into it
    for (auto& [name, opened] : files) {
      opened = add(name);
      for (const auto& t : opened->file.tensors()) {
        const auto at = home.find(t.name);
        if (at != home.end() && *at->second == name) c.tensors_.push_back(&t);
      }
    }
    for (const auto& [name, file] : home)
      if (!files.at(*file)->file.find(name))
        throw format_error(index.string() + ": weight_map: \"" + name.substr(0, 200) + "\" is not in " + *file);
  } else {
    const bool pickled = exists(directory / "pytorch_model.bin") || exists(directory / "pytorch_model.bin.index.json");
    throw file_error(c.directory_ + ": holds neither model.safetensors nor model.safetensors.index.json" +
                     (pickled ? "; pickled weights are never read, convert them (transformers: "
                                "model.save_pretrained(..., safe_serialization=True))"
                              : ""));
  }
  c.by_name_ = c.tensors_;
  std::sort(c.by_name_.begin(), c.by_name_.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  return c;
}

const tensor_entry* checkpoint::find(std::string_view name) const {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                   [](const auto* t, std::string_view n) { return t->name < n; });
  return at != by_name_.end() && (*at)->name == name ? *at : nullptr;
}

const tensor_entry& checkpoint::at(std::string_view name) const {
  if (const auto* t = find(name)) return *t;
  // The name that shares the longest beginning and end.
  const tensor_entry* similar = nullptr;
  std::size_t best = 0;
  for (const auto* t : tensors_) {
    const std::string_view other = t->name;
    std::size_t a = 0, b = 0;
    const std::size_t shorter = std::min(name.size(), other.size());
    while (a < shorter && name[a] == other[a]) ++a;
    while (b < shorter - a && name[name.size() - 1 - b] == other[other.size() - 1 - b]) ++b;
    if (a + b > best) best = a + b, similar = t;
  }
  throw format_error(directory_ + ": no tensor \"" + std::string(name) + "\"" +
                     (similar ? " (there is \"" + similar->name.substr(0, 200) + "\")" : ""));
}

std::uint64_t checkpoint::bytes() const {
  std::uint64_t n = 0;
  for (const auto* t : tensors_) n += t->bytes.size();
  return n;
}

namespace detail {

void check_replacement(const tensor_entry& t, std::size_t bytes) {
  std::size_t expected = dtype_size(t.type);
  for (auto n : t.shape) expected *= static_cast<std::size_t>(n);
  ql::detail::expects<shape_error>(bytes == expected, "save", t.name, std::to_string(expected) + " bytes",
                                   std::to_string(bytes));
}

safetensors::metadata_type usual_metadata() { return {{"format", "pt"}}; }

file_path joined(const file_path& directory, std::string_view name) {
  return std::filesystem::path(directory.text) / name;
}

void check_free(const file_path& directory, bool sharded) {
  const auto other = std::filesystem::path(directory.text) / (sharded ? single_name : index_name);
  if (exists(other))
    throw file_error(other.string() +
                     ": left of another checkpoint and would shadow the new one; save into an empty folder");
}

std::vector<shard_plan> plan_shards(std::vector<tensor_entry> tensors, std::uint64_t shard_bytes,
                                    const safetensors::metadata_type& metadata) {
  std::vector<shard_plan> plan(1);
  for (auto& t : tensors) {
    std::uint64_t bytes = dtype_size(t.type);
    for (auto n : t.shape)
      if (n < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(n), &bytes))
        throw shape_error("save: tensor \"" + t.name + "\": impossible shape " + shape_text(t.shape));
    if (!plan.back().tensors.empty() && bytes > shard_bytes - std::min(shard_bytes, plan.back().bytes))
      plan.emplace_back();
    plan.back().bytes += bytes;
    plan.back().tensors.push_back(std::move(t));
  }
  const auto five = [](std::size_t n) {
    const std::string digits = std::to_string(n);
    return std::string(5 - std::min<std::size_t>(5, digits.size()), '0') + digits;
  };
  for (std::size_t i = 0; i < plan.size(); ++i) {
    plan[i].name = plan.size() == 1 ? std::string(single_name)
                                    : "model-" + five(i + 1) + "-of-" + five(plan.size()) + ".safetensors";
    plan[i].header = safetensors_header(plan[i].tensors, metadata);
  }
  return plan;
}

std::string index_of(const std::vector<shard_plan>& plan) {
  std::int64_t total = 0;
  json::value::object_type map;
  for (const auto& s : plan) {
    total += static_cast<std::int64_t>(s.bytes);
    for (const auto& t : s.tensors) map.emplace_back(t.name, s.name);
  }
  json::style style;
  style.indent = 2;
  style.sort_keys = true;
  const json::value::object_type root{{"metadata", json::value::object_type{{"total_size", total}}},
                                      {"weight_map", map}};
  return json::dump(root, style) + "\n";
}

}  // namespace detail
}  // namespace ql::io
