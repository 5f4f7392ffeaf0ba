// SPDX-License-Identifier: Apache-2.0
#include <ql/data/document_qa.hpp>
#include <ql/detail/stable_sort.hpp>
#include <ql/eval/benchmarks.hpp>
#include <ql/eval/evaluate.hpp>
#include <ql/eval/summary.hpp>
#include <ql/io/hash.hpp>
#include <ql/io/model_config.hpp>
#include <ql/rl/equivalence_judge.hpp>
#include <ql/text/chat_template.hpp>
#include <ql/text/tokenizer.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>

#include "judge_options.hpp"
#include "policy.hpp"
#include "verb.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string model, name, out, summary, mode = "strict", dtype = "auto";
  std::vector<std::string> sets;
  eval::protocol protocol;
  std::int64_t limit = 0, samples = 1, replicates = 10000;
  int threads = 0;
  bool raw = false, keep_failures = false;
  judge_settings judge;
};

void declare(options& o, settings& s) {
  o.required("--model", s.model, "model folder (Hugging Face layout)")
      .required("--set", s.sets, "file of questions, also .gz; give it once for each")
      .required("--out", s.out, "JSON Lines: every answer as it is finished. The same command again goes on there")
      .optional("--summary", s.summary, "JSON: the numbers of the table")
      .choice("--mode", s.mode, {"strict", "repo"}, "the rules: ql's, or QwenLong-L1's evaluation as released")
      .optional("--judge", s.judge.url,
                "asked where the rule says no: the URL of an OpenAI-compatible server, or \"equivalence\"")
      .optional("--journal", s.judge.journal, "file that keeps the judge's verdicts and is read first");
  declare_judge(o, s.judge);
  o.optional("--samples", s.samples, "answers to a question")
      .optional("--temperature", s.protocol.temperature, "0: greedy")
      .optional("--top-p", s.protocol.top_p, "of the draws")
      .optional("--seed", s.protocol.seed, "of the draws; same seed, same answers")
      .optional("--max-input", s.protocol.max_input, "tokens of a prompt; the middle of longer ones is cut")
      .optional("--max-output", s.protocol.max_output, "tokens of an answer")
      .optional("--limit", s.limit, "questions of each file, its first; 0: all")
      .optional("--replicates", s.replicates, "of the bootstrap behind the intervals")
      .flag("--keep-failures", s.keep_failures, "going on, do not try again what failed")
      .flag("--raw", s.raw, "no chat template: the prompt is continued as it stands")
      .optional("--name", s.name, "of the model in tables; its folder's where absent")
      .choice("--dtype", s.dtype, {"auto", "float", "bf16"}, "compute in this type; auto: that of the weights")
      .optional("--threads", s.threads, "0: all cores");
  o.footer(
      "Files of questions: rows of documents and questions (docs/data.md), or LongBench, FRAMES and DocMath as they "
      "are\n"
      "published. Sets that only stand in for a benchmark are called _proxy. docs/evaluation.md says what each number "
      "is.");
}

bool is_document_qa(const std::string& path) {
  io::line_reader in(path);
  std::string line;
  while (in.next(line))
    if (!line.empty()) {
      if (line.front() != '{') return false;
      const auto row = io::json::parse(line, path);
      return row.find("benchmark") != nullptr || row.find("data_source") != nullptr;
    }
  return false;
}

std::vector<eval::item> read_items(const settings& s) {
  std::vector<eval::item> all;
  for (const auto& path : s.sets) {
    std::vector<eval::item> items;
    std::vector<std::string> problems;
    std::int64_t bad = 0;
    if (is_document_qa(path)) {
      auto read = data::read_examples(path);
      items = eval::items_of(read.examples);
      bad = read.report.bad;
      problems = read.report.first_bad;
    } else {
      auto read = eval::load_benchmark(path, eval::detect_layout(path));
      items = std::move(read.items);
      bad = read.bad;
      problems = std::move(read.problems);
    }
    if (bad > 0)
      std::fprintf(stderr, "qwenlong-l1: %s: %lld bad rows are left out\n", path.c_str(), static_cast<long long>(bad));
    for (const auto& p : problems) std::fprintf(stderr, "qwenlong-l1: %s\n", p.c_str());
    if (s.limit > 0 && items.size() > static_cast<std::size_t>(s.limit))
      items.resize(static_cast<std::size_t>(s.limit));
    all.insert(all.end(), std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
  }
  // questions on one document together, in the order in which documents come
  std::map<std::string_view, std::size_t> first;
  std::vector<std::size_t> rank(all.size()), order(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    rank[i] = all[i].document.empty() ? i : first.try_emplace(all[i].document, i).first->second;
    order[i] = i;
  }
  ql::detail::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return rank[a] < rank[b]; });
  std::vector<eval::item> sorted;
  sorted.reserve(all.size());
  for (auto i : order) sorted.push_back(all[i]);
  std::map<std::pair<std::string_view, std::string_view>, int> ids;
  for (const auto& i : sorted)
    ql::detail::expects(ids[{i.benchmark, i.id}]++ == 0, "eval", "--set", "each question once",
                        "the id \"" + i.id + "\" of " + i.benchmark + " twice");
  return sorted;
}

// The folder's name and 8 digits that change with the weights: files' sizes, beginnings and ends.
std::string name_of_model(const settings& s) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  for (const auto& f : fs::directory_iterator(s.model)) {
    const auto name = f.path().filename().string();
    if (f.path().extension() == ".safetensors" || name == "config.json" || name == "tokenizer.json")
      files.push_back(f.path());
  }
  std::sort(files.begin(), files.end());
  io::hasher h;
  for (const auto& f : files) {
    const io::mapped_file file(f);
    const auto bytes = file.bytes();
    const std::size_t part = std::min(bytes.size(), std::size_t{1} << 20);
    h.update(f.filename().string() + std::to_string(bytes.size()));
    h.update(bytes.first(part));
    h.update(bytes.last(part));
  }
  auto folder = fs::absolute(s.model).lexically_normal();
  if (folder.filename().empty()) folder = folder.parent_path();
  return (s.name.empty() ? folder.filename().string() : s.name) + "@" + h.finish().text().substr(0, 8);
}

// A policy of this program as a generator.
struct local {
  policy* model;
  answering how;
  std::vector<std::vector<eval::generation>> operator()(std::span<const eval::generation_request> r,
                                                        const eval::protocol& p) {
    return model->answer_all(r, p, how);
  }
};

void say_progress(const eval::evaluation_progress& p) {
  const std::size_t tenth = std::max<std::size_t>(1, p.total / 10);
  if (::isatty(STDERR_FILENO) == 1) {
    std::fprintf(stderr, "\r%zu of %zu questions%s", p.done, p.total, p.done == p.total ? "\n" : "");
  } else if (p.done % tenth == 0 || p.done == p.total) {
    std::fprintf(stderr, "%zu of %zu questions\n", p.done, p.total);
  }
}

int run(const settings& given) {
  settings s = given;
  ql::detail::expects(s.samples >= 1 && s.samples <= 65536, "eval", "--samples", "1 to 65536", s.samples);
  ql::detail::expects(s.replicates >= 1 && s.replicates <= 10'000'000, "eval", "--replicates", "1 to 10000000",
                      s.replicates);
  ql::detail::expects(s.limit >= 0, "eval", "--limit", "0 (all) or more", s.limit);
  ql::detail::expects(!s.judge.url.empty() || s.judge.journal.empty(), "eval", "--journal", "a --judge", "none");
  auto& p = s.protocol;
  p.samples = static_cast<std::int32_t>(s.samples);
  p.rule = s.mode == "repo" ? eval::rule_mode::repo_eval : eval::rule_mode::strict_eval;
  p.attempts = 1;  // a policy of this process would only fail again
  eval::checked(p);
  const auto items = read_items(s);
  const auto tokenizer = text::tokenizer::from_directory(s.model);
  std::optional<text::chat_template> chat;
  if (!s.raw) {
    try {
      chat.emplace(text::chat_template::from_directory(s.model));
    } catch (const io::file_error&) {  // a folder without template: the prompt is continued as it stands
    }
  }
  const auto model = load_policy(s.model, s.dtype, s.threads);
  std::int64_t around = 1;  // tokens that the chat template adds
  if (chat) {
    const io::json::value message(
        io::json::value::array_type{io::json::value::object_type{{"role", "user"}, {"content", "x"}}});
    around = static_cast<std::int64_t>(tokenizer.encode(chat->render(message).text).size());
  }
  const auto room = model->max_context() - p.max_output - around;
  ql::detail::expects(room >= 16, "eval", "--max-output",
                      "at most " + std::to_string(std::max<std::int64_t>(1, model->max_context() - around - 16)) +
                          " (the model reads " + std::to_string(model->max_context()) +
                          " tokens, prompt and answer together)",
                      p.max_output);
  if (room < p.max_input) {
    std::fprintf(stderr, "qwenlong-l1: prompts are cut to %lld tokens: the model reads %lld with the answer\n",
                 static_cast<long long>(room), static_cast<long long>(model->max_context()));
    p.max_input = room;
  }
  const auto config = io::model_config::read(s.model);
  local generate{model.get(),
                 {&tokenizer, chat ? &*chat : nullptr, io::stop_tokens(config, io::generation_config::read(s.model))}};
  const bool equivalence = s.judge.url == "equivalence";
  const std::string judge_name = s.judge.url.empty() ? ""
                                 : equivalence       ? "equivalence"
                                                     : s.judge.model + " at " + s.judge.url;
  const eval::evaluation_header header{name_of_model(s), judge_name, p, static_cast<std::int64_t>(items.size()),
                                       eval::hash_of(items)};
  eval::record_log log(s.out, header);
  const auto seen = [](const eval::evaluation_progress& e) {
    say_progress(e);
    return !interrupted();
  };
  eval::evaluation_options o;
  o.retry = !s.keep_failures;
  std::vector<eval::item_record> records;
  if (s.judge.url.empty()) {
    eval::no_judge none;
    records = eval::evaluate(items, tokenizer, p, generate, none, &log, seen, o);
  } else if (equivalence) {
    rl::equivalence_judge judge;
    records = eval::evaluate(items, tokenizer, p, generate, judge, &log, seen, o);
  } else {
    io::chat_judge judge(judge_config_of(s.judge));
    const stop_on_interrupt watch(judge);
    records = eval::evaluate(items, tokenizer, p, generate, judge, &log, seen, o);
  }
  if (interrupted() && records.size() < items.size()) {
    std::fprintf(stderr, "qwenlong-l1: %zu of %zu questions are in %s; the same command goes on there\n",
                 records.size(), items.size(), s.out.c_str());
    return 0;  // main() says 130
  }
  eval::resampling r;
  r.replicates = static_cast<std::int32_t>(s.replicates);
  const auto summary = eval::summarise(header, records, r);
  if (!s.summary.empty()) io::write_file(s.summary, eval::to_json(summary));
  std::fputs(eval::table(summary).c_str(), stdout);
  return 0;
}

struct compare_settings {
  std::string first, second, json;
  std::int64_t replicates = 10000;
};

void declare_compare(options& o, compare_settings& s) {
  o.required("first", s.first, "what eval wrote with --out, for one model")
      .required("second", s.second, "the same questions, another model")
      .optional("--json", s.json, "write the numbers of the table there")
      .optional("--replicates", s.replicates, "of the bootstrap and of the sign flips");
  o.footer("The gain is second - first. Intervals and p-values resample documents, not questions.");
}

int run_compare(const compare_settings& s) {
  ql::detail::expects(s.replicates >= 1 && s.replicates <= 10'000'000, "eval-compare", "--replicates", "1 to 10000000",
                      s.replicates);
  eval::resampling r;
  r.replicates = static_cast<std::int32_t>(s.replicates);
  const auto c = eval::compare(eval::read_evaluation(s.first), eval::read_evaluation(s.second), r);
  if (!s.json.empty()) io::write_file(s.json, eval::to_json(c));
  std::fputs(eval::table(c).c_str(), stdout);
  return 0;
}

}  // namespace

verb eval_verb() {
  return {"eval", "evaluates a model on sets of documents and questions", bind<settings, declare, run>};
}
verb eval_compare_verb() {
  return {"eval-compare", "compares two evaluations of the same questions",
          bind<compare_settings, declare_compare, run_compare>};
}

}  // namespace ql::tool
