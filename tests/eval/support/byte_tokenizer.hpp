// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/text/tokenizer.hpp>

#include <string>

namespace ql::test {

// A tokenizer whose tokens are the 256 bytes, id = byte, and <end>, id 256, which is special.
inline text::tokenizer byte_tokenizer() {
  std::string vocab;
  char32_t spare = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool shown = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const char32_t c = shown ? static_cast<char32_t>(byte) : spare++;
    std::string key;
    if (c == '"' || c == '\\') {
      key = std::string("\\") + static_cast<char>(c);
    } else if (c < 128) {
      key = static_cast<char>(c);
    } else {
      key = {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 63))};
    }
    vocab += (byte > 0 ? ",\"" : "\"") + key + "\":" + std::to_string(byte);
  }
  return text::tokenizer::from_json(
      R"({"added_tokens": [{"id": 256, "content": "<end>", "special": true, "normalized": false, "single_word": false,
          "lstrip": false, "rstrip": false}],
          "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
          "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "merges": [], "vocab": {)" +
      vocab + "}}}");
}

}  // namespace ql::test
