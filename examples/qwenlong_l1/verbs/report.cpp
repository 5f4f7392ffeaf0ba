// SPDX-License-Identifier: Apache-2.0
#include <ql/report.hpp>

#include <cstdio>

#include "verb.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string run;
};

void declare(options& o, settings& s) {
  o.required("run", s.run, "run directory");
  o.footer(
      "Writes summary.json and report.html anew, from the directory's files alone; also of a run that was killed.");
}

int run(const settings& s) {
  write_report(s.run);
  std::printf("%s/report.html\n%s/summary.json\n", s.run.c_str(), s.run.c_str());
  return 0;
}

}  // namespace

verb report_verb() { return {"report", "writes the report and the summary of a run", bind<settings, declare, run>}; }

}  // namespace ql::tool
