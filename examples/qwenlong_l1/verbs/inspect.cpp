// SPDX-License-Identifier: Apache-2.0
#include <ql/io/json.hpp>
#include <ql/io/model_config.hpp>
#include <ql/io/safetensors.hpp>
#include <ql/text/chat_template.hpp>
#include <ql/text/tokenizer.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <set>

#include "verb.hpp"

namespace ql::tool {
namespace {

using object = io::json::value::object_type;
using array = io::json::value::array_type;

struct settings {
  std::string model, link_root;
  bool json = false;
};

void declare(options& o, settings& s) {
  o.required("model", s.model, "model folder (Hugging Face layout)")
      .flag("--json", s.json, "print one JSON object")
      .optional("--link-root", s.link_root, "allow weights that are links into this folder");
}

// What is found goes into `found`; a part that cannot be read becomes a warning, so that the rest is still shown.
struct inspection {
  object found;
  array warnings;

  void say(const char* name, io::json::value v) { found.emplace_back(name, std::move(v)); }
  void warn(std::string text) { warnings.emplace_back(std::move(text)); }
  template <class F>
  void attempt(F&& f) {
    try {
      f();
    } catch (const ql::error& e) {
      warn(e.what());
    }
  }
};

std::string rope_text(const io::model_config& c) {
  const auto number = [](double x) { return io::json::dump_real(x); };
  std::string s = "theta " + number(c.rope_theta);
  const auto original = [&] { return ", original context " + std::to_string(c.original_max_position_embeddings); };
  switch (c.rope) {
    case io::rope_scaling::none: break;
    case io::rope_scaling::linear: s += ", linear, factor " + number(c.rope_factor); break;
    case io::rope_scaling::yarn: s += ", yarn, factor " + number(c.rope_factor) + original(); break;
    case io::rope_scaling::llama3: s += ", llama3, factor " + number(c.rope_factor) + original(); break;
  }
  return s;
}

io::json::value id_list(const std::vector<token>& ids, const std::optional<text::tokenizer>& t) {
  array list;
  for (const token id : ids) {
    const auto content = t ? t->token_text(id) : std::nullopt;
    list.emplace_back(std::to_string(id) + (content ? " " + *content : ""));
  }
  return list;
}

void weights(inspection& out, const settings& s, const std::optional<io::model_config>& c) {
  const auto w = io::checkpoint::open(s.model, s.link_root);
  std::map<std::string_view, std::int64_t> types;
  std::int64_t parameters = 0;
  for (const auto* t : w.tensors()) {
    parameters += t->size();
    types[io::dtype_name(t->type)] += t->size();
  }
  object by_type;
  for (const auto& [name, n] : types) by_type.emplace_back(std::string(name), n);
  out.say("parameters", parameters);
  out.say("bytes", static_cast<std::int64_t>(w.bytes()));
  out.say("tensors", static_cast<std::int64_t>(w.tensors().size()));
  out.say("files", static_cast<std::int64_t>(w.shards().size()));
  out.say("dtypes", by_type);
  if (!c) return;
  std::set<std::string_view> known;
  const auto expected = io::tensors_of(*c);
  std::int64_t missing = 0, others = 0;
  for (const auto& e : expected) {
    known.insert(e.name);
    const auto* t = w.find(e.name);
    if (t == nullptr) {
      if (++missing <= 3) out.warn("weights: \"" + e.name + "\" is missing");
    } else if (t->shape != e.shape) {
      out.warn("weights: \"" + e.name + "\" has shape " +
               ql::detail::show_shape(std::span<const std::int64_t>(t->shape)) + ", config.json says " +
               ql::detail::show_shape(std::span<const std::int64_t>(e.shape)));
    }
  }
  if (missing > 3) out.warn("weights: " + std::to_string(missing) + " tensors are missing in all");
  for (const auto* t : w.tensors()) {
    if (known.contains(t->name) || t->name.ends_with(".rotary_emb.inv_freq")) continue;
    if (t->name == "lm_head.weight") {
      out.warn("weights: \"lm_head.weight\" is stored although config.json ties it to the embeddings");
    } else if (++others <= 3) {
      out.warn("weights: \"" + t->name + "\" is not a tensor of this model");
    }
  }
  if (others > 3) out.warn("weights: " + std::to_string(others) + " tensors are not the model's in all");
  const std::string_view said = c->torch_dtype == "bfloat16"  ? "BF16"
                                : c->torch_dtype == "float16" ? "F16"
                                : c->torch_dtype == "float32" ? "F32"
                                                              : "";
  if (!said.empty() && !types.contains(said))
    out.warn("config.json says dtype " + c->torch_dtype + ", the weights have none of it");
}

void tokenizer(inspection& out, const settings& s, const std::optional<io::model_config>& c,
               std::optional<text::tokenizer>& t) {
  t.emplace(text::tokenizer::from_directory(s.model));
  const auto added = t->added_tokens();
  const auto special = std::count_if(added.begin(), added.end(), [](const auto& a) { return a.special; });
  out.say("tokenizer", std::to_string(t->vocab_size()) + " ids, " + std::to_string(added.size()) + " of them added (" +
                           std::to_string(special) + " special)");
  const auto thinking = text::find_thinking_tokens(*t);
  if (thinking.open && thinking.close)
    out.say("thinking", "<think> " + std::to_string(*thinking.open) + ", </think> " + std::to_string(*thinking.close));
  if (c && t->vocab_size() > c->vocab_size)
    out.warn("the tokenizer has " + std::to_string(t->vocab_size()) + " ids, the model's vocabulary " +
             std::to_string(c->vocab_size));
}

void chat(inspection& out, const settings& s) {
  const auto chat = text::chat_template::from_directory(s.model);
  out.say("chat template", std::to_string(chat.source().size()) + " bytes");
  const auto probe = io::json::parse(R"([{"role": "user", "content": "Hello"}])");
  out.attempt([&] {
    const auto r = chat.render(probe);
    out.say("prompt of \"Hello\"", r.text);
    out.say("prompt opens thinking", r.opens_thinking);
  });
}

inspection inspect(const settings& s) {
  inspection out;
  std::optional<io::model_config> c;
  std::optional<io::generation_config> g;
  std::optional<text::tokenizer> t;
  out.say("folder", s.model);
  out.attempt([&] {
    c = io::model_config::read(s.model);
    const char* const names[] = {"Qwen2", "Qwen3", "Llama"};
    out.say("architecture", names[static_cast<std::size_t>(c->kind)]);
    out.say("shape", std::to_string(c->num_hidden_layers) + " layers, hidden " + std::to_string(c->hidden_size) +
                         ", feed-forward " + std::to_string(c->intermediate_size) + ", " +
                         std::to_string(c->num_attention_heads) + " heads of " + std::to_string(c->head_dim) + " (" +
                         std::to_string(c->num_key_value_heads) + " for keys), vocabulary " +
                         std::to_string(c->vocab_size) + (c->tie_word_embeddings ? ", tied head" : ""));
    out.say("context", c->max_position_embeddings);
    out.say("rope", rope_text(*c));
    if (!c->torch_dtype.empty()) out.say("dtype", c->torch_dtype);
  });
  out.attempt([&] { weights(out, s, c); });
  out.attempt([&] { tokenizer(out, s, c, t); });
  out.attempt([&] { g = io::generation_config::read(s.model); });
  out.attempt([&] { chat(out, s); });
  if (!c) return out;
  const auto stop = io::stop_tokens(*c, g);
  out.say("stop tokens", id_list(stop, t));
  if (stop.empty()) out.warn("no eos_token_id: answers end by their length alone");
  for (const token id : stop)
    if (id < 0 || id >= c->vocab_size)
      out.warn("eos_token_id " + std::to_string(id) + " is outside the model's vocabulary");
  return out;
}

std::string plain(const io::json::value& v) {
  if (v.is_string()) {
    const auto control = [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; };  // must not reach a terminal
    return std::any_of(v.string().begin(), v.string().end(), control) ? io::json::dump_string(v.string()) : v.string();
  }
  std::string s;
  if (v.is_array())
    for (const auto& x : v.array()) s += (s.empty() ? "" : ", ") + plain(x);
  else if (v.is_object())
    for (const auto& [key, x] : v.object()) s += (s.empty() ? "" : ", ") + key + " " + plain(x);
  else
    s = io::json::dump(v);
  return s;
}

int run(const settings& s) {
  inspection i = inspect(s);
  if (s.json) {
    i.say("warnings", i.warnings);
    std::printf("%s\n", io::json::dump(i.found).c_str());
    return 0;
  }
  for (const auto& [name, v] : i.found) std::printf("%-22s %s\n", (name + ":").c_str(), plain(v).c_str());
  for (const auto& w : i.warnings) std::printf("%-22s %s\n", "warning:", plain(w).c_str());
  return 0;
}

}  // namespace

verb inspect_verb() {
  return {"inspect", "says what a model folder holds: architecture, size, tokenizer, template, warnings",
          bind<settings, declare, run>};
}

}  // namespace ql::tool
