// SPDX-License-Identifier: Apache-2.0
// sources: safetensors file json
#include <unistd.h>
#include <ql/io/safetensors.hpp>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

// The input is the index of a folder that holds one shard, a.safetensors, with the tensor "w".
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path folder = [] {
    std::string name = (std::filesystem::temp_directory_path() / "ql-fuzz-XXXXXX").string();
    if (!::mkdtemp(name.data())) std::abort();
    const std::filesystem::path made = name;
    static const float w[2] = {1, 2};
    ql::io::save({{"w", ql::io::dtype::f32, {2}, {}}}, made, [](const auto&) { return std::as_bytes(std::span(w)); });
    std::filesystem::rename(made / "model.safetensors", made / "a.safetensors");
    std::atexit([] { std::filesystem::remove_all(folder); });
    return made;
  }();
  std::ofstream(folder / "model.safetensors.index.json", std::ios::binary)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    const auto c = ql::io::checkpoint::open(folder);
    for (const auto* t : c.tensors())
      if (t->name != "w") __builtin_trap();
  } catch (const ql::error&) {
  }
  return 0;
}
