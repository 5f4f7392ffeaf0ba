// SPDX-License-Identifier: Apache-2.0
// plan: what a recipe will hold and how long it will take, before a weight is read.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/io/json.hpp>
#include <ql/io/model_config.hpp>
#include <ql/io/safetensors.hpp>
#include <ql/memory_plan.hpp>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "../train/train.hpp"
#include "ranks.hpp"
#include "verb.hpp"

namespace ql {
// ../plan_float.cpp, ../plan_bf16.cpp
extern template memory_plan plan_memory<float>(const plan_request&);
extern template memory_plan plan_memory<bf16>(const plan_request&);
}  // namespace ql

namespace ql::tool {
namespace {

using qwenlong::train_settings;

struct settings {
  std::string model, recipe, device = "cpu", split = "lanes";
  std::vector<std::string> set;
  int ranks = 1, threads = 0;
  double memory_gb = 0;
  bool json = false;
};

void declare(options& o, settings& s) {
  o.optional("--model", s.model, "model folder; empty: the recipe's")
      .required("--recipe", s.recipe, "TOML file, or the name of a preset")
      .choice("--device", s.device, {"cpu", "a100-80g", "h100-80g", "h200-141g"}, "what each rank computes on")
      .optional("--ranks", s.ranks, "processes, one on each device")
      .choice("--split", s.split, split_words, split_help)
      .optional("--memory", s.memory_gb, "GB of a rank; 0: the device's")
      .optional("--threads", s.threads, "0: all cores")
      .optional("--set", s.set, "key=value over the recipe, any number of them")
      .flag("--json", s.json, "one object");
  o.footer(
      "Reads config.json and the recipe, no weights. Bytes are those of the longest prompts and answers that a phase\n"
      "allows; where they do not fit, the settings that would make them fit are named and the exit code is 1. Times\n"
      "are estimates: on the CPU from a short measurement, on other devices from published figures.");
}

struct device_figures {
  double bytes = 0;             // a rank may use
  double products = 0;          // floating-point operations a second of large products
  double attention = 0;         // of attention
  double weights_a_second = 0;  // bytes of weights that decoding reads
  bool measured = false;
};

// Operations a second of one product, repeated for some hundredths of a second.
template <class T>
double operations_a_second(cpu::context& ctx, std::int64_t rows, std::int64_t n) {
  tensor<accumulate_t<T>, 2, cpu::context> master(ctx, {n, n});
  clear(ctx, master.data(), n * n);
  tensor<T, 1, cpu::context> packed(ctx, {packed_elements(ctx, T{}, n, n)});
  matrix<T> w{n, n, master.data(), nullptr};
  pack(ctx, w, packed.data());
  w.packed = packed.data();
  tensor<accumulate_t<T>, 2, cpu::context> y(ctx, {rows, n});
  tensor<T, 2, cpu::context> x(ctx, {rows, n});
  for (std::int64_t i = 0; i < rows * n; ++i) x.data()[i] = T(0.0f);
  const accumulate_t<T>* none = nullptr;
  const auto once = [&] { linear_sum(ctx, view<const T, 2>(x.view()), w, none, y.view()); };
  once();
  double done = 0, seconds = 0;
  const auto from = std::chrono::steady_clock::now();
  do {
    once();
    done += 2.0 * static_cast<double>(rows) * static_cast<double>(n) * static_cast<double>(n);
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  } while (seconds < 0.05);
  return done / seconds;
}

template <class T>
device_figures cpu_figures(int threads) {
  cpu::context ctx({.threads = threads});
  device_figures d;
  d.bytes = 0.9 * static_cast<double>(::sysconf(_SC_PHYS_PAGES)) * static_cast<double>(::sysconf(_SC_PAGE_SIZE));
  d.products = operations_a_second<T>(ctx, 512, 1024);
  d.attention = 0.5 * d.products;
  d.weights_a_second = operations_a_second<T>(ctx, 1, 3072) / 2 * sizeof(T);
  d.measured = true;
  return d;
}

// Usable bytes and what well-built programs reach: bf16, dense.
device_figures figures_of(const std::string& device, bool half, int threads) {
  if (device == "cpu") return half ? cpu_figures<bf16>(threads) : cpu_figures<float>(threads);
  device_figures d;
  if (device == "a100-80g") d = {75.7e9, 150e12, 120e12, 1.4e12};
  if (device == "h100-80g") d = {75.7e9, 400e12, 350e12, 2.6e12};
  if (device == "h200-141g") d = {138e9, 400e12, 350e12, 3.8e12};
  if (!half) d.products /= 8, d.attention /= 8;  // no matrix unit takes float as it is
  return d;
}

struct part_of_run {
  std::string name;
  std::int64_t steps = 0;
  plan_request request;
};

// The warm-up and each phase, at their longest.
std::vector<part_of_run> parts_of(const train_settings& s, const model::decoder_config& shape, const settings& asked,
                                  int threads) {
  plan_request common;
  common.shape = shape;
  common.threads = threads, common.ranks = asked.ranks;
  common.how.update = split_of(asked.split);
  std::vector<part_of_run> parts;
  if (s.sft.epochs > 0 && (!s.data.warm_up.empty() || s.sft.short_answers > 0)) {
    auto q = common;
    const auto longest = std::min(s.sft.max_tokens, shape.max_context);
    q.response_tokens = std::max<std::int64_t>(1, longest / 4), q.prompt_tokens = longest - q.response_tokens;
    q.group_size = 1, q.groups = s.sft.batch, q.session_tokens = 1;
    q.micro_batch_tokens = s.sft.micro_batch_tokens, q.keep = s.sft.keep;
    q.ranks = 1;  // the warm-up is not shared
    parts.push_back({"warm-up", 0, q});
  }
  const auto& r = s.rl;
  for (const auto& p : r.phases) {
    auto q = common;
    q.response_tokens = std::min(p.max_response_tokens, shape.max_context - 1);
    q.prompt_tokens = std::min(p.hi_inclusive, shape.max_context - q.response_tokens);
    q.group_size = r.group_size;
    const auto batch = r.train_groups > 0 ? r.train_groups : p.batch;
    q.updates = std::min(r.updates_per_batch, batch);
    q.groups = (batch + q.updates - 1) / q.updates;
    q.generated = p.round_size();
    q.micro_batch_tokens = r.micro_batch_tokens, q.session_tokens = r.session_tokens, q.keep = r.keep;
    q.reference = r.kl_every > 0 || r.scoring == curriculum::score_source::initial;
    parts.push_back({p.name, p.steps, q});
  }
  return parts;
}

const char* name_of(model::keep k) {
  const char* const names[] = {"everything", "inputs_and_attention", "inputs", "nothing"};
  return names[static_cast<std::size_t>(k)];
}

// Changes of a recipe that cost least first; the first after which it fits, or none.
std::string what_would_fit(plan_request q, const std::function<memory_plan(const plan_request&)>& planned, double bytes,
                           const std::string& table) {
  std::string said;
  const auto fits = [&] { return static_cast<double>(planned(q).total()) <= bytes; };
  const auto add = [&](const std::string& change) { said += (said.empty() ? "" : ", ") + change; };
  const auto each = q.prompt_tokens + q.group_size * q.response_tokens;
  auto most = q;  // where all of them at once do not help, none is looked for
  most.micro_batch_tokens = std::min(q.micro_batch_tokens, each), most.keep = model::keep::nothing;
  if (table == "rl") most.session_tokens = std::min(q.session_tokens, each), most.reference = false;
  if (static_cast<double>(planned(most).total()) > bytes) {
    most.how.update = update_split::rows, most.ranks = std::max(q.ranks, 64);
    if (table != "rl" || static_cast<double>(planned(most).total()) > bytes) return "";
  }
  if (q.micro_batch_tokens > each) {
    q.micro_batch_tokens = each;
    if (fits()) return table + ".micro_batch_tokens = " + std::to_string(each);
    add(table + ".micro_batch_tokens = " + std::to_string(each));
  }
  if (table == "rl" && q.session_tokens > each) {
    q.session_tokens = each;
    add("rl.session_tokens = " + std::to_string(each));
    if (fits()) return said;
  }
  for (auto k : {model::keep::inputs_and_attention, model::keep::inputs, model::keep::nothing}) {
    if (k <= q.keep) continue;
    q.keep = k;
    if (fits()) return said + (said.empty() ? "" : ", ") + table + ".keep = \"" + name_of(k) + "\"";
  }
  if (q.keep == model::keep::nothing) add(table + ".keep = \"nothing\"");
  if (table == "rl" && q.reference) {
    q.reference = false;
    add("rl.kl_every = 0");
    if (fits()) return said;
  }
  if (table == "rl") {
    q.how.update = update_split::rows;  // any number of ranks can
    for (int ranks = std::max(2, q.ranks); ranks <= 64; ranks *= 2) {
      q.ranks = ranks;
      if (fits()) return said + (said.empty() ? "" : ", ") + "--split rows --ranks " + std::to_string(ranks);
    }
  }
  return "";
}

std::string gigabytes(double bytes) {
  char text[32];
  if (bytes < 1e8)
    std::snprintf(text, sizeof text, "%.1f MB", bytes / 1e6);
  else
    std::snprintf(text, sizeof text, "%.2f GB", bytes / 1e9);
  return text;
}
std::string seconds_text(double s) {
  char text[32];
  if (s < 120)
    std::snprintf(text, sizeof text, "%.1f s", s);
  else if (s < 7200)
    std::snprintf(text, sizeof text, "%.0f min", s / 60);
  else
    std::snprintf(text, sizeof text, "%.1f h", s / 3600);
  return text;
}

int run(const settings& s) {
  ql::detail::expects(s.ranks >= 1 && s.ranks <= 4096, "plan", "--ranks", "1 to 4096", s.ranks);
  ql::detail::expects(s.threads >= 0 && s.threads <= 1024, "plan", "--threads", "0 (all cores) to 1024", s.threads);
  ql::detail::expects(s.memory_gb >= 0, "plan", "--memory", "0 (the device's) or more", s.memory_gb);
  train_settings recipe;
  if (std::find(std::begin(qwenlong::preset_names), std::end(qwenlong::preset_names), s.recipe) !=
      std::end(qwenlong::preset_names)) {
    recipe = qwenlong::preset(s.recipe);
    for (const auto& change : s.set) {
      const auto at = change.find('=');
      ql::detail::expects(at != std::string::npos && at > 0, "plan", "--set", "key=value", change);
      set(recipe, change.substr(0, at), change.substr(at + 1));
    }
  } else {
    recipe = qwenlong::read_recipe(s.recipe, s.set);
  }
  if (!s.model.empty()) recipe.model = s.model;
  ql::detail::expects(!recipe.model.empty(), "plan", "--model", "a model folder, here or in the recipe", "none");
  const auto config = io::model_config::read(recipe.model);
  const auto shape = model::checked(io::decoder_of(config));
  const bool half = recipe.compute == qwenlong::compute_type::bfloat16 ||
                    (recipe.compute == qwenlong::compute_type::as_stored && config.torch_dtype == "bfloat16");
  const int threads = s.threads > 0 ? s.threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  auto device = figures_of(s.device, half, threads);
  if (s.memory_gb > 0) device.bytes = s.memory_gb * 1e9;
  const std::function<memory_plan(const plan_request&)> planned = [&](const plan_request& q) {
    return half ? plan_memory<bf16>(q) : plan_memory<float>(q);
  };
  using object = io::json::value::object_type;
  using array = io::json::value::array_type;
  array phases;
  std::string text;
  bool all_fit = true;
  for (const auto& part : parts_of(recipe, shape, s, threads)) {
    const auto& q = part.request;
    const auto p = planned(q);
    const double total = static_cast<double>(p.total()), ranks = q.ranks;
    const bool fits = total <= device.bytes;
    const bool warm_up = part.name == "warm-up" && q.session_tokens == 1;
    const double reading =
        warm_up ? 0 : (p.prefill.products / device.products + p.prefill.attention / device.attention) / ranks;
    const double sampling = warm_up ? 0
                                    : (std::max(p.decode.products / device.products,
                                                p.decode.weights * (half ? 2.0 : 4.0) / device.weights_a_second) +
                                       p.decode.attention / device.attention) /
                                          ranks;
    const double update = (p.update.products / device.products + p.update.attention / device.attention) / ranks;
    const double step = reading + sampling + update;
    const std::vector<std::pair<std::string, std::int64_t>> bytes = {
        {"weights", p.weights},     {"compute_copies", p.copies}, {"gradients", p.gradients}, {"lanes", p.lanes},
        {"optimizer", p.optimizer}, {"reference", p.reference},   {"keys", p.keys},           {"activations", p.kept},
        {"backward", p.backward},   {"workspace", p.workspace},   {"exchange", p.exchange}};
    object o{{"name", part.name},
             {"prompt_tokens", q.prompt_tokens},
             {"response_tokens", q.response_tokens},
             {"answers", static_cast<std::int64_t>(q.group_size)},
             {"keep", std::string(name_of(q.keep))}};
    object table;
    for (const auto& [name, n] : bytes) table.emplace_back(name, n);
    table.emplace_back("total", p.total());
    o.emplace_back("bytes", std::move(table));
    o.emplace_back("seconds", object{{"reading", reading}, {"sampling", sampling}, {"update", update}, {"step", step}});
    o.emplace_back("fits", fits);
    text += part.name + ": prompts of " + std::to_string(q.prompt_tokens) + " tokens, " + std::to_string(q.group_size) +
            " answers of " + std::to_string(q.response_tokens) + ", keep " + name_of(q.keep) + "\n";
    for (const auto& [name, n] : bytes)
      if (n > 0) text += "  " + name + std::string(16 - name.size(), ' ') + gigabytes(static_cast<double>(n)) + "\n";
    text += "  total           " + gigabytes(total) + " of " + gigabytes(device.bytes) +
            (q.ranks > 1 ? " a rank" : "") + "\n";
    if (!fits) {
      all_fit = false;
      const auto change = what_would_fit(q, planned, device.bytes, warm_up ? "sft" : "rl");
      text += "  does not fit; " + (change.empty() ? "no setting makes it fit" : "with " + change + " it would") + "\n";
      o.emplace_back("would_fit", change);
    }
    text += "  about " + seconds_text(step) + " a step" +
            (warm_up ? ""
                     : ": reading " + seconds_text(reading) + ", sampling " + seconds_text(sampling) + ", update " +
                           seconds_text(update)) +
            (part.steps > 0 ? "; " + seconds_text(step * static_cast<double>(part.steps)) + " for " +
                                  std::to_string(part.steps) + " steps"
                            : "") +
            "\n";
    phases.push_back(std::move(o));
  }
  // tokens of steps and of scoring, as `check` has them
  std::string counts, why;
  try {
    recipe.reward.judge.url.clear();  // nobody is asked anything
    const auto all = qwenlong::check_recipe(recipe, "");
    for (std::size_t at = all.find("\n# "); at != std::string::npos; at = all.find("\n# ", at + 1))
      counts += all.substr(at + 3, all.find('\n', at + 1) - at - 2);
  } catch (const error& e) {
    why = e.what();
  }
  if (s.json) {
    array lines;
    for (std::size_t at = 0; at < counts.size();) {
      const auto end = counts.find('\n', at);
      lines.push_back(counts.substr(at, end - at));
      at = end + 1;
    }
    const object out{{"device", s.device},
                     {"ranks", s.ranks},
                     {"compute", std::string(half ? "bf16" : "float")},
                     {"bytes", device.bytes},
                     {"rates_measured", device.measured},
                     {"phases", std::move(phases)},
                     {"tokens", std::move(lines)},
                     {"fits", all_fit}};
    std::printf("%s\n", io::json::dump(io::json::value(out)).c_str());
  } else {
    std::fputs(text.c_str(), stdout);
    std::fputs(counts.c_str(), stdout);
    if (!why.empty()) std::printf("tokens are not counted: %s\n", why.c_str());
    if (s.device != "cpu") std::printf("workspace is that of the CPU's kernels; rates are published ones\n");
  }
  return all_fit ? 0 : 1;
}

}  // namespace

verb plan_verb() {
  return {"plan", "says what memory and time a recipe takes, before weights are read", bind<settings, declare, run>};
}

}  // namespace ql::tool
