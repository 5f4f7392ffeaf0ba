// SPDX-License-Identifier: Apache-2.0
#include "document_task.hpp"

#include <ql/data/supervised.hpp>
#include <ql/io/hash.hpp>
#include <ql/io/model_config.hpp>
#include <ql/rl/verify_strict.hpp>

#include <algorithm>
#include <set>

namespace ql::qwenlong {

namespace {

rl::answer_kind kind_of(const data::qa_example& e) {
  switch (data::answer_type_of(e.source)) {
    case data::answer_type::numeric: return rl::answer_kind::numeric;
    case data::answer_type::choice: return rl::answer_kind::choice;
    case data::answer_type::text: break;
  }
  return rl::answer_kind::text;
}

// A number in [0, 1) that belongs to a document; questions on one document share it.
double place_of(const data::qa_example& e) {
  const auto digest = io::hash(e.context.empty() ? e.id : e.context);  // residues modulo 2^61 - 1
  return static_cast<double>(digest.first >> 9) * 0x1p-52;
}

std::vector<data::qa_example> read(const std::vector<std::string>& files, double bad, const char* what,
                                   std::vector<std::string>& notes) {
  std::vector<io::file_path> paths(files.begin(), files.end());
  auto set = data::read_examples(std::move(paths), {.bad_share = bad});
  notes.push_back(std::string(what) + ": " + std::to_string(set.examples.size()) + " questions in " +
                  std::to_string(files.size()) + (files.size() == 1 ? " file" : " files"));
  if (set.report.bad > 0) notes.push_back(std::to_string(set.report.bad) + " unreadable rows are left out:");
  for (const auto& b : set.report.first_bad) notes.push_back("  " + b);
  return std::move(set.examples);
}

std::vector<data::tokenized_prompt> tokenize(std::span<const data::qa_example> examples, const data_settings& s,
                                             const language& words, std::int64_t at_most, const char* what,
                                             std::vector<std::string>& notes) {
  const auto own =
      s.prompt.empty() ? std::optional<data::prompt_template>{} : data::prompt_template(io::read_file(s.prompt));
  std::vector<data::qa_example> kinds[2];
  std::vector<std::size_t> places[2];
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const bool choice = !own && data::answer_type_of(examples[i].source) == data::answer_type::choice;
    kinds[choice ? 1 : 0].push_back(examples[i]);
    places[choice ? 1 : 0].push_back(i);
  }
  std::vector<data::tokenized_prompt> out;
  std::int64_t too_long = 0, disarmed = 0;
  for (int k = 0; k < 2; ++k) {
    if (kinds[k].empty()) continue;
    const auto form = own      ? *own
                      : k == 1 ? data::prompt_template::qwenlong_l1_choice()
                               : data::prompt_template::qwenlong_l1();
    auto set =
        data::tokenize(kinds[k], form, words.chat ? &*words.chat : nullptr, words.tokenizer, {.at_most = at_most});
    too_long += set.too_long, disarmed += set.disarmed;
    for (auto& p : set.prompts) {
      p.example = places[k][p.example];
      out.push_back(std::move(p));
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.example < b.example; });
  if (too_long > 0)
    notes.push_back(std::string(what) + ": " + std::to_string(too_long) + " prompts above " + std::to_string(at_most) +
                    " tokens are left out");
  if (disarmed > 0)
    notes.push_back(std::string(what) + ": " + std::to_string(disarmed) +
                    " prompts hold the name of a special token, read as plain text");
  return out;
}

}  // namespace

language language_of(const std::string& model, bool chat_template) {
  language l{text::tokenizer::from_directory(model), {}, {}};
  if (chat_template) {
    try {
      l.chat.emplace(text::chat_template::from_directory(model));
    } catch (const io::file_error&) {  // a folder without one: the prompt is continued as it stands
    }
  }
  l.stop = io::stop_tokens(io::model_config::read(model), io::generation_config::read(model));
  return l;
}

document_task::document_task(std::vector<data::qa_example> examples, std::vector<data::tokenized_prompt> prompts,
                             const language& words, grader& judge)
    : examples_(std::move(examples)), prompts_(std::move(prompts)), words_(&words), judge_(&judge) {
  std::map<std::string_view, std::int64_t> known;  // bundle by document
  std::map<std::string_view, std::int32_t> sources;
  for (const auto& e : examples_) sources.try_emplace(e.source, 0);
  std::int32_t n = 0;
  for (auto& [name, number] : sources) number = n++;
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    const auto& p = prompts_[i];
    const auto& e = examples_[p.example];
    source_.push_back(sources.at(e.source));
    const auto next = static_cast<std::int64_t>(first_.size());
    const auto found = e.context.empty() ? known.end() : known.find(e.context);
    if (found == known.end()) {
      if (!e.context.empty()) known.emplace(e.context, next);
      bundle_.push_back(next);
      first_.push_back(static_cast<std::int64_t>(i));
      shared_.push_back(static_cast<std::int64_t>(p.ids.size()));
      continue;
    }
    const auto b = at(found->second);
    bundle_.push_back(found->second);
    const auto& one = prompts_[at(first_[b])].ids;
    std::int64_t same = 0;
    while (same < shared_[b] && at(same) < p.ids.size() && one[at(same)] == p.ids[at(same)]) ++same;
    shared_[b] = same;
  }
}

std::span<const token> document_task::context(std::int64_t b) const {
  return std::span<const token>(prompts_[at(first_[at(b)])].ids).first(at(shared_[at(b)]));
}

std::span<const token> document_task::question(std::int64_t e) const {
  return std::span<const token>(prompts_[at(e)].ids).subspan(at(shared_[at(bundle_[at(e)])]));
}

std::string document_task::text(std::span<const token> answer, finish_reason finish) const {
  if (finish == finish_reason::stop && !answer.empty()) answer = answer.first(answer.size() - 1);
  return words_->tokenizer.decode(answer);
}

void document_task::grade(std::span<const answer_request> batch, std::span<rl::outcome> out,
                          std::span<rl::hybrid_parts> parts) {
  std::vector<std::string> responses;
  std::vector<std::vector<std::string_view>> gold;
  std::vector<rl::graded_item> items;
  responses.reserve(batch.size());
  gold.reserve(batch.size());
  for (const auto& a : batch) {
    const auto& e = example(a.example);
    responses.push_back(text(a.tokens, a.finish));
    auto& g = gold.emplace_back();
    if (!e.gold_sentence.empty()) g.push_back(e.gold_sentence);
    for (const auto& x : e.answers) g.push_back(x);
    items.push_back({e.question, responses.back(), g, kind_of(e)});
  }
  (*judge_)(items, out, parts);
}

std::vector<rl::outcome> document_task::score(std::span<const answer_request> batch) {
  std::vector<rl::outcome> out(batch.size());
  std::vector<rl::hybrid_parts> parts(batch.size());
  grade(batch, out, parts);
  return out;
}

std::vector<rl::hybrid_parts> document_task::explain(std::span<const answer_request> batch) {
  std::vector<rl::outcome> out(batch.size());
  std::vector<rl::hybrid_parts> parts(batch.size());
  grade(batch, out, parts);
  return parts;
}

training_data read_data(const train_settings& s, const language& words, std::int64_t window) {
  using ql::detail::expects;
  training_data d;
  expects(!s.data.train.empty(), "train", "data.train", "at least one file", "none");
  expects(s.data.held_out >= 0 && s.data.held_out < 1, "train", "data.held_out", "0 to below 1", s.data.held_out);
  auto all = read(s.data.train, s.data.bad_rows, "training", d.notes);
  for (auto& e : all) (place_of(e) < s.data.held_out ? d.validation : d.train).push_back(std::move(e));
  if (s.data.held_out > 0)
    d.notes.push_back(std::to_string(d.validation.size()) + " of them are held out, with their documents");
  expects(!d.train.empty(), "train", "data.train", "questions that are not held out", "none");
  if (!s.data.validation.empty()) {
    auto more = read(s.data.validation, s.data.bad_rows, "validation", d.notes);
    std::set<std::string> trained;
    for (const auto& e : d.train) trained.insert(e.context.empty() ? e.question : e.context);
    std::int64_t dropped = 0;
    for (auto& e : more) {
      if (trained.contains(e.context.empty() ? e.question : e.context)) {
        ++dropped;
      } else {
        d.validation.push_back(std::move(e));
      }
    }
    if (dropped > 0)
      d.notes.push_back(std::to_string(dropped) + " validation questions on training documents are left out");
  }
  std::int64_t longest = 0, response = 0;
  for (const auto& p : s.rl.phases) {
    const auto prompt = p.max_prompt_tokens > 0 ? p.max_prompt_tokens : p.hi_inclusive;
    longest = std::max(longest, prompt), response = std::max(response, p.max_response_tokens);
    expects(prompt + p.max_response_tokens <= window, "train", "rl.phases, \"" + p.name + "\"",
            "prompt and answer of at most " + std::to_string(window) + " tokens, which the model reads",
            std::to_string(prompt) + " + " + std::to_string(p.max_response_tokens));
  }
  d.train_prompts = tokenize(d.train, s.data, words, longest, "training", d.notes);
  if (!d.validation.empty())
    d.validation_prompts = tokenize(d.validation, s.data, words, longest, "validation", d.notes);
  if (s.sft.epochs > 0) {
    if (!s.data.warm_up.empty()) {
      d.warm_up = read(s.data.warm_up, s.data.bad_rows, "warm-up", d.notes);
      std::set<std::string> held;
      for (const auto& e : d.validation) held.insert(e.question);
      const auto n = d.warm_up.size();
      std::erase_if(d.warm_up, [&](const auto& e) { return held.contains(e.question); });
      if (d.warm_up.size() < n)
        d.notes.push_back(std::to_string(n - d.warm_up.size()) +
                          " warm-up questions are validation questions: left out");
    }
    // answer sentences of training questions; those alone that the rule accepts
    const auto& format = data::target_format::plain();
    std::vector<std::pair<double, std::size_t>> order;  // a draw over all files
    if (s.sft.short_answers > 0)
      for (const auto& p : d.train_prompts) order.emplace_back(place_of(d.train[p.example]), p.example);
    std::sort(order.begin(), order.end());
    std::int64_t left = s.sft.short_answers;
    for (const auto& [place, i] : order) {
      if (left == 0) break;
      const auto& e = d.train[i];
      data::qa_example bare;
      bare.answers = e.answers;
      const auto sentence = data::target_text(bare, format, false);
      const std::vector<std::string_view> gold(e.answers.begin(), e.answers.end());
      if (rl::value_or(rl::strict::rule_reward<rl::whole_response>{}({e.question, sentence, gold, kind_of(e)}), 0) < 1)
        continue;
      d.warm_up.push_back(e);
      d.warm_up.back().reasoning.clear();
      --left;
    }
    if (!d.warm_up.empty())
      d.warm_up_prompts =
          tokenize(d.warm_up, s.data, words, std::min(window, s.sft.max_tokens) - 1, "warm-up", d.notes);
  }
  return d;
}

}  // namespace ql::qwenlong
