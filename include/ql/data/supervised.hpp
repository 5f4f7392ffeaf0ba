// SPDX-License-Identifier: Apache-2.0
#pragma once

// Prompts with the answers that a policy is to imitate.

#include <ql/data/document_qa.hpp>
#include <ql/data/generator.hpp>
#include <ql/tensor/token_tree.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ql::data {

// What is put around reasoning and answer: before + reasoning + between + answer, {answer} being the first answer.
struct target_format {
  std::string before = "<think>\n";
  std::string between = "\n</think>\n\n";
  std::string answer = "Therefore, the answer is {answer}.";

  // For models that do not think in tags: reasoning, a line, the answer.
  static target_format plain() { return {"", "\n", "Therefore, the answer is {answer}."}; }
  friend bool operator==(const target_format&, const target_format&) = default;
};

// The text of an example's target; without reasoning the part between the tags is empty. Where the prompt has opened
// <think> already, it is not said again. Throws argument_error unless the format holds {answer} once.
std::string target_text(const qa_example& e, const target_format& f, bool prompt_opens_thinking);

// `target` without a leading <think> and the line end behind it.
std::string_view without_leading_think(std::string_view target);

// Loss is on the tokens of the target alone, its end token included.
struct supervised_example {
  std::size_t example = 0;  // its place in the data set
  std::vector<token> prompt, target;
  std::int64_t tokens() const { return static_cast<std::int64_t>(prompt.size() + target.size()); }
  friend bool operator==(const supervised_example&, const supervised_example&) = default;
};

struct supervised_set {
  std::vector<supervised_example> examples;
  std::int64_t too_long = 0;
};

// Targets for prompts of tokenize(), each ended by `end`; what has more than at_most tokens in all is left out. Throws
// argument_error where nothing is left.
supervised_set supervise(std::span<const qa_example> examples, std::vector<tokenized_prompt> prompts,
                         const target_format& f, const text::tokenizer& tokenizer, token end, std::int64_t at_most);

// A question of a generated document, as a sequence. (A tree shares the document: document_tree.hpp.)
supervised_example supervise(const generated_document& d, const generated_question& q);

// A root for the prompt, a leaf for the target, which carries the loss; returns the leaf.
template <class Tree>
std::int32_t add_supervised(Tree& tree, const supervised_example& e) {
  const auto leaf = tree.add(tree.add_root(e.prompt), e.target);
  tree.finish(leaf, finish_reason::stop);
  return leaf;
}

}  // namespace ql::data
