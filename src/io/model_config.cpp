// SPDX-License-Identifier: Apache-2.0
#include <ql/io/file.hpp>
#include <ql/io/json.hpp>
#include <ql/io/model_config.hpp>
#include <ql/model/config.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>

namespace ql::io {
namespace {

constexpr std::size_t largest_file = std::size_t{16} << 20;

struct reader {
  std::string what;
  const json::value& root;

  [[noreturn]] void refuse(const std::string& key, const std::string& why) const {
    throw format_error(what + ": " + key + ": " + why);
  }
  // The member, or null where it is absent or null.
  static const json::value* get(const json::value& o, std::string_view key) {
    const auto* v = o.find(key);
    return v && !v->is_null() ? v : nullptr;
  }
  const json::value* get(std::string_view key) const { return get(root, key); }
  std::int64_t count(const json::value& o, const std::string& key, std::int64_t otherwise, std::int64_t most) const {
    const auto* v = get(o, key);
    if (!v) {
      if (otherwise == 0) refuse(key, "missing");
      return otherwise;
    }
    if (!v->is_integer() || v->integer() < 1 || v->integer() > most)
      refuse(key, "expected an integer from 1 to " + std::to_string(most) + ", got " + json::dump(*v).substr(0, 60));
    return v->integer();
  }
  double real(const json::value& o, const std::string& key, double otherwise, double least, double most) const {
    const auto* v = get(o, key);
    if (!v) return otherwise;
    const double x = v->is_number() ? v->real() : NAN;
    if (!(x >= least && x <= most))
      refuse(key, "expected a number from " + json::dump_real(least) + " to " + json::dump_real(most) + ", got " +
                      json::dump(*v).substr(0, 60));
    return x;
  }
  bool flag(const json::value& o, const std::string& key, bool otherwise) const {
    const auto* v = get(o, key);
    if (!v) return otherwise;
    if (!v->is_boolean()) refuse(key, "expected true or false, got " + json::dump(*v).substr(0, 60));
    return v->boolean();
  }
  std::string text(const json::value& o, const std::string& key, std::string otherwise) const {
    const auto* v = get(o, key);
    if (!v) return otherwise;
    if (!v->is_string()) refuse(key, "expected a string, got " + json::dump(*v).substr(0, 60));
    return v->string();
  }
  token id(const json::value& v, const std::string& key) const {
    if (!v.is_integer() || v.integer() < 0 || v.integer() > 0x7fffffff)
      refuse(key, "expected a token id, got " + json::dump(v).substr(0, 60));
    return static_cast<token>(v.integer());
  }
  std::optional<token> id(const std::string& key) const {
    const auto* v = get(key);
    return v ? std::optional(id(*v, key)) : std::nullopt;
  }
  std::vector<token> ids(const std::string& key) const {
    std::vector<token> out;
    const auto* v = get(key);
    if (!v) return out;
    if (!v->is_array()) return {id(*v, key)};
    if (v->array().size() > 1000) refuse(key, "more than 1000 ids");
    for (const auto& x : v->array()) out.push_back(id(x, key));
    return out;
  }
};

json::value parse_object(std::string_view text, std::string_view what) {
  json::limits l;
  l.bytes = largest_file;
  json::value root = json::parse(text, what, l);
  if (!root.is_object())
    throw format_error(std::string(what) + ": expected a JSON object, got " + std::string(root.kind()));
  return root;
}

void read_rope(const reader& r, model_config& c) {
  const auto* old = r.get("rope_scaling");
  const auto* fresh = r.get("rope_parameters");
  for (const auto* v : {old, fresh})
    if (v && !v->is_object()) r.refuse(v == old ? "rope_scaling" : "rope_parameters", "expected an object");
  c.rope_theta = r.real(r.root, "rope_theta", 10000, 1.001, 1e15);
  const json::value* s = fresh ? fresh : old;
  if (!s) return;
  const std::string where = fresh ? "rope_parameters" : "rope_scaling";
  if (reader::get(*s, "rope_theta")) {
    const double theta = r.real(*s, "rope_theta", 10000, 1.001, 1e15);
    if (r.get("rope_theta") && theta != c.rope_theta)
      r.refuse("rope_theta", json::dump_real(c.rope_theta) + ", but " + where + " says " + json::dump_real(theta) +
                                 "; make them agree");
    c.rope_theta = theta;
  }
  for (const char* key : {"full_attention", "sliding_attention"})
    if (s->find(key)) r.refuse(where, "parameters per layer type are not supported");
  if (r.real(*s, "partial_rotary_factor", 1, 0, 1) != 1)
    r.refuse(where + ".partial_rotary_factor", "only 1 is supported");
  std::string type = r.text(*s, "rope_type", "");
  const std::string older = r.text(*s, "type", type);
  if (!type.empty() && older != type)
    r.refuse(where, "rope_type says \"" + type + "\", type says \"" + older + "\"; make them agree");
  type = type.empty() ? older : type;
  if (type.empty() || type == "default") return;
  const auto required = [&](const char* key, double least, double most) {
    if (!reader::get(*s, key)) r.refuse(where + "." + key, "missing; " + type + " needs it");
    return r.real(*s, key, 0, least, most);
  };
  const auto original = [&](std::int64_t otherwise) {
    return r.count(*s, "original_max_position_embeddings", otherwise, std::int64_t{1} << 32);
  };
  if (type == "linear") {
    c.rope = rope_scaling::linear;
    c.rope_factor = required("factor", 1, 1e6);
  } else if (type == "yarn") {
    c.rope = rope_scaling::yarn;
    c.original_max_position_embeddings = original(c.max_position_embeddings);
    c.rope_factor = required("factor", 1, 1e6);
    c.beta_fast = r.real(*s, "beta_fast", 32, 1e-6, 1e6);
    c.beta_slow = r.real(*s, "beta_slow", 1, 1e-6, 1e6);
    c.attention_factor = r.real(*s, "attention_factor", 0, 1e-6, 1e6);
    for (const char* key : {"mscale", "mscale_all_dim"})
      if (reader::get(*s, key)) r.refuse(where + "." + key, "not supported");
    if (!r.flag(*s, "truncate", true)) r.refuse(where + ".truncate", "only true is supported");
  } else if (type == "llama3") {
    c.rope = rope_scaling::llama3;
    c.rope_factor = required("factor", 1, 1e6);
    c.low_freq_factor = required("low_freq_factor", 1e-6, 1e6);
    c.high_freq_factor = required("high_freq_factor", 1e-6, 1e6);
    if (c.high_freq_factor <= c.low_freq_factor)
      r.refuse(where + ".high_freq_factor", "expected more than low_freq_factor");
    c.original_max_position_embeddings = original(0);
  } else {
    r.refuse(where, "rope type \"" + type.substr(0, 60) + "\" is not supported (known: default, linear, yarn, llama3)");
  }
}

void refuse_what_changes_numbers(const reader& r, const model_config& c) {
  if (r.get("auto_map"))
    r.refuse("auto_map",
             "the model brings its own code, which is never run; use a model of the Qwen2, Qwen3 or Llama "
             "architecture and remove the key if its weights are of one");
  if (const auto* q = r.get("quantization_config")) {
    const auto* method = reader::get(*q, "quant_method");
    r.refuse("quantization_config",
             "quantised weights" + (method && method->is_string() ? " (" + method->string().substr(0, 40) + ")" : "") +
                 " are not supported; load the model's float or bfloat16 checkpoint");
  }
  const bool has_switch = r.get("use_sliding_window") != nullptr;
  if (r.flag(r.root, "use_sliding_window", false))
    r.refuse("use_sliding_window",
             "sliding-window attention is not supported; set it to false if your texts fit the window");
  if (!has_switch && c.kind == architecture::llama && r.get("sliding_window"))
    r.refuse("sliding_window",
             "sliding-window attention is not supported; set it to null if your texts fit the window");
  if (const auto* layers = r.get("layer_types")) {
    if (!layers->is_array() || static_cast<std::int64_t>(layers->array().size()) != c.num_hidden_layers)
      r.refuse("layer_types", "expected one entry for each of the " + std::to_string(c.num_hidden_layers) + " layers");
    for (const auto& l : layers->array())
      if (!l.is_string() || l.string() != "full_attention")
        r.refuse("layer_types", json::dump(l).substr(0, 60) + " is not supported, only \"full_attention\"");
  }
  if (c.kind != architecture::qwen2 && r.flag(r.root, "attention_bias", false))
    r.refuse("attention_bias", "biases of this model's attention are not supported");
  if (r.flag(r.root, "mlp_bias", false)) r.refuse("mlp_bias", "biases of the feed-forward layers are not supported");
  const std::string act = r.text(r.root, "hidden_act", "silu");
  if (act != "silu" && act != "swish")
    r.refuse("hidden_act", "\"" + act.substr(0, 40) + "\" is not supported, only \"silu\"");
  if (r.real(r.root, "partial_rotary_factor", 1, 0, 1) != 1) r.refuse("partial_rotary_factor", "only 1 is supported");
}

}  // namespace

model_config model_config::parse(std::string_view text, std::string_view what) {
  const json::value root = parse_object(text, what);
  const reader r{std::string(what), root};
  model_config c;
  c.text = text;
  std::string name = r.text(root, "model_type", "");
  if (const auto* list = r.get("architectures")) {
    if (!list->is_array() || list->array().empty() || !list->array()[0].is_string())
      r.refuse("architectures", "expected a list of names");
    name = list->array()[0].string();
  }
  if (name == "Qwen2ForCausalLM" || name == "qwen2") {
    c.kind = architecture::qwen2;
  } else if (name == "Qwen3ForCausalLM" || name == "qwen3") {
    c.kind = architecture::qwen3;
  } else if (name == "LlamaForCausalLM" || name == "llama") {
    c.kind = architecture::llama;
  } else {
    r.refuse("architectures", (name.empty() ? "missing" : "\"" + name.substr(0, 80) + "\" is not supported") +
                                  " (known: Qwen2ForCausalLM, Qwen3ForCausalLM, LlamaForCausalLM)");
  }
  const bool llama = c.kind == architecture::llama, qwen3 = c.kind == architecture::qwen3;
  c.vocab_size = r.count(root, "vocab_size", 0, 1 << 24);
  c.hidden_size = r.count(root, "hidden_size", 0, 1 << 20);
  c.intermediate_size = r.count(root, "intermediate_size", 0, 1 << 22);
  c.num_hidden_layers = r.count(root, "num_hidden_layers", 0, 1 << 12);
  c.num_attention_heads = r.count(root, "num_attention_heads", 0, 1 << 12);
  c.num_key_value_heads = r.count(root, "num_key_value_heads", c.num_attention_heads, 1 << 12);
  if (c.num_attention_heads % c.num_key_value_heads != 0)
    r.refuse("num_key_value_heads", std::to_string(c.num_key_value_heads) + " does not divide num_attention_heads (" +
                                        std::to_string(c.num_attention_heads) + ")");
  if (!qwen3 && !r.get("head_dim") && c.hidden_size % c.num_attention_heads != 0)
    r.refuse("head_dim", "missing, and num_attention_heads does not divide hidden_size");
  const std::int64_t usual = qwen3 ? 128 : std::max<std::int64_t>(1, c.hidden_size / c.num_attention_heads);
  c.head_dim = r.count(root, "head_dim", usual, 1024);
  if (c.head_dim % 2 != 0) r.refuse("head_dim", "expected an even number, got " + std::to_string(c.head_dim));
  c.max_position_embeddings = r.count(root, "max_position_embeddings", llama ? 2048 : 32768, std::int64_t{1} << 32);
  c.rms_norm_eps = r.real(root, "rms_norm_eps", 1e-6, 1e-12, 0.1);
  c.tie_word_embeddings = r.flag(root, "tie_word_embeddings", false);
  c.qkv_bias = c.kind == architecture::qwen2;
  c.qk_norm = qwen3;
  c.torch_dtype = r.text(root, "dtype", r.text(root, "torch_dtype", ""));
  c.bos_token_id = r.id("bos_token_id");
  c.pad_token_id = r.get("pad_token_id") && r.get("pad_token_id")->is_integer() && r.get("pad_token_id")->integer() < 0
                       ? std::nullopt  // Llama 2 writes -1 for none
                       : r.id("pad_token_id");
  c.eos_token_ids = r.ids("eos_token_id");
  read_rope(r, c);
  refuse_what_changes_numbers(r, c);
  return c;
}

model_config model_config::read(const file_path& directory) {
  const auto path = std::filesystem::path(directory.text) / "config.json";
  return parse(read_file(path, largest_file), path.string());
}

std::string model_config::patched() const {
  const model_config old = parse(text);
  const json::value root = json::parse(text);
  std::string out = text;
  const auto set = [&](const char* key, const json::value& v) { out = json::patch(out, key, json::dump(v)); };
  const auto set_id = [&](const char* key, const std::optional<token>& id) {
    set(key, id ? json::value(static_cast<std::int64_t>(*id)) : json::value(nullptr));
  };
  if (max_position_embeddings != old.max_position_embeddings) set("max_position_embeddings", max_position_embeddings);
  if (vocab_size != old.vocab_size) set("vocab_size", vocab_size);
  if (tie_word_embeddings != old.tie_word_embeddings) set("tie_word_embeddings", tie_word_embeddings);
  if (torch_dtype != old.torch_dtype) {
    const bool fresh = root.find("dtype") != nullptr;
    if (fresh) set("dtype", torch_dtype);
    if (!fresh || root.find("torch_dtype")) set("torch_dtype", torch_dtype);
  }
  if (bos_token_id != old.bos_token_id) set_id("bos_token_id", bos_token_id);
  if (pad_token_id != old.pad_token_id) set_id("pad_token_id", pad_token_id);
  if (eos_token_ids != old.eos_token_ids) {
    json::value::array_type list;
    for (token id : eos_token_ids) list.emplace_back(static_cast<std::int64_t>(id));
    set("eos_token_id", list.empty() ? json::value(nullptr) : list.size() == 1 ? list[0] : json::value(list));
  }
  const auto rope_of = [](const model_config& c) {
    return std::vector<double>{static_cast<double>(c.rope),
                               c.rope_factor,
                               static_cast<double>(c.original_max_position_embeddings),
                               c.beta_fast,
                               c.beta_slow,
                               c.attention_factor,
                               c.low_freq_factor,
                               c.high_freq_factor};
  };
  const bool theta_changed = rope_theta != old.rope_theta;
  if (!theta_changed && rope_of(*this) == rope_of(old)) return out;
  const bool fresh = reader::get(root, "rope_parameters") != nullptr;
  const auto number = [](double x) {
    return x == std::floor(x) && std::abs(x) < 1e15 ? json::value(static_cast<std::int64_t>(x)) : json::value(x);
  };
  if (!fresh || root.find("rope_theta"))
    if (theta_changed) set("rope_theta", rope_theta);
  json::value::object_type s;
  const char* const names[] = {"default", "linear", "yarn", "llama3"};
  s.emplace_back("rope_type", names[static_cast<std::size_t>(rope)]);
  if (fresh) s.emplace_back("rope_theta", rope_theta);
  if (rope != rope_scaling::none) s.emplace_back("factor", rope_factor);
  if (rope == rope_scaling::yarn || rope == rope_scaling::llama3)
    s.emplace_back("original_max_position_embeddings", original_max_position_embeddings);
  if (rope == rope_scaling::yarn) {
    if (beta_fast != 32) s.emplace_back("beta_fast", number(beta_fast));
    if (beta_slow != 1) s.emplace_back("beta_slow", number(beta_slow));
    if (attention_factor != 0) s.emplace_back("attention_factor", attention_factor);
  }
  if (rope == rope_scaling::llama3) {
    s.emplace_back("low_freq_factor", low_freq_factor);
    s.emplace_back("high_freq_factor", high_freq_factor);
  }
  if (fresh) set("rope_parameters", s);
  if (rope_of(*this) != rope_of(old) && (!fresh || root.find("rope_scaling")))
    set("rope_scaling", rope == rope_scaling::none ? json::value(nullptr) : json::value(s));
  return out;
}

model::decoder_config decoder_of(const model_config& c) {
  model::decoder_config d;
  d.vocabulary = c.vocab_size;
  d.hidden = c.hidden_size;
  d.layers = c.num_hidden_layers;
  d.heads = c.num_attention_heads;
  d.kv_heads = c.num_key_value_heads;
  d.head_dim = c.head_dim;
  d.ffn = c.intermediate_size;
  d.max_context = c.max_position_embeddings;
  d.norm_eps = c.rms_norm_eps;
  d.qkv_bias = c.qkv_bias;
  d.qk_norm = c.qk_norm;
  d.tied_head = c.tie_word_embeddings;
  d.rope.theta = c.rope_theta;
  d.rope.factor = c.rope_factor;
  d.rope.original_context = c.original_max_position_embeddings;
  d.rope.beta_fast = c.beta_fast;
  d.rope.beta_slow = c.beta_slow;
  d.rope.attention_factor = c.attention_factor;
  d.rope.low_frequency_factor = c.low_freq_factor;
  d.rope.high_frequency_factor = c.high_freq_factor;
  switch (c.rope) {
    case rope_scaling::none: d.rope.kind = model::rope_kind::plain; break;
    case rope_scaling::linear: d.rope.kind = model::rope_kind::linear; break;
    case rope_scaling::yarn: d.rope.kind = model::rope_kind::yarn; break;
    case rope_scaling::llama3: d.rope.kind = model::rope_kind::llama3; break;
  }
  return model::checked(d);
}

std::vector<tensor_shape> tensors_of(const model_config& c) {
  const std::int64_t hidden = c.hidden_size, q = c.num_attention_heads * c.head_dim,
                     kv = c.num_key_value_heads * c.head_dim, ffn = c.intermediate_size;
  std::vector<tensor_shape> all;
  all.push_back({"model.embed_tokens.weight", {c.vocab_size, hidden}});
  for (std::int64_t l = 0; l < c.num_hidden_layers; ++l) {
    const std::string at = "model.layers." + std::to_string(l) + ".", attention = at + "self_attn.";
    all.push_back({at + "input_layernorm.weight", {hidden}});
    all.push_back({attention + "q_proj.weight", {q, hidden}});
    all.push_back({attention + "k_proj.weight", {kv, hidden}});
    all.push_back({attention + "v_proj.weight", {kv, hidden}});
    if (c.qkv_bias) {
      all.push_back({attention + "q_proj.bias", {q}});
      all.push_back({attention + "k_proj.bias", {kv}});
      all.push_back({attention + "v_proj.bias", {kv}});
    }
    if (c.qk_norm) {
      all.push_back({attention + "q_norm.weight", {c.head_dim}});
      all.push_back({attention + "k_norm.weight", {c.head_dim}});
    }
    all.push_back({attention + "o_proj.weight", {hidden, q}});
    all.push_back({at + "post_attention_layernorm.weight", {hidden}});
    all.push_back({at + "mlp.gate_proj.weight", {ffn, hidden}});
    all.push_back({at + "mlp.up_proj.weight", {ffn, hidden}});
    all.push_back({at + "mlp.down_proj.weight", {hidden, ffn}});
  }
  all.push_back({"model.norm.weight", {hidden}});
  if (!c.tie_word_embeddings) all.push_back({"lm_head.weight", {c.vocab_size, hidden}});
  return all;
}

generation_config generation_config::parse(std::string_view text, std::string_view what) {
  const json::value root = parse_object(text, what);
  const reader r{std::string(what), root};
  generation_config g;
  g.text = text;
  g.eos_token_ids = r.ids("eos_token_id");
  g.bos_token_id = r.id("bos_token_id");
  g.pad_token_id = r.id("pad_token_id");
  const auto real = [&](const char* key, double least, double most) {
    return r.get(key) ? std::optional(r.real(root, key, 0, least, most)) : std::nullopt;
  };
  const auto count = [&](const char* key) -> std::optional<std::int64_t> {
    const auto* v = r.get(key);
    if (!v) return std::nullopt;
    if (!v->is_integer() || v->integer() < 0) r.refuse(key, "expected a count, got " + json::dump(*v).substr(0, 60));
    return v->integer();
  };
  if (r.get("do_sample")) g.do_sample = r.flag(root, "do_sample", false);
  g.temperature = real("temperature", 0, 1000);
  g.top_p = real("top_p", 0, 1);
  g.min_p = real("min_p", 0, 1);
  g.repetition_penalty = real("repetition_penalty", 0, 1000);
  g.top_k = count("top_k");
  g.max_new_tokens = count("max_new_tokens");
  g.max_length = count("max_length");
  return g;
}

std::optional<generation_config> generation_config::read(const file_path& directory) {
  const auto path = std::filesystem::path(directory.text) / "generation_config.json";
  if (!exists(path)) return std::nullopt;
  return parse(read_file(path, largest_file), path.string());
}

std::vector<token> stop_tokens(const model_config& c, const std::optional<generation_config>& g) {
  return g && !g->eos_token_ids.empty() ? g->eos_token_ids : c.eos_token_ids;
}

}  // namespace ql::io
