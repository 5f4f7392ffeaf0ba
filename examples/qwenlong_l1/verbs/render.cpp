// SPDX-License-Identifier: Apache-2.0
#include "chat.hpp"
#include "records.hpp"
#include "verb.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string model, in = "-", out = "-", name = "default";
};

void declare(options& o, settings& s) {
  o.required("--model", s.model, "folder with tokenizer_config.json or chat_template.jinja")
      .optional("--in", s.in, "JSON Lines, also .gz; - is standard input")
      .optional("--out", s.out, "JSON Lines, gzip where it ends in .gz; - is standard output")
      .optional("--template", s.name, "which template, where there are several")
      .footer(
          "Each line's \"messages\", with \"tools\" and \"options\" where given, become \"text\"; \"opens_thinking\" "
          "is\n"
          "added where the text ends with an opened reasoning section. Options: add_generation_prompt (true), and any\n"
          "variable of the template, enable_thinking say.");
}

int run(const settings& s) {
  const auto chat = text::chat_template::from_directory(s.model, s.name);
  io::text_writer out(s.out);
  for_each_record(s.in, [&](record& r) {
    auto rendered = chat.render(r.at("messages"), render_options_of(r.find("options"), r.find("tools")));
    r.replace("tools", "text", std::move(rendered.text));
    std::erase_if(r.fields, [](const auto& f) { return f.first == "messages" || f.first == "options"; });
    if (rendered.opens_thinking) r.put("opens_thinking", true);
    write_record(out, r.fields);
  });
  if (!interrupted()) out.commit();
  return 0;
}

}  // namespace

verb render_verb() {
  return {"render", "turns conversations into prompts by the model's chat template", bind<settings, declare, run>};
}

}  // namespace ql::tool
