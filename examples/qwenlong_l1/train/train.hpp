// SPDX-License-Identifier: Apache-2.0
#pragma once

// The recipe on a pretrained model and real documents: warm-up SFT, a gate, phased RL, validation, an ordinary model
// folder at the end.

#include <ql/comm/any.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "../ranks.hpp"
#include "settings.hpp"

namespace ql::qwenlong {

// A run is its parts, done one after another by as many processes as one likes: sft, then rollout and update in turns,
// come to the same bits as the whole at once.
enum class train_part : std::uint8_t {
  whole,
  sft,      // the warm-up
  rollout,  // up to the next training step, and its answers into a file
  update    // the training step of such a file
};

struct train_request {
  train_part part = train_part::whole;
  std::string recipe;            // TOML file
  std::string directory;         // of the run
  std::vector<std::string> set;  // "key=value" over the file
  int threads = 0;               // 0: all cores
  std::string rollouts = {};     // of rollout: the file to write; of update: the file to read
  bool keep_rollouts = false;    // RUN/rollouts/STEP.jsonl.gz of every step
  // Processes that do the run together (the whole of it); the first of them writes.
  std::optional<comm::any> ranks = {};
  update_split split = {};  // how they share an update
};

// The file over its preset over the defaults, paths resolved. Throws argument_error that lists every problem with its
// place.
train_settings read_recipe(const std::string& path, const std::vector<std::string>& set);

// Runs or continues; false where `stop` ended it early (what is done is kept). An update whose step the run has behind
// it is replayed and compared with what the run made of it. Throws ql::error; state_error where a replay differs.
bool run_train(const train_request& request, const std::function<bool()>& stop);

// What a recipe asks for, without training: the resolved settings, questions of each phase, tokens of its parts, room
// on the disk of `directory` (the run's; it need not exist; empty: the one at hand), whether its judge answers. Throws
// ql::error for what cannot work.
std::string check_recipe(const train_settings& s, const std::string& directory);

// One of the two behind run_train(): train_float.cpp, train_bf16.cpp.
template <class T>
bool train_with(const train_request& request, const train_settings& s, const std::function<bool()>& stop);

}  // namespace ql::qwenlong
