// SPDX-License-Identifier: Apache-2.0
#include <ql/io/file.hpp>
#include <ql/text/chat_template.hpp>

#include "counted.hpp"
#include "jinja.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>

namespace ql::text {

struct chat_template::program {
  std::string what, source;
  template_limits limits;
  jinja::block statements;
};

chat_template::chat_template(std::string_view source, std::string_view what, const template_limits& limits) {
  auto p = std::make_unique<io::detail::counted<program>>();
  p->what = what;
  p->source = source;
  p->limits = limits;
  p->statements = jinja::parse(p->source, p->what);
  program_ = io::detail::shared<program>(p.release());
}

namespace {

constexpr std::size_t largest_file = std::size_t{64} << 20;

// The text of a token as tokenizer_config.json writes it: a string, or an object with its content.
const std::string* token_content(const io::json::value* v) {
  if (v && v->is_object()) v = v->find("content");
  return v && v->is_string() ? &v->string() : nullptr;
}

const std::string& template_named(const io::json::value& v, std::string_view name, const std::string& what) {
  if (v.is_string()) return v.string();
  std::string known;
  if (v.is_array()) {
    for (const auto& entry : v.array()) {
      const auto *n = entry.find("name"), *t = entry.find("template");
      if (!n || !n->is_string() || !t || !t->is_string()) continue;
      if (n->string() == name) return t->string();
      known += (known.empty() ? "" : ", ") + n->string();
    }
  }
  throw io::format_error(what + ": chat_template: no template named \"" + std::string(name) + "\"" +
                         (known.empty() ? "" : " (there are: " + known + ")"));
}

}  // namespace

chat_template chat_template::from_directory(const std::string& folder, std::string_view name,
                                            const template_limits& limits) {
  const std::filesystem::path directory = folder;
  const auto own = directory / "chat_template.jinja", settings = directory / "tokenizer_config.json";
  io::json::value config;
  if (exists(settings)) config = io::json::parse(io::read_file(settings, largest_file), settings.string());
  io::json::value::object_type variables;
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"})
    if (const auto* content = token_content(config.find(key))) variables.emplace_back(key, *content);
  const auto* in_settings = config.find("chat_template");
  std::string source;
  std::string what;
  if (exists(own) && name == "default") {
    source = io::read_file(own, largest_file);
    what = own.string();
  } else if (in_settings && !in_settings->is_null()) {
    source = template_named(*in_settings, name, settings.string());
    what = settings.string() + ": chat_template";
  } else {
    throw io::file_error(directory.string() + ": holds no chat template (chat_template.jinja, or chat_template in " +
                         "tokenizer_config.json); a base model has none: give one yourself");
  }
  chat_template t(source, what, limits);
  t.variables = std::move(variables);
  return t;
}

const std::string& chat_template::source() const { return program_->source; }

rendered_prompt chat_template::render(const io::json::value& messages, const render_options& options,
                                      std::string_view thinking_open) const {
  io::json::value::object_type all{{"messages", messages}, {"add_generation_prompt", options.add_generation_prompt}};
  if (options.tools) all.emplace_back("tools", *options.tools);
  const auto put = [&](const io::json::value::member& m) {
    const auto at = std::find_if(all.begin(), all.end(), [&](const auto& x) { return x.first == m.first; });
    if (at == all.end())
      all.push_back(m);
    else
      at->second = m.second;
  };
  for (const auto& m : variables) put(m);
  for (const auto& m : options.variables) put(m);
  rendered_prompt out;
  out.text = render_variables(all, options.now);
  const std::size_t last = out.text.find_last_not_of(" \t\r\n");
  out.opens_thinking = options.add_generation_prompt && !thinking_open.empty() && last != std::string::npos &&
                       std::string_view(out.text).substr(0, last + 1).ends_with(thinking_open);
  return out;
}

std::string chat_template::render_variables(const io::json::value::object_type& all,
                                            std::optional<std::int64_t> now) const {
  return jinja::render(program_->statements, program_->what, program_->limits, all, now);
}

}  // namespace ql::text

template class ql::io::detail::shared<ql::text::chat_template::program>;
