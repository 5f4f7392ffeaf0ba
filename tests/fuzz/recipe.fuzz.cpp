// SPDX-License-Identifier: Apache-2.0
// sources: toml tree file json
#include <ql/io/toml.hpp>

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto d = ql::io::toml::parse(text, "fuzz");
    const auto again = ql::io::toml::parse(ql::io::toml::print(d.tree), "again");
    if (!ql::io::differences(d.tree, again.tree).empty()) __builtin_trap();
    for (const auto& [key, leaf] : ql::io::flatten(d.tree))
      if (!key.empty() && !d.where(key).starts_with("fuzz")) __builtin_trap();
  } catch (const ql::io::format_error&) {
  }
  return 0;
}
