// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ql::tool {

// The options of one verb: names, where a value goes, what it means. CLI11 stands behind it and is slow to compile, so
// that verbs need not include it; app() is there for what is not offered here.
//   o.required("--model", s.model, "model folder");    // a name without dashes is positional
//   o.optional("--n", s.n, "answers a prompt");        // the default is what s.n holds
class options {
 public:
  explicit options(CLI::App& app) : app_(&app) {}

  // T: std::string, std::int64_t, std::uint64_t, int, double, std::vector<std::string> (given once or more often);
  // std::optional of a number where no default can be named.
  template <class T>
  options& required(const std::string& names, T& to, const std::string& help);
  template <class T>
  options& optional(const std::string& names, T& to, const std::string& help);
  // True where it is given.
  options& flag(const std::string& names, bool& to, const std::string& help);
  // One of some words.
  options& choice(const std::string& names, std::string& to, std::initializer_list<const char*> words,
                  const std::string& help);
  // Shown below the options by --help.
  options& footer(const std::string& text);

  CLI::App& app() { return *app_; }

 private:
  CLI::App* app_;
};

}  // namespace ql::tool
