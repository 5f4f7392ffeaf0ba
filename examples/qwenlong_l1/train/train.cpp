// SPDX-License-Identifier: Apache-2.0
#include "train.hpp"

#include <ql/io/hash.hpp>
#include <ql/io/json.hpp>
#include <ql/io/model_config.hpp>
#include <ql/io/safetensors.hpp>
#include <ql/io/toml.hpp>
#include <ql/model/config.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "../ranks.hpp"
#include "document_task.hpp"

namespace ql::qwenlong {

namespace {

curriculum::phase phase(const char* name, std::int64_t above, std::int64_t up_to, std::int64_t steps) {
  curriculum::phase p;
  p.name = name, p.lo_exclusive = above, p.hi_inclusive = up_to, p.max_response_tokens = 10'000;
  p.steps = steps, p.batch = 128, p.generation_batch = 384;
  return p;
}

}  // namespace

train_settings preset(std::string_view name) {
  train_settings s;
  s.preset = name;
  s.validation.every = 5;
  auto& r = s.rl;
  // the paper does not say how many steps a phase takes
  r.phases = {phase("up to 20K tokens", 0, 20'000, 50), phase("up to 60K tokens", 20'000, 60'000, 50)};
  if (name == "paper_dapo") return s;
  if (name == "paper_dapo_global") {
    r.aggregation = aggregation_kind::token_mean;
    return s;
  }
  if (name == "paper_grpo") {
    r.aggregation = aggregation_kind::sequence_mean;
    r.clip_high = 0.2, r.overlong = 0, r.dynamic_sampling = false, r.refill_rounds = 1;
    for (auto& p : r.phases) p.generation_batch = 0;
    return s;
  }
  if (name == "released_script") {
    s.sft.epochs = 0;
    s.reward.rules = answer_rules::repo, s.reward.judge_away = "rule";
    auto all = phase("up to 60K tokens", 0, 60'000, 0);
    all.epochs = 30;
    r.phases = {all};
    r.retention = retention_kind::none;
    r.clip_high = 0.2, r.entropy_coefficient = 0.001;
    r.aggregation = aggregation_kind::micro_batch, r.micro_batch_tokens = 80'000;
    return s;
  }
  if (name == "l15_aepo") {  // QwenLong-L1.5 (arXiv 2512.12967): strictly on-policy, no clip
    s.sft.epochs = 0;
    auto last = phase("up to 120K tokens", 60'000, 120'000, 50);
    r.phases[0].max_response_tokens = 12'000, r.phases[1].max_response_tokens = 20'000;
    last.max_response_tokens = 50'000;
    r.phases.push_back(last);
    for (auto& p : r.phases) p.generation_batch = 0;
    r.updates_per_batch = 1, r.loss = loss_kind::ratio, r.overlong = 0;
    r.dynamic_sampling = false, r.refill_rounds = 1;
    r.advantage = advantage_kind::task_std;
    r.aepo_low = 0.1, r.aepo_high = 0.3;  // not published; the report's figure spans them
    return s;
  }
  std::string known;
  for (auto n : preset_names) known += (known.empty() ? "" : ", ") + std::string(n);
  ql::detail::fail<argument_error>("train", "preset", known, std::string(name));
}

train_settings read_recipe(const std::string& path, const std::vector<std::string>& set) {
  namespace fs = std::filesystem;
  auto file = io::toml::read(path);
  train_settings defaults;
  const auto* of = io::find(file.tree, "preset");
  for (const auto& change : set)
    if (change.starts_with("preset=")) defaults = preset(change.substr(7)), of = nullptr;
  if (of != nullptr && of->is_string() && !of->string().empty()) defaults = preset(of->string());
  auto c = configure(std::move(file), set, std::move(defaults));
  if (c.problems.empty() && c.value.rl.phases.empty())
    c.problems.push_back({path, "rl.phases", "expected at least one phase ([[rl.phases]]), got none"});
  if (const auto& r = c.value.rl; c.problems.empty() && r.aepo_high != 0 && !(r.aepo_low < r.aepo_high))
    c.problems.push_back({path, "rl.aepo_low",
                          "expected less than rl.aepo_high (" + io::json::dump_real(r.aepo_high) + "), got " +
                              io::json::dump_real(r.aepo_low)});
  if (!c.problems.empty()) throw argument_error(io::text_of(c.problems));
  auto& s = c.value;
  const auto folder = fs::absolute(path).parent_path();
  const auto resolve = [&](std::string& p) {
    if (!p.empty()) p = (folder / p).lexically_normal().string();
  };
  resolve(s.model), resolve(s.data.prompt), resolve(s.reward.judge.journal), resolve(s.reward.judge.ca_file);
  for (auto* list : {&s.data.train, &s.data.validation, &s.data.warm_up})
    for (auto& p : *list) resolve(p);
  return s;
}

bool run_train(const train_request& request, const std::function<bool()>& stop) {
  train_settings s;
  bool half = false;
  tool::together(request.ranks, [&] {
    s = read_recipe(request.recipe, request.set);
    ql::detail::expects(!s.model.empty(), "train", "model", "a model folder (in the recipe, or --set model=DIR)",
                        "none");
    half = s.compute == compute_type::bfloat16 ||
           (s.compute == compute_type::as_stored &&
            io::checkpoint::open(s.model).at("model.embed_tokens.weight").type == io::dtype::bf16);
  });
  if (auto ranks = request.ranks) comm::expect_same(*ranks, "the recipe of train", io::hash(to_toml(s)).first);
  return half ? train_with<bf16>(request, s, stop) : train_with<float>(request, s, stop);
}

namespace {

std::string gigabytes(double bytes) {
  char b[32];
  std::snprintf(b, sizeof b, bytes < 1e8 ? "%.3f GB" : "%.1f GB", bytes * 1e-9);
  return b;
}

// Two checkpoints, the best one and one being written, and the model as it was warmed up and as it ends.
std::string check_disk(const train_settings& s, std::string directory) {
  namespace fs = std::filesystem;
  double elements = 0, bytes = 0;
  const auto weights = io::checkpoint::open(s.model);
  for (const auto* t : weights.tensors()) {
    double n = 1;
    for (const auto d : t->shape) n *= static_cast<double>(d);
    elements += n, bytes += static_cast<double>(t->bytes.size());
  }
  const double wanted = 4 * 12 * elements + (s.sft.epochs > 0 ? 4 * elements : 0) + bytes;
  fs::path at = fs::absolute(directory.empty() ? "." : directory);
  while (!fs::exists(at) && at.has_relative_path()) at = at.parent_path();
  const auto room = static_cast<double>(fs::space(at).available);
  const auto said = "disk: at most " + gigabytes(wanted) + " in the run's folder, four checkpoints of " +
                    gigabytes(12 * elements) + " among them; " + gigabytes(room) + " are free in " + at.string();
  ql::detail::expects(directory.empty() || room >= wanted, "check", "directory",
                      gigabytes(wanted) + " of room for checkpoints and the model", gigabytes(room) + " free");
  return said;
}

// One question, put with little patience.
std::string check_judge(const reward_settings& s) {
  if (s.judge.url.empty()) return "judge: none, the rules alone";
  if (s.judge.url == "equivalence") return "judge: local, a table of equivalences";
  auto c = tool::judge_config_of(s.judge);
  c.journal = {};
  c.retry.patience_seconds = std::min(s.judge.patience, 1.5), c.retry.first_seconds = 0.2;
  io::chat_judge judge(c);
  const std::string_view gold[] = {"Paris"};
  const rl::judge_query q{"What is the capital of France?", "It is the city of Paris.", gold};
  rl::outcome o = rl::abstained{"no outcome"};
  judge(std::span(&q, 1), std::span(&o, 1));
  const auto* away = std::get_if<rl::abstained>(&o);
  return "judge: " + s.judge.url + (away != nullptr ? " does not answer now: " + away->why : " answers");
}

}  // namespace

std::string check_recipe(const train_settings& s, const std::string& directory) {
  std::string out = to_toml(s);
  const auto say = [&](const std::string& line) { out += "# " + line + "\n"; };
  const auto& r = s.rl;
  out += "\n";
  for (const auto& p : r.phases) {
    const auto batch = r.train_groups > 0 ? r.train_groups : p.batch;
    const auto round = p.generation_batch > 0 ? p.generation_batch : p.batch;
    say(p.name + ": " + (p.steps > 0 ? std::to_string(p.steps) + " steps" : std::to_string(p.epochs) + " epochs") +
        " of " + std::to_string(batch) + " prompts x " + std::to_string(r.group_size) + " answers, " +
        std::to_string(r.updates_per_batch) + " updates each; at most " +
        std::to_string(batch * (p.hi_inclusive + r.group_size * p.max_response_tokens)) +
        " tokens trained and, a generation round, " +
        std::to_string(round * (p.hi_inclusive + r.group_size * p.max_response_tokens)) + " generated or read");
  }
  if (s.model.empty() || !std::filesystem::exists(s.model)) {
    say("not checked: the data and the window, for the model folder \"" + s.model + "\" is not there");
    return out;
  }
  const auto words = language_of(s.model, s.data.chat_template);
  const auto shape = model::checked(io::decoder_of(io::model_config::read(s.model)));
  const auto d = read_data(s, words, shape.max_context);
  for (const auto& n : d.notes) say(n);
  std::int64_t earlier = 0, earlier_tokens = 0;
  for (std::size_t k = 0; k < r.phases.size(); ++k) {
    const auto& p = r.phases[k];
    const auto in = [&](const data::tokenized_prompt& x) {
      const auto n = static_cast<std::int64_t>(x.ids.size());
      return n > p.lo_exclusive && n <= p.hi_inclusive;
    };
    std::int64_t n = 0, tokens = 0;
    for (const auto& x : d.train_prompts)
      if (in(x)) ++n, tokens += static_cast<std::int64_t>(x.ids.size());
    ql::detail::expects(n > 0, "check", "data.train",
                        "questions of " + std::to_string(p.lo_exclusive + 1) + " to " + std::to_string(p.hi_inclusive) +
                            " tokens for phase \"" + p.name + "\"",
                        "none");
    say(p.name + ": " + std::to_string(n) + " questions to train on, of " + std::to_string(tokens / n) +
        " tokens on average; " +
        std::to_string(std::count_if(d.validation_prompts.begin(), d.validation_prompts.end(), in)) + " held out");
    if (k > 0 && r.retention != retention_kind::none && r.retention != retention_kind::random) {
      const auto scored = r.score_at_most > 0 ? std::min(r.score_at_most, earlier) : earlier;
      say("  before it " + std::to_string(scored) + " earlier questions are scored: about " +
          std::to_string(earlier > 0 ? earlier_tokens / earlier * scored : 0) + " tokens read and at most " +
          std::to_string(scored * r.group_size * p.max_response_tokens) + " generated");
    }
    earlier += n, earlier_tokens += tokens;
  }
  if (!d.warm_up_prompts.empty()) say(std::to_string(d.warm_up_prompts.size()) + " examples for warm-up");
  try {
    say(check_disk(s, directory));
  } catch (const io::file_error& e) {
    say(std::string("not checked: the disk, for the weights are not there: ") + e.what());
  }
  say(check_judge(s.reward));
  return out;
}

}  // namespace ql::qwenlong
