// SPDX-License-Identifier: Apache-2.0
#include <ql/io/hash.hpp>
#include <ql/report.hpp>

#include "run_files.hpp"

#include <algorithm>
#include <filesystem>
#include <map>

namespace ql {
namespace io {

run_files::run_files(const file_path& run) : directory(run.text) {
  while (directory.size() > 1 && directory.back() == '/') directory.pop_back();
  const std::string metrics = directory + "/metrics.jsonl";
  if (!std::filesystem::is_regular_file(metrics))
    throw file_error(directory + ": no run directory: metrics.jsonl is missing");
  bad_lines += each_row(metrics, [&](const json::value& v) { steps.push_back(v); });
  bad_lines += each_row(directory + "/events.jsonl", [&](const json::value& v) { events.push_back(v); });
  bad_lines += each_row(directory + "/log.jsonl", [&](const json::value& v) { log.push_back(v); });
  try {
    recipe = json::parse(read_file(directory + "/recipe.json", std::size_t{16} << 20));
  } catch (const error&) {
  }
}

}  // namespace io

namespace {

using namespace io;
using tree = json::value;

tree phase_summary(const run_files& run, std::int64_t phase) {
  std::int64_t first = -1, last = -1, steps = 0, skipped = 0, generated = 0, trained = 0, refills = 0;
  std::int64_t retained_groups = 0, retained_mixed = 0;
  double seconds = 0;
  std::vector<double> rewards;
  std::string stage;
  for (const auto& r : run.steps) {
    if (integer_or(r, "phase") != phase) continue;
    last = integer_or(r, "step");
    if (first < 0) first = last;
    const auto* s = r.find("skipped");
    skipped += s != nullptr && s->is_boolean() && s->boolean();
    generated += integer_or(r, "tokens_generated"), trained += integer_or(r, "tokens_trained");
    refills += integer_or(r, "refills");
    retained_groups += integer_or(r, "retained_groups"), retained_mixed += integer_or(r, "retained_mixed");
    if (const auto* t = r.find("time")) seconds += number_or(*t, "total");
    if (const auto x = number(r, "reward_mean")) rewards.push_back(*x);
    stage = text_or(r, "stage", stage);
  }
  tree::object_type o{{"phase", phase}, {"stage", stage}};
  for (const auto& e : run.events)
    if (text_or(e, "event") == "phase_started" && integer_or(e, "phase") == phase) {
      // A row may stand for several steps: a phase begins after the steps that were done before.
      if (const auto before = integer_or(e, "step", -1); first >= 0 && before >= 0 && before < first)
        first = before + 1;
      o = {{"phase", phase},
           {"stage", text_or(e, "stage", stage)},
           {"name", text_or(e, "name")},
           {"max_length", integer_or(e, "max_length")},
           {"pool", integer_or(e, "pool")},
           {"retained", integer_or(e, "retained")}};
    }
  if (first >= 0 && last >= first && first > -(std::int64_t{1} << 62) && last < std::int64_t{1} << 62)
    steps = last - first + 1;
  const auto mean = [](auto from, auto to) {
    double sum = 0;
    for (auto x = from; x != to; ++x) sum += *x;
    return sum / static_cast<double>(to - from);
  };
  o.insert(o.end(), {{"first_step", first},
                     {"last_step", last},
                     {"steps", steps},
                     {"skipped_steps", skipped},
                     {"refills", refills},
                     {"tokens_generated", generated},
                     {"tokens_trained", trained},
                     {"seconds", seconds}});
  if (!rewards.empty()) {  // of the first and the last tenth of its steps
    const auto tenth = static_cast<std::ptrdiff_t>((rewards.size() + 9) / 10);
    o.emplace_back("reward_begin", mean(rewards.begin(), rewards.begin() + tenth));
    o.emplace_back("reward_end", mean(rewards.end() - tenth, rewards.end()));
  }
  for (const auto& e : run.events)
    if (text_or(e, "event") == "scoring_finished" && integer_or(e, "phase") == phase) {
      tree::object_type s;
      for (const char* key : {"scored", "retained", "tokens"}) s.emplace_back(key, integer_or(e, key));
      s.emplace_back("seconds", number_or(e, "seconds"));
      for (const char* key : {"histogram", "retained_histogram"}) s.emplace_back(key, list_or_empty(e, key));
      o.emplace_back("scoring", std::move(s));
    }
  if (retained_groups > 0) {
    o.emplace_back("retained_groups", retained_groups);
    o.emplace_back("retained_mixed", retained_mixed);
  }
  return o;
}

}  // namespace

tree summarise(const io::file_path& directory) {
  const run_files run(directory);
  tree::object_type s{{"format", 1}};

  std::string name, reason = "running";
  std::int64_t starts = 0, warnings = 0;
  for (const auto& e : run.log) {
    const std::string event = text_or(e, "event");
    if (event == "run_started") ++starts, name = text_or(e, "name"), reason = "stopped";
    if (event == "warning") ++warnings;
    if (event == "run_finished") reason = text_or(e, "reason");
  }
  s.emplace_back("name", name);
  s.emplace_back("state", reason);
  s.emplace_back("starts", starts);
  if (!run.recipe.is_null()) s.emplace_back("recipe", io::hash(json::dump(run.recipe, {.compact = true})).text());
  std::int64_t steps = 0;
  for (const auto& r : run.steps) steps = std::max(steps, integer_or(r, "step"));
  s.emplace_back("steps", steps);

  std::vector<std::int64_t> phases;
  for (const auto* rows : {&run.events, &run.steps})
    for (const auto& r : *rows)
      if (const auto p = integer_or(r, "phase", -1);
          p >= 0 && std::find(phases.begin(), phases.end(), p) == phases.end() && phases.size() < 1000)
        phases.push_back(p);
  std::sort(phases.begin(), phases.end());
  tree::array_type phase_list;
  for (const auto p : phases) phase_list.push_back(phase_summary(run, p));
  s.emplace_back("phases", std::move(phase_list));

  tree::array_type accuracy;
  double validation_seconds = 0, scoring_seconds = 0;
  std::int64_t scoring_tokens = 0;
  const tree *before = nullptr, *after = nullptr;
  for (const auto& e : run.events) {
    const std::string event = text_or(e, "event");
    if (event == "scoring_finished")
      scoring_seconds += number_or(e, "seconds"), scoring_tokens += integer_or(e, "tokens");
    if (event != "validation_finished") continue;
    validation_seconds += number_or(e, "seconds");
    const std::string moment = text_or(e, "moment");
    if (moment == "step") continue;
    if (moment == "before") before = &e;
    if (moment == "phase" || moment == "final") after = &e;
    tree::object_type v;
    for (const auto& m : e.object())
      if (m.first != "event" && m.first != "seconds") v.push_back(m);
    accuracy.push_back(std::move(v));
  }
  s.emplace_back("accuracy", std::move(accuracy));
  if (before != nullptr && after != nullptr) {
    tree::array_type gain;
    for (const auto& b : list_or_empty(*before, "by_length"))
      for (const auto& a : list_or_empty(*after, "by_length"))
        if (integer_or(a, "length", -1) == integer_or(b, "length", -2))
          gain.push_back(tree::object_type{{"length", integer_or(a, "length")},
                                           {"before", number_or(b, "accuracy")},
                                           {"after", number_or(a, "accuracy")},
                                           {"difference", number_or(a, "accuracy") - number_or(b, "accuracy")}});
    s.emplace_back("gain", std::move(gain));
  }

  std::map<std::string, double> seconds;
  std::int64_t generated = 0, trained = 0, memory = 0, compared = 0, found = 0, skipped = 0;
  for (const auto& r : run.steps) {
    generated += integer_or(r, "tokens_generated"), trained += integer_or(r, "tokens_trained");
    compared += integer_or(r, "mismatch_compared"), found += integer_or(r, "mismatch_found");
    const auto* k = r.find("skipped");
    skipped += k != nullptr && k->is_boolean() && k->boolean();
    if (const auto* t = r.find("time")) {
      for (const char* key : {"total", "rollout", "reward", "update", "other"}) seconds[key] += number_or(*t, key);
      memory = std::max(memory, integer_or(*t, "memory_peak_bytes"));
    }
  }
  s.emplace_back("skipped_steps", skipped);
  s.emplace_back("seconds", tree::object_type{{"steps", seconds["total"]},
                                              {"rollout", seconds["rollout"]},
                                              {"reward", seconds["reward"]},
                                              {"update", seconds["update"]},
                                              {"other", seconds["other"]},
                                              {"scoring", scoring_seconds},
                                              {"validation", validation_seconds}});
  s.emplace_back("tokens",
                 tree::object_type{{"generated", generated}, {"trained", trained}, {"scoring", scoring_tokens}});
  s.emplace_back("memory_peak_bytes", memory);
  s.emplace_back("mismatch", tree::object_type{{"compared", compared},
                                               {"found", found},
                                               {"verdict", compared == 0 ? "not checked"
                                                           : found == 0  ? "the same bits"
                                                                         : "different bits"}});
  s.emplace_back("warnings", warnings);
  s.emplace_back("lines_passed_over", static_cast<std::int64_t>(run.bad_lines));
  return s;
}

void write_summary(const io::file_path& run) {
  const std::string text = json::dump(summarise(run), {.indent = 2}) + "\n";
  io::write_file(run.text + "/summary.json", text);
}

}  // namespace ql
