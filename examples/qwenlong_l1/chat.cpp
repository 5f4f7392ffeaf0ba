// SPDX-License-Identifier: Apache-2.0
#include "chat.hpp"

#include <ql/io/error.hpp>

#include <ctime>

namespace ql::tool {

text::render_options render_options_of(const io::json::value* options, const io::json::value* tools) {
  text::render_options r;
  r.now = static_cast<std::int64_t>(std::time(nullptr));
  if (tools != nullptr && !tools->is_null()) {
    if (!tools->is_array()) throw io::format_error("\"tools\": expected an array");
    r.tools = tools;
  }
  if (options == nullptr || options->is_null()) return r;
  for (const auto& [name, v] : options->object()) {
    if (name == "add_generation_prompt")
      r.add_generation_prompt = v.boolean();
    else
      r.variables.emplace_back(name, v);
  }
  return r;
}

}  // namespace ql::tool
