// SPDX-License-Identifier: Apache-2.0
#include "../demo/demo.hpp"

#include <ql/error.hpp>

#include <cstdio>

#include "../verb.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string directory = "demo-run";
  std::uint64_t seed = 1;
  int threads = 0;
  std::vector<std::string> set;
  bool show = false;
};

void declare(options& o, settings& s) {
  o.optional("directory", s.directory, "folder of the run; the same folder again continues it");
  o.optional("--seed", s.seed, "of everything random");
  o.optional("--threads", s.threads, "0: all cores");
  o.optional("--set", s.set, "changes a setting, key=value; may be given often");
  o.flag("--settings", s.show, "prints all settings and their defaults, and ends");
  o.footer(
      "Trains a tiny policy from random weights to read longer and longer generated documents: a recall drill,\n"
      "warm-up SFT, then three phases of RL with difficulty-aware retrospective sampling. No download, no GPU.");
}

int run(const settings& s) {
  if (s.show) {
    std::fputs(qwenlong::demo_settings_text().c_str(), stdout);
    return 0;
  }
  qwenlong::demo_request r;
  r.directory = s.directory, r.seed = s.seed, r.threads = s.threads;
  for (const auto& change : s.set) {
    const auto at = change.find('=');
    ql::detail::expects(at != std::string::npos && at > 0, "demo", "--set", "key=value", change);
    r.set.emplace_back(change.substr(0, at), change.substr(at + 1));
  }
  return qwenlong::run_demo(r, interrupted) ? 0 : 75;
}

}  // namespace

verb demo_verb() {
  return {"demo", "trains a tiny policy by the whole recipe, in minutes", bind<settings, declare, run>};
}

}  // namespace ql::tool
