// SPDX-License-Identifier: Apache-2.0
// sources: checkpoint file hash json
#include <ql/checkpoint.hpp>
#include <ql/io/file.hpp>
#include <ql/io/hash.hpp>

#include <unistd.h>

#include <cstdint>
#include <filesystem>

// A manifest with a hash that fits, so that what lies behind the hash is reached; beside it a file of 128 bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string folder = [] {
    std::string name = (std::filesystem::temp_directory_path() / "ql-fuzz-XXXXXX").string();
    return std::string(::mkdtemp(name.data()));
  }();
  std::string body(reinterpret_cast<const char*>(data), size);
  if (const auto end = body.rfind("\n}"); end != body.npos) {
    const std::string hash = ql::io::hash(std::string_view(body).substr(0, end + 2)).text();
    body = body.substr(0, end) + ",\n \"hash\": \"" + hash + "\"\n}\n";
  }
  const auto put = [](const char* name, const std::string& text) {
    FILE* f = std::fopen((folder + name).c_str(), "wb");
    std::fwrite(text.data(), 1, text.size(), f);
    std::fclose(f);
  };
  put("/manifest.json", body);
  static const bool once = (put("/a.bin", std::string(128, '\0')), true);
  (void)once;
  try {
    const ql::checkpoint_reader in{ql::io::file_path(folder)};
    for (const auto& b : in.blobs())
      if (b.bytes > 128 || b.type.empty()) __builtin_trap();
  } catch (const ql::error&) {
  }
  try {
    (void)ql::from_bytes<std::vector<std::map<std::string, std::optional<std::vector<double>>>>>(
        std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const ql::archive_error&) {
  }
  return 0;
}
