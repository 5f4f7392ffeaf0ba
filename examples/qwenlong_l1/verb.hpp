// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "options.hpp"

namespace ql::tool {

// What a command line asks for; returns what the program exits with.
using action = std::function<int()>;

// One of the program's commands. verbs/NAME.cpp defines it:
//
//   struct settings { std::string model; };
//   void declare(options& o, settings& s) { o.required("--model", s.model, "model folder"); }
//   int run(const settings& s) { ... return 0; }
//   verb inspect_verb() { return {"inspect", "says what a model folder holds", bind<settings, declare, run>}; }
//
// run() throws ql::error for what it cannot do: main() prints the message and its id and exits with 2 where the input
// or its use is wrong (argument, format, file and template errors), with 1 otherwise.
struct verb {
  const char* name;
  const char* help;
  action (*declare)(options&);
};

template <class Settings, void (*Declare)(options&, Settings&), int (*Run)(const Settings&)>
action bind(options& o) {
  auto settings = std::make_shared<Settings>();
  Declare(o, *settings);
  return [settings] { return Run(*settings); };
}

// In the order of --help.
std::span<verb (*const)()> verbs();

// True once the user asked to stop (SIGINT, SIGTERM, or SIGUSR1, which schedulers send ahead). A second signal ends the
// program at once. Verbs that run for long look at it where they can stop cleanly; main() then exits with 130, unless
// run() returned something other than 0.
bool interrupted();

// From now on this process says nothing on standard error when it fails: another rank of the run does.
void be_silent();

}  // namespace ql::tool
