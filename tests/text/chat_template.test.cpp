// SPDX-License-Identifier: Apache-2.0
#include <ql/text/chat_template.hpp>

#include "text/lines.hpp"

#include <gtest/gtest.h>

#include <map>

namespace {

using ql::io::json::value;
using ql::text::chat_template;
using ql::text::template_error;

TEST(ChatTemplate, RendersAsTheReference) {
  std::map<std::string, chat_template> templates;
  int rendered = 0, refused = 0;
  for (const value& line : ql::test::json_lines("chat_templates/renderings.jsonl.gz")) {
    const std::string& name = line.at("template").string();
    if (!templates.contains(name))
      templates.emplace(
          name, chat_template(ql::io::read_file(ql::test::data_file("chat_templates/" + name + ".jinja")), name));
    chat_template t = templates.at(name);
    t.variables = line.at("vars").object();
    ql::text::render_options o;
    o.tools = line.find("tools");
    if (o.tools && o.tools->is_null()) o.tools = nullptr;
    o.variables = line.at("options").object();
    o.add_generation_prompt = line.at("options").at("add_generation_prompt").boolean();
    const std::string label = name + ": " + line.at("name").string();
    if (line.at("expected").is_null()) {
      EXPECT_THROW(t.render(line.at("messages"), o), template_error) << label << ": " << line.at("error").string();
      ++refused;
    } else {
      const auto r = t.render(line.at("messages"), o);
      EXPECT_EQ(r.text, line.at("expected").string()) << label;
      EXPECT_EQ(r.opens_thinking, o.add_generation_prompt && r.text.ends_with("<think>\n")) << label;
      ++rendered;
    }
  }
  EXPECT_EQ(rendered + refused, 480);
  EXPECT_EQ(refused, 20);
}

TEST(ChatTemplate, RendersPublicTemplatesAsTransformers) {
  int lines = 0;
  for (const value& line : ql::test::json_lines("chat_templates/hf_goldens.jsonl.gz")) {
    const std::string& model = line.at("model").string();
    try {
      // The reference stopped its clock where a template asks for the date.
      const std::string text =
          chat_template(line.at("template").string(), model).render_variables(line.at("data").object(), 1752105600);
      EXPECT_EQ(text, line.at("expected").string()) << model;
    } catch (const template_error& e) {
      ADD_FAILURE() << model << ": " << e.what();
    }
    ++lines;
  }
  EXPECT_EQ(lines, 32);
}

}  // namespace
