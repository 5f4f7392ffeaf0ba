// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/benchmarks.hpp>

#include <ql/data/document_qa.hpp>
#include <ql/io/hash.hpp>
#include <ql/io/json.hpp>
#include <ql/io/lines.hpp>

#include <algorithm>
#include <optional>

namespace ql::eval {
namespace {

namespace json = io::json;

std::string_view trim(std::string_view s) {
  const auto blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!s.empty() && blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && blank(s.back())) s.remove_suffix(1);
  return s;
}

// "frames.v2.jsonl.gz" in some folder: "frames"
std::string stem(std::string_view path) {
  const auto slash = path.rfind('/');
  if (slash != std::string_view::npos) path.remove_prefix(slash + 1);
  return std::string(path.substr(0, path.find('.')));
}

const std::string& text_at(const json::value& row, std::string_view key) {
  const json::value* v = row.find(key);
  if (v == nullptr) throw io::format_error("no \"" + std::string(key) + "\"");
  if (!v->is_string())
    throw io::format_error("\"" + std::string(key) + "\" is " + std::string(v->kind()) + ", expected a string");
  if (trim(v->string()).empty()) throw io::format_error("\"" + std::string(key) + "\" is empty");
  return v->string();
}

const json::value::array_type& list_at(const json::value& row, std::string_view key) {
  const json::value* v = row.find(key);
  if (v == nullptr) throw io::format_error("no \"" + std::string(key) + "\"");
  if (!v->is_array())
    throw io::format_error("\"" + std::string(key) + "\" is " + std::string(v->kind()) + ", expected a list");
  return v->array();
}

// A string, or a number as Python prints it.
std::optional<std::string> plain_text(const json::value* v) {
  if (v == nullptr) return std::nullopt;
  if (v->is_string()) return v->string();
  if (v->is_boolean()) return v->boolean() ? "True" : "False";
  if (v->is_integer()) return std::to_string(v->integer());
  if (v->is_real()) return json::dump_real(v->real());
  return std::nullopt;
}

void from_longbench(const json::value& row, item& out) {
  out.question = trim(text_at(row, "input"));
  out.context = trim(text_at(row, "context"));
  for (const auto& a : list_at(row, "answers")) {
    if (!a.is_string()) throw io::format_error("an answer is " + std::string(a.kind()) + ", expected a string");
    if (!trim(a.string()).empty()) out.gold.push_back(a.string());
  }
  if (const json::value* set = row.find("dataset"); set != nullptr && set->is_string()) {
    out.benchmark = set->string();
    for (const auto& b : the_seven)
      if (!b.in_longbench.empty() && out.benchmark == b.in_longbench) out.benchmark = b.name;
  }
  if (auto id = plain_text(row.find("_id"))) out.id = *id;
}

void from_frames(const json::value& row, item& out) {
  out.question = trim(text_at(row, "Prompt"));
  if (auto a = plain_text(row.find("Answer")); a && !trim(*a).empty()) out.gold.push_back(*a);
  const json::value* pages = row.find("wiki_items");
  if (pages == nullptr)
    throw io::format_error("no \"wiki_items\": this copy has links instead of documents; join the pages' texts first");
  if (!pages->is_array())
    throw io::format_error("\"wiki_items\" is " + std::string(pages->kind()) + ", expected a list of {title, text}");
  for (const auto& page : pages->array()) {
    if (!out.context.empty()) out.context += '\n';
    out.context += text_at(page, "title") + '\n' + text_at(page, "text");
  }
  for (const char* key : {"id", "index", "Unnamed: 0"})
    if (auto id = plain_text(row.find(key)); id && out.id.empty()) out.id = *id;
}

void from_docmath(const json::value& row, item& out, bool numbered) {
  out.question = trim(text_at(row, "question"));
  const auto& paragraphs = list_at(row, "paragraphs");
  for (std::size_t i = 0; i < paragraphs.size(); ++i) {
    if (!paragraphs[i].is_string()) throw io::format_error("a paragraph is " + std::string(paragraphs[i].kind()));
    if (i > 0) out.context += '\n';
    if (numbered) out.context += std::to_string(i) + ": ";
    out.context += paragraphs[i].string();
  }
  out.context = std::string(trim(out.context));
  const json::value* truth = row.find("ground_truth");
  if (auto a = plain_text(truth); a && !trim(*a).empty()) out.gold.push_back(*a);
  // a truth value is no number: it is compared as a word
  out.kind = truth != nullptr && truth->is_boolean() ? rl::answer_kind::text : rl::answer_kind::numeric;
  if (auto id = plain_text(row.find("question_id"))) out.id = *id;
}

// A gold answer of a set of numbers is one, with its unit ("$5,466.00", "2161 thousand", "12.5 %"), or a sentence.
bool is_number(std::string_view gold) {
  bool digit = false;
  for (std::size_t i = 0; i < gold.size();) {
    const auto letter = [&](std::size_t k) {
      return k < gold.size() && ((gold[k] | 32) >= 'a' && (gold[k] | 32) <= 'z');
    };
    digit = digit || (gold[i] >= '0' && gold[i] <= '9');
    std::size_t end = i;
    std::string word;
    while (letter(end)) word += static_cast<char>(gold[end++] | 32);
    if (end == i) {
      ++i;
      continue;
    }
    bool unit = false;
    for (std::string_view u :
         {"thousand", "million", "billion", "trillion", "percent", "usd", "us", "dollars", "m", "bn"})
      unit = unit || word == u;
    if (!unit) return false;
    i = end;
  }
  return digit;
}

item read_row(const json::value& row, layout l, const load_options& options, std::string_view name,
              std::int64_t number) {
  if (!row.is_object()) throw io::format_error("a row is " + std::string(row.kind()) + ", expected an object");
  item out;
  out.benchmark = name;
  switch (l) {
    case layout::longbench: from_longbench(row, out); break;
    case layout::frames: from_frames(row, out); break;
    case layout::docmath: from_docmath(row, out, options.number_paragraphs); break;
  }
  if (out.gold.empty()) throw io::format_error("no answer");
  if (trim(out.context).empty()) throw io::format_error("no document");
  if (out.id.empty()) out.id = std::to_string(number);
  out.document = document_name(out.context);
  return out;
}

// Calls use(row text or parsed row, number, place) for each row of a file of lines or of one array.
template <class Use>
void each_row(const io::file_path& path, std::size_t longest, const Use& use) {
  io::line_reader in(path, longest);
  std::string line;
  bool first = true;
  while (in.next(line)) {
    const auto text = trim(line);
    if (text.empty() && !in.too_long()) continue;
    if (first && text.starts_with('[')) {
      const json::value all = json::parse(io::read_file(path), path.text);
      std::int64_t n = 0;
      for (const auto& row : all.array()) {
        ++n;
        if (!use([&]() -> json::value { return row; }, n, path.text + ": row " + std::to_string(n))) return;
      }
      return;
    }
    first = false;
    const auto parse = [&] {
      if (in.too_long()) throw io::format_error("a row of more than " + std::to_string(longest) + " bytes");
      return json::parse(text, "row");
    };
    if (!use(parse, in.number(), path.text + ":" + std::to_string(in.number()))) return;
  }
}

}  // namespace

std::string proxy_name(std::string_view name) {
  std::string out(name);
  if (is_proxy(name)) return out;
  for (const auto& b : the_seven)
    if (name.starts_with(b.name)) return out + "_proxy";
  return out;
}

std::string_view name_of(layout l) {
  constexpr std::string_view names[] = {"longbench", "frames", "docmath"};
  return names[static_cast<std::size_t>(l)];
}

std::string document_name(std::string_view context) { return io::hash(context).text(); }

loaded load_benchmark(const io::file_path& path, layout l, const load_options& options) {
  loaded out;
  const std::string name = options.benchmark.empty() ? stem(path.text) : options.benchmark;
  std::vector<std::string> ids;
  each_row(path, options.longest_row, [&](const auto& row, std::int64_t number, const std::string& place) {
    ++out.rows;
    try {
      out.items.push_back(read_row(row(), l, options, name, number));
    } catch (const io::format_error& e) {
      ++out.bad;
      if (out.problems.size() < 20) out.problems.push_back(place + ": " + e.what());
    }
    return true;
  });
  if (out.rows == 0) throw io::format_error(path.text + ": no rows");
  if (static_cast<double>(out.bad) > options.bad_share * static_cast<double>(out.rows)) {
    std::string text = path.text + ": " + std::to_string(out.bad) + " of " + std::to_string(out.rows) +
                       " rows are no rows of the " + std::string(name_of(l)) + " layout";
    for (const auto& p : out.problems) text += "\n  " + p;
    throw io::format_error(text);
  }
  // items are found again by benchmark and id
  std::vector<std::pair<std::string, std::string>> seen;
  for (const auto& i : out.items) seen.emplace_back(i.benchmark, i.id);
  std::sort(seen.begin(), seen.end());
  if (const auto twin = std::adjacent_find(seen.begin(), seen.end()); twin != seen.end())
    throw io::format_error(path.text + ": two rows have the id \"" + twin->second + "\"");
  return out;
}

layout detect_layout(const io::file_path& path) {
  std::optional<layout> found;
  std::string keys;
  each_row(path, load_options{}.longest_row, [&](const auto& row, std::int64_t, const std::string&) {
    const json::value v = row();
    if (v.find("input") != nullptr && v.find("context") != nullptr && v.find("answers") != nullptr)
      found = layout::longbench;
    else if (v.find("Prompt") != nullptr && v.find("Answer") != nullptr)
      found = layout::frames;
    else if (v.find("question") != nullptr && v.find("paragraphs") != nullptr && v.find("ground_truth") != nullptr)
      found = layout::docmath;
    else if (v.is_object())
      for (const auto& m : v.object()) keys += (keys.empty() ? "" : ", ") + m.first;
    return false;
  });
  if (!found)
    throw io::format_error(path.text + ": the first row has the members " + (keys.empty() ? "(none)" : keys) +
                           "; expected those of LongBench (input, context, answers), FRAMES (Prompt, Answer, "
                           "wiki_items) or DocMath (question, paragraphs, ground_truth)");
  return *found;
}

item item_of(const data::qa_example& e) {
  item out;
  out.id = e.id;
  out.context = e.context;
  out.question = e.question;
  out.gold = e.answers;
  if (!e.context.empty()) out.document = document_name(e.context);
  std::string name = e.source;
  bool spans = false;
  if (!e.meta.empty()) {
    const json::value meta = json::parse(e.meta, "meta");
    const auto part = [&](std::string_view kind, std::string_view suffix) {
      const json::value* is = meta.find("context_kind");
      if (is != nullptr && is->is_string() && is->string().starts_with(kind) && name.find(suffix) == std::string::npos)
        name += suffix;
    };
    part("oracle", "_oracle");
    part("summary", "_summary");
    part("none", "_closed_book");
    if (const json::value* facts = meta.find("evidence_sentences"); facts != nullptr && facts->is_array())
      for (const auto& f : facts->array())
        if (f.is_string()) out.evidence.push_back(f.string());
    const json::value* s = meta.find("answers_are_spans");
    spans = s != nullptr && s->is_boolean() && s->boolean();
  }
  out.benchmark = proxy_name(name);
  switch (data::answer_type_of(e.source)) {
    case data::answer_type::text: break;
    case data::answer_type::numeric:
      if (is_number(e.answers[0])) out.kind = rl::answer_kind::numeric;
      break;
    case data::answer_type::choice: out.kind = rl::answer_kind::choice; break;
  }
  // spans may be needed together: all of them, as one more way to answer
  if (spans && e.answers.size() > 1) {
    std::string all;
    for (const auto& a : e.answers) all += (all.empty() ? "" : ", ") + a;
    out.gold.push_back(std::move(all));
  }
  return out;
}

std::vector<item> items_of(std::span<const data::qa_example> examples) {
  std::vector<item> out;
  out.reserve(examples.size());
  for (const auto& e : examples) out.push_back(item_of(e));
  return out;
}

std::vector<item> restricted_to(std::span<const item> items, std::span<const std::string> prompts) {
  std::vector<item> out;
  for (const auto& i : items)
    for (const auto& p : prompts)
      if (p.find(i.question) != std::string::npos && p.find(i.context) != std::string::npos) {
        out.push_back(i);
        break;
      }
  return out;
}

}  // namespace ql::eval
