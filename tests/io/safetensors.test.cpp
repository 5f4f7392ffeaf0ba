// SPDX-License-Identifier: Apache-2.0
#include <ql/io/json.hpp>
#include <ql/io/safetensors.hpp>

#include "io/folder.hpp"
#include "support/data.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace {

using ql::io::checkpoint;
using ql::io::dtype;
using ql::io::file_error;
using ql::io::format_error;
using ql::io::safetensors;
using ql::io::tensor_entry;
using ql::test::bytes_of;

std::string file_of(const std::string& header, const std::string& data) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(static_cast<unsigned char>(header.size() >> (8 * i)));
  return out + header + data;
}
std::span<const std::byte> view_of(const std::string& s) { return std::as_bytes(std::span(s)); }
std::string refused(const std::string& file) {
  return ql::test::message_of<format_error>([&] { safetensors::view(view_of(file), "m.safetensors"); });
}
std::string refused(const std::string& header, std::size_t data) {
  return refused(file_of(header, std::string(data, 'd')));
}
constexpr auto unchanged = [](const tensor_entry& t) { return t.bytes; };

TEST(Safetensors, ReadsTensorsAndMetadata) {
  const std::string file = file_of(
      R"({"b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},"__metadata__":{"format":"pt","x":"é"},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"n":{"dtype":"I64","shape":[0,3],"data_offsets":[8,8]}}  )",
      std::string("\0\0\xc0\x3f\x80\x3f\0\xc0", 8));
  const auto s = safetensors::view(view_of(file));
  ASSERT_EQ(s.tensors().size(), 3u);
  EXPECT_EQ(s.tensors()[0].name, "a");
  EXPECT_EQ(s.metadata()[1].second, "é");
  float a = 0;
  read_values(*s.find("a"), std::span(&a, 1));
  EXPECT_EQ(a, 1.5f);
  std::array<float, 2> b{};
  read_values(*s.find("b"), b);
  EXPECT_EQ(b, (std::array<float, 2>{1, -2}));
  std::array<ql::bf16, 1> narrow{};
  read_values(*s.find("a"), narrow);
  EXPECT_EQ(static_cast<float>(narrow[0]), 1.5f);
  EXPECT_EQ(s.find("n")->size(), 0);
  EXPECT_EQ(s.find("m"), nullptr);
  QL_EXPECT_MESSAGE(read_values(*s.find("n"), std::span<float>()), format_error,
                    "tensor \"n\" has type I64; weights must be F32, F16 or BF16");
  EXPECT_THROW(read_values(*s.find("a"), b), ql::shape_error);
}

TEST(Safetensors, HalvesAreExact) {
  for (std::uint32_t h = 0; h < 65536; ++h) {
    const float f = ql::io::half_to_float(static_cast<std::uint16_t>(h));
    const int exponent = static_cast<int>((h >> 10) & 31);
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(f), (h & 1023) != 0);
    } else {
      const double value = exponent == 0 ? std::ldexp(static_cast<double>(h & 1023), -24)
                                         : std::ldexp(1024.0 + static_cast<double>(h & 1023), exponent - 25);
      ASSERT_EQ(static_cast<double>(f), h & 0x8000 ? -value : value);
    }
    if (!std::isnan(f)) {
      ASSERT_EQ(ql::io::float_to_half(f), h);
    }
  }
  EXPECT_EQ(ql::io::float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(ql::io::float_to_half(65519.0f), 0x7bff);
  EXPECT_EQ(ql::io::float_to_half(1.0f + 0x1p-11f), 0x3c00);
  EXPECT_EQ(ql::io::float_to_half(1.0f + 0x1.8p-10f), 0x3c02);
  EXPECT_EQ(ql::io::float_to_half(0x1p-25f), 0);
  EXPECT_EQ(ql::io::float_to_half(0x1.8p-25f), 1);
}

TEST(Safetensors, RefusesDamagedFiles) {
  EXPECT_NE(refused(std::string("abc")).find("too short for a safetensors file"), std::string::npos);
  EXPECT_NE(refused(std::string(8, '\xff')).find("more than the limit of 100 MB"), std::string::npos);
  EXPECT_NE(refused(std::string("\x40\0\0\0\0\0\0\0{}", 10)).find("it is truncated"), std::string::npos);
  EXPECT_NE(refused("[]", 0).find("does not start with '{'"), std::string::npos);
  EXPECT_NE(refused("{", 0).find("not valid JSON"), std::string::npos);
  EXPECT_NE(refused("{\"a\":" + std::string(1000, '[') + std::string(1000, ']') + "}", 0).find("nested deeper"),
            std::string::npos);
  EXPECT_EQ(refused("{}", 0), "nothing thrown");
}

TEST(Safetensors, RefusesLyingHeaders) {
  const auto one = [](const std::string& type, const std::string& shape, const std::string& offsets) {
    return "{\"w\":{\"dtype\":\"" + type + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  };
  EXPECT_EQ(refused(one("F32", "[2]", "[0,8]"), 8), "nothing thrown");
  EXPECT_NE(refused(one("F32", "[2]", "[0,8]"), 7).find("its bytes end at 8, the file's data at 7"), std::string::npos);
  EXPECT_NE(refused(one("BF16", "[2]", "[0,8]"), 8).find("shape (2) of BF16 needs 4 bytes, data_offsets give 8"),
            std::string::npos);
  EXPECT_NE(refused(one("F33", "[2]", "[0,8]"), 8).find("unknown dtype \"F33\""), std::string::npos);
  EXPECT_NE(refused(one("F32", "[4294967296,4294967296]", "[0,8]"), 8).find("a size beyond 64 bits"),
            std::string::npos);
  EXPECT_NE(refused(one("F32", "[9223372036854775807]", "[0,8]"), 8).find("a dimension of"), std::string::npos);
  EXPECT_NE(refused(one("F32", "[-2]", "[0,8]"), 8).find("holds what is no count"), std::string::npos);
  EXPECT_NE(refused(one("F32", "[2]", "[8,0]"), 8).find("expected data_offsets [begin, end]"), std::string::npos);
  EXPECT_NE(refused(one("F32", "[2]", "[0,18446744073709551615]"), 8).find("its bytes end at"), std::string::npos);
  EXPECT_NE(refused(one("F32", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]", "[0,8]"), 8).find("more than 16 dimensions"),
            std::string::npos);
  EXPECT_NE(refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8).find("is missing"), std::string::npos);
  EXPECT_NE(refused("{\"w\":7}", 0).find("tensor \"w\": expected an object"), std::string::npos);
  EXPECT_NE(refused("{\"__metadata__\":{\"a\":1}}", 0).find("__metadata__"), std::string::npos);
}

TEST(Safetensors, RefusesOverlapsGapsAndTwins) {
  const auto two = [](const std::string& a, const std::string& b, const std::string& name = "b") {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a + R"(},")" + name +
           R"(":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}";
  };
  EXPECT_EQ(refused(two("[4,8]", "[0,4]"), 8), "nothing thrown");
  EXPECT_NE(refused(two("[0,4]", "[2,6]"), 6).find("overlap or leave a gap"), std::string::npos);
  EXPECT_NE(refused(two("[0,4]", "[5,9]"), 9).find("overlap or leave a gap"), std::string::npos);
  EXPECT_NE(refused(two("[1,5]", "[5,9]"), 9).find("overlap or leave a gap"), std::string::npos);
  EXPECT_NE(refused(two("[0,4]", "[4,8]"), 9).find("bytes that belong to no tensor"), std::string::npos);
  EXPECT_NE(refused(two("[0,4]", "[4,8]", "a"), 8).find("tensor \"a\" occurs twice"), std::string::npos);
}

TEST(Safetensors, WritesAsTheReferenceLibrary) {
  // safetensors 0.8.0, safetensors.numpy.save of b = [1.5, -2] (float32), c = 0.5 (float16), a.b = [[3]] (float32).
  const std::string expected = file_of(
      R"({"__metadata__":{"format":"pt"},"a.b":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},)"
      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},"c":{"dtype":"F16","shape":[],"data_offsets":[12,14]}})"
      "   ",
      std::string("\0\0\x40\x40\0\0\xc0\x3f\0\0\0\xc0\0\x38", 14));
  const ql::test::folder f;
  const std::string data("\0\0\xc0\x3f\0\0\0\xc0\0\x38\0\0\x40\x40", 14);
  const auto bytes = view_of(data);
  ql::io::save({{"b", dtype::f32, {2}, bytes.first(8)},
                {"c", dtype::f16, {}, bytes.subspan(8, 2)},
                {"a.b", dtype::f32, {1, 1}, bytes.last(4)}},
               f.path(), unchanged);
  EXPECT_EQ(bytes_of(f / "model.safetensors"), expected);
}

// Three tensors in two shards.
void write_shards(const ql::test::folder& f) {
  static const std::string data(64, 'w');
  ql::io::save_options o;
  o.shard_bytes = 40;
  ql::io::save({{"x", dtype::bf16, {4, 4}, view_of(data).first(32)},
                {"y", dtype::bf16, {4}, view_of(data).first(8)},
                {"z", dtype::f32, {2}, view_of(data).first(8)}},
               f.path(), unchanged, o);
}

TEST(Checkpoint, SavesInShards) {
  const ql::test::folder f;
  write_shards(f);
  EXPECT_EQ(bytes_of(f / "model.safetensors.index.json"),
            "{\n  \"metadata\": {\n    \"total_size\": 48\n  },\n  \"weight_map\": {\n"
            "    \"x\": \"model-00001-of-00002.safetensors\",\n    \"y\": \"model-00001-of-00002.safetensors\",\n"
            "    \"z\": \"model-00002-of-00002.safetensors\"\n  }\n}\n");
  const auto c = checkpoint::open(f.path());
  EXPECT_EQ(c.tensors().size(), 3u);
  EXPECT_EQ(c.shards().size(), 2u);
  EXPECT_EQ(c.bytes(), 48u);
  EXPECT_EQ(c.at("y").shape, std::vector<std::int64_t>{4});
  QL_EXPECT_MESSAGE(c.at("lm_head.z"), format_error, "no tensor \"lm_head.z\" (there is \"z\")");
}

TEST(Checkpoint, AnUnchangedRoundTripIsByteIdentical) {
  const ql::test::folder shards;
  write_shards(shards);
  const std::filesystem::path sources[] = {
      shards.path(), ql::test::data_file("models/stories260K/config.json").parent_path(),
      ql::test::data_file("models/verl_digit_completion/config.json").parent_path()};
  for (const auto& from : sources) {
    const ql::test::folder to;
    ql::io::save(checkpoint::open(from), to.path(), unchanged);
    int files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(to.path())) {
      EXPECT_EQ(bytes_of(entry.path()), bytes_of(from / entry.path().filename())) << entry.path();
      ++files;
    }
    EXPECT_EQ(files, from == shards.path() ? 3 : 1);
  }
}

TEST(Checkpoint, ReplacesOneTensorInPlace) {
  const ql::test::folder f;
  write_shards(f);
  const std::string before = bytes_of(f / "model-00001-of-00002.safetensors");
  const std::array<float, 2> z{1, 2};
  ql::io::save(checkpoint::open(f.path()), f.path(),
               [&](const tensor_entry& t) { return t.name == "z" ? std::as_bytes(std::span(z)) : t.bytes; });
  EXPECT_EQ(bytes_of(f / "model-00001-of-00002.safetensors"), before);
  std::array<float, 2> read{};
  read_values(checkpoint::open(f.path()).at("z"), read);
  EXPECT_EQ(read, z);
  EXPECT_THROW(
      ql::io::save(checkpoint::open(f.path()), f.path(), [](const tensor_entry& t) { return t.bytes.first(2); }),
      ql::shape_error);
}

TEST(Checkpoint, DoesNotHideBehindAnOlderOne) {
  const ql::test::folder f;
  write_shards(f);
  QL_EXPECT_MESSAGE(ql::io::save({{"x", dtype::f32, {0}, {}}}, f.path(), unchanged), file_error,
                    "would shadow the new one");
}

TEST(Checkpoint, RefusesHostileIndices) {
  const auto refused_index = [](const std::string& index) {
    const ql::test::folder f;
    write_shards(f);
    f.write("model.safetensors.index.json", index);
    return ql::test::message_of<ql::error>([&] { checkpoint::open(f.path()); });
  };
  const auto map = [](const std::string& file) { return "{\"weight_map\":{\"x\":\"" + file + "\"}}"; };
  EXPECT_EQ(refused_index(map("model-00001-of-00002.safetensors")), "nothing thrown");
  for (const char* path : {"../model-00001-of-00002.safetensors", "/etc/passwd", "a\\\\b", "..", ""})
    EXPECT_NE(refused_index(map(path)).find("expected a plain file name"), std::string::npos) << path;
  EXPECT_NE(refused_index(map("model-00002-of-00002.safetensors")).find("\"x\" is not in model-00002"),
            std::string::npos);
  EXPECT_NE(refused_index(map("absent.safetensors")).find("cannot open"), std::string::npos);
  EXPECT_NE(refused_index(R"({"weight_map":{"x":"a","x":"b"}})").find("occurs twice"), std::string::npos);
  EXPECT_NE(refused_index(R"({"weight_map":{"x":7}})").find("expected a plain file name"), std::string::npos);
  EXPECT_NE(refused_index("{}").find("expected an object \"weight_map\""), std::string::npos);
  EXPECT_NE(refused_index("[").find("not valid JSON"), std::string::npos);
}

TEST(Checkpoint, RefusesLinksAndPickles) {
  const ql::test::folder f, elsewhere;
  write_shards(elsewhere);
  QL_EXPECT_MESSAGE(checkpoint::open(f.path()), file_error, "holds neither model.safetensors nor");
  f.write("pytorch_model.bin", "");
  QL_EXPECT_MESSAGE(checkpoint::open(f.path()), file_error, "pickled weights are never read");
  std::filesystem::create_symlink(elsewhere / "model-00001-of-00002.safetensors", f / "model.safetensors");
  QL_EXPECT_MESSAGE(checkpoint::open(f.path()), file_error, "a symbolic link; allow links");
  EXPECT_EQ(checkpoint::open(f.path(), elsewhere.path()).tensors().size(), 2u);
}

TEST(Checkpoint, ReadsTheModelsOfTheTestData) {
  const auto stories = checkpoint::open(ql::test::data_file("models/stories260K/config.json").parent_path());
  EXPECT_EQ(stories.at("model.embed_tokens.weight").shape, (std::vector<std::int64_t>{512, 64}));
  const auto digits = checkpoint::open(ql::test::data_file("models/verl_digit_completion/config.json").parent_path());
  const auto& head = digits.at("lm_head.weight");
  EXPECT_EQ(head.type, dtype::bf16);
  std::vector<float> values(static_cast<std::size_t>(head.size()));
  read_values(head, values);
  for (float v : values) EXPECT_LT(std::abs(v), 1);
}

}  // namespace
