// SPDX-License-Identifier: Apache-2.0
// sources: model_config file json
#include <ql/io/json.hpp>
#include <ql/io/model_config.hpp>
#include <ql/model/config.hpp>

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto v = ql::io::json::parse(text);
    if (ql::io::json::parse(ql::io::json::dump(v)) != v) __builtin_trap();
    if (v.is_object()) {
      const auto w = ql::io::json::parse(ql::io::json::patch(text, "vocab_size", "[7]"));
      if (w.at("vocab_size").array().size() != 1) __builtin_trap();
    }
  } catch (const ql::error&) {
  }
  try {
    auto c = ql::io::model_config::parse(text);
    if (c.patched() != text) __builtin_trap();
    c.eos_token_ids = {1, 2};
    c.rope_theta = 12345;
    const auto again = ql::io::model_config::parse(c.patched());
    if (again.eos_token_ids != c.eos_token_ids || again.rope_theta != c.rope_theta) __builtin_trap();
    (void)ql::io::decoder_of(c);
  } catch (const ql::error&) {
  }
  try {
    (void)ql::io::generation_config::parse(text);
  } catch (const ql::error&) {
  }
  return 0;
}
