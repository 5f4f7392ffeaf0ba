// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a recipe file of `train` may say. Defaults are the paper's (arXiv 2505.17667): warm-up SFT, then DAPO in two
// phases of up to 20,000 and 60,000 tokens.

#include <ql/reflect.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../grader.hpp"
#include "../settings.hpp"

namespace ql::qwenlong {

enum class compute_type : std::uint8_t { as_stored, float32, bfloat16 };

struct data_settings {
  std::vector<std::string> train, validation, warm_up;
  double held_out = 0;
  std::string prompt;
  bool chat_template = true;
  double bad_rows = 0.01;
};

struct sft_settings {
  std::int64_t epochs = 3, batch = 128, short_answers = 0, max_tokens = 20'000;
  bool think_tags = true;
  double learning_rate = 5e-6, warm_up = 0.1, last_rate = 0, beta1 = 0.9, beta2 = 0.95, weight_decay = 0.01;
  double max_norm = 1;
  std::int64_t checkpoint_every = 20, micro_batch_tokens = 1 << 15;
  model::keep keep = model::keep::inputs;
};

struct validation_settings {
  std::int64_t questions = 0, every = 0, max_response_tokens = 0, replicates = 10'000;
};

struct gate_settings {
  std::int64_t prompts = 0;
  double mixed = 0.2;
};

struct train_settings {
  std::string preset, model;
  compute_type compute = compute_type::as_stored;
  std::uint64_t seed = 1;
  data_settings data;
  sft_settings sft;
  reward_settings reward;
  validation_settings validation;
  gate_settings gate;
  std::int64_t checkpoint_every = 5;
  rl_settings rl;
};

// Settings by name: paper_grpo, paper_dapo, paper_dapo_global, released_script, l15_aepo. Throws argument_error for
// others.
train_settings preset(std::string_view name);
inline constexpr std::string_view preset_names[] = {"paper_grpo", "paper_dapo", "paper_dapo_global", "released_script",
                                                    "l15_aepo"};

}  // namespace ql::qwenlong

// clang-format off
template <> inline constexpr auto ql::names<ql::qwenlong::compute_type> = ql::enumerators<ql::qwenlong::compute_type>({
    {"as_stored", ql::qwenlong::compute_type::as_stored}, {"float", ql::qwenlong::compute_type::float32},
    {"bf16", ql::qwenlong::compute_type::bfloat16}});
template <> inline constexpr auto ql::names<ql::qwenlong::answer_rules> = ql::enumerators<ql::qwenlong::answer_rules>({
    {"strict", ql::qwenlong::answer_rules::strict}, {"repo", ql::qwenlong::answer_rules::repo}});
template <> inline constexpr auto ql::members<ql::tool::judge_settings> = ql::fields(
    ql::field("url", &ql::tool::judge_settings::url, "of an OpenAI-compatible server, or \"equivalence\"; empty: rules alone"),
    ql::field("model", &ql::tool::judge_settings::model, "its name at the server"),
    ql::field("key", &ql::tool::judge_settings::key, "env:NAME or file:PATH"),
    ql::field("journal", &ql::tool::judge_settings::journal, "of verdicts; empty: RUN/verdicts.jsonl"),
    ql::field("ca_file", &ql::tool::judge_settings::ca_file, "authorities to trust"),
    ql::field("concurrency", &ql::tool::judge_settings::concurrency, "requests at once"),
    ql::field("max_tokens", &ql::tool::judge_settings::max_tokens, "of a reply"),
    ql::field("timeout", &ql::tool::judge_settings::timeout, "seconds for one request"),
    ql::field("patience", &ql::tool::judge_settings::patience, "seconds for one question, retries included"));
template <> inline constexpr auto ql::members<ql::qwenlong::data_settings> = ql::fields(
    ql::field("train", &ql::qwenlong::data_settings::train, "files of questions for RL, also .gz"),
    ql::field("validation", &ql::qwenlong::data_settings::validation, "files of questions that are never trained on"),
    ql::field("warm_up", &ql::qwenlong::data_settings::warm_up, "files of questions with reasoning (\"cot\") for SFT"),
    ql::field("held_out", &ql::qwenlong::data_settings::held_out, "share of the training files' documents set apart for validation"),
    ql::field("prompt", &ql::qwenlong::data_settings::prompt, "file with {context} and {question}; empty: QwenLong-L1's prompts"),
    ql::field("chat_template", &ql::qwenlong::data_settings::chat_template, "false: the prompt is continued as it stands"),
    ql::field("bad_rows", &ql::qwenlong::data_settings::bad_rows, "share of unreadable rows that ends the run"));
template <> inline constexpr auto ql::members<ql::qwenlong::sft_settings> = ql::fields(
    ql::field("epochs", &ql::qwenlong::sft_settings::epochs, "0: no warm-up"),
    ql::field("batch", &ql::qwenlong::sft_settings::batch, "examples of a step"),
    ql::field("short_answers", &ql::qwenlong::sft_settings::short_answers, "questions of the training files that join with their answer sentence; it passes the rule"),
    ql::field("max_tokens", &ql::qwenlong::sft_settings::max_tokens, "of prompt and target; longer ones are left out"),
    ql::field("think_tags", &ql::qwenlong::sft_settings::think_tags, "reasoning between <think> and </think>; false: before the answer sentence"),
    ql::field("learning_rate", &ql::qwenlong::sft_settings::learning_rate, "highest"),
    ql::field("warm_up", &ql::qwenlong::sft_settings::warm_up, "share of the steps while the rate rises"),
    ql::field("last_rate", &ql::qwenlong::sft_settings::last_rate, "share of the rate at the end of its cosine"),
    ql::field("beta1", &ql::qwenlong::sft_settings::beta1, "of AdamW"),
    ql::field("beta2", &ql::qwenlong::sft_settings::beta2, "of AdamW"),
    ql::field("weight_decay", &ql::qwenlong::sft_settings::weight_decay, "of AdamW"),
    ql::field("max_norm", &ql::qwenlong::sft_settings::max_norm, "of the gradient"),
    ql::field("checkpoint_every", &ql::qwenlong::sft_settings::checkpoint_every, "steps"),
    ql::field("micro_batch_tokens", &ql::qwenlong::sft_settings::micro_batch_tokens, "bounds memory, changes no bit"),
    ql::field("keep", &ql::qwenlong::sft_settings::keep, "what is kept for backward"));
template <> inline constexpr auto ql::members<ql::qwenlong::reward_settings> = ql::fields(
    ql::field("rules", &ql::qwenlong::reward_settings::rules, "strict, or the released ones with their quirks"),
    ql::field("thinking", &ql::qwenlong::reward_settings::thinking, "an answer stands behind </think>; false: it need not"),
    ql::field("judge", &ql::qwenlong::reward_settings::judge, "who is asked where the rule says no"),
    ql::field("judge_away", &ql::qwenlong::reward_settings::judge_away, "abstain, or rule: what a missing verdict becomes"));
template <> inline constexpr auto ql::members<ql::qwenlong::validation_settings> = ql::fields(
    ql::field("questions", &ql::qwenlong::validation_settings::questions, "of each phase's lengths at most; 0: all"),
    ql::field("every", &ql::qwenlong::validation_settings::every, "RL steps; 0: at the ends of phases alone"),
    ql::field("max_response_tokens", &ql::qwenlong::validation_settings::max_response_tokens, "0: the longest of the phases"),
    ql::field("replicates", &ql::qwenlong::validation_settings::replicates, "of the bootstrap"));
template <> inline constexpr auto ql::members<ql::qwenlong::gate_settings> = ql::fields(
    ql::field("prompts", &ql::qwenlong::gate_settings::prompts, "of the first phase tried before RL; 0: none"),
    ql::field("mixed", &ql::qwenlong::gate_settings::mixed, "share of them that needs right and wrong answers"));
template <> inline constexpr auto ql::members<ql::qwenlong::train_settings> = ql::fields(
    ql::field("preset", &ql::qwenlong::train_settings::preset, "whose settings these are changes of"),
    ql::field("model", &ql::qwenlong::train_settings::model, "folder in Hugging Face layout"),
    ql::field("compute", &ql::qwenlong::train_settings::compute, "type of weights and activations; master weights are float"),
    ql::field("seed", &ql::qwenlong::train_settings::seed, "of everything random"),
    ql::field("data", &ql::qwenlong::train_settings::data, "paths are relative to the recipe file"),
    ql::field("sft", &ql::qwenlong::train_settings::sft, "warm-up"),
    ql::field("reward", &ql::qwenlong::train_settings::reward, "max(rule, judge)"),
    ql::field("validation", &ql::qwenlong::train_settings::validation, "greedy answers to held-out questions"),
    ql::field("gate", &ql::qwenlong::train_settings::gate, "is there anything to learn from?"),
    ql::field("checkpoint_every", &ql::qwenlong::train_settings::checkpoint_every, "RL steps"),
    ql::field("rl", &ql::qwenlong::train_settings::rl, "reinforcement learning"));
// clang-format on
