// SPDX-License-Identifier: Apache-2.0
// sources: chat_template jinja_parse jinja_render file json unicode
#include <ql/text/chat_template.hpp>

#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto messages = ql::io::json::parse(
      R"([{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "1 + 1? é"},
          {"role": "assistant", "content": "<think>\nx\n</think>\n\n2", "tool_calls":
           [{"type": "function", "function": {"name": "f", "arguments": {"a": 1, "b": [true, null, 2.5]}}}]},
          {"role": "tool", "content": "7"}])");
  static const auto tools = ql::io::json::parse(R"([{"type": "function", "function": {"name": "f"}}])");
  ql::text::template_limits limits;
  limits.steps = 20'000;
  limits.output = 1 << 16;
  limits.intermediate = 1 << 20;
  ql::text::render_options options;
  options.tools = &tools;
  options.now = 1752105600;
  options.variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"n", 3}, {"x", 0.5}};
  try {
    const ql::text::chat_template t(std::string_view(reinterpret_cast<const char*>(data), size), "t", limits);
    if (t.render(messages, options).text.size() > limits.output + (1 << 16)) __builtin_trap();
  } catch (const ql::error&) {
  }
  return 0;
}
