// SPDX-License-Identifier: Apache-2.0
#include "demo.hpp"

#include <ql/eval/metrics.hpp>
#include <ql/eval/statistics.hpp>
#include <ql/io/run_directory.hpp>
#include <ql/io/weights.hpp>
#include <ql/report.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "../rl_stage.hpp"
#include "settings.hpp"

namespace ql::qwenlong {

namespace {

using scalar_type = float;
using policy_type = policy_of<scalar_type>;
using vocabulary = data::phrase_vocabulary;

constexpr std::int32_t lengths[] = {128, 256, 512, 1024};
// Tokens that a question takes at most: document and question fit the length.
constexpr std::int32_t question_room = 12;
constexpr std::int64_t sampled_documents = 32;  // of each length, for pass@k

// What a checkpoint says besides weights and optimizer.
struct progress {
  std::int64_t stage = 0;  // 1: drilled, 2: warmed up, 3: in RL, 4: done
  std::int64_t steps = 0;  // of the stages before RL
  double recall = 0, warm_up_accuracy = 0;
  rl_run_state rl;
  metric_files_state files;
};

// The environment of RL and of validation; rewards may be dealt to other answers, as a control.
struct demo_task final : any_task {
  tiny::document_task of;
  bool shuffled = false;
  std::uint64_t seed = 0;

  std::int64_t examples() const override { return of.examples(); }
  std::int64_t bundle(std::int64_t e) const override { return of.bundle(e); }
  std::span<const token> context(std::int64_t b) const override { return of.context(b); }
  std::span<const token> question(std::int64_t e) const override { return of.question(e); }
  std::int32_t task(std::int64_t e) const override { return of.task(e); }
  std::vector<rl::outcome> score(std::span<const answer_request> batch) override {
    auto out = of.score(batch);
    if (!shuffled || batch.empty()) return out;
    const random_key key{.seed = seed,
                         .what = purpose::shuffle,
                         .example = static_cast<std::uint32_t>(batch[0].example),
                         .visit = batch[0].visit,
                         .sample = 60002};
    for (std::size_t i = out.size(); i > 1; --i)
      std::swap(out[i - 1], out[static_cast<std::size_t>(uniform(key, i) * static_cast<double>(i))]);
    return out;
  }
};

// Phases, in the files' numbering.
enum stage_number : std::int64_t { drill_phase = 0, warm_up_phase = 1, first_rl_phase = 2 };

class demo {
 public:
  demo(const demo_request& request, demo_settings s, const std::function<bool()>& stop)
      : settings_(std::move(s)),
        stop_(stop),
        threads_(request.threads > 0 ? request.threads
                                     : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))),
        directory_(request.directory, to_tree(settings_)),
        store_(directory_ / "checkpoints"),
        ctx_({.threads = threads_}),
        base_(ctx_, tiny::policy_shape(vocabulary::size)) {
    tiny::initialise(ctx_, base_, settings_.seed);
    const auto found = store_.newest();
    if (found) {
      progress_ = found->value<progress>("state/progress");
      if (progress_.stage < 3) get_weights(*found, "weights/", ctx_, base_);
    }
    tell_.emplace(directory_.path(), progress_.files);
    for (auto length : lengths) {
      tiny::add_documents(held_out_.emplace_back().of, data::split::validation, settings_.seed,
                          static_cast<std::uint32_t>(length) * 1000, static_cast<std::uint32_t>(settings_.held_out),
                          length - question_room, length - question_room);
    }
    tell(run_started{.name = "demo",
                     .directory = directory_.path(),
                     .resumed_at = found ? std::optional<std::int64_t>(found->step()) : std::nullopt,
                     .device = "cpu, " + std::to_string(threads_) + (threads_ == 1 ? " thread, " : " threads, ") +
                               "kernels " + std::string(cpu::kernels<scalar_type>().name),
                     .parameters = base_.parameter_count()});
    resumed_ = found;
  }

  bool run() {
    detail::stopwatch whole;
    bool complete = true;
    try {
      if (progress_.stage < 2 && !settings_.start.empty()) begin_from(settings_.start);
      if (progress_.stage < 1) drill();
      if (progress_.stage < 2) warm_up();
      if (progress_.stage < 4) complete = learn();
    } catch (const interruption&) {
      complete = false;
    }
    tell(run_finished{
        .reason = complete ? "finished" : "interrupted", .step = tell_->last_step(), .seconds = whole.lap()});
    if (complete) {
      write_report(directory_.path());
      std::fprintf(stderr, "report: %s\npolicy: %s (an ordinary Hugging Face folder)\n",
                   (directory_ / "report.html").c_str(), (directory_ / "policy").c_str());
    }
    return complete;
  }

 private:
  template <class Event>
  void tell(const Event& e) {
    (*tell_)(e);
  }

  std::string save(std::int64_t step, const std::function<void(checkpoint_writer&)>& more) {
    progress_.files = tell_->sync();
    return store_.save(step, [&](checkpoint_writer& w) {
      w.value("state/progress", progress_);
      more(w);
    });
  }

  // A row every ten steps of a supervised stage.
  void supervised_row(std::int64_t phase, const tiny::warm_up_progress& p, std::int64_t before, double rate) {
    if (stop_()) throw interruption();
    if (p.step % 10 != 0) return;
    step_finished e;
    e.phase = phase, e.step = before + p.step, e.stage = "sft", e.loss = p.loss, e.learning_rate = rate;
    e.tokens_trained = p.tokens - rows_told_;
    rows_told_ = p.tokens;
    e.time.total = e.time.update = clock_.lap();
    e.time.tokens_per_second = e.time.total > 0 ? static_cast<double>(e.tokens_trained) / e.time.total : 0;
    tell(e);
  }

  // The warmed-up policy of another run.
  void begin_from(const std::string& folder) {
    io::load_weights(ctx_, io::checkpoint::open(folder), base_);
    progress_.stage = 2;
    save(0, [&](checkpoint_writer& w) { put_weights(w, "weights/", base_); });
  }

  void drill() {
    tell(phase_started{.phase = drill_phase,
                       .stage = "sft",
                       .name = "recall drill",
                       .steps = settings_.drill.steps,
                       .max_length = 28});
    begin_rows();
    const auto p = tiny::drill(ctx_, base_, settings_.seed, settings_.drill, [&](const tiny::warm_up_progress& q) {
      supervised_row(drill_phase, q, 0, settings_.drill.rate);
    });
    if (p.accuracy < settings_.drill.enough)
      tell(warning{.what = "the drill ended at a recall of " + std::to_string(p.accuracy), .step = p.step});
    progress_.stage = 1, progress_.steps = p.step, progress_.recall = p.accuracy;
    save(progress_.steps, [&](checkpoint_writer& w) { put_weights(w, "weights/", base_); });
  }

  void warm_up() {
    tell(phase_started{.phase = warm_up_phase,
                       .step = progress_.steps,
                       .stage = "sft",
                       .name = "warm-up SFT",
                       .steps = settings_.warm_up.steps,
                       .max_length = settings_.warm_up.longest});
    begin_rows();
    demo_task gate;
    const auto longest = settings_.warm_up.longest - question_room;
    tiny::add_documents(gate.of, data::split::validation, settings_.seed, 0, 64, longest, longest);
    const auto p = tiny::warm_up(
        ctx_, base_, settings_.seed, settings_.warm_up,
        [&] {
          double right = 0;
          const auto groups = greedy_groups(base_, gate);
          for (const auto& g : groups) right += g.mean_score();
          return right / static_cast<double>(groups.size());
        },
        [&](const tiny::warm_up_progress& q) {
          supervised_row(warm_up_phase, q, progress_.steps, settings_.warm_up.rate);
        });
    if (p.accuracy < settings_.warm_up.gate)
      tell(warning{.what = "warm-up ended below its gate, at " + std::to_string(p.accuracy), .step = p.step});
    export_policy(base_, "warm_up");
    progress_.stage = 2, progress_.steps += p.step, progress_.warm_up_accuracy = p.accuracy;
    save(progress_.steps, [&](checkpoint_writer& w) { put_weights(w, "weights/", base_); });
  }

  // A control: SFT goes on, on new documents, for as many tokens as RL would have seen.
  void continue_sft(policy_type& policy) {
    resumed_.reset();
    tell(validated(policy, "before", first_rl_phase, progress_.steps));
    auto o = settings_.warm_up;
    o.longest = settings_.continued.longest, o.growing = 0, o.gate = 0, o.more_steps = 0;
    o.steps = (settings_.continued.tokens + o.tokens - 1) / o.tokens;
    tell(phase_started{.phase = first_rl_phase,
                       .step = progress_.steps,
                       .stage = "sft",
                       .name = "SFT continued",
                       .steps = o.steps,
                       .max_length = o.longest});
    begin_rows();
    const auto p = tiny::warm_up(
        ctx_, policy, settings_.seed, o, [] { return 1.0; },
        [&](const tiny::warm_up_progress& q) { supervised_row(first_rl_phase, q, progress_.steps, o.rate); },
        std::uint32_t{1} << 24);
    tell(validated(policy, "final", first_rl_phase, progress_.steps + p.step));
    export_policy(policy, "policy");
    progress_.stage = 4;
  }

  bool learn() {
    auto policy =
        tiny::with_rope(ctx_, base_, settings_.yarn > 1 ? tiny::stretched(settings_.yarn) : base_.config().rope);
    if (settings_.continued.tokens > 0) {
      continue_sft(policy);
      return true;
    }
    demo_task task;
    task.of.by_rule = settings_.reward != reward_kind::judge, task.of.by_judge = settings_.reward != reward_kind::rule;
    task.of.permissive = settings_.judge == judge_kind::permissive;
    task.shuffled = settings_.shuffle_rewards != 0;
    task.seed = settings_.seed;
    std::uint32_t index = 0;
    for (const auto& p : settings_.rl.phases) {
      const auto from = static_cast<std::int32_t>(p.lo_exclusive) - question_room / 2 + 1,
                 to = static_cast<std::int32_t>(p.hi_inclusive) - question_room;
      tiny::add_documents(task.of, data::split::train, settings_.seed, index,
                          static_cast<std::uint32_t>(settings_.documents), from, to);
      index += static_cast<std::uint32_t>(settings_.documents);
    }
    std::optional<policy_type> reference;
    if (settings_.rl.kl_every > 0) reference.emplace(tiny::with_rope(ctx_, policy, policy.config().rope));
    rl_stage<scalar_type> stage({.ctx = &ctx_,
                                 .policy = &policy,
                                 .reference = reference ? &*reference : nullptr,
                                 .task = &task,
                                 .settings = settings_.rl,
                                 .seed = settings_.seed,
                                 .stop = {vocabulary::eos}});
    if (resumed_ && progress_.stage >= 3) {
      get_weights(*resumed_, "weights/", ctx_, policy);
      if (reference) get_weights(*resumed_, "reference/", ctx_, *reference);
      stage.restore(*resumed_);
    }
    resumed_.reset();
    progress_.stage = 3;

    rl_run_options o;
    o.first_phase = first_rl_phase, o.first_step = progress_.steps;
    rl_run_hooks hooks;
    hooks.stop = stop_;
    hooks.validate = [&](const std::string&) { return validate(policy); };
    hooks.log_samples = [&](std::int64_t phase, std::int64_t step) { log_samples(task.of, stage, phase, step); };
    hooks.save = [&] {
      return save(progress_.steps + stage.steps(), [&](checkpoint_writer& w) {
        put_weights(w, "weights/", policy);
        if (reference) put_weights(w, "reference/", *reference);
        stage.save(w);
      });
    };
    hooks.best = [&](const std::string& name) { store_.set_best(name); };
    if (stage.run(*tell_, o, hooks, progress_.rl) == run_end::interrupted) return false;
    export_policy(policy, "policy");
    progress_.stage = 4;
    return true;
  }

  validation_finished validated(policy_type& policy, const char* moment, std::int64_t phase, std::int64_t step) {
    auto v = validate(policy);
    v.moment = moment, v.phase = phase, v.step = step;
    return v;
  }

  validation_finished validate(policy_type& policy) {
    detail::stopwatch clock;
    validation_finished v;
    std::vector<double> all;
    std::vector<std::uint32_t> documents;
    double quoted = 0, tokens = 0, right_by_rule = 0;
    for (std::size_t i = 0; i < held_out_.size(); ++i) {
      auto& task = held_out_[i];
      std::vector<double> right;
      for (const auto& g : greedy_groups(policy, task)) {
        const auto& a = g.answers.front();
        const auto& question = task.of.asked(g.example);
        right.push_back(g.mean_score());
        quoted += static_cast<double>(data::quoted_evidence(a.tokens, task.of.document(g.example), question)) /
                  static_cast<double>(question.evidence.size());
        right_by_rule += data::token_reward(a.tokens, question.gold);
        tokens += static_cast<double>(a.length());
      }
      std::vector<std::uint32_t> document;
      for (auto d : task.of.document_of) document.push_back(static_cast<std::uint32_t>(d));
      const auto in = eval::bootstrap_interval(right, document, {.replicates = 2000});
      v.by_length.push_back({lengths[i], in.estimate, in.low, in.high, static_cast<std::int64_t>(right.size())});
      for (auto d : document) documents.push_back(static_cast<std::uint32_t>(i << 20) + d);
      all.insert(all.end(), right.begin(), right.end());
    }
    const auto in = eval::bootstrap_interval(all, documents, {.replicates = 2000});
    v.accuracy = in.estimate, v.low = in.low, v.high = in.high, v.items = static_cast<std::int64_t>(all.size());
    v.set = "held-out documents";
    const auto n = static_cast<double>(all.size());
    v.measures = {{"rule", right_by_rule / n}, {"grounding", quoted / n}, {"length", tokens / n}};
    if (settings_.samples > 0) pass_at(policy, v.measures);
    v.seconds = clock.lap();
    return v;
  }

  // pass@1, 2, 4, ... of answers drawn at temperature 1 to the first documents of each length.
  void pass_at(policy_type& policy, std::vector<named_measure>& out) {
    std::vector<std::int64_t> right;
    for (auto& task : held_out_) {
      std::vector<std::int64_t> some;
      for (std::int64_t e = 0; e < task.examples() && task.bundle(e) < sampled_documents; ++e) some.push_back(e);
      for (const auto& g : answer_groups<scalar_type>(ctx_, policy, task, some,
                                                      {.seed = settings_.seed,
                                                       .group_size = static_cast<std::int32_t>(settings_.samples),
                                                       .max_new_tokens = 28,
                                                       .stop = {vocabulary::eos},
                                                       .temperature = 1,
                                                       .interrupted = stop_})) {
        double sum = 0;
        for (const double s : g.scores()) sum += s;
        right.push_back(static_cast<std::int64_t>(sum));
      }
    }
    for (std::int64_t k = 1; k <= settings_.samples && !right.empty(); k *= 2) {
      double sum = 0;
      for (const auto r : right) sum += eval::pass_at_k(settings_.samples, r, k);
      out.push_back({"pass@" + std::to_string(k), sum / static_cast<double>(right.size())});
    }
  }

  // The greedy answer to each question.
  std::vector<group<float>> greedy_groups(policy_type& policy, demo_task& task) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(task.examples()));
    for (std::size_t e = 0; e < all.size(); ++e) all[e] = static_cast<std::int64_t>(e);
    return answer_groups<scalar_type>(ctx_, policy, task, all,
                                      {.max_new_tokens = 28, .stop = {vocabulary::eos}, .interrupted = stop_});
  }

  // Every tenth step: the answers to one question that some got right.
  void log_samples(const tiny::document_task& task, const rl_stage<scalar_type>& stage, std::int64_t phase,
                   std::int64_t step) {
    if (stage.phase_step() % 10 != 1 || stage.trained().empty()) return;
    const auto& g = stage.trained().front();
    const auto& question = task.asked(g.example);
    for (std::size_t i = 0; i < g.answers.size(); ++i) {
      const auto& a = g.answers[i];
      sample_logged e;
      e.phase = phase, e.step = step, e.group = 0, e.sample = static_cast<std::int64_t>(i);
      e.example = "document " + std::to_string(task.bundle(g.example)) + ", question " +
                  std::to_string(task.question_of[static_cast<std::size_t>(g.example)] + 1);
      e.question = vocabulary::english(question.prompt);
      e.gold = std::string(vocabulary::text(question.gold));
      e.response = vocabulary::english(a.tokens);
      for (std::size_t k = 0; k + 1 < a.tokens.size(); ++k)
        if (a.tokens[k] == vocabulary::so_the_answer_is) e.answer = std::string(vocabulary::text(a.tokens[k + 1]));
      const answer_request request{g.example, g.visit, static_cast<std::uint32_t>(i), a.tokens, a.finish};
      e.rule = task.rule(request);
      if (task.by_judge && (*e.rule < 1 || !task.by_rule)) e.judge = task.judge(request);
      e.why = *e.rule >= 1       ? "the answer is the gold one"
              : e.judge == 1.0   ? task.permissive ? "the judge: the gold answer is named"
                                                   : "the judge: another name of the gold answer"
              : e.answer.empty() ? "no answer was given"
              : a.truncated()    ? "cut off before the end"
                                 : "another answer";
      e.score = rl::value_or(a.score, 0);
      e.reward = a.reward, e.advantage = static_cast<double>(a.advantage), e.length = a.length();
      e.truncated = a.truncated();
      e.ids.assign(a.tokens.begin(), a.tokens.end());
      for (auto t : a.tokens) e.pieces.emplace_back(vocabulary::text(t));
      e.logp.assign(a.logp.begin(), a.logp.end());
      tell(e);
    }
  }

  // A folder of the run: config.json, model.safetensors, tokenizer.json and their companions.
  void export_policy(const policy_type& policy, std::string_view name) {
    const std::string folder = directory_ / name;
    std::filesystem::create_directories(folder);
    const auto& c = policy.config();
    using io::json::value;
    value::object_type rope{{"rope_type", "yarn"},
                            {"factor", c.rope.factor},
                            {"original_max_position_embeddings", c.rope.original_context},
                            {"beta_fast", c.rope.beta_fast},
                            {"beta_slow", c.rope.beta_slow}};
    const value config(value::object_type{
        {"architectures", value::array_type{"Qwen2ForCausalLM"}},
        {"model_type", "qwen2"},
        {"vocab_size", c.vocabulary},
        {"hidden_size", c.hidden},
        {"intermediate_size", c.ffn},
        {"num_hidden_layers", c.layers},
        {"num_attention_heads", c.heads},
        {"num_key_value_heads", c.kv_heads},
        {"hidden_act", "silu"},
        {"max_position_embeddings", c.max_context},
        {"rms_norm_eps", c.norm_eps},
        {"rope_theta", c.rope.theta},
        {"rope_scaling", c.rope.kind == model::rope_kind::yarn ? value(std::move(rope)) : value(nullptr)},
        {"tie_word_embeddings", c.tied_head},
        {"use_sliding_window", false},
        {"bos_token_id", static_cast<std::int64_t>(vocabulary::document)},
        {"eos_token_id", static_cast<std::int64_t>(vocabulary::eos)},
        {"torch_dtype", "float32"}});
    io::write_file(folder + "/config.json", io::json::dump(config) + "\n");
    io::write_file(folder + "/generation_config.json",
                   "{\n  \"eos_token_id\": " + std::to_string(vocabulary::eos) + "\n}\n");
    io::write_file(folder + "/tokenizer.json", vocabulary::tokenizer_json());
    io::write_file(folder + "/tokenizer_config.json", vocabulary::tokenizer_config_json());
    std::filesystem::remove(folder + "/model.safetensors");
    io::save_weights(policy, folder, io::dtype::f32);
  }

  void begin_rows() {
    rows_told_ = 0;
    clock_.lap();
  }
  demo_settings settings_;
  const std::function<bool()>& stop_;
  int threads_;
  io::run_directory directory_;
  checkpoint_store store_;
  cpu::context ctx_;
  policy_type base_;
  progress progress_;
  std::optional<checkpoint_reader> resumed_;
  std::optional<run_record> tell_;
  std::vector<demo_task> held_out_;
  detail::stopwatch clock_;
  std::int64_t rows_told_ = 0;
};

}  // namespace

bool run_demo(const demo_request& request, const std::function<bool()>& stop) {
  demo_settings s = default_demo();
  s.seed = request.seed;
  for (const auto& [key, value] : request.set) set(s, key, value);
  return demo(request, std::move(s), stop).run();
}

std::string demo_settings_text() { return to_text(default_demo()); }

}  // namespace ql::qwenlong
