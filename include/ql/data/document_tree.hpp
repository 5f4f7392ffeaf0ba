// SPDX-License-Identifier: Apache-2.0
#pragma once

// Generated documents as token trees: the document is a root, each question a branch, each answer a leaf.

#include <ql/data/generator.hpp>
#include <ql/tensor/token_tree.hpp>

#include <cstdint>
#include <vector>

namespace ql::data {

// Where a document stands in a tree: questions[i] is the branch of the document's i-th question.
struct document_place {
  std::int32_t root = -1;
  std::vector<std::int32_t> questions;
};

// Adds document and questions, without answers: a session or a trainer hangs those on the branches.
template <class Tree>
document_place add_document(Tree& tree, const generated_document& d) {
  document_place at;
  at.root = tree.add_root(d.tokens);
  for (const auto& q : d.questions) at.questions.push_back(tree.add(at.root, q.prompt, role::prompt));
  return at;
}

// The same with each question's training target as its leaf; target tokens alone carry loss.
template <class Tree>
document_place add_with_targets(Tree& tree, const generated_document& d) {
  auto at = add_document(tree, d);
  for (std::size_t i = 0; i < d.questions.size(); ++i) {
    const auto leaf = tree.add(at.questions[i], d.questions[i].target());
    tree.finish(leaf, finish_reason::stop);
  }
  return at;
}

// A drill: its restatements as leaves, which carry loss. weights[i] of the i-th loss token in the tree's order is 1 for
// what the document alone tells and `other` for the rest.
template <class Tree>
std::int32_t add_drill(Tree& tree, const drill_document& d, std::vector<float>& weights, float other = 0.2f) {
  const auto root = tree.add_root(d.tokens);
  for (const auto& r : d.restatements) {
    tree.add(root, r.tokens);
    for (auto recalled : r.recall) weights.push_back(recalled != 0 ? 1.0f : other);
  }
  return root;
}

}  // namespace ql::data
