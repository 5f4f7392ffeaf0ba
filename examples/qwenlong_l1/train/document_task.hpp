// SPDX-License-Identifier: Apache-2.0
#pragma once

// Questions about real documents as an environment.

#include <ql/data/document_qa.hpp>
#include <ql/rl/judge.hpp>
#include <ql/text/chat_template.hpp>
#include <ql/text/tokenizer.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "../task.hpp"
#include "settings.hpp"

namespace ql::qwenlong {

// What a model reads and says: its tokenizer, its chat template where there is one, what ends an answer.
struct language {
  text::tokenizer tokenizer;
  std::optional<text::chat_template> chat;
  std::vector<token> stop;
};
language language_of(const std::string& model, bool chat_template);

// Examples with their prompts. Prompts that begin alike (questions on one document) are a bundle: the common beginning
// is forwarded once.
class document_task final : public any_task {
 public:
  document_task(std::vector<data::qa_example> examples, std::vector<data::tokenized_prompt> prompts,
                const language& words, grader& judge);

  std::int64_t examples() const override { return static_cast<std::int64_t>(prompts_.size()); }
  std::int64_t bundle(std::int64_t e) const override { return bundle_[at(e)]; }
  std::span<const token> context(std::int64_t b) const override;
  std::span<const token> question(std::int64_t e) const override;
  std::int32_t task(std::int64_t e) const override { return source_[at(e)]; }
  std::vector<rl::outcome> score(std::span<const answer_request> batch) override;

  const data::qa_example& example(std::int64_t e) const { return examples_[prompts_[at(e)].example]; }
  std::int64_t length(std::int64_t e) const { return static_cast<std::int64_t>(prompts_[at(e)].ids.size()); }
  std::string text(std::span<const token> answer, finish_reason finish) const;
  // How the scores of single answers came about.
  std::vector<rl::hybrid_parts> explain(std::span<const answer_request> batch);

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  void grade(std::span<const answer_request> batch, std::span<rl::outcome> out, std::span<rl::hybrid_parts> parts);

  std::vector<data::qa_example> examples_;
  std::vector<data::tokenized_prompt> prompts_;
  const language* words_;
  grader* judge_;
  std::vector<std::int64_t> bundle_;  // by prompt
  std::vector<std::int64_t> first_;   // of a bundle: its first prompt
  std::vector<std::int64_t> shared_;  // of a bundle: tokens in common
  std::vector<std::int32_t> source_;  // by prompt
};

// The data of a run, read and tokenised.
struct training_data {
  std::vector<data::qa_example> train, validation, warm_up;
  std::vector<data::tokenized_prompt> train_prompts, validation_prompts, warm_up_prompts;
  std::vector<std::string> notes;  // lines for whoever watches: what was read, left out, too long
};
training_data read_data(const train_settings& s, const language& words, std::int64_t window);

}  // namespace ql::qwenlong
