// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/replay.hpp>

#include <algorithm>

#include "task.hpp"

namespace ql::qwenlong {

// A task whose answers were scored before: what a book of rollouts holds is not asked again.
class replayed_task final : public any_task {
 public:
  // Both must outlive it.
  replayed_task(any_task& task, const rollout_book<float>& book) : task_(&task), book_(&book) {}

  std::int64_t examples() const override { return task_->examples(); }
  std::int64_t bundle(std::int64_t e) const override { return task_->bundle(e); }
  std::span<const token> context(std::int64_t b) const override { return task_->context(b); }
  std::span<const token> question(std::int64_t e) const override { return task_->question(e); }
  std::int32_t task(std::int64_t e) const override { return task_->task(e); }
  std::vector<rl::outcome> score(std::span<const answer_request> batch) override {
    std::vector<rl::outcome> out(batch.size());
    std::vector<answer_request> others;
    std::vector<std::size_t> at;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const auto& q = batch[i];
      const auto* g = book_->find(q.example, q.visit);
      if (g != nullptr && q.sample < g->answers.size() && std::ranges::equal(g->answers[q.sample].tokens, q.tokens)) {
        out[i] = g->answers[q.sample].score;
      } else {
        others.push_back(q), at.push_back(i);
      }
    }
    if (others.empty()) return out;
    const auto scores = task_->score(others);
    for (std::size_t i = 0; i < at.size(); ++i) out[at[i]] = scores.at(i);
    return out;
  }

 private:
  any_task* task_;
  const rollout_book<float>* book_;
};

}  // namespace ql::qwenlong
