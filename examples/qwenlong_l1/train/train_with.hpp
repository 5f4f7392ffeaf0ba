// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/data/supervised.hpp>
#include <ql/eval/statistics.hpp>
#include <ql/io/hash.hpp>
#include <ql/io/json.hpp>
#include <ql/io/model_config.hpp>
#include <ql/io/run_directory.hpp>
#include <ql/io/weights.hpp>
#include <ql/report.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/rl/schedule.hpp>
#include <ql/sft.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <thread>

#include "../ranks.hpp"
#include "../replayed_task.hpp"
#include "../rl_stage.hpp"
#include "document_task.hpp"
#include "train.hpp"

namespace ql::qwenlong {

// What a checkpoint says besides weights and optimizer.
struct train_progress {
  std::int64_t stage = 0;  // 1: warmed up, 2: in RL, 3: done
  std::int64_t sft_steps = 0, sft_tokens = 0;
  rl_run_state rl;
  std::vector<double> before;  // validation scores before RL
  metric_files_state files;
};

template <class T>
class train_run {
 public:
  train_run(const train_request& request, const train_settings& s, const std::function<bool()>& stop)
      : request_(request),
        settings_(s),
        stop_(stop),
        threads_(request.threads > 0 ? request.threads
                                     : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))),
        words_(language_of(s.model, s.data.chat_template)),
        ctx_({.threads = threads_}),
        shape_(model::checked(io::decoder_of(io::model_config::read(s.model)))) {
    if (request_.ranks && request_.split == update_split::heads)
      detail::expects(shape_.kv_heads % request_.ranks->size() == 0, "train", "--split heads",
                      "as many ranks as divide the model's " + std::to_string(shape_.kv_heads) +
                          " key-value heads (--split rows takes any number)",
                      request_.ranks->size());
    auto data = read_data(s, words_, shape_.max_context);
    for (const auto& n : data.notes)
      if (leads()) std::fprintf(stderr, "%s\n", n.c_str());
    if (!data.warm_up_prompts.empty()) {
      auto f = s.sft.think_tags ? data::target_format{} : data::target_format::plain();
      warm_up_ = data::supervise(data.warm_up, std::move(data.warm_up_prompts), f, words_.tokenizer, words_.stop.at(0),
                                 std::min(shape_.max_context, s.sft.max_tokens));
    }
    keep_for_validation(data);
    if (request.part == train_part::update) {
      auto rows = read_rollouts(request.rollouts);
      rollout_step_ = rows.front().step;
      for (auto& r : rows) book_.add(std::move(r.group));
    }
    examples_ = std::move(data);
  }

  // All that can be refused has been: from here on there is a run. Only the first rank has its folder.
  void open() {
    if (!leads()) return;
    directory_.emplace(request_.directory, to_tree(settings_),
                       std::vector<std::string>{"model", "data.train", "data.validation", "data.warm_up",
                                                "checkpoint_every", "validation.every", "reward.judge"});
    store_.emplace(folder("checkpoints"));
    // what a killed process was writing
    for (const auto* name : {"validation", "rollouts"}) {
      std::filesystem::create_directories(folder(name));
      for (const auto& f : std::filesystem::directory_iterator(folder(name)))
        if (f.path().filename().string().find(".tmp-") != std::string::npos) std::filesystem::remove(f.path());
    }
    found_ = store_->newest();
    if (request_.part == train_part::update && found_ && rollout_step_ <= found_->step()) {
      after_ = checkpoint_of(rollout_step_);
      found_ = checkpoint_of(rollout_step_ - 1);
    }
  }

  // The folder of the checkpoint that the first rank has found, if any.
  std::string found() const { return found_ ? found_->folder() : std::string(); }
  void start(const std::string& found) {
    if (!leads() && !found.empty()) found_.emplace(found);
    auto reward = settings_.reward;
    if (!leads()) reward.judge.url.clear();  // the first rank asks for all
    if (reward.judge.journal.empty() && leads()) reward.judge.journal = folder("verdicts.jsonl");
    judge_.emplace(reward);
    train_.emplace(std::move(examples_.train), std::move(examples_.train_prompts), words_, *judge_);
    held_out_.emplace(std::move(examples_.validation), std::move(examples_.validation_prompts), words_, *judge_);
    policy_.emplace(ctx_, shape_);
    if (found_) {
      progress_ = found_->value<train_progress>("state/progress");
      get_weights(*found_, "weights/", ctx_, *policy_);
    } else {
      io::load_weights(ctx_, io::checkpoint::open(settings_.model), *policy_);
    }
    if (after_) return;  // a replay leaves the run as it is
    if (!leads()) {
      tell_.emplace();
      return;
    }
    tell_.emplace(directory_->path(), progress_.files);
    std::int64_t total = 0;
    for (const auto& p : settings_.rl.phases) total += p.steps;
    (*tell_)(run_started{.name = std::filesystem::path(request_.recipe).stem().string(),
                         .directory = directory_->path(),
                         .resumed_at = found_ ? std::optional<std::int64_t>(found_->step()) : std::nullopt,
                         .total_steps = sft_steps() + total,
                         .device = "cpu, " + std::to_string(threads_) + (threads_ == 1 ? " thread, " : " threads, ") +
                                   "kernels " + std::string(cpu::kernels<T>().name) +
                                   (request_.ranks ? ", " + std::to_string(request_.ranks->size()) + " ranks" : ""),
                         .parameters = policy_->parameter_count()});
    io::write_file(folder("recipe.toml"), to_toml(settings_));
  }

  bool run() {
    if (after_) return replay();
    detail::stopwatch whole;
    bool complete = true;
    try {
      if (progress_.stage < 1) warm_up();
      if (progress_.stage < 3 && request_.part != train_part::sft) complete = learn();
    } catch (const interruption&) {
      complete = false;
    }
    const bool done = progress_.stage == 3;
    if (!leads()) return complete;
    if (complete && request_.part == train_part::sft)
      std::fprintf(stderr, "sft: %s\n",
                   sft_steps() > 0 ? folder("warm_up").c_str() : "the recipe has no warm-up (sft.epochs = 0)");
    if (done && request_.part != train_part::whole)
      std::fprintf(stderr, "the run is finished: there is no step after this one\n");
    (*tell_)(run_finished{.reason = !complete ? "interrupted"
                                    : done    ? "finished"
                                              : "paused",
                          .step = tell_->last_step(),
                          .seconds = whole.lap()});
    if (complete && done) {
      write_report(directory_->path());
      std::fprintf(stderr, "report: %s\npolicy: %s (an ordinary Hugging Face folder)\n", folder("report.html").c_str(),
                   folder("policy").c_str());
    }
    return complete;
  }

 private:
  // Alone, or the first of the ranks: it writes and speaks.
  bool leads() const { return !request_.ranks || request_.ranks->rank() == 0; }
  std::string folder(std::string_view name) const {
    return (directory_ ? directory_->path() : request_.directory) + "/" + std::string(name);
  }
  bool stopped() const { return request_.ranks ? any_rank(*request_.ranks, stop_()) : stop_(); }

  // At most `questions` for the lengths of each phase, drawn over all files; which ones depends on the data alone.
  void keep_for_validation(training_data& d) {
    if (settings_.validation.questions == 0) return;
    auto& all = d.validation_prompts;
    std::sort(all.begin(), all.end(), [&](const auto& a, const auto& b) {
      const auto of = [&](const auto& p) { return io::hash(d.validation[p.example].id).first; };
      return std::pair(of(a), a.example) < std::pair(of(b), b.example);
    });
    std::vector<std::int64_t> taken(settings_.rl.phases.size(), 0);
    std::erase_if(all, [&](const data::tokenized_prompt& p) {
      const auto k = phase_of(static_cast<std::int64_t>(p.ids.size()));
      return k >= taken.size() || taken[k]++ >= settings_.validation.questions;
    });
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.example < b.example; });
  }
  std::size_t phase_of(std::int64_t length) const {
    std::size_t k = 0;
    while (k < settings_.rl.phases.size() && length > settings_.rl.phases[k].hi_inclusive) ++k;
    return k;
  }

  std::string save(std::int64_t step, const std::function<void(checkpoint_writer&)>& more) {
    if (!leads()) return {};
    progress_.files = tell_->sync();
    return store_->save(step, [&](checkpoint_writer& w) {
      w.value("state/progress", progress_);
      put_weights(w, "weights/", *policy_);
      more(w);
    });
  }

  std::int64_t sft_epoch_steps() const {
    const auto n = static_cast<std::int64_t>(warm_up_.examples.size());
    return (n + settings_.sft.batch - 1) / settings_.sft.batch;
  }
  std::int64_t sft_steps() const { return settings_.sft.epochs * sft_epoch_steps(); }

  // Mean over sequences of the mean negative log-likelihood of their targets, the paper's warm-up loss.
  void warm_up() {
    const auto& s = settings_.sft;
    const auto steps = sft_steps();
    if (steps > 0) {
      const rl::adamw optimizer{.beta1 = s.beta1, .beta2 = s.beta2, .weight_decay = s.weight_decay};
      auto state = make_optimizer_state(ctx_, *policy_, optimizer);
      if (found_) get_optimizer(*found_, *policy_, state);
      found_.reset();
      const auto rising = static_cast<std::int64_t>(s.warm_up * static_cast<double>(steps));
      const rl::cosine_schedule rate{.rate = s.learning_rate, .warmup = rising, .total = steps, .floor = s.last_rate};
      if (progress_.sft_steps == 0)
        (*tell_)(phase_started{
            .phase = 0, .stage = "sft", .name = "warm-up SFT", .steps = steps, .max_length = s.max_tokens});
      const auto keep = [&] {
        save(progress_.sft_steps, [&](checkpoint_writer& w) { put_optimizer(w, *policy_, state); });
      };
      const row_split rows(*policy_, request_.ranks, request_.split);
      detail::stopwatch clock;
      while (progress_.sft_steps < steps) {
        if (stopped()) {
          keep();
          throw interruption();
        }
        const auto step = progress_.sft_steps;
        token_tree tree;
        std::vector<float> weight;
        for (auto i : batch_of(step)) {
          const auto& e = warm_up_.examples[i];
          data::add_supervised(tree, e);
          weight.resize(static_cast<std::size_t>(tree.tokens()) - e.target.size(), 0.0f);
          weight.resize(static_cast<std::size_t>(tree.tokens()), 1.0f / static_cast<float>(e.target.size()));
        }
        const auto r = sft_step(ctx_, *policy_, tree, std::span<const float>(weight), optimizer, state, rate(step),
                                {.max_norm = s.max_norm,
                                 .micro_batch_tokens = s.micro_batch_tokens,
                                 .keep = s.keep,
                                 .ranks = request_.ranks,
                                 .split = request_.split});
        detail::expects<numeric_error>(r.step.finite, "train", "gradient of warm-up step " + std::to_string(step + 1),
                                       "finite values", "NaN or infinity");
        ++progress_.sft_steps;
        progress_.sft_tokens += r.rows;
        step_finished e;
        e.step = progress_.sft_steps, e.stage = "sft", e.loss = r.loss, e.learning_rate = rate(step);
        e.gradient_norm = r.step.gradient_norm, e.tokens_trained = r.rows;
        e.time.total = e.time.update = clock.lap();
        e.time.tokens_per_second = static_cast<double>(r.rows) / e.time.total;
        (*tell_)(e);
        if (s.checkpoint_every > 0 && progress_.sft_steps % s.checkpoint_every == 0 && progress_.sft_steps < steps)
          keep();
      }
      export_policy("warm_up", true);
    }
    found_.reset();
    progress_.stage = 1;
    save(progress_.sft_steps, [](checkpoint_writer&) {});
  }

  // The examples of a step: every epoch is a shuffle of all.
  std::vector<std::size_t> batch_of(std::int64_t step) const {
    const auto n = warm_up_.examples.size();
    const auto epoch = step / sft_epoch_steps(), first = step % sft_epoch_steps() * settings_.sft.batch;
    std::vector<std::size_t> order(n);
    for (std::size_t i = 0; i < n; ++i) order[i] = i;
    const random_key key{.seed = settings_.seed,
                         .what = purpose::shuffle,
                         .example = static_cast<std::uint32_t>(epoch),
                         .sample = 60003};
    for (std::size_t i = n; i > 1; --i)
      std::swap(order[i - 1], order[static_cast<std::size_t>(uniform(key, i) * static_cast<double>(i))]);
    const auto last = std::min(n, static_cast<std::size_t>(first + settings_.sft.batch));
    return {order.begin() + static_cast<std::ptrdiff_t>(first), order.begin() + static_cast<std::ptrdiff_t>(last)};
  }

  // Are there questions that the policy answers now right and now wrong? Nothing is learnt from others.
  void gate() {
    if (settings_.gate.prompts == 0) return;
    std::vector<std::int64_t> some;
    for (std::int64_t e = 0; e < train_->examples(); ++e)
      if (phase_of(train_->length(e)) == 0) some.push_back(e);
    // evenly over the files
    const auto want = std::min<std::size_t>(some.size(), static_cast<std::size_t>(settings_.gate.prompts));
    std::vector<std::int64_t> chosen;
    for (std::size_t i = 0; i < want; ++i) chosen.push_back(some[i * some.size() / want]);
    std::int64_t mixed = 0, right = 0;
    for (const auto& g : answer_groups<T>(ctx_, *policy_, *train_, chosen, answering(true))) {
      const double m = g.mean_score();
      mixed += m > 0 && m < 1 ? 1 : 0, right += m == 1 ? 1 : 0;
    }
    const double share = chosen.empty() ? 0 : static_cast<double>(mixed) / static_cast<double>(chosen.size());
    if (leads())
      std::fprintf(stderr, "gate: of %zu questions %lld are answered right and wrong, %lld always right\n",
                   chosen.size(), static_cast<long long>(mixed), static_cast<long long>(right));
    detail::expects<state_error>(share >= settings_.gate.mixed, "train", "gate.mixed",
                                 "right and wrong answers to at least " + std::to_string(settings_.gate.mixed) +
                                     " of the questions; choose easier ones or a longer warm-up",
                                 share);
  }
  answer_options answering(bool sampled) const {
    answer_options a;
    a.seed = settings_.seed, a.what = sampled ? purpose::evaluate : purpose::validate;
    a.stop = words_.stop, a.session_tokens = settings_.rl.session_tokens, a.interrupted = stop_;
    a.ranks = request_.ranks;
    a.max_new_tokens = settings_.validation.max_response_tokens;
    for (const auto& p : settings_.rl.phases)
      if (settings_.validation.max_response_tokens == 0)
        a.max_new_tokens = std::max(a.max_new_tokens, p.max_response_tokens);
    if (sampled) {
      a.group_size = settings_.rl.group_size;
      a.max_new_tokens = settings_.rl.phases.front().max_response_tokens;
      a.temperature = settings_.rl.temperature, a.top_p = settings_.rl.top_p;
    }
    return a;
  }

  checkpoint_reader checkpoint_of(std::int64_t step) const {
    std::string held;
    for (const auto& name : store_->names()) {
      auto c = store_->open(name);
      if (c.step() == step) return c;
      held += (held.empty() ? "" : ", ") + std::to_string(c.step());
    }
    ql::detail::fail<state_error>("update", "rollouts of step " + std::to_string(rollout_step_),
                                  "checkpoints of step " + std::to_string(rollout_step_ - 1) + " and " +
                                      std::to_string(rollout_step_) + " (checkpoint_every = 1 keeps the last two)",
                                  "those of " + held);
  }

  std::optional<policy_of<T>> reference_policy() {
    std::optional<policy_of<T>> reference;
    if (settings_.rl.kl_every > 0 || settings_.rl.scoring == curriculum::score_source::initial) {
      reference.emplace(ctx_, shape_);
      const auto start = sft_steps() > 0 ? folder("warm_up") : settings_.model;
      io::load_weights(ctx_, io::checkpoint::open(start), *reference);
    }
    return reference;
  }
  rl_stage_request<T> rl_request(std::optional<policy_of<T>>& reference) {
    if (book_.size() > 0) replayed_.emplace(*train_, book_);
    return {.ctx = &ctx_,
            .policy = &*policy_,
            .reference = reference ? &*reference : nullptr,
            .task = replayed_ ? static_cast<any_task*>(&*replayed_) : &*train_,
            .settings = settings_.rl,
            .seed = settings_.seed,
            .stop = words_.stop,
            .drops = judge_->journal(),
            .book = book_.size() > 0 ? &book_ : nullptr,
            .ranks = request_.ranks,
            .split = request_.split};
  }
  std::function<bool()> stopping() {
    return [this] {
      if (stop_()) judge_->stop();
      return stop_();
    };
  }

  // The step of the file once more, from the checkpoint before it, held against the checkpoint after it.
  bool replay() {
    ql::detail::expects<state_error>(progress_.stage >= 2, "update", "rollouts", "of a step of RL",
                                     "step " + std::to_string(rollout_step_));
    auto reference = reference_policy();
    rl_stage<T> stage(rl_request(reference));
    stage.restore(*found_);
    const auto aside = folder("replay");
    std::filesystem::remove_all(aside);
    std::filesystem::create_directories(aside);
    run_end end;
    {
      run_record record(aside, {});
      rl_run_options o;
      o.first_phase = 1, o.first_step = progress_.sft_steps, o.checkpoint_every = 0, o.steps = 1;
      rl_run_hooks hooks;
      hooks.stop = stopping();
      hooks.save = [] { return std::string(); };
      end = stage.run(record, o, hooks, progress_.rl);
    }
    std::filesystem::remove_all(aside);
    if (end == run_end::interrupted) return false;
    std::int64_t weights = 0;
    for (const auto& q : policy_->parameters()) {
      std::vector<float> then(static_cast<std::size_t>(q.size()));
      after_->array("weights/" + q.name, std::span<float>(then));
      std::int64_t differ = 0;
      for (std::size_t i = 0; i < then.size(); ++i)
        differ += ql::detail::same_bits(then[i], q.master.data()[i]) ? 0 : 1;
      ql::detail::expects<state_error>(differ == 0, "update", q.name,
                                       "the bits of " + after_->name() + " after step " + std::to_string(rollout_step_),
                                       std::to_string(differ) + " of " + std::to_string(then.size()) + " that differ");
      weights += q.size();
    }
    std::fprintf(stderr, "update: step %lld replayed, all %lld weights have the bits of %s\n",
                 static_cast<long long>(rollout_step_), static_cast<long long>(weights), after_->name().c_str());
    return true;
  }

  bool learn() {
    if (request_.ranks) comm::barrier(*request_.ranks);  // the first one has written the model as it was warmed up
    auto reference = reference_policy();
    if (progress_.stage == 1) gate();
    rl_stage<T> stage(rl_request(reference));
    if (found_ && progress_.stage >= 2) stage.restore(*found_);
    found_.reset();
    progress_.stage = 2;
    rl_run_options o;
    o.first_phase = 1, o.first_step = progress_.sft_steps;
    o.checkpoint_every = settings_.checkpoint_every, o.validate_every = settings_.validation.every;
    if (request_.part == train_part::rollout) o.steps = 0;
    if (request_.part == train_part::update) {
      o.steps = 1;
      const auto next = progress_.sft_steps + stage.steps() + 1;
      ql::detail::expects<state_error>(rollout_step_ == next, "update", "rollouts",
                                       "those of step " + std::to_string(next) + ", which is the run's next",
                                       "those of step " + std::to_string(rollout_step_));
    }
    rl_run_hooks hooks;
    hooks.stop = stopping();
    if (held_out_->examples() > 0)
      hooks.validate = [&](const std::string& moment) { return validate(moment, progress_.sft_steps + stage.steps()); };
    hooks.log_samples = [&](std::int64_t phase, std::int64_t step) {
      if (!leads()) return;
      log_samples(stage, phase, step);
      if (request_.keep_rollouts) {
        const auto number = std::to_string(step);
        keep_rollouts(stage, step,
                      folder("rollouts") + "/step_" + std::string(8 - std::min<std::size_t>(8, number.size()), '0') +
                          number + ".jsonl.gz");
      }
    };
    hooks.save = [&] {
      stage.gather();
      return save(progress_.sft_steps + stage.steps(), [&](checkpoint_writer& w) { stage.save(w); });
    };
    hooks.best = [&](const std::string& name) {
      if (leads()) store_->set_best(name);
    };
    const auto end = stage.run(*tell_, o, hooks, progress_.rl);
    if (end == run_end::interrupted) return false;
    if (end == run_end::paused) {
      if (request_.part == train_part::rollout) draw_rollouts(stage, hooks.stop);
      return true;
    }
    export_policy("policy", false);
    progress_.stage = 3;
    return true;
  }

  void draw_rollouts(rl_stage<T>& stage, const std::function<bool()>& stop) {
    const auto step = progress_.sft_steps + stage.steps() + 1;
    while (stage.draw(stop).kind == advance_kind::waiting) {
      std::fprintf(stderr, "rollout: waiting for the judge\n");
      ql::detail::wait(5, stop);
    }
    keep_rollouts(stage, step, request_.rollouts);
    std::fprintf(stderr, "rollout: %zu groups for step %lld, %zu of them to train on: %s\n", stage.drawn().size(),
                 static_cast<long long>(step), stage.trained().size(), request_.rollouts.c_str());
  }

  // All groups of a step, those it trained on with their advantages.
  void keep_rollouts(const rl_stage<T>& stage, std::int64_t step, const std::string& path) const {
    std::map<std::pair<std::int64_t, std::uint32_t>, const group<float>*> trained;
    for (const auto& g : stage.trained()) trained[{g.example, g.visit}] = &g;
    std::vector<rollout_row> rows;
    for (const auto& g : stage.drawn()) {
      const auto at = trained.find({g.example, g.visit});
      const auto& e = train_->example(g.example);
      auto& r = rows.emplace_back(rollout_row{.step = step,
                                              .id = e.id,
                                              .question = e.question,
                                              .prompt_tokens = train_->length(g.example),
                                              .group = at != trained.end() ? *at->second : g});
      for (const auto& a : g.answers) r.responses.push_back(train_->text(a.tokens, a.finish));
    }
    write_rollouts(path, rows);
  }

  // Greedy answers to what is held out: RUN/validation/MOMENT_STEP.jsonl has every one of them. What has changed since
  // RL began is a paired difference over documents.
  validation_finished validate(const std::string& moment, std::int64_t step) {
    detail::stopwatch clock;
    std::vector<std::int64_t> all(static_cast<std::size_t>(held_out_->examples()));
    for (std::size_t e = 0; e < all.size(); ++e) all[e] = static_cast<std::int64_t>(e);
    const auto groups = answer_groups<T>(ctx_, *policy_, *held_out_, all, answering(false));
    std::vector<double> scores;
    std::vector<std::uint32_t> documents;
    std::string rows;
    for (const auto& g : groups) {
      const auto& a = g.answers.front();
      const auto& e = held_out_->example(g.example);
      scores.push_back(g.mean_score());
      documents.push_back(static_cast<std::uint32_t>(held_out_->bundle(g.example)));
      using value = io::json::value;
      rows += io::json::dump(value(value::object_type{{"id", e.id},
                                                      {"source", e.source},
                                                      {"prompt_tokens", held_out_->length(g.example)},
                                                      {"question", e.question},
                                                      {"gold", e.answers.empty() ? e.gold_sentence : e.answers.front()},
                                                      {"response", held_out_->text(a.tokens, a.finish)},
                                                      {"truncated", a.truncated()},
                                                      {"score", scores.back()}}),
                             {.compact = true}) +
              "\n";
    }
    if (leads()) io::write_file(folder("validation") + "/" + moment + "_" + std::to_string(step) + ".jsonl", rows);
    if (moment == "before") progress_.before = scores;
    validation_finished v;
    eval::resampling r;
    r.replicates = static_cast<std::int32_t>(settings_.validation.replicates);
    const auto of_phase = [&](std::size_t k, auto&& f) {
      std::vector<double> now, then;
      std::vector<std::uint32_t> document;
      for (std::size_t i = 0; i < scores.size(); ++i) {
        if (k < settings_.rl.phases.size() && phase_of(held_out_->length(groups[i].example)) != k) continue;
        now.push_back(scores[i]), document.push_back(documents[i]);
        if (progress_.before.size() == scores.size()) then.push_back(progress_.before[i]);
      }
      if (!now.empty()) f(now, then, document);
    };
    io::json::value::array_type change;
    const auto compare = [&](const std::string& name, const auto& now, const auto& then, const auto& document) {
      if (then.size() != now.size()) return;
      const auto p = eval::paired_bootstrap(then, now, document, r);
      change.push_back(io::json::value::object_type{{"lengths", name},
                                                    {"questions", static_cast<std::int64_t>(now.size())},
                                                    {"before", eval::detail::mean_of(then)},
                                                    {"after", eval::detail::mean_of(now)},
                                                    {"change", p.difference.estimate},
                                                    {"low", p.difference.low},
                                                    {"high", p.difference.high},
                                                    {"p", p.p}});
    };
    for (std::size_t k = 0; k < settings_.rl.phases.size(); ++k)
      of_phase(k, [&](const auto& now, const auto& then, const auto& document) {
        const auto in = eval::bootstrap_interval(now, document, r);
        v.by_length.push_back(
            {settings_.rl.phases[k].hi_inclusive, in.estimate, in.low, in.high, static_cast<std::int64_t>(now.size())});
        compare("up to " + std::to_string(settings_.rl.phases[k].hi_inclusive), now, then, document);
      });
    of_phase(settings_.rl.phases.size(), [&](const auto& now, const auto& then, const auto& document) {
      const auto in = eval::bootstrap_interval(now, document, r);
      v.accuracy = in.estimate, v.low = in.low, v.high = in.high;
      compare("all", now, then, document);
    });
    if (moment != "before" && leads())
      io::write_file(folder("change.json"), io::json::dump(io::json::value(io::json::value::object_type{
                                                {"step", step}, {"moment", moment}, {"change", std::move(change)}})) +
                                                "\n");
    v.items = static_cast<std::int64_t>(scores.size()), v.set = "held-out questions", v.seconds = clock.lap();
    return v;
  }

  // The first trained group of every step.
  void log_samples(const rl_stage<T>& stage, std::int64_t phase, std::int64_t step) {
    if (stage.trained().empty()) return;
    const auto& g = stage.trained().front();
    const auto& example = train_->example(g.example);
    std::vector<answer_request> batch;
    for (std::size_t i = 0; i < g.answers.size(); ++i)
      batch.push_back({g.example, g.visit, static_cast<std::uint32_t>(i), g.answers[i].tokens, g.answers[i].finish});
    const auto parts = train_->explain(batch);
    for (std::size_t i = 0; i < g.answers.size(); ++i) {
      const auto& a = g.answers[i];
      sample_logged e;
      e.phase = phase, e.step = step, e.group = 0, e.sample = static_cast<std::int64_t>(i);
      e.example = example.id, e.question = example.question;
      e.gold = example.answers.empty() ? example.gold_sentence : example.answers.front();
      if (i == 0) e.document = example.context.substr(0, 2000);
      e.response = train_->text(a.tokens, a.finish);
      if (rl::is_scored(parts[i].rule)) e.rule = rl::value_or(parts[i].rule, 0);
      if (parts[i].asked && rl::is_scored(parts[i].judge)) e.judge = rl::value_or(parts[i].judge, 0);
      e.why = rl::value_or(parts[i].rule, 0) >= 1 ? "the rule" : parts[i].asked ? "the judge" : "the rule says no";
      e.score = rl::value_or(a.score, 0);
      e.reward = a.reward, e.advantage = static_cast<double>(a.advantage), e.length = a.length();
      e.truncated = a.truncated();
      e.logp.assign(a.logp.begin(), a.logp.end());
      e.ids.assign(a.tokens.begin(), a.tokens.end());
      for (auto t : a.tokens) e.pieces.push_back(words_.tokenizer.decode(std::span<const token>(&t, 1)));
      (*tell_)(e);
    }
  }

  // RUN/NAME: the model's folder with the policy's weights; `exact` in float, else in the files' own types.
  void export_policy(const std::string& name, bool exact) {
    if (!leads()) return;
    namespace fs = std::filesystem;
    const std::string place = folder(name), aside = place + ".new";
    fs::remove_all(aside);
    fs::create_directories(aside);
    for (const auto& f : fs::directory_iterator(settings_.model)) {
      const auto extension = f.path().extension();
      const auto file = f.path().filename().string();
      if (f.is_regular_file() && extension != ".safetensors" && !file.ends_with(".safetensors.index.json") &&
          f.file_size() < (std::uintmax_t{64} << 20))
        fs::copy_file(f.path(), fs::path(aside) / file);
    }
    if (exact) {
      io::save_weights(*policy_, aside, io::dtype::f32);
    } else {
      io::save_weights(*policy_, io::checkpoint::open(settings_.model), aside);
    }
    fs::remove_all(place);
    fs::rename(aside, place);
  }

  train_request request_;
  train_settings settings_;
  const std::function<bool()>& stop_;
  int threads_;
  std::optional<io::run_directory> directory_;
  std::optional<checkpoint_store> store_;
  language words_;
  training_data examples_;  // until there is a run
  std::optional<grader> judge_;
  cpu::context ctx_;
  model::decoder_config shape_;
  data::supervised_set warm_up_;
  std::optional<document_task> train_, held_out_;
  std::optional<policy_of<T>> policy_;
  train_progress progress_;
  std::optional<checkpoint_reader> found_, after_;
  rollout_book<float> book_;  // of an update
  std::int64_t rollout_step_ = 0;
  std::optional<replayed_task> replayed_;
  std::optional<run_record> tell_;
};

template <class T>
bool train_with(const train_request& request, const train_settings& s, const std::function<bool()>& stop) {
  std::optional<train_run<T>> run;
  std::string found;
  tool::together(request.ranks, [&] { run.emplace(request, s, stop); });
  tool::together(request.ranks, [&] {
    run->open();
    found = run->found();
  });
  if (request.ranks) found = share_values(*request.ranks, found).front();
  tool::together(request.ranks, [&] { run->start(found); });
  return run->run();
}

}  // namespace ql::qwenlong
