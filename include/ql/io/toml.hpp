// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/error.hpp>
#include <ql/io/file.hpp>
#include <ql/io/tree.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql::io::toml {

// A TOML file as a tree that knows where each key stands.
class document {
 public:
  json::value tree = json::value::object_type{};
  std::string name;  // of the file, for messages

  // "recipe.toml:12:3" for a dotted key, or for the nearest key above it that the file has; the name alone otherwise.
  std::string where(std::string_view key) const;

  struct place {
    std::string key;
    std::uint32_t line = 0, column = 0;
  };
  std::vector<place> places;  // sorted by key
};

// Throws format_error "name:line:column: ..." for what is no TOML 1.0, holds a date or time, a key that is not made of
// letters, digits, '_' and '-', more than 1 MB or more than 32 levels.
document parse(std::string_view text, std::string_view name = "TOML");
document read(const file_path& path);

// A tree of objects as TOML that reads back equal: plain keys first, then tables and lists of tables. A null is left
// out. `comments` are put behind the lines of their dotted keys.
std::string print(const json::value& tree, const std::vector<std::pair<std::string, std::string>>& comments = {});

}  // namespace ql::io::toml
