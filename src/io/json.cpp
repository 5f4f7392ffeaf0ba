// SPDX-License-Identifier: Apache-2.0
#include "dom.hpp"

#include <ql/detail/stable_sort.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

namespace ql::io::json {
namespace {

[[noreturn]] void wrong_kind(std::string_view expected, std::string_view got) {
  throw format_error("JSON: expected " + std::string(expected) + ", got " + std::string(got));
}

void check_unique(const simdjson::dom::object& o, std::string_view what) {
  const std::size_t n = o.size();
  if (n < 2) return;
  std::vector<std::string_view> keys;
  keys.reserve(n);
  for (const auto& field : o) keys.push_back(field.key);
  std::sort(keys.begin(), keys.end());
  const auto twin = std::adjacent_find(keys.begin(), keys.end());
  if (twin != keys.end())
    throw format_error(std::string(what) + ": the key \"" + std::string(*twin) + "\" occurs twice");
}

struct writer {
  const style& s;
  std::string out;

  void line(int level) {
    out += '\n';
    out.append(static_cast<std::size_t>(level) * static_cast<std::size_t>(s.indent), ' ');
  }
  void separate() { out += s.indent >= 0 || s.compact ? "," : ", "; }

  void write(const value& v, int level) {
    if (v.is_null()) {
      out += "null";
    } else if (v.is_boolean()) {
      out += v.boolean() ? "true" : "false";
    } else if (v.is_integer()) {
      out += std::to_string(v.integer());
    } else if (v.is_real()) {
      out += dump_real(v.real());
    } else if (v.is_string()) {
      out += dump_string(v.string(), s.ensure_ascii);
    } else if (v.is_array()) {
      if (v.array().empty()) {
        out += "[]";
        return;
      }
      out += '[';
      bool first = true;
      for (const auto& e : v.array()) {
        if (!first) separate();
        first = false;
        if (s.indent >= 0) line(level + 1);
        write(e, level + 1);
      }
      if (s.indent >= 0) line(level);
      out += ']';
    } else {
      if (v.object().empty()) {
        out += "{}";
        return;
      }
      std::vector<const value::member*> members;
      for (const auto& m : v.object()) members.push_back(&m);
      if (s.sort_keys)
        ql::detail::stable_sort(members.begin(), members.end(), [](auto* a, auto* b) { return a->first < b->first; });
      out += '{';
      bool first = true;
      for (const auto* m : members) {
        if (!first) separate();
        first = false;
        if (s.indent >= 0) line(level + 1);
        out += dump_string(m->first, s.ensure_ascii);
        out += s.compact ? ":" : ": ";
        write(m->second, level + 1);
      }
      if (s.indent >= 0) line(level);
      out += '}';
    }
  }
};

void append_u16(std::string& out, unsigned u) {
  static constexpr char digits[] = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += digits[(u >> shift) & 15];
}

}  // namespace

namespace detail {

document::document(std::string_view source, std::string_view what, const limits& l) {
  const std::string name(what);
  if (source.size() > l.bytes || source.size() >= simdjson::SIMDJSON_MAXSIZE_BYTES)
    throw format_error(name + ": " + std::to_string(source.size()) + " bytes of JSON, more than the limit of " +
                       std::to_string(l.bytes));
  text = simdjson::padded_string(source);
  // The parser's work space is two index words per byte; a small text must not ask for much.
  auto code = parser.allocate(std::max<std::size_t>(source.size(), 64), static_cast<std::size_t>(l.depth));
  if (!code) code = parser.parse(text).get(root);
  if (code == simdjson::DEPTH_ERROR)
    throw format_error(name + ": arrays and objects nested deeper than " + std::to_string(l.depth) + " levels");
  if (code) throw format_error(name + ": not valid JSON: " + simdjson::error_message(code));
}

value convert(simdjson::dom::element e, std::string_view what) {
  using simdjson::dom::element_type;
  switch (e.type()) {
    case element_type::NULL_VALUE: return nullptr;
    case element_type::BOOL: return bool(e);
    case element_type::INT64: return std::int64_t(e);
    case element_type::UINT64: return static_cast<double>(std::uint64_t(e));
    case element_type::DOUBLE: return double(e);
    case element_type::STRING: return std::string_view(e);
    case element_type::ARRAY: {
      value::array_type a;
      for (const auto& x : simdjson::dom::array(e)) a.push_back(convert(x, what));
      return a;
    }
    case element_type::OBJECT: {
      const simdjson::dom::object fields(e);
      check_unique(fields, what);
      value::object_type o;
      for (const auto& field : fields) o.emplace_back(std::string(field.key), convert(field.value, what));
      return o;
    }
  }
  return nullptr;
}

}  // namespace detail

std::string_view value::kind() const {
  static constexpr std::string_view names[] = {"null", "boolean", "integer", "number", "string", "array", "object"};
  return names[std::min<std::size_t>(data_.index(), std::size(names) - 1)];
}

bool value::boolean() const {
  if (const auto* b = std::get_if<bool>(&data_)) return *b;
  wrong_kind("a boolean", kind());
}
std::int64_t value::integer() const {
  if (const auto* i = std::get_if<std::int64_t>(&data_)) return *i;
  wrong_kind("an integer", kind());
}
double value::real() const {
  if (const auto* d = std::get_if<double>(&data_)) return *d;
  if (const auto* i = std::get_if<std::int64_t>(&data_)) return static_cast<double>(*i);
  wrong_kind("a number", kind());
}
const std::string& value::string() const {
  if (const auto* s = std::get_if<std::string>(&data_)) return *s;
  wrong_kind("a string", kind());
}
const value::array_type& value::array() const {
  if (const auto* a = std::get_if<array_type>(&data_)) return *a;
  wrong_kind("an array", kind());
}
const value::object_type& value::object() const {
  if (const auto* o = std::get_if<object_type>(&data_)) return *o;
  wrong_kind("an object", kind());
}

const value* value::find(std::string_view key) const {
  if (const auto* o = std::get_if<object_type>(&data_))
    for (const auto& [name, v] : *o)
      if (name == key) return &v;
  return nullptr;
}
const value& value::at(std::string_view key) const {
  object();
  if (const auto* v = find(key)) return *v;
  throw format_error("JSON: the key \"" + std::string(key) + "\" is missing");
}

value parse(std::string_view text, std::string_view what, const limits& l) {
  const detail::document d(text, what, l);
  return detail::convert(d.root, what);
}

std::string dump(const value& v, const style& s) {
  writer w{s, {}};
  w.write(v, 0);
  return std::move(w.out);
}

std::string dump_real(double d) {
  if (std::isnan(d)) return "NaN";
  if (std::isinf(d)) return d < 0 ? "-Infinity" : "Infinity";
  char b[40];
  const auto end = std::to_chars(b, b + sizeof b, d, std::chars_format::scientific).ptr;
  std::string_view text(b, static_cast<std::size_t>(end - b));
  const auto e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), end, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  std::string out;
  std::string digits;
  for (char c : text.substr(0, e)) {
    if (c == '-') out += c;
    if (c >= '0' && c <= '9') digits += c;
  }
  if (exponent < 0) {
    out += "0.";
    out.append(static_cast<std::size_t>(-exponent - 1), '0');
    return out + digits;
  }
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() < whole) digits.append(whole - digits.size(), '0');
  out.append(digits, 0, whole);
  out += '.';
  return digits.size() > whole ? out + digits.substr(whole) : out + '0';
}

std::string dump_string(std::string_view s, bool ensure_ascii) {
  std::string out = "\"";
  for (std::size_t i = 0; i < s.size(); ++i) {
    const auto c = static_cast<unsigned char>(s[i]);
    switch (c) {
      case '"': out += "\\\""; continue;
      case '\\': out += "\\\\"; continue;
      case '\n': out += "\\n"; continue;
      case '\r': out += "\\r"; continue;
      case '\t': out += "\\t"; continue;
      case '\b': out += "\\b"; continue;
      case '\f': out += "\\f"; continue;
      default: break;
    }
    if (c < 0x20 || (ensure_ascii && c == 0x7f)) {
      append_u16(out, c);
    } else if (c < 0x80 || !ensure_ascii) {
      out += static_cast<char>(c);
    } else {
      const int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
      unsigned u = c & (0x3fu >> more);
      for (int k = 0; k < more && i + 1 < s.size(); ++k) u = (u << 6) | (static_cast<unsigned char>(s[++i]) & 0x3fu);
      if (u >= 0x10000) {
        append_u16(out, 0xd7c0 + (u >> 10));
        append_u16(out, 0xdc00 + (u & 0x3ff));
      } else {
        append_u16(out, u);
      }
    }
  }
  return out + '"';
}

namespace {

// Walks text that is known to be valid JSON.
struct scanner {
  std::string_view s;
  std::size_t i = 0;

  void space() {
    while (i < s.size() && (s[i] == ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t')) ++i;
  }
  std::string_view string() {
    const std::size_t first = i++;
    while (s[i] != '"') i += s[i] == '\\' ? 2 : 1;
    ++i;
    return s.substr(first, i - first);
  }
  void skip() {
    int open = 0;
    do {
      if (s[i] == '"') {
        string();
        continue;
      }
      if (s[i] == '{' || s[i] == '[') ++open;
      if (s[i] == '}' || s[i] == ']') --open;
      ++i;
    } while (open > 0);
    while (i < s.size() && std::string_view(",}] \n\r\t").find(s[i]) == std::string_view::npos) ++i;
  }
};

}  // namespace

std::string patch(std::string_view document, std::string_view key, std::string_view replacement) {
  const value all = parse(document);
  if (!all.is_object()) wrong_kind("an object", all.kind());
  scanner c{document};
  c.space();
  ++c.i;
  std::size_t end_of_last = c.i;
  std::string_view before_key;  // white space before the last member's name
  for (;;) {
    const std::size_t gap = c.i;
    c.space();
    if (document[c.i] == '}') break;
    before_key = document.substr(gap, c.i - gap);
    const std::string name = parse(std::string("[") + std::string(c.string()) + "]").array()[0].string();
    c.space();
    ++c.i;  // ':'
    c.space();
    const std::size_t first = c.i;
    if (document[first] == '"')
      c.string();
    else
      c.skip();
    if (name == key) return std::string(document.substr(0, first)).append(replacement).append(document.substr(c.i));
    end_of_last = c.i;
    c.space();
    if (document[c.i] == ',') ++c.i;
  }
  std::string out(document.substr(0, end_of_last));
  if (!all.object().empty()) out += ',';
  out.append(before_key.empty() && !all.object().empty() ? " " : before_key);
  out.append(dump_string(key)).append(": ").append(replacement).append(document.substr(end_of_last));
  return out;
}

}  // namespace ql::io::json
