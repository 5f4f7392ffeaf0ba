// SPDX-License-Identifier: Apache-2.0
#pragma once

// The recipe on a pretrained model and real documents: warm-up SFT, a gate, phased RL, validation, an ordinary model
// folder at the end.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "settings.hpp"

namespace ql::qwenlong {

struct train_request {
  std::string recipe;            // TOML file
  std::string directory;         // of the run
  std::vector<std::string> set;  // "key=value" over the file
  int threads = 0;               // 0: all cores
};

// The file over its preset over the defaults, paths resolved. Throws argument_error that lists every problem with its
// place.
train_settings read_recipe(const std::string& path, const std::vector<std::string>& set);

// Runs or continues; false where `stop` ended it early (what is done is kept). Throws ql::error.
bool run_train(const train_request& request, const std::function<bool()>& stop);

// What a recipe asks for, without training: the resolved settings, questions of each phase, tokens of its parts.
std::string check_recipe(const train_settings& s);

// One of the two behind run_train(): train_float.cpp, train_bf16.cpp.
template <class T>
bool train_with(const train_request& request, const train_settings& s, const std::function<bool()>& stop);

}  // namespace ql::qwenlong
