// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/text/chat_template.hpp>

namespace ql::tool {

// Options of a rendering from a JSON object: add_generation_prompt, and variables of the template. `tools` may be null.
// The clock of the machine serves templates that ask for the date.
text::render_options render_options_of(const io::json::value* options, const io::json::value* tools);

}  // namespace ql::tool
