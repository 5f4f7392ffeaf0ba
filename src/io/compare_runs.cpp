// SPDX-License-Identifier: Apache-2.0
#include <ql/io/tree.hpp>
#include <ql/report.hpp>

#include <algorithm>
#include <cstdio>

#include <ql/io/svg.hpp>
#include "run_files.hpp"

namespace ql {
namespace {

using namespace io;
using tree = json::value;

// The row without what may differ between two runs of one recipe.
tree timeless(const tree& row) {
  tree::object_type o;
  for (const auto& m : row.object())
    if (m.first != "time") o.push_back(m);
  return o;
}

tree list_of(const std::vector<difference>& all, std::size_t most) {
  tree::array_type list;
  for (const auto& d : all) {
    if (list.size() == most) break;
    list.push_back(tree::object_type{{"key", d.key}, {"first", d.before}, {"second", d.after}});
  }
  return list;
}

std::string cell(const char* format, const std::string& a, const std::string& b, const std::string& c) {
  char line[400];
  std::snprintf(line, sizeof line, format, a.substr(0, 100).c_str(), b.substr(0, 100).c_str(),
                c.substr(0, 100).c_str());
  return line;
}

std::string plain(std::string s) {
  for (char& c : s)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return s;
}

}  // namespace

tree compare_runs(const file_path& first, const file_path& second) {
  const run_files a(first), b(second);
  const tree sa = summarise(first), sb = summarise(second);
  tree::object_type out{{"first", a.directory}, {"second", b.directory}};
  out.emplace_back("settings", list_of(differences(a.recipe, b.recipe), 100));

  const std::size_t both = std::min(a.steps.size(), b.steps.size());
  std::size_t same = 0;
  while (same < both && timeless(a.steps[same]) == timeless(b.steps[same])) ++same;
  tree::object_type rows{{"first", static_cast<std::int64_t>(a.steps.size())},
                         {"second", static_cast<std::int64_t>(b.steps.size())},
                         {"the_same", static_cast<std::int64_t>(same)}};
  if (same < both) {
    rows.emplace_back("part_at_step", integer_or(a.steps[same], "step"));
    rows.emplace_back("by", list_of(differences(timeless(a.steps[same]), timeless(b.steps[same])), 5));
  }
  out.emplace_back("metrics", std::move(rows));

  tree::array_type values;
  const auto add = [&](const std::string& name, std::optional<double> x, std::optional<double> y) {
    if (!x && !y) return;
    tree::object_type v;
    v.reserve(4);
    v.emplace_back("name", name);
    if (x) v.emplace_back("first", tree(*x));
    if (y) v.emplace_back("second", tree(*y));
    if (x && y) v.emplace_back("difference", tree(*y - *x));
    values.push_back(std::move(v));
  };
  const auto last_of = [](const tree& s) -> const tree* {
    const auto& all = s.at("accuracy").array();
    return all.empty() ? nullptr : &all.back();
  };
  const tree *la = last_of(sa), *lb = last_of(sb);
  add("accuracy", la ? number(*la, "accuracy") : std::nullopt, lb ? number(*lb, "accuracy") : std::nullopt);
  std::vector<std::int64_t> lengths;
  for (const tree* l : {la, lb})
    if (l != nullptr)
      for (const auto& row : list_or_empty(*l, "by_length")) lengths.push_back(integer_or(row, "length"));
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  const auto at_length = [](const tree* l, std::int64_t length) -> std::optional<double> {
    if (l != nullptr)
      for (const auto& row : list_or_empty(*l, "by_length"))
        if (integer_or(row, "length", -1) == length) return number(row, "accuracy");
    return std::nullopt;
  };
  for (const auto n : lengths) add("accuracy at " + std::to_string(n), at_length(la, n), at_length(lb, n));
  const auto phase = [](const tree& s, std::size_t i) -> const tree* {
    const auto& all = s.at("phases").array();
    return i < all.size() ? &all[i] : nullptr;
  };
  for (std::size_t i = 0; i < 100 && (phase(sa, i) != nullptr || phase(sb, i) != nullptr); ++i) {
    const tree *x = phase(sa, i), *y = phase(sb, i);
    add("reward at the end of phase " + std::to_string(integer_or(x != nullptr ? *x : *y, "phase")),
        x ? number(*x, "reward_end") : std::nullopt, y ? number(*y, "reward_end") : std::nullopt);
  }
  for (const char* group : {"tokens", "seconds"})
    for (const auto& m : sa.at(group).object())
      add(std::string(group) + ", " + m.first, number(sa.at(group), m.first), number(sb.at(group), m.first));
  add("bytes of memory", number(sa, "memory_peak_bytes"), number(sb, "memory_peak_bytes"));
  out.emplace_back("values", std::move(values));
  return out;
}

std::string table_of_runs(const tree& c) {
  std::string s =
      cell("first   %s\nsecond  %s\n%s", plain(c.at("first").string()), plain(c.at("second").string()), "\n");
  const auto& settings = c.at("settings").array();
  s += settings.empty() ? "The settings are the same.\n" : "Settings that differ:\n";
  for (const auto& d : settings)
    s +=
        cell("  %-36s %16s  %16s\n", plain(text_or(d, "key")), plain(text_or(d, "first")), plain(text_or(d, "second")));
  const auto& m = c.at("metrics");
  const auto same = std::to_string(integer_or(m, "the_same"));
  if (const auto at = number(m, "part_at_step")) {
    s += "The metrics are the same for " + same + " rows and part at step " +
         std::to_string(integer_or(m, "part_at_step")) + ":\n";
    for (const auto& d : list_or_empty(m, "by"))
      s += cell("  %-36s %16s  %16s\n", plain(text_or(d, "key")), plain(text_or(d, "first")),
                plain(text_or(d, "second")));
  } else {
    s += "The metrics are the same for all " + same + " rows that both have (" +
         std::to_string(integer_or(m, "first")) + " and " + std::to_string(integer_or(m, "second")) + ").\n";
  }
  s += cell("\n%-30s %12s %12s", "", "first", "second") + "   difference\n";
  for (const auto& v : c.at("values").array()) {
    const auto x = number(v, "first"), y = number(v, "second");
    s += cell("%-30s %12s %12s", text_or(v, "name"), x ? svg::shown(*x) : "-", y ? svg::shown(*y) : "-");
    if (x && y) s += cell(" %12s%s%s", svg::shown(*y - *x), "", "");
    s += '\n';
  }
  return s;
}

}  // namespace ql
