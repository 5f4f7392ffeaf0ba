// SPDX-License-Identifier: Apache-2.0
#include <ql/io/toml.hpp>

// Version 3.3 asserts what a file may well do ("[/"), and under NDEBUG assumes it; behind the assertion stands a proper
// error. So it is told to do neither.
#undef NDEBUG
#define TOML_ASSERT(condition) static_cast<void>(0)
#define TOML_EXCEPTIONS 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>

namespace ql::io::toml {
namespace {

using json::value;
namespace lib = ::toml;

constexpr std::size_t most_bytes = std::size_t{1} << 20;
constexpr int most_levels = 32;

[[noreturn]] void fail(std::string_view name, const lib::source_position& at, std::string_view what) {
  throw format_error(std::string(name) + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": " +
                     std::string(what));
}

// What TOML forbids and the library tells apart by assertions and unreachable code: control characters, characters
// beyond ASCII outside of strings and comments, and quotes within a word, after which this function and the library
// would not agree on what a string is.
void check_characters(std::string_view text, std::string_view name) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  lib::source_position at{1, 1};
  char quote = 0;  // of the string that is open
  bool triple = false, comment = false, escaped = false;
  bool joined = false;  // behind a '\\' that ends a line of a text, until the text goes on
  bool value = false;   // behind '=' or in a list, where a dot does not join keys
  char last = '\n';     // before this one, blanks and comments aside
  std::string open;     // brackets of lists and inline tables
  const auto begins = [&] { return std::string_view(value ? "=[,\n" : "[,{.\n").find(last) != std::string_view::npos; };
  const auto follow = [&](char c) {
    const bool list = !open.empty() && open.back() == '[';
    if (c == '=') {
      if (value) fail(name, at, "a second '='");
      value = true;
    } else if (c == '[' || c == '{') {
      const bool head = c == '[' && !value && open.empty() && (last == '\n' || last == '[');
      if (!head && !(value && begins())) fail(name, at, "a bracket where no list or table can begin");
      if (!head) open += c;
      if (c == '{') value = false;
    } else if (c == ']' || c == '}') {
      if (c == ']' ? !list && (value || !open.empty()) : list || open.empty()) fail(name, at, "a bracket too many");
      if (!open.empty()) open.pop_back();
      if (!open.empty() || c == '}') value = true;
    } else if (c == ',') {
      if (open.empty()) fail(name, at, "a comma outside of lists and tables");
      value = list;
    } else if (c == '\n') {
      if (!open.empty() && !list) fail(name, at, "a line end within {}");
      value = list;
    }
    if (c != ' ' && c != '\t' && c != '\r') last = c;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const auto code = static_cast<unsigned char>(c);
    if ((code < 0x20 && c != '\n' && c != '\t' && c != '\r') || code == 0x7f) fail(name, at, "a control character");
    if (code >= 0x80 && quote == 0 && !comment)
      fail(name, at, "a character beyond ASCII outside of quotes and comments");
    const bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if ((joined || escaped) && code >= 0x80) fail(name, at, "a character beyond ASCII behind '\\'");
    joined = (joined || (escaped && triple)) && blank;
    std::size_t took = 1;
    if (quote == 0 && (!comment || c == '\n') && c != '"' && c != '\'') follow(c == '#' ? ' ' : c);
    if (comment) {
      comment = c != '\n';
    } else if (escaped) {
      escaped = false;
    } else if (quote == 0) {
      comment = c == '#';
      if (c == '"' || c == '\'') {
        if (!begins()) fail(name, at, "a quote where no text can begin");
        quote = c;
        triple = text.substr(i, 3) == std::string(3, c);
        if (triple) took = 3;
      }
    } else if (c == '\\' && quote == '"') {
      escaped = true;
    } else if (!triple && (c == quote || c == '\n')) {
      quote = 0, last = c;
    } else if (triple && text.substr(i, 3) == std::string(3, quote)) {
      while (took < 5 && i + took < text.size() && text[i + took] == quote) ++took;  // up to two belong to the string
      quote = 0, last = c;
    }
    i += took - 1;
    at = c == '\n' ? lib::source_position{at.line + 1, 1}
                   : lib::source_position{at.line, at.column + static_cast<lib::source_index>(took)};
  }
}

bool is_bare(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9') || c == '_' || c == '-';
  });
}

struct converter {
  document& out;

  value convert(const lib::node& n, const std::string& key, int level) {
    if (level > most_levels) fail(out.name, n.source().begin, "more than 32 levels");
    switch (n.type()) {
      case lib::node_type::table: {
        value::object_type o;
        // The library sorts keys; the file's order is what people expect back.
        std::vector<std::pair<const lib::key*, const lib::node*>> members;
        for (const auto& [k, v] : *n.as_table()) members.emplace_back(&k, &v);
        const auto order = [](const lib::key* k) {
          return std::pair(k->source().begin.line, k->source().begin.column);
        };
        std::sort(members.begin(), members.end(),
                  [&](const auto& a, const auto& b) { return order(a.first) < order(b.first); });
        for (const auto& [k, v] : members) {
          if (!is_bare(k->str())) fail(out.name, k->source().begin, "keys are made of letters, digits, '_' and '-'");
          const std::string under = key.empty() ? std::string(k->str()) : key + "." + std::string(k->str());
          out.places.push_back({under, k->source().begin.line, k->source().begin.column});
          o.emplace_back(std::string(k->str()), convert(*v, under, level + 1));
        }
        return o;
      }
      case lib::node_type::array: {
        value::array_type a;
        for (const auto& e : *n.as_array()) {
          const std::string under = key + "[" + std::to_string(a.size()) + "]";
          out.places.push_back({under, e.source().begin.line, e.source().begin.column});
          a.push_back(convert(e, under, level + 1));
        }
        return a;
      }
      case lib::node_type::string: return std::string_view(n.as_string()->get());
      case lib::node_type::integer: return n.as_integer()->get();
      case lib::node_type::floating_point: return n.as_floating_point()->get();
      case lib::node_type::boolean: return n.as_boolean()->get();
      default: fail(out.name, n.source().begin, key + ": dates and times are not used; put the text into quotes");
    }
  }
};

// ---- writing

std::string quoted(const std::string& s) {
  std::string out;
  for (const char c : json::dump_string(s)) out += c == '\x7f' ? std::string("\\u007f") : std::string(1, c);
  return out;
}

// A list that is written as [[key]].
bool is_list_of_tables(const value& v) {
  return v.is_array() && !v.array().empty() &&
         std::all_of(v.array().begin(), v.array().end(), [](const value& e) { return e.is_object(); });
}

struct printer {
  const std::vector<std::pair<std::string, std::string>>& comments;
  std::string out;

  std::string inline_text(const value& v) {
    if (v.is_string()) return quoted(v.string());
    if (v.is_real() && std::isnan(v.real())) return "nan";
    if (v.is_real() && std::isinf(v.real())) return v.real() < 0 ? "-inf" : "inf";
    std::string s;
    if (v.is_array()) {
      for (const auto& e : v.array()) s += (s.empty() ? "" : ", ") + inline_text(e);
      return "[" + s + "]";
    }
    if (v.is_object()) {
      for (const auto& [name, e] : v.object())
        if (!e.is_null()) s += (s.empty() ? " " : ", ") + name_text(name) + " = " + inline_text(e);
      return "{" + s + (s.empty() ? "}" : " }");
    }
    if (v.is_null()) throw argument_error("toml: a list holds a null, which TOML cannot say");
    return json::dump(v);
  }
  std::string name_text(const std::string& name) { return is_bare(name) ? name : quoted(name); }

  void comment(const std::string& key) {
    for (const auto& [k, text] : comments)
      if (k == key && !text.empty()) out += "  # " + text;
    out += '\n';
  }
  void header(const char* open, const std::string& path, const char* close, const std::string& key) {
    if (!out.empty()) out += '\n';
    out += open + path + close;
    comment(key);
  }

  // `path` is what headers say, `key` what comments are looked up by.
  void body(const value& table, const std::string& path, const std::string& key) {
    const auto under = [](const std::string& a, const std::string& b) { return a.empty() ? b : a + "." + b; };
    for (const auto& [name, v] : table.object()) {
      if (v.is_null() || v.is_object() || is_list_of_tables(v)) continue;
      out += name_text(name) + " = " + inline_text(v);
      comment(under(key, name));
    }
    for (const auto& [name, v] : table.object()) {
      const std::string p = under(path, name_text(name)), k = under(key, name);
      if (v.is_object()) {
        const bool bare = !v.object().empty() && std::all_of(v.object().begin(), v.object().end(), [](const auto& m) {
          return m.second.is_object() || is_list_of_tables(m.second);
        });
        if (!bare) header("[", p, "]", k);
        body(v, p, k);
      } else if (is_list_of_tables(v)) {
        for (std::size_t i = 0; i < v.array().size(); ++i) {
          const std::string at = k + "[" + std::to_string(i) + "]";
          header("[[", p, "]]", at);
          body(v.array()[i], p, at);
        }
      }
    }
  }
};

}  // namespace

std::string document::where(std::string_view key) const {
  for (std::string_view k = key; !k.empty();) {
    const auto found = std::lower_bound(places.begin(), places.end(), k,
                                        [](const place& p, std::string_view wanted) { return p.key < wanted; });
    if (found != places.end() && found->key == k)
      return name + ":" + std::to_string(found->line) + ":" + std::to_string(found->column);
    const auto cut = k.find_last_of(".[");
    k = cut == k.npos ? std::string_view() : k.substr(0, cut);
  }
  return name;
}

document parse(std::string_view text, std::string_view name) {
  document d;
  d.name = name;
  if (text.size() > most_bytes)
    throw format_error(d.name + ": " + std::to_string(text.size()) + " bytes, more than the limit of " +
                       std::to_string(most_bytes));
  check_characters(text, name);
  try {
    const lib::table root = lib::parse(text);
    d.tree = converter{d}.convert(root, "", 0);
  } catch (const lib::parse_error& e) {
    fail(name, e.source().begin, e.description());
  }
  std::sort(d.places.begin(), d.places.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  return d;
}

document read(const file_path& path) { return parse(read_file(path, most_bytes), path.text); }

std::string print(const value& tree, const std::vector<std::pair<std::string, std::string>>& comments) {
  printer p{comments, {}};
  p.body(tree, "", "");
  return std::move(p.out);
}

}  // namespace ql::io::toml
