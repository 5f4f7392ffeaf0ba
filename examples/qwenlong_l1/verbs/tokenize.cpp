// SPDX-License-Identifier: Apache-2.0
#include <ql/text/tokenizer.hpp>

#include "records.hpp"
#include "verb.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string model, in = "-", out = "-";
  bool special = false, plain = false, offsets = false, skip_special = false;
};

void files(options& o, settings& s) {
  o.required("--model", s.model, "folder with tokenizer.json, or vocab.json and merges.txt")
      .optional("--in", s.in, "JSON Lines, also .gz; - is standard input")
      .optional("--out", s.out, "JSON Lines, gzip where it ends in .gz; - is standard output");
}

void declare_tokenize(options& o, settings& s) {
  files(o, s);
  o.flag("--add-special-tokens", s.special, "add what the tokenizer adds around a text, such as BOS")
      .flag("--plain", s.plain, "names of special tokens are ordinary text")
      .flag("--offsets", s.offsets, "also \"offsets\": bytes [begin, end) of each token in the text")
      .footer("Each line's \"text\" becomes \"ids\"; other fields stay.");
}

int tokenize(const settings& s) {
  const auto t = text::tokenizer::from_directory(s.model);
  text::encode_options o;
  o.add_special_tokens = s.special;
  o.special_in_text = !s.plain;
  io::text_writer out(s.out);
  for_each_record(s.in, [&](record& r) {
    const std::string text = r.at("text").string();
    io::json::value::array_type ids, offsets;
    if (s.offsets) {
      const auto e = t.encode_with_offsets(text, o);
      for (const token id : e.ids) ids.emplace_back(static_cast<std::int64_t>(id));
      for (const auto& range : e.offsets)
        offsets.emplace_back(
            io::json::value::array_type{static_cast<std::int64_t>(range.begin), static_cast<std::int64_t>(range.end)});
    } else {
      for (const token id : t.encode(text, o)) ids.emplace_back(static_cast<std::int64_t>(id));
    }
    r.replace("text", "ids", std::move(ids));
    if (s.offsets) r.put("offsets", std::move(offsets));
    write_record(out, r.fields);
  });
  if (!interrupted()) out.commit();
  return 0;
}

void declare_detokenize(options& o, settings& s) {
  files(o, s);
  o.flag("--skip-special-tokens", s.skip_special, "leave special tokens out")
      .footer("Each line's \"ids\" becomes \"text\"; other fields stay.");
}

int detokenize(const settings& s) {
  const auto t = text::tokenizer::from_directory(s.model);
  io::text_writer out(s.out);
  for_each_record(s.in, [&](record& r) {
    const auto ids = token_list(r.at("ids"));
    r.replace("ids", "text", t.decode(ids, s.skip_special));
    write_record(out, r.fields);
  });
  if (!interrupted()) out.commit();
  return 0;
}

}  // namespace

verb tokenize_verb() { return {"tokenize", "turns texts into token ids", bind<settings, declare_tokenize, tokenize>}; }
verb detokenize_verb() {
  return {"detokenize", "turns token ids into texts", bind<settings, declare_detokenize, detokenize>};
}

}  // namespace ql::tool
