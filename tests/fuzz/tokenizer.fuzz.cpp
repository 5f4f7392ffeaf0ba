// SPDX-License-Identifier: Apache-2.0
// sources: tokenizer bpe pattern unicode file json
#include <ql/text/tokenizer.hpp>

#include <cstdint>
#include <string>

// tokenizer.json, a NUL, and a text for it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const auto cut = all.find('\0');
  const std::string_view text = cut == std::string_view::npos ? "abc <x> \xff 12" : all.substr(cut + 1);
  try {
    const auto t = ql::text::tokenizer::from_json(all.substr(0, cut));
    const auto e = t.encode_with_offsets(text, {.add_special_tokens = true});
    if (e.ids != t.encode(text, {.add_special_tokens = true}) || e.ids.size() != e.offsets.size()) __builtin_trap();
    for (const auto& o : e.offsets)
      if (o.begin > o.end || o.end > text.size()) __builtin_trap();
    (void)t.decode(e.ids, true);
    ql::text::stream_decoder s(t);
    std::string streamed;
    for (auto id : e.ids) {
      if (id < 0 || id >= t.vocab_size()) __builtin_trap();
      streamed += s.push(id);
    }
    streamed += s.finish();
  } catch (const ql::error&) {
  }
  return 0;
}
