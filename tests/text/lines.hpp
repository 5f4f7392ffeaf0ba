// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/file.hpp>
#include <ql/io/json.hpp>

#include "support/data.hpp"

#include <string>
#include <vector>

namespace ql::test {

// The documents of a JSON Lines file of the test data.
inline std::vector<io::json::value> json_lines(const std::string& relative) {
  std::vector<io::json::value> out;
  const std::string text = io::read_file(data_file(relative));
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) out.push_back(io::json::parse(std::string_view(text).substr(at, end - at), relative));
    at = end + 1;
  }
  return out;
}

}  // namespace ql::test
