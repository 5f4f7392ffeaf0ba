// SPDX-License-Identifier: Apache-2.0
// qwenlong-l1: the reference recipe of QwenLong-L1 and its tools, over ql's parts. docs/tool.md shows every verb.
#include <ql/error.hpp>
#include <ql/io/error.hpp>
#include <ql/io/run_directory.hpp>
#include <ql/text/chat_template.hpp>
#include <ql/version.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "verb.hpp"

namespace {

volatile std::sig_atomic_t stop_signal = 0;

extern "C" void note_signal(int signal) {
  stop_signal = signal;
  std::signal(signal, SIG_DFL);
}

// Wrong input or use: 2. Anything else: 1.
int exit_code(const ql::error& e) {
  const bool input = dynamic_cast<const ql::argument_error*>(&e) != nullptr ||
                     dynamic_cast<const ql::shape_error*>(&e) != nullptr ||
                     dynamic_cast<const ql::io::format_error*>(&e) != nullptr ||
                     dynamic_cast<const ql::io::file_error*>(&e) != nullptr ||
                     dynamic_cast<const ql::io::recipe_error*>(&e) != nullptr ||
                     dynamic_cast<const ql::text::template_error*>(&e) != nullptr;
  return input ? 2 : 1;
}

bool silent = false;

int complain(const char* what, int code) {
  std::fflush(stdout);
  if (silent) return code;
  std::fprintf(stderr, "qwenlong-l1: %s\n", what);
  return code;
}

int perform(const ql::tool::action& a) {
  try {
    int code = a();
    if (std::fflush(stdout) != 0) return complain("cannot write to standard output", 1);
    if (ql::tool::interrupted() && code == 0) code = complain("interrupted", 130);
    return code;
  } catch (const ql::error& e) {
    return complain((std::string(e.what()) + " [" + e.id() + "]").c_str(), exit_code(e));
  } catch (const std::bad_alloc&) {
    return complain("not enough memory", 1);
  } catch (const std::exception& e) {
    return complain(e.what(), 1);
  }
}

// How many letters must change to make b of a.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t k = 0; k <= b.size(); ++k) row[k] = k;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t corner = row[0]++;
    for (std::size_t k = 1; k <= b.size(); ++k) {
      const std::size_t same = corner + (a[i - 1] == b[k - 1] ? 0 : 1);
      corner = row[k];
      row[k] = std::min({same, row[k] + 1, row[k - 1] + 1});
    }
  }
  return row[b.size()];
}

int unknown_verb(const std::string& said) {
  std::string nearest;
  std::size_t best = 3;
  for (const auto& make : ql::tool::verbs()) {
    const auto d = distance(said.substr(0, 40), make().name);
    if (d < best) best = d, nearest = make().name;
  }
  return complain(("there is no verb '" + said + "'" + (nearest.empty() ? "" : "; did you mean '" + nearest + "'?") +
                   "\nRun 'qwenlong-l1 --help' for what there is.")
                      .c_str(),
                  2);
}

}  // namespace

bool ql::tool::interrupted() { return stop_signal != 0; }
void ql::tool::be_silent() { silent = true; }

int main(int argc, char** argv) {
  for (const int s : {SIGINT, SIGTERM, SIGUSR1}) std::signal(s, note_signal);
  CLI::App app("Reinforcement learning of language models that read long documents.", "qwenlong-l1");
  app.set_version_flag("--version", "qwenlong-l1 " + std::to_string(QL_VERSION_MAJOR) + "." +
                                        std::to_string(QL_VERSION_MINOR) + "." + std::to_string(QL_VERSION_PATCH));
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  std::vector<ql::tool::action> actions;
  std::vector<CLI::App*> commands;
  bool known = argc < 2 || argv[1][0] == '-';
  for (const auto& make : ql::tool::verbs()) {
    const ql::tool::verb v = make();
    commands.push_back(app.add_subcommand(v.name, v.help));
    ql::tool::options o(*commands.back());
    actions.push_back(v.declare(o));
    known = known || std::string(argv[1]) == v.name;
  }
  if (!known) return unknown_verb(argv[1]);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {  // --help, --version
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    std::string used = "qwenlong-l1";
    for (const auto* c : commands)
      if (c->parsed()) used += " " + c->get_name();
    return complain((std::string(e.what()) + "\nRun '" + used + " --help' for what it takes.").c_str(), 2);
  }
  for (std::size_t i = 0; i < commands.size(); ++i)
    if (commands[i]->parsed()) return perform(actions[i]);
  return 2;
}
