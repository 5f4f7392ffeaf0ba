// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reading a run directory's files, which may be cut short, edited or hostile.

#include <ql/io/file.hpp>
#include <ql/io/json.hpp>

#include <cstddef>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ql::io {

inline constexpr std::size_t longest_line = std::size_t{16} << 20, most_rows = 200'000;

// f(object) for every line of a file that is a JSON object; returns how many lines were passed over.
template <class F>
std::size_t each_row(const std::string& path, F&& f) {
  std::ifstream in(path, std::ios::binary);
  std::size_t bad = 0, rows = 0;
  std::string line;
  while (rows < most_rows && std::getline(in, line)) {
    if (line.empty()) continue;
    ++rows;
    if (line.size() > longest_line) {
      ++bad;
      continue;
    }
    try {
      const auto v = json::parse(line, path);
      if (v.is_object())
        f(v);
      else
        ++bad;
    } catch (const error&) {
      ++bad;
    }
  }
  return bad;
}

inline std::optional<double> number(const json::value& v, std::string_view key) {
  const auto* x = v.find(key);
  return x != nullptr && x->is_number() ? std::optional(x->real()) : std::nullopt;
}
inline double number_or(const json::value& v, std::string_view key, double otherwise = 0) {
  return number(v, key).value_or(otherwise);
}
inline std::int64_t integer_or(const json::value& v, std::string_view key, std::int64_t otherwise = 0) {
  const auto* x = v.find(key);
  return x != nullptr && x->is_integer() ? x->integer() : otherwise;
}
inline std::string text_or(const json::value& v, std::string_view key, std::string_view otherwise = {}) {
  const auto* x = v.find(key);
  return x != nullptr && x->is_string() ? x->string() : std::string(otherwise);
}
inline const json::value::array_type& list_or_empty(const json::value& v, std::string_view key) {
  static const json::value::array_type none;
  const auto* x = v.find(key);
  return x != nullptr && x->is_array() ? x->array() : none;
}

// Everything a report is made of but the samples.
struct run_files {
  std::string directory;
  std::vector<json::value> steps, events, log;
  json::value recipe;
  std::size_t bad_lines = 0;

  explicit run_files(const file_path& run);
};

}  // namespace ql::io
