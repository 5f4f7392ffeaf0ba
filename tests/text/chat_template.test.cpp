// SPDX-License-Identifier: Apache-2.0
#include <ql/text/chat_template.hpp>

#include "io/folder.hpp"
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

std::string run(const std::string& source, const std::string& variables = "{}") {
  return chat_template(source, "t").render_variables(ql::io::json::parse(variables).object());
}
std::string why_not(const std::string& source, const std::string& variables = "{}") {
  return ql::test::message_of<template_error>([&] { run(source, variables); });
}

TEST(Jinja, ValuesAreWrittenAsPython) {
  EXPECT_EQ(run("{{ 1 }} {{ 1.0 }} {{ 1e20 }} {{ true }} {{ none }} {{ missing }}"), "1 1.0 1e+20 True None ");
  EXPECT_EQ(run("{{ ['a', \"it's\", 1, (1,), {'k': none}] }}"), "['a', \"it's\", 1, (1,), {'k': None}]");
  EXPECT_EQ(run("{{ '\\n\\\\\\x41\\u00e9' }}"), "\n\\A\xc3\xa9");
  EXPECT_EQ(run("{{ v }}", R"({"v": ["\n", "\u00a0"]})"), "['\\n', '\\xa0']");
}

TEST(Jinja, Operators) {
  EXPECT_EQ(run("{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 'a' ~ 1 }} {{ 'ab' * 2 }}"),
            "3 -4 2 3.5 1024 a1 abab");
  EXPECT_EQ(run("{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'b' in 'abc' }} {{ 2 not in [1] }} {{ not 0 }} {{ 0 or 'x' }} {{ 1 "
                "and '' }}"),
            "True True True True True x ");
  EXPECT_EQ(run("{{ 'abcd'[1:3] }} {{ [1,2,3][::-1] }} {{ 'é€x'[-2] }} {{ 'ab'[5] is defined }}"),
            "bc [3, 2, 1] \xe2\x82\xac False");
  EXPECT_EQ(run("{{ 'y' if x is defined else 'n' }}{{ -1|abs }}"), "n1");
  EXPECT_NE(why_not("{{ 9223372036854775807 + 1 }}").find("an integer beyond 64 bits"), std::string::npos);
  EXPECT_NE(why_not("{{ 1 // 0 }}").find("division by zero"), std::string::npos);
  EXPECT_EQ(run("{{ (0 - 9223372036854775807 - 1) // -1 is defined }}").empty(), false);
}

TEST(Jinja, StatementsAndScopes) {
  EXPECT_EQ(run("{% for x in [3,1] if x > 1 %}{{ loop.index }}{{ x }}{{ loop.last }}{% else %}none{% endfor %}"),
            "13True");
  EXPECT_EQ(run("{% set a = 1 %}{% for x in [1] %}{% set a = 2 %}{% endfor %}{{ a }}"), "1");
  EXPECT_EQ(run("{% set n = namespace(a=1) %}{% for x in [1,2] %}{% set n.a = n.a + x %}{% endfor %}{{ n.a }}"), "4");
  EXPECT_EQ(run("{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(b=3, a=4) }}"), "1-2 4-3");
  EXPECT_EQ(run("{% set t %}x{% endset %}{{ t|upper }}{% filter upper %}y{% endfilter %}"), "XY");
  EXPECT_EQ(run("{% for x in range(5) %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 3 %}{% break %}{% endif "
                "%}{{ x }}{% endfor %}"),
            "02");
  EXPECT_EQ(
      run("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{% with z = 5 %}{{ z }}{% endwith %}{{ z }}"),
      "a15");
  EXPECT_EQ(run("{% raw %}{{ x }}{% endraw %}{# no #}"), "{{ x }}");
}

TEST(Jinja, WhiteSpaceControl) {
  EXPECT_EQ(run("  {% if true %}\n  x\n  {% endif %}\ny\n"), "  x\ny");
  EXPECT_EQ(run("a\n {%- if true -%} \n b {%+ endif %}"), "ab ");
  EXPECT_EQ(run("a {{- 1 -}} b"), "a1b");
}

TEST(Jinja, Filters) {
  EXPECT_EQ(run("{{ v|tojson }} {{ v|tojson(indent=1) }}", R"({"v": {"a": [1, "é<"], "b": {}}})"),
            "{\"a\": [1, \"\xc3\xa9<\"], \"b\": {}} {\n \"a\": [\n  1,\n  \"\xc3\xa9<\"\n ],\n \"b\": {}\n}");
  EXPECT_EQ(run("{{ [1,2]|join('-') }} {{ ' a '|trim }} {{ 'a b'|title }} {{ x|default('d') }} {{ [3,1,2]|sort }} {{ "
                "'ab'|list }}"),
            "1-2 a A B d [1, 2, 3] ['a', 'b']");
  EXPECT_EQ(run("{{ [{'n': 1}, {'n': 2}]|map(attribute='n')|list }} {{ ['a', 'b']|map('upper')|join }} {{ [{'n': 1}, "
                "{'n': 2}]|selectattr('n', 'equalto', 2)|list|length }}"),
            "[1, 2] AB 1");
  EXPECT_EQ(run("{{ 'a\nb'|indent(2) }} {{ '12x'|int(7) }} {{ 'x'|replace('x', 'yy') }} {{ [1, 1, 2]|unique|list }}"),
            "a\n  b 7 yy [1, 2]");
}

TEST(Jinja, FiltersTakeWhateverCanBeIterated) {
  EXPECT_EQ(
      run("{{ x|select|list }}{{ 'ab'|select|join('-') }}{{ {'k': 1}|unique|list }}{{ 'cab'|sort|join }}{{ {}|sum }}"),
      "[]a-b['k']abc0");
  EXPECT_EQ(run("{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*'xy') }}{{ '-'.join('ab') }}"), "xya-b");
}

TEST(Jinja, NamesWhatItDoesNotSupport) {
  EXPECT_EQ(why_not("a\n{% include 'x' %}"), "t: line 2: {% include %} is not supported");
  EXPECT_EQ(why_not("{% extends 'x' %}"), "t: line 1: {% extends %} is not supported");
  EXPECT_EQ(why_not("\n\n{{ x|xmlattr }}"), "t: line 3: the filter 'xmlattr' is not supported");
  EXPECT_EQ(why_not("{{ x is odd_test }}"), "t: line 1: the test 'odd_test' is not supported");
  EXPECT_NE(why_not("{% for a in b recursive %}{% endfor %}").find("a recursive loop is not supported"),
            std::string::npos);
  EXPECT_NE(why_not("{{ [].append(1) }}").find("no attribute 'append'"), std::string::npos);
  EXPECT_NE(why_not("{{ {}.update({}) }}").find("dict.update is not supported"), std::string::npos);
  EXPECT_NE(why_not("{{ ''.__class__.__mro__ }}").find("no attribute '__class__'"), std::string::npos);
  EXPECT_NE(why_not("{{ '%s' % 1 }}").find("formatting by % is not supported"), std::string::npos);
  EXPECT_NE(why_not("{{ strftime_now('%Y') }}").find("set render_options::now"), std::string::npos);
}

TEST(Jinja, NamesTheLineOfMistakes) {
  EXPECT_EQ(why_not("\n{{ raise_exception('no') }}"), "t: line 2: the template raises: no");
  EXPECT_EQ(why_not("{{ a.b.c }}", R"({"a": {}})"), "t: line 1: 'dict object' has no attribute 'b'");
  EXPECT_EQ(why_not("\n{{ 'a' + none }}"), "t: line 2: can only concatenate str (not \"NoneType\") to str");
  EXPECT_EQ(why_not("{% if x %}"), "t: line 1: expected {% endif %} before the end");
  EXPECT_EQ(why_not("a\n{{ x"), "t: line 2: {{ without }}");
  EXPECT_EQ(why_not("{{ 'x }}"), "t: line 1: a string without its closing quote");
  EXPECT_EQ(why_not("{% endfor %}"), "t: line 1: {% endfor %} is not supported");
  EXPECT_EQ(why_not("{{ f() }}"), "t: line 1: 'f' is undefined");
  EXPECT_EQ(why_not("\xff"), "t: not valid UTF-8");
}

TEST(Jinja, EndsWhateverTheTemplateDoes) {
  EXPECT_NE(why_not("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
                .find("does the template loop forever?"),
            std::string::npos);
  EXPECT_NE(why_not("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").find("macros call each other deeper than"),
            std::string::npos);
  EXPECT_NE(
      why_not("{% set n = namespace(s='xxxxxxxx') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}")
          .find("bytes in all"),
      std::string::npos);
  EXPECT_NE(why_not("{{ 'x' * 99999999999 }}").find("bytes in all"), std::string::npos);
  EXPECT_NE(why_not("{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}").find("bytes of output"),
            std::string::npos);
  EXPECT_NE(why_not("{% set n = namespace(l=[]) %}{% for i in range(999) %}{% set n.l = [n.l] %}{% endfor %}")
                .find("nested deeper than 64"),
            std::string::npos);
  EXPECT_NE(why_not("{% set n = namespace() %}{% set n.n = n %}{{ n }}").find("cannot be written as text"),
            std::string::npos);
  EXPECT_NE(why_not("{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}").find("nested deeper"),
            std::string::npos);
  EXPECT_NE(why_not("{{ 1" + std::string(5000, '+') + "1 }}").find("nested deeper"), std::string::npos);
  std::string sum = "{{ 1";
  for (int i = 0; i < 5000; ++i) sum += " + 1";
  EXPECT_NE(why_not(sum + " }}").find("nested deeper"), std::string::npos);
  std::string nested;
  for (int i = 0; i < 5000; ++i) nested += "{% if 1 %}";
  EXPECT_NE(why_not(nested).find("nested deeper"), std::string::npos);
  EXPECT_NE(why_not("{{ range(1000000000) }}").find("range: more than"), std::string::npos);
  EXPECT_NE(why_not(std::string(2 << 20, 'x')).find("more than the limit of 1 MiB"), std::string::npos);
}

TEST(ChatTemplate, ReadsAModelFolder) {
  const ql::test::folder f;
  QL_EXPECT_MESSAGE(chat_template::from_directory(f.path()), ql::io::file_error, "holds no chat template");
  f.write("tokenizer_config.json", R"json({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "chat_template": [
    {"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"}, {"name": "tools", "template": "T{{ tools|length }}"}]})json");
  const value messages = ql::io::json::parse(R"([{"role": "user", "content": "hi"}])");
  EXPECT_EQ(chat_template::from_directory(f.path()).render(messages).text, "<s>hi");
  ql::text::render_options o;
  const value tools = ql::io::json::parse("[1, 2]");
  o.tools = &tools;
  EXPECT_EQ(chat_template::from_directory(f.path(), "tools").render(messages, o).text, "T2");
  QL_EXPECT_MESSAGE(chat_template::from_directory(f.path(), "rag"), ql::io::format_error,
                    "no template named \"rag\" (there are: default, tools)");
  f.write("chat_template.jinja", "{{ eos_token }}{% if add_generation_prompt %}<think>\n{% endif %}");
  const auto r = chat_template::from_directory(f.path()).render(messages);
  EXPECT_EQ(r.text, "</s><think>\n");
  EXPECT_TRUE(r.opens_thinking);
  o.add_generation_prompt = false;
  EXPECT_FALSE(chat_template::from_directory(f.path()).render(messages, o).opens_thinking);
  EXPECT_EQ(chat_template::from_directory(ql::test::data_file("tokenizers/qwen3/tokenizer_config.json").parent_path())
                .render(messages)
                .text,
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
}

}  // namespace
