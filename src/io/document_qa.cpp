// SPDX-License-Identifier: Apache-2.0
#include <ql/data/document_qa.hpp>
#include <ql/data/generator.hpp>
#include <ql/io/json.hpp>
#include <ql/text/chat_template.hpp>
#include <ql/text/tokenizer.hpp>

#include <algorithm>
#include <utility>

namespace ql::data {
namespace {

using io::format_error;
using io::json::value;

constexpr std::size_t named = 10;  // rows that a report names
constexpr std::string_view text_open = "<text>", text_close = "</text>",
                           format_line = "Format your response as follows:";

constexpr std::string_view qwenlong_before =
    "Please read the following text and answer the question below.\n\n<text>\n{context}\n</text>\n\n{question}\n\n"
    "Format your response as follows: \"";

std::string_view trim(std::string_view s) {
  const auto blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!s.empty() && blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && blank(s.back())) s.remove_suffix(1);
  return s;
}

std::string quoted(std::string_view s) { return "\"" + std::string(s) + "\""; }

const value& member(const value& row, std::string_view key) {
  const value* m = row.find(key);
  if (!m) throw format_error(quoted(key) + " is missing");
  return *m;
}
const std::string& text_of(const value& v, std::string_view what) {
  if (!v.is_string()) throw format_error(quoted(what) + ": expected a text, got " + std::string(v.kind()));
  return v.string();
}
const value::array_type& list_of(const value& v, std::string_view what) {
  if (!v.is_array()) throw format_error(quoted(what) + ": expected an array, got " + std::string(v.kind()));
  return v.array();
}
std::string not_blank(std::string_view s, std::string_view what) {
  const auto t = trim(s);
  if (t.empty()) throw format_error(quoted(what) + " is empty");
  return std::string(t);
}

qa_example from_document(const value& row) {
  qa_example e;
  if (const auto* s = row.find("benchmark")) e.source = text_of(*s, "benchmark");
  e.context = trim(text_of(member(row, "context"), "context"));
  e.question = not_blank(text_of(member(row, "question"), "question"), "question");
  for (const auto& a : list_of(member(row, "answers"), "answers"))
    e.answers.push_back(not_blank(text_of(a, "answers"), "answers"));
  if (e.answers.empty()) throw format_error("\"answers\" is empty");
  if (const auto* s = row.find("cot")) e.reasoning = trim(text_of(*s, "cot"));
  if (const auto* m = row.find("meta")) e.meta = io::json::dump(*m);
  return e;
}

qa_example from_chat(const value& row) {
  qa_example e;
  e.source = not_blank(text_of(member(row, "data_source"), "data_source"), "data_source");
  const std::string* asks = nullptr;
  const auto& turns = list_of(member(row, "prompt"), "prompt");
  e.messages.reserve(turns.size());
  for (const auto& m : turns) {
    e.messages.push_back({text_of(member(m, "role"), "role"), text_of(member(m, "content"), "content")});
    if (e.messages.back().role == "user") asks = &e.messages.back().content;
  }
  if (!asks) throw format_error("\"prompt\" has no message of the user");
  const auto open = asks->find(text_open), close = asks->rfind(text_close), line = asks->rfind(format_line);
  if (open == std::string::npos || close == std::string::npos || line == std::string::npos || close < open ||
      line < close)
    throw format_error("the user's message of \"prompt\" must hold <text>, </text> and \"" + std::string(format_line) +
                       "\", in this order");
  const auto between = [&](std::size_t from, std::size_t to) {
    return trim(std::string_view(*asks).substr(from, to - from));
  };
  e.context = between(open + text_open.size(), close);
  e.question = not_blank(between(close + text_close.size(), line), "the question in \"prompt\"");
  const auto& gold = member(member(row, "reward_model"), "ground_truth");
  e.gold_sentence = not_blank(text_of(gold, "ground_truth"), "ground_truth");
  e.answers.push_back(not_blank(bare_answer(e.gold_sentence), "ground_truth"));
  if (const auto* m = row.find("extra_info")) {
    if (!m->is_null()) e.meta = io::json::dump(*m);
    if (const auto* index = m->find("index"); index && (index->is_integer() || index->is_string()))
      e.id = e.source + "-" + (index->is_integer() ? std::to_string(index->integer()) : index->string());
  }
  return e;
}

std::uint64_t hash(std::string_view s, std::uint64_t h) {
  for (const char c : s) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h == 0 ? 1 : h;
}

void note(std::vector<std::string>& list, std::string what) {
  if (list.size() < named) list.push_back(std::move(what));
}

value as_json(const std::vector<message>& messages) {
  value::array_type list;
  for (const auto& m : messages) list.push_back(value::object_type{{"role", m.role}, {"content", m.content}});
  return list;
}

// `question` is how the question may read too.
prompt_text render(std::vector<message> messages, const qa_example& e, const text::chat_template* chat,
                   std::string_view question) {
  prompt_text out;
  if (chat) {
    auto r = chat->render(as_json(messages));
    out.text = std::move(r.text);
    out.opens_thinking = r.opens_thinking;
  } else {
    for (auto& m : messages)
      if (m.role == "user") out.text = std::move(m.content);
  }
  if (out.text.find(e.question) == std::string::npos && out.text.find(question) == std::string::npos)
    throw argument_error("prompt of " + quoted(e.id) + ": the question is not in it: \"" + e.question.substr(0, 80) +
                         "\"; the chat template or the truncation swallows it");
  return out;
}

// What of a prompt comes from a row: its context and question, or its messages.
std::vector<std::string_view> foreign_parts(const qa_example& e, std::span<const message> messages) {
  if (e.messages.empty() && messages.empty()) return {e.context, e.question};
  std::vector<std::string_view> out;
  for (const auto& m : messages) out.push_back(trim(m.content));
  return out;
}

bool names_a_special_token(const text::tokenizer& tokenizer, std::string_view s) {
  return std::any_of(tokenizer.added_tokens().begin(), tokenizer.added_tokens().end(),
                     [&](const auto& t) { return t.special && s.find(t.content) != std::string_view::npos; });
}

// Ids of a prompt in which the foreign parts are text alone. They are encoded apart from what stands around them.
std::vector<token> disarmed(const text::tokenizer& tokenizer, std::string_view prompt,
                            const std::vector<std::string_view>& foreign) {
  struct range {
    std::size_t begin, end;
  };
  std::vector<range> parts;
  for (const auto f : foreign) {
    if (f.empty()) continue;
    for (auto at = prompt.find(f); at != std::string_view::npos; at = prompt.find(f, at + f.size()))
      parts.push_back({at, at + f.size()});
  }
  // Where parts overlap (a question that its document holds too), the union counts.
  std::sort(parts.begin(), parts.end(), [](const range& a, const range& b) { return a.begin < b.begin; });
  std::vector<token> ids;
  std::size_t done = 0;
  const auto put = [&](std::size_t end, bool own) {
    if (end <= done) return;
    const auto some = tokenizer.encode(prompt.substr(done, end - done), {.special_in_text = own});
    ids.insert(ids.end(), some.begin(), some.end());
    done = end;
  };
  for (const auto& p : parts) {
    put(p.begin, true);
    put(p.end, false);
  }
  put(prompt.size(), true);
  return ids;
}

}  // namespace

answer_type answer_type_of(std::string_view source) {
  if (source.find("long_toc_choices") != std::string_view::npos) return answer_type::choice;
  if (source.find("docmath") != std::string_view::npos) return answer_type::numeric;
  return answer_type::text;
}

std::string bare_answer(std::string_view sentence) {
  constexpr std::string_view phrase = "answer is";
  std::string low(sentence);
  for (char& c : low)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  std::string_view s = trim(sentence);
  if (const auto at = low.rfind(phrase); at != std::string::npos) {
    s = trim(sentence.substr(at + phrase.size()));
    if (s.starts_with(':')) s = trim(s.substr(1));
    if (s.ends_with('.')) s = trim(s.substr(0, s.size() - 1));
    if (s.size() == 3 && s.front() == '(' && s.back() == ')') s = s.substr(1, 1);
  }
  return std::string(s);
}

qa_example parse_example(std::string_view text) {
  const value row = io::json::parse(text, "row", {.bytes = text.size()});
  if (!row.is_object()) throw format_error("expected an object, got " + std::string(row.kind()));
  qa_example e = row.find("reward_model") ? from_chat(row) : from_document(row);
  if (const auto* id = row.find("id"); id && !id->is_null())
    e.id = id->is_integer() ? std::to_string(id->integer()) : text_of(*id, "id");
  return e;
}

std::string row_of(const qa_example& e) {
  value::array_type answers(e.answers.begin(), e.answers.end());
  value::object_type row{{"id", e.id},
                         {"benchmark", e.source},
                         {"context", e.context},
                         {"question", e.question},
                         {"answers", std::move(answers)}};
  if (!e.reasoning.empty()) row.emplace_back("cot", e.reasoning);
  if (!e.meta.empty()) row.emplace_back("meta", io::json::parse(e.meta, "meta of " + quoted(e.id)));
  return io::json::dump(value(std::move(row)));
}

qa_example example_of(const generated_document& d, const generated_question& q) {
  using v = phrase_vocabulary;
  std::size_t at = 0;
  while (at < d.questions.size() && &d.questions[at] != &q && !(d.questions[at] == q)) ++at;
  qa_example e;
  e.source = "generated";
  e.id = "generated-" + std::to_string(d.key.seed) + "-" + std::to_string(static_cast<int>(d.key.of)) + "-" +
         std::to_string(d.key.index) + "-" + std::to_string(d.tokens.size()) + "-" + std::to_string(at);
  e.context = v::english(d.tokens);
  e.question = v::english(q.prompt);
  e.answers = q.answers;
  e.reasoning = v::english(q.reasoning);
  value::array_type evidence;
  for (const auto i : q.evidence)
    evidence.emplace_back(v::english(d.tokens_of(d.sentences.at(static_cast<std::size_t>(i)))));
  e.meta = io::json::dump(value::object_type{{"context_kind", "generated"},
                                             {"type", name_of(q.kind)},
                                             {"tokens", static_cast<std::int64_t>(d.tokens.size())},
                                             {"evidence", std::move(evidence)}});
  return e;
}

// ---- reading ----

example_reader::example_reader(const io::file_path& path, const reading_options& options)
    : example_reader(std::vector<io::file_path>{path}, options) {}

example_reader::example_reader(std::vector<io::file_path> paths, const reading_options& options)
    : paths_(std::move(paths)), options_(options), table_(64) {
  detail::expects(!paths_.empty(), "example_reader", "paths", "one file at least", "none");
  detail::expects(options.bad_share >= 0 && options.bad_share <= 1, "example_reader", "bad_share", "0 to 1",
                  options.bad_share);
  in_.emplace_back(paths_[0], options_.row_bytes);
}

bool example_reader::next(qa_example& e) {
  for (;;) {
    if (in_.empty()) return false;
    auto& in = in_.back();
    if (!in.next(line_)) {
      in_.clear();
      if (++path_ == paths_.size()) {
        finish();
        return false;
      }
      in_.emplace_back(paths_[path_], options_.row_bytes);
      continue;
    }
    if (!in.too_long() && trim(line_).empty()) continue;
    ++report_.rows;
    const std::string where = in.path() + ":" + std::to_string(in.number());
    try {
      if (in.too_long())
        throw format_error("longer than the limit of " + std::to_string(options_.row_bytes) + " bytes");
      e = parse_example(line_);
    } catch (const format_error& wrong) {
      ++report_.bad;
      note(report_.first_bad, where + ": " + wrong.what());
      continue;
    }
    if (e.id.empty()) e.id = (e.source.empty() ? "row" : e.source) + "-" + std::to_string(in.number());
    if (!seen(e, where)) return true;
  }
}

void example_reader::insert(seen_row row) {
  if (2 * ++used_ > table_.size()) {
    std::vector<seen_row> old(2 * table_.size());
    std::swap(old, table_);
    used_ = 1;
    for (const auto& r : old)
      if (r.id != 0) insert(r);
  }
  const std::size_t mask = table_.size() - 1;
  std::size_t at = static_cast<std::size_t>(row.id ^ (row.id >> 29)) & mask;
  while (table_[at].id != 0) at = (at + 1) & mask;
  table_[at] = row;
}

bool example_reader::seen(qa_example& e, const std::string& where) {
  constexpr std::uint64_t first = 0xcbf29ce484222325u, second = 0x9e3779b97f4a7c15u;
  const std::uint64_t row = hash(trim(line_), second);
  const auto find = [&](std::uint64_t id) {
    struct {
      bool id = false, row = false;
    } found;
    const std::size_t mask = table_.size() - 1;
    for (std::size_t at = static_cast<std::size_t>(id ^ (id >> 29)) & mask; table_[at].id != 0; at = (at + 1) & mask)
      if (table_[at].id == id) {
        found.id = true;
        found.row = found.row || table_[at].row == row;
      }
    return found;
  };
  const auto id = hash(e.id, first);
  const auto found = find(id);
  if (found.row) {
    ++report_.duplicates;
    note(report_.first_duplicates, where + ": the row of id " + quoted(e.id) + " occurs again: left out");
    return true;
  }
  insert({id, row});
  if (!found.id) return false;
  ++report_.renamed;
  const std::string old = e.id;
  std::uint64_t unique = 0;
  do {
    e.id += "#" + std::to_string(in_.back().number());
    unique = hash(e.id, first);
  } while (find(unique).id);
  insert({unique, row});
  note(report_.first_duplicates,
       where + ": another row has the id " + quoted(old) + ": this one is now " + quoted(e.id));
  return false;
}

void example_reader::finish() const {
  const auto& r = report_;
  if (r.rows == 0) throw format_error(paths_[0].text + ": holds no row; expected JSON Lines, an example on each");
  if (r.bad == 0 || static_cast<double>(r.bad) < options_.bad_share * static_cast<double>(r.rows)) return;
  std::string list;
  for (const auto& b : r.first_bad) list += "\n  " + b;
  if (r.bad > static_cast<std::int64_t>(r.first_bad.size())) list += "\n  ...";
  throw format_error(paths_[0].text + (paths_.size() > 1 ? " and others" : "") + ": " + std::to_string(r.bad) + " of " +
                     std::to_string(r.rows) + " rows are bad; correct them or raise bad_share:" + list);
}

data_set read_examples(std::vector<io::file_path> paths, const reading_options& options) {
  example_reader in(std::move(paths), options);
  data_set out;
  for (qa_example e; in.next(e);) out.examples.push_back(std::move(e));
  out.report = in.report();
  return out;
}

data_set read_examples(const io::file_path& path, const reading_options& options) {
  return read_examples(std::vector<io::file_path>{path}, options);
}

// ---- prompts ----

prompt_template::prompt_template(std::string_view text) : text_(text) {
  for (const std::string_view slot : {std::string_view("{context}"), std::string_view("{question}")}) {
    std::size_t n = 0;
    for (auto at = text_.find(slot); at != std::string::npos; at = text_.find(slot, at + 1)) ++n;
    detail::expects(n == 1, "prompt_template", "text", std::string(slot) + " exactly once",
                    std::to_string(n) + " times");
  }
}

prompt_template prompt_template::qwenlong_l1() {
  return prompt_template(std::string(qwenlong_before) + "Therefore, the answer is (insert answer here)\".");
}
prompt_template prompt_template::qwenlong_l1_choice() {
  return prompt_template(std::string(qwenlong_before) + "The correct answer is (insert answer here)\".");
}

std::string prompt_template::render(std::string_view context, std::string_view question) const {
  constexpr std::string_view slot_c = "{context}", slot_q = "{question}";
  const std::size_t c = text_.find(slot_c), q = text_.find(slot_q);
  const std::string_view t = text_;
  std::string out;
  out.reserve(t.size() + context.size() + question.size());
  const auto put = [&](std::size_t slot) { out += slot == c ? trim(context) : trim(question); };
  const std::size_t one = std::min(c, q), two = std::max(c, q);
  const auto after = [&](std::size_t slot) { return slot + (slot == c ? slot_c.size() : slot_q.size()); };
  out += t.substr(0, one);
  put(one);
  out += t.substr(after(one), two - after(one));
  put(two);
  out += t.substr(after(two));
  return out;
}

std::vector<message> messages_of(const qa_example& e, const prompt_template& t) {
  if (!e.messages.empty()) return e.messages;
  return {{"user", t.render(e.context, e.question)}};
}

prompt_text render_prompt(const qa_example& e, const prompt_template& t, const text::chat_template* chat) {
  return render(messages_of(e, t), e, chat, e.question);
}

std::vector<token> truncate_middle(std::span<const token> ids, std::int64_t limit) {
  detail::expects(limit >= 0, "truncate_middle", "limit", "0 or more", limit);
  const auto n = static_cast<std::size_t>(limit);
  if (ids.size() <= n) return {ids.begin(), ids.end()};
  std::vector<token> out(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(n / 2));
  out.insert(out.end(), ids.end() - static_cast<std::ptrdiff_t>(n - n / 2), ids.end());
  return out;
}

std::string truncate_middle(const text::tokenizer& tokenizer, std::string_view text, std::int64_t limit) {
  const auto ids = tokenizer.encode(text);
  if (static_cast<std::int64_t>(ids.size()) <= limit) return std::string(text);
  return tokenizer.decode(truncate_middle(ids, limit), true);
}

prompt_set tokenize(std::span<const qa_example> examples, const prompt_template& t, const text::chat_template* chat,
                    const text::tokenizer& tokenizer, const length_limits& limits, unsigned threads,
                    special_names names) {
  constexpr const char* me = "tokenize";
  detail::expects(limits.longer_than >= 0 && limits.longer_than < limits.at_most, me, "limits",
                  "0 <= longer_than < at_most",
                  std::to_string(limits.longer_than) + ", " + std::to_string(limits.at_most));
  prompt_set out;
  std::int64_t shortest = 0, longest = 0;
  // Texts of one block at a time are held beside their tokens.
  constexpr std::size_t block = 256;
  for (std::size_t from = 0; from < examples.size(); from += block) {
    const auto some = examples.subspan(from, std::min(block, examples.size() - from));
    std::vector<prompt_text> texts;
    std::vector<std::string_view> views;
    texts.reserve(some.size());
    for (const auto& e : some) views.push_back(texts.emplace_back(render_prompt(e, t, chat)).text);
    auto ids = tokenizer.encode_batch(views, threads);
    for (std::size_t i = 0; i < some.size(); ++i) {
      const qa_example& e = some[i];
      const auto foreign = foreign_parts(e, e.messages);
      const bool dangerous = names == special_names::text &&
                             std::any_of(foreign.begin(), foreign.end(),
                                         [&](std::string_view s) { return names_a_special_token(tokenizer, s); });
      if (dangerous) ids[i] = disarmed(tokenizer, texts[i].text, foreign);
      const auto n = static_cast<std::int64_t>(ids[i].size());
      shortest = from + i == 0 ? n : std::min(shortest, n);
      longest = std::max(longest, n);
      if (n <= limits.longer_than) {
        ++out.too_short;
        continue;
      }
      if (n > limits.at_most) {
        ++out.too_long;
        if (limits.too_long == length_limits::excess::drop) continue;
        auto messages = messages_of(e, t);
        // The tokenizer may normalize the message.
        const auto question = tokenizer.decode(tokenizer.encode(e.question), true);
        for (auto& m : messages)
          if (m.role == "user") m.content = truncate_middle(tokenizer, m.content, limits.at_most);
        const auto text = render(messages, e, chat, question).text;
        ids[i] = dangerous ? disarmed(tokenizer, text, foreign_parts(e, messages)) : tokenizer.encode(text);
        ++out.truncated;
      }
      out.disarmed += dangerous ? 1 : 0;
      out.prompts.push_back({from + i, std::move(ids[i]), n, texts[i].opens_thinking});
    }
  }
  detail::expects(!out.prompts.empty(), me, "examples",
                  "prompts of more than " + std::to_string(limits.longer_than) + " and at most " +
                      std::to_string(limits.at_most) + " tokens",
                  examples.empty() ? std::string("no example at all")
                                   : std::to_string(examples.size()) + " of " + std::to_string(shortest) + " to " +
                                         std::to_string(longest) + " tokens; widen the limits or choose other data");
  return out;
}

}  // namespace ql::data
