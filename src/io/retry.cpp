// SPDX-License-Identifier: Apache-2.0
#include <ql/io/retry.hpp>

#include <curl/curl.h>

#include <algorithm>
#include <ctime>
#include <string>

namespace ql::io {

std::optional<double> retry_after_seconds(std::string_view header, std::int64_t now) {
  while (!header.empty() && (header.front() == ' ' || header.front() == '\t')) header.remove_prefix(1);
  while (!header.empty() && (header.back() == ' ' || header.back() == '\t')) header.remove_suffix(1);
  if (header.empty() || header.size() > 64) return std::nullopt;
  if (std::all_of(header.begin(), header.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    double seconds = 0;
    for (char c : header) seconds = seconds * 10 + (c - '0');
    return seconds;
  }
  // curl reads dates without a year or a day's name too; a header that begins with a digit is none of the three forms
  if (header.front() >= '0' && header.front() <= '9') return std::nullopt;
  const std::time_t date = curl_getdate(std::string(header).c_str(), nullptr);
  if (date < 0) return std::nullopt;
  return std::max(0.0, static_cast<double>(date) - static_cast<double>(now));
}

}  // namespace ql::io
