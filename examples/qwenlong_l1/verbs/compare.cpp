// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/summary.hpp>
#include <ql/report.hpp>

#include <cstdio>
#include <filesystem>

#include "verb.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string first, second;
  bool json = false;
};

void declare(options& o, settings& s) {
  o.required("first", s.first, "run directory, or file of an evaluation")
      .required("second", s.second, "another one of the same kind")
      .flag("--json", s.json, "print one JSON object");
}

int run(const settings& s) {
  const bool runs[] = {std::filesystem::is_directory(s.first), std::filesystem::is_directory(s.second)};
  if (runs[0] != runs[1])
    throw argument_error("compare: expected two run directories or two files of evaluations, got one of each");
  std::string text;
  if (runs[0]) {
    const auto c = compare_runs(s.first, s.second);
    text = s.json ? io::json::dump(c, {.indent = 2}) : table_of_runs(c);
  } else {
    const auto c = eval::compare(eval::read_evaluation(s.first), eval::read_evaluation(s.second));
    text = s.json ? eval::to_json(c) : eval::table(c);
  }
  std::printf("%s%s", text.c_str(), text.ends_with('\n') ? "" : "\n");
  return 0;
}

}  // namespace

verb compare_verb() { return {"compare", "two runs, or two evaluations, side by side", bind<settings, declare, run>}; }

}  // namespace ql::tool
