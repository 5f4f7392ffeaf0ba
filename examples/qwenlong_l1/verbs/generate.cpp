// SPDX-License-Identifier: Apache-2.0
#include <ql/text/tokenizer.hpp>

#include <unistd.h>

#include <cstdio>

#include "chat.hpp"
#include "policy.hpp"
#include "records.hpp"
#include "verb.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string model, prompt, system, in, out = "-", dtype = "auto";
  std::optional<double> temperature, top_p, min_p;
  std::optional<std::int64_t> top_k;
  std::int64_t max_new_tokens = 512, n = 1;
  std::uint64_t seed = 0;
  int threads = 0;
  bool raw = false, greedy = false, logprobs = false, show_special = false;
};

void declare(options& o, settings& s) {
  o.required("--model", s.model, "model folder (Hugging Face layout)")
      .optional("--prompt", s.prompt, "a message; the answer is printed as it is made")
      .optional("--system", s.system, "a system message before it")
      .flag("--raw", s.raw, "no chat template: the prompt is continued as it stands")
      .optional("--in", s.in, "instead of --prompt: JSON Lines (also .gz) with \"messages\", \"prompt\" or \"ids\"")
      .optional("--out", s.out, "with --in: JSON Lines, gzip where it ends in .gz; - is standard output")
      .optional("--n", s.n, "answers a prompt; they share its keys")
      .optional("--max-new-tokens", s.max_new_tokens, "of each answer")
      .optional("--seed", s.seed, "of the draws; same seed, same answers")
      .flag("--greedy", s.greedy, "the most likely token each time")
      .optional("--temperature", s.temperature, "default: generation_config.json, else 1; 0 is --greedy")
      .optional("--top-p", s.top_p, "default: generation_config.json, else 1")
      .optional("--top-k", s.top_k, "0: off; default: generation_config.json, else 0")
      .optional("--min-p", s.min_p, "default: generation_config.json, else 0")
      .flag("--logprobs", s.logprobs, "with --in: also \"logprobs\" of each answer's ids")
      .flag("--show-special-tokens", s.show_special, "print special tokens too")
      .choice("--dtype", s.dtype, {"auto", "float", "bf16"}, "compute in this type; auto: that of the weights")
      .optional("--threads", s.threads, "0: all cores");
}

// A model's words must not steer a terminal.
std::string printable(std::string text, bool terminal) {
  if (!terminal) return text;
  std::string out;
  for (const char c : text)
    if ((c >= 0 && c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
      out += "\xef\xbf\xbd";
    else
      out += c;
  return out;
}

class generator {
 public:
  explicit generator(const settings& s)
      : settings_(s),
        tokenizer_(text::tokenizer::from_directory(s.model)),
        policy_(load_policy(s.model, s.dtype, s.threads)) {
    const auto config = io::model_config::read(s.model);
    const auto g = io::generation_config::read(s.model).value_or(io::generation_config{});
    auto& d = sampling_.distribution;
    d.temperature = s.temperature.value_or(g.temperature.value_or(1.0));
    d.top_p = s.top_p.value_or(g.top_p.value_or(1.0));
    d.min_p = s.min_p.value_or(g.min_p.value_or(0.0));
    const std::int64_t top_k = s.top_k.value_or(g.top_k.value_or(0));
    ql::detail::expects(top_k >= 0 && top_k <= policy_->vocabulary(), "generate", "--top-k",
                        "0 (off) to " + std::to_string(policy_->vocabulary()), top_k);
    d.top_k = static_cast<std::int32_t>(top_k);
    sampling_.greedy = s.greedy || d.temperature == 0 ||
                       (!s.temperature && !s.top_p && !s.top_k && !s.min_p && g.do_sample == std::optional(false));
    if (!sampling_.greedy) ql::checked(d);
    sampling_.answers = s.n;
    sampling_.max_new_tokens = s.max_new_tokens;
    sampling_.seed = s.seed;
    sampling_.stop = io::stop_tokens(config, g.text.empty() ? std::nullopt : std::optional(g));
    if (!s.raw) {
      try {
        chat_.emplace(text::chat_template::from_directory(s.model));
      } catch (const io::file_error&) {  // a folder without template: texts are continued as they stand
      }
    }
  }

  std::vector<token> prompt_of(const io::json::value* messages, const std::string& text, const io::json::value* options,
                               const io::json::value* tools) const {
    text::encode_options o;
    if (messages == nullptr && !chat_) {
      o.add_special_tokens = true;
      return tokenizer_.encode(text, o);
    }
    if (!chat_) throw io::file_error(settings_.model + ": has no chat template; give \"prompt\" or \"ids\"");
    io::json::value::array_type list;
    const auto say = [&](const char* who, const std::string& what) {
      list.emplace_back(io::json::value::object_type{{"role", who}, {"content", what}});
    };
    if (!settings_.system.empty()) say("system", settings_.system);
    if (messages == nullptr)
      say("user", text);
    else
      for (const auto& m : messages->array()) list.push_back(m);
    return tokenizer_.encode(chat_->render(list, render_options_of(options, tools)).text, o);
  }

  generation operator()(const std::vector<token>& prompt, std::uint32_t example,
                        const std::function<void(std::size_t, token)>& each) {
    sampling_.example = example;
    return policy_->generate(prompt, sampling_, each);
  }
  const text::tokenizer& tokenizer() const { return tokenizer_; }
  std::string text_of(const answer& a) const { return tokenizer_.decode(a.ids, !settings_.show_special); }

 private:
  const settings& settings_;
  text::tokenizer tokenizer_;
  std::unique_ptr<policy> policy_;
  std::optional<text::chat_template> chat_;
  sampling sampling_;
};

// One prompt: the first answer is printed token by token, the others when it is complete.
int talk(const settings& s) {
  generator generate(s);
  const auto prompt = generate.prompt_of(nullptr, s.prompt, nullptr, nullptr);
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  text::stream_decoder decoder(generate.tokenizer(), !s.show_special);
  const auto say = [&](const std::string& text) {
    const std::string shown = printable(text, terminal);
    std::fwrite(shown.data(), 1, shown.size(), stdout);
    std::fflush(stdout);
  };
  if (s.n > 1) say("--- answer 1\n");
  const auto g = generate(prompt, 0, [&](std::size_t i, token id) {
    if (i == 0) say(decoder.push(id));
  });
  say(decoder.finish() + "\n");
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < g.answers.size(); ++i) {
    tokens += g.answers[i].ids.size();
    if (i > 0) say("--- answer " + std::to_string(i + 1) + "\n" + generate.text_of(g.answers[i]) + "\n");
  }
  const auto rate = [](std::size_t n, double seconds) { return seconds > 0 ? static_cast<double>(n) / seconds : 0.0; };
  std::fprintf(stderr,
               "prompt: %zu tokens in %.2f s (%.1f tokens/s); %s: %zu tokens in %.2f s (%.1f tokens/s); ended by %s\n",
               prompt.size(), g.prefill_seconds, rate(prompt.size(), g.prefill_seconds), s.n > 1 ? "answers" : "answer",
               tokens, g.decode_seconds, rate(tokens, g.decode_seconds), g.answers[0].finish);
  return 0;
}

int write_answers(const settings& s) {
  generator generate(s);
  io::text_writer out(s.out);
  std::uint32_t example = 0;
  std::size_t tokens = 0;
  double seconds = 0;
  for_each_record(s.in, [&](record& r) {
    std::vector<token> prompt;
    if (const auto* ids = r.find("ids")) {
      prompt = token_list(*ids);
    } else if (const auto* messages = r.find("messages")) {
      prompt = generate.prompt_of(messages, "", r.find("options"), r.find("tools"));
    } else {
      prompt = generate.prompt_of(nullptr, r.at("prompt").string(), r.find("options"), r.find("tools"));
    }
    const auto g = generate(prompt, example++, [](std::size_t, token) {});
    if (interrupted()) return;
    io::json::value::array_type answers;
    for (const auto& a : g.answers) {
      io::json::value::array_type ids, logprobs;
      for (const token id : a.ids) ids.emplace_back(static_cast<std::int64_t>(id));
      for (const float x : a.logprobs) logprobs.emplace_back(static_cast<double>(x));
      io::json::value::object_type one{{"text", generate.text_of(a)}, {"ids", ids}, {"finish", a.finish}};
      if (s.logprobs) one.emplace_back("logprobs", logprobs);
      answers.emplace_back(one);
      tokens += a.ids.size();
    }
    seconds += g.prefill_seconds + g.decode_seconds;
    r.put("answers", answers);
    write_record(out, r.fields);
  });
  if (interrupted()) return 0;
  out.commit();
  std::fprintf(stderr, "%zu tokens in %.2f s (%.1f tokens/s, prompts included)\n", tokens, seconds,
               seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0);
  return 0;
}

int run(const settings& s) {
  ql::detail::expects(s.in.empty() != s.prompt.empty(), "generate", "--prompt", "either --prompt or --in",
                      s.in.empty() ? "neither" : "both");
  return s.in.empty() ? talk(s) : write_answers(s);
}

}  // namespace

verb generate_verb() { return {"generate", "answers prompts, live or line by line", bind<settings, declare, run>}; }

}  // namespace ql::tool
