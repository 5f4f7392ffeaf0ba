// SPDX-License-Identifier: Apache-2.0
#pragma once

// Configurations as trees: a json::value of objects, arrays and leaves, addressed by dotted keys such as
// "phases[1].steps". Reflection (ql/reflect.hpp) goes from values to trees and back; TOML and JSON are their texts.

#include <ql/io/json.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql::io {

// Something wrong with a configuration: where (file:line:column, where there is a file), which key, what, and the cure.
struct problem {
  std::string where;
  std::string key;
  std::string what;

  // "recipe.toml:3:1: group_sise: unknown key; did you mean \"group_size\"?"
  std::string text() const;
  friend bool operator==(const problem&, const problem&) = default;
};

// One line per problem.
std::string text_of(const std::vector<problem>& problems);

// The same key with two values; a key that one side lacks has the text "(absent)" there.
struct difference {
  std::string key, before, after;
  friend bool operator==(const difference&, const difference&) = default;
};

// Every leaf with its dotted key, in the order of the tree; an empty array or object is a leaf.
//   flatten({"a": {"b": [1]}})   is {{"a.b[0]", 1}}
std::vector<std::pair<std::string, json::value>> flatten(const json::value& tree);

// The leaves that differ, in the order of `before`, then those that only `after` has.
std::vector<difference> differences(const json::value& before, const json::value& after);

// The subtree at a dotted key, or null. A key that does not parse throws format_error.
const json::value* find(const json::value& tree, std::string_view key);

// Puts a leaf or subtree at a dotted key; objects on the way are made, array elements must exist or be the next one.
// Throws format_error where the way leads through a leaf.
void put(json::value& tree, std::string_view key, json::value leaf);

// What a command line's text means as a leaf: JSON where it is JSON, otherwise the text itself.
//   leaf_of("1e-6"), leaf_of("grpo"), leaf_of("[1, 2]")   are 1e-6, "grpo" and the list
json::value leaf_of(std::string_view text);

// The candidate with the least edit distance to `word` if that is at most a third of its length (at least 2), else "".
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

// Insertions, deletions, substitutions and swaps of neighbours that turn a into b (both cut to 100 bytes).
std::size_t edit_distance(std::string_view a, std::string_view b);

// ", " between quoted words.
std::string quoted_list(const std::vector<std::string>& words);

}  // namespace ql::io
