// SPDX-License-Identifier: Apache-2.0
#include "records.hpp"

#include <ql/io/lines.hpp>

#include <algorithm>
#include <cstdio>
#include <limits>

#include "verb.hpp"

namespace ql::tool {

const io::json::value* record::find(std::string_view name) const {
  for (const auto& [key, v] : fields)
    if (key == name) return &v;
  return nullptr;
}

const io::json::value& record::at(std::string_view name) const {
  if (const auto* v = find(name)) return *v;
  throw io::format_error("no field \"" + std::string(name) + "\"");
}

void record::put(std::string_view name, io::json::value v) {
  for (auto& [key, old] : fields)
    if (key == name) {
      old = std::move(v);
      return;
    }
  fields.emplace_back(std::string(name), std::move(v));
}

void record::replace(std::string_view name, std::string_view by, io::json::value result) {
  std::erase_if(fields, [&](const auto& field) { return field.first == name; });
  put(by, std::move(result));
}

record_counts for_each_record(const std::string& path, const std::function<void(record&)>& use) {
  constexpr std::int64_t shown = 10;
  constexpr std::size_t longest_line = std::size_t{256} << 20;
  io::line_reader in(path, longest_line);
  const auto place = [&] { return in.path() + ":" + std::to_string(in.number()); };
  record_counts n;
  std::string first;
  for (std::string line; !interrupted() && in.next(line);) {
    if (!in.too_long() && line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      record r;
      r.place = place();
      if (in.too_long()) throw io::format_error("longer than " + std::to_string(longest_line) + " bytes");
      const io::json::value row = io::json::parse(line, "row");
      if (!row.is_object()) throw io::format_error("expected a JSON object, got " + std::string(row.kind()));
      r.fields = row.object();
      use(r);
      ++n.good;
    } catch (const ql::error& e) {
      const std::string why = place() + ": " + e.what();
      if (n.bad == 0) first = why;
      if (++n.bad <= shown) std::fprintf(stderr, "qwenlong-l1: skipped %s\n", why.c_str());
    }
  }
  if (n.bad > shown)
    std::fprintf(stderr, "qwenlong-l1: skipped %lld further lines\n", static_cast<long long>(n.bad - shown));
  if (n.bad * 100 > n.good + n.bad)
    throw io::format_error(in.path() + ": " + std::to_string(n.bad) + " of " + std::to_string(n.good + n.bad) +
                           " lines are bad (at most one in a hundred may be); the first: " + first);
  return n;
}

std::vector<token> token_list(const io::json::value& v) {
  std::vector<token> ids;
  for (const auto& x : v.array()) {
    const std::int64_t id = x.integer();
    if (id < 0 || id > std::numeric_limits<token>::max())
      throw io::format_error("expected token ids of 0 and more, got " + std::to_string(id));
    ids.push_back(static_cast<token>(id));
  }
  return ids;
}

void write_record(io::text_writer& out, const io::json::value::object_type& fields) {
  out.write(io::json::dump(fields) + "\n");
}

}  // namespace ql::tool
