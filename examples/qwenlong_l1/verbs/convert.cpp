// SPDX-License-Identifier: Apache-2.0
#include <ql/io/model_config.hpp>
#include <ql/io/weights.hpp>

#include <cstdio>
#include <filesystem>

#include "verb.hpp"

namespace ql::tool {
namespace {

namespace fs = std::filesystem;

struct settings {
  std::string in, out, dtype = "keep", shard, link_root;
};

void declare(options& o, settings& s) {
  o.required("--in", s.in, "model folder (Hugging Face layout)")
      .required("--out", s.out, "new folder")
      .choice("--dtype", s.dtype, {"keep", "float", "bf16"}, "type of the weights")
      .optional("--shard", s.shard, "largest file, 500MB or 5GB say; default: the files stay as they are cut")
      .optional("--link-root", s.link_root, "allow weights that are links into this folder")
      .footer("config.json is changed where it must be; tokenizer, template and generation files are copied.");
}

std::uint64_t bytes_of(const std::string& text) {
  const auto refuse = [&] {
    ql::detail::fail<argument_error>("convert", "--shard", "a size such as 500MB, 5GB or 1000000", text);
  };
  std::uint64_t n = 0;
  std::size_t i = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9' && n < (std::uint64_t{1} << 40); ++i)
    n = n * 10 + static_cast<std::uint64_t>(text[i] - '0');
  const std::string unit = text.substr(i);
  if (i == 0 || n == 0) refuse();
  if (unit == "GB") return n * 1'000'000'000;
  if (unit == "MB") return n * 1'000'000;
  if (unit == "KB" || unit == "kB") return n * 1'000;
  if (!unit.empty()) refuse();
  return n;
}

bool floating(io::dtype t) { return t == io::dtype::f32 || t == io::dtype::bf16 || t == io::dtype::f16; }

int run(const settings& s) {
  const auto c = io::checkpoint::open(s.in, s.link_root);
  auto config = io::model_config::read(s.in);
  if (fs::exists(s.out) && fs::equivalent(s.in, s.out))
    ql::detail::fail<argument_error>("convert", "--out", "another folder than --in", s.out);
  const auto type = s.dtype == "float" ? io::dtype::f32 : io::dtype::bf16;
  const bool keep = s.dtype == "keep";
  std::error_code failed;
  fs::create_directories(s.out, failed);
  if (failed) throw io::file_error(s.out + ": cannot create: " + failed.message());

  std::vector<float> values;
  std::vector<std::byte> bytes;
  const auto convert = [&](const io::tensor_entry& t) -> std::span<const std::byte> {
    const auto& from = c.at(t.name);
    if (from.type == t.type) return from.bytes;
    values.resize(static_cast<std::size_t>(from.size()));
    io::read_values(from, std::span<float>(values));
    io::values_to_bytes(values, t.type, bytes);
    return bytes;
  };
  if (keep && s.shard.empty()) {
    io::save(c, s.out, convert);
  } else {
    std::vector<io::tensor_entry> tensors;
    for (const auto* t : c.tensors()) {
      tensors.push_back(*t);
      if (!keep && floating(t->type)) tensors.back().type = type;
    }
    io::save_options o;
    if (!s.shard.empty()) o.shard_bytes = bytes_of(s.shard);
    if (!c.shards().empty() && !c.shards()[0].file.metadata().empty()) o.metadata = c.shards()[0].file.metadata();
    io::save(std::move(tensors), s.out, convert, o);
  }
  if (!keep) config.torch_dtype = type == io::dtype::f32 ? "float32" : "bfloat16";
  io::write_file((fs::path(s.out) / "config.json").string(), config.patched());
  for (const char* name : {"generation_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json",
                           "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"}) {
    const fs::path from = fs::path(s.in) / name;
    if (!fs::exists(from)) continue;
    const io::mapped_file file(from.string());
    io::atomic_file copy((fs::path(s.out) / name).string());
    copy.write(file.bytes());
    copy.commit();
  }
  const auto written = io::checkpoint::open(s.out);
  std::printf("%s: %zu tensors in %zu files, %llu bytes\n", s.out.c_str(), written.tensors().size(),
              written.shards().size(), static_cast<unsigned long long>(written.bytes()));
  return 0;
}

}  // namespace

verb convert_verb() {
  return {"convert", "writes a model folder with weights of another type or cut into other files",
          bind<settings, declare, run>};
}

}  // namespace ql::tool
