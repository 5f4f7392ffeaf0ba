// SPDX-License-Identifier: Apache-2.0
#include "jinja_value.hpp"
#include "unicode.hpp"

#include <ql/detail/stable_sort.hpp>

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>

namespace ql::text::jinja {

struct scope {
  scope* outer = nullptr;
  bool captured = false;  // by a macro: lives until the end
  std::vector<std::pair<const std::string*, value>> names;
};

namespace {

constexpr int deepest_evaluation = 400;
constexpr int deepest_value = 64;
constexpr int deepest_macro = 24;

constexpr std::string_view filters[] = {
    "abs",    "capitalize", "count",      "d",       "default", "dictsort", "e",    "escape", "first",      "float",
    "indent", "int",        "items",      "join",    "last",    "length",   "list", "lower",  "map",        "max",
    "min",    "reject",     "rejectattr", "replace", "reverse", "round",    "safe", "select", "selectattr", "sort",
    "string", "sum",        "title",      "tojson",  "trim",    "unique",   "upper"};
constexpr std::string_view tests[] = {
    "==",    "boolean",  "callable", "defined",     "divisibleby", "eq",        "equalto", "even",
    "false", "float",    "ge",       "greaterthan", "gt",          "in",        "integer", "iterable",
    "le",    "lessthan", "lower",    "lt",          "mapping",     "ne",        "none",    "number",
    "odd",   "sameas",   "sequence", "string",      "true",        "undefined", "upper"};

template <std::size_t N>
bool among(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

struct positional_and_named {
  std::vector<value> values;
  std::vector<std::pair<std::string, value>> named;
};

class interpreter {
 public:
  interpreter(const std::string& what, const template_limits& limits, std::optional<std::int64_t> now)
      : what_(what), limits_(limits), now_(now) {}

  std::string run(const block& program, const io::json::value::object_type& variables) {
    scope globals;
    using enum global_function::kind;
    static const std::pair<std::string, global_function::kind> functions[] = {{"raise_exception", raise},
                                                                              {"range", range},
                                                                              {"dict", make_dict},
                                                                              {"namespace", make_namespace},
                                                                              {"strftime_now", strftime_now}};
    for (const auto& [name, function] : functions) globals.names.emplace_back(&name, value{global_function{function}});
    std::size_t input = 0;
    for (const auto& [name, v] : variables) assign(globals, name, import(v, input, 1));
    intermediate_limit_ = limits_.intermediate + 64 * input;
    root_ = std::make_unique<scope>();
    root_->outer = &globals;
    scope_ = root_.get();
    std::string out;
    out_ = &out;
    execute(program);
    check_output();
    return out;
  }

 private:
  using kind = expression::kind;
  enum class flow { on, loop_break, loop_continue };

  // ---- errors and budgets ----

  [[noreturn]] void fail(const std::string& why) const {
    throw template_error(what_ + ": line " + std::to_string(line_) + ": " + why, line_);
  }
  void step(std::size_t n = 1) {
    steps_ += static_cast<std::int64_t>(n);
    if (steps_ > limits_.steps)
      fail("more than " + std::to_string(limits_.steps) + " steps; does the template loop forever?");
  }
  // Bytes that a value is made of.
  void charge(std::size_t n) {
    if (n > intermediate_limit_ - intermediate_)
      fail("values of more than " + std::to_string(intermediate_limit_) +
           " bytes in all; raise template_limits::intermediate");
    intermediate_ += n;
    step(n >> 10);
  }
  void read(std::size_t n) { charge(n / 16); }
  void check_output() const {
    if (out_->size() > limits_.output)
      fail("more than " + std::to_string(limits_.output) + " bytes of output; raise template_limits::output");
  }

  struct nesting {
    interpreter& i;
    explicit nesting(interpreter& in) : i(in) {
      if (++i.depth_ > deepest_evaluation) {
        --i.depth_;
        i.fail("evaluation nested deeper than " + std::to_string(deepest_evaluation));
      }
    }
    ~nesting() { --i.depth_; }
  };

  // ---- values ----

  value make(std::string s) {
    charge(s.size() + 32);
    return {std::make_shared<const std::string>(std::move(s))};
  }
  static int depth_of(const value& v) {
    if (const auto* l = v.as<list>()) return l->data->depth;
    if (const auto* d = v.as<dict>()) return d->data->depth;
    if (const auto* m = v.as<method>()) return depth_of(m->data->self) + 1;
    if (const auto* l = v.as<loop_ref>()) return l->data->items->depth + 1;
    return 0;
  }
  int deeper(int inner) const {
    if (inner + 1 > deepest_value) fail("a value nested deeper than " + std::to_string(deepest_value));
    return inner + 1;
  }
  value make_list(std::vector<value> items, bool tuple = false) {
    charge(items.size() * sizeof(value) + 64);
    auto d = std::make_shared<list_data>();
    int inner = 0;
    for (const auto& v : items) inner = std::max(inner, depth_of(v));
    d->depth = deeper(inner);
    d->items = std::move(items);
    d->tuple = tuple;
    return {list{std::move(d)}};
  }
  value make_dict(std::vector<std::pair<value, value>> items) {
    charge(items.size() * 2 * sizeof(value) + 64);
    auto d = std::make_shared<dict_data>();
    int inner = 0;
    for (const auto& [k, v] : items) inner = std::max({inner, depth_of(k), depth_of(v)});
    d->depth = deeper(inner);
    d->items = std::move(items);
    return {dict{std::move(d)}};
  }
  value import(const io::json::value& v, std::size_t& size, int depth) {
    if (depth > deepest_value) fail("a variable nested deeper than " + std::to_string(deepest_value));
    size += 16;
    if (v.is_null()) return {nullptr};
    if (v.is_boolean()) return {v.boolean()};
    if (v.is_integer()) return {v.integer()};
    if (v.is_real()) return {v.real()};
    if (v.is_string()) {
      if (!unicode::valid(v.string())) fail("a variable holds text that is not valid UTF-8");
      size += v.string().size();
      return {std::make_shared<const std::string>(v.string())};
    }
    if (v.is_array()) {
      auto d = std::make_shared<list_data>();
      for (const auto& x : v.array()) d->items.push_back(import(x, size, depth + 1));
      for (const auto& x : d->items) d->depth = std::max(d->depth, deeper(depth_of(x)));
      return {list{std::move(d)}};
    }
    auto d = std::make_shared<dict_data>();
    for (const auto& [key, x] : v.object()) {
      size += key.size() + 16;
      d->items.emplace_back(value{std::make_shared<const std::string>(key)}, import(x, size, depth + 1));
      d->depth = std::max(d->depth, deeper(depth_of(d->items.back().second)));
    }
    return {dict{std::move(d)}};
  }
  value nothing(std::string why) { return {undefined{std::make_shared<const std::string>(std::move(why))}}; }
  [[noreturn]] void fail_undefined(const value& v) const {
    const auto* u = v.as<undefined>();
    fail(u && u->why ? *u->why : "an undefined value");
  }

  static std::string_view type(const value& v) {
    static constexpr std::string_view names[] = {"Undefined", "NoneType", "bool",       "int",       "float",
                                                 "str",       "list",     "dict",       "Namespace", "Macro",
                                                 "function",  "method",   "LoopContext"};
    if (const auto* l = v.as<list>(); l && l->data->tuple) return "tuple";
    return names[v.data.index()];
  }
  static bool number(const value& v) { return v.is<bool>() || v.is<std::int64_t>() || v.is<double>(); }
  static bool integral(const value& v) { return v.is<bool>() || v.is<std::int64_t>(); }
  static std::int64_t integer(const value& v) {
    const auto* b = v.as<bool>();
    return b ? (*b ? 1 : 0) : *v.as<std::int64_t>();
  }
  static double real(const value& v) {
    const auto* d = v.as<double>();
    return d ? *d : static_cast<double>(integer(v));
  }
  std::int64_t whole(const value& v, const char* what) const {
    if (!integral(v)) fail(std::string(what) + ": expected an integer, got " + std::string(type(v)));
    return integer(v);
  }

  bool truth(const value& v) const {
    if (v.is<undefined>() || v.is<std::nullptr_t>()) return false;
    if (const auto* b = v.as<bool>()) return *b;
    if (const auto* i = v.as<std::int64_t>()) return *i != 0;
    if (const auto* d = v.as<double>()) return *d != 0;
    if (const auto* s = v.text()) return !s->empty();
    if (const auto* l = v.as<list>()) return !l->data->items.empty();
    if (const auto* d = v.as<dict>()) return !d->data->items.empty();
    return true;
  }

  bool equal(const value& a, const value& b) {
    step();
    if (number(a) && number(b)) {
      return integral(a) && integral(b) ? integer(a) == integer(b) : real(a) == real(b);
    }
    if (a.data.index() != b.data.index()) return false;
    if (const auto* s = a.text()) {
      if (s->size() == b.text()->size()) read(s->size());
      return *s == *b.text();
    }
    if (const auto* l = a.as<list>()) {
      const auto &x = *l->data, &y = *b.as<list>()->data;
      if (x.tuple != y.tuple || x.items.size() != y.items.size()) return false;
      for (std::size_t i = 0; i < x.items.size(); ++i)
        if (!equal(x.items[i], y.items[i])) return false;
      return true;
    }
    if (const auto* d = a.as<dict>()) {
      const auto &x = *d->data, &y = *b.as<dict>()->data;
      if (x.items.size() != y.items.size()) return false;
      for (const auto& [k, v] : x.items) {
        const value* other = lookup(y, k);
        if (!other || !equal(v, *other)) return false;
      }
      return true;
    }
    if (const auto* n = a.as<namespace_ref>()) return n->index == b.as<namespace_ref>()->index;
    return a.is<undefined>() || a.is<std::nullptr_t>();
  }

  const value* lookup(const dict_data& d, const value& key) {
    step(1 + d.items.size() / 32);
    for (const auto& [k, v] : d.items)
      if (k.data.index() == key.data.index() || (number(k) && number(key))) {
        if (const auto* s = k.text()) {
          if (*s == *key.text()) return &v;
        } else if (equal(k, key)) {
          return &v;
        }
      }
    return nullptr;
  }
  const value* lookup(const dict_data& d, std::string_view key) {
    step(1 + d.items.size() / 32);
    for (const auto& [k, v] : d.items)
      if (const auto* s = k.text(); s && *s == key) return &v;
    return nullptr;
  }

  // ---- text of values ----

  void represent(const value& v, std::string& out) {
    step();
    if (const auto* s = v.text()) {
      const bool both = s->find('\'') != std::string::npos && s->find('"') == std::string::npos;
      const char quote = both ? '"' : '\'';
      charge(s->size());
      out += quote;
      for (std::size_t i = 0; i < s->size();) {
        const std::size_t first = i;
        const char32_t c = unicode::next(*s, i);
        if (c == static_cast<char32_t>(quote) || c == '\\') {
          out += '\\';
          out += static_cast<char>(c);
        } else if (c == '\n') {
          out += "\\n";
        } else if (c == '\r') {
          out += "\\r";
        } else if (c == '\t') {
          out += "\\t";
        } else if (!printable(c)) {
          char b[12];
          const int digits = c < 0x100 ? 2 : c < 0x10000 ? 4 : 8;
          const auto end = std::to_chars(b, b + sizeof b, static_cast<std::uint32_t>(c), 16).ptr;
          out += digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U";
          out.append(static_cast<std::size_t>(digits - (end - b)), '0').append(b, end);
        } else {
          out.append(*s, first, i - first);
        }
      }
      out += quote;
      return;
    }
    if (const auto* l = v.as<list>()) {
      out += l->data->tuple ? '(' : '[';
      bool first = true;
      for (const auto& x : l->data->items) {
        if (!first) out += ", ";
        first = false;
        represent(x, out);
      }
      if (l->data->tuple && l->data->items.size() == 1) out += ',';
      out += l->data->tuple ? ')' : ']';
      return;
    }
    if (const auto* d = v.as<dict>()) {
      out += '{';
      bool first = true;
      for (const auto& [k, x] : d->data->items) {
        if (!first) out += ", ";
        first = false;
        represent(k, out);
        out += ": ";
        represent(x, out);
      }
      out += '}';
      return;
    }
    if (v.is<undefined>()) {
      out += "Undefined";
      return;
    }
    out += show(v);
  }
  static bool printable(char32_t c) {
    if (c == ' ') return true;
    switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
      case UTF8PROC_CATEGORY_CC:
      case UTF8PROC_CATEGORY_CF:
      case UTF8PROC_CATEGORY_CS:
      case UTF8PROC_CATEGORY_CO:
      case UTF8PROC_CATEGORY_CN:
      case UTF8PROC_CATEGORY_ZL:
      case UTF8PROC_CATEGORY_ZP:
      case UTF8PROC_CATEGORY_ZS: return false;
      default: return true;
    }
  }
  static std::string show_real(double d) {
    if (std::isnan(d)) return "nan";
    if (std::isinf(d)) return d < 0 ? "-inf" : "inf";
    return io::json::dump_real(d);
  }
  std::string show(const value& v) {
    if (const auto* s = v.text()) return *s;
    if (v.is<undefined>()) return {};
    if (v.is<std::nullptr_t>()) return "None";
    if (const auto* b = v.as<bool>()) return *b ? "True" : "False";
    if (const auto* i = v.as<std::int64_t>()) return std::to_string(*i);
    if (const auto* d = v.as<double>()) return show_real(*d);
    if (v.is<list>() || v.is<dict>()) {
      std::string out;
      represent(v, out);
      charge(out.size());
      return out;
    }
    fail("a " + std::string(type(v)) + " cannot be written as text");
  }

  void to_json(const value& v, const io::json::style& s, int level, std::string& out) {
    step();
    if (out.size() > limits_.output) fail("more than " + std::to_string(limits_.output) + " bytes of JSON");
    const auto line = [&](int n) {
      if (s.indent < 0) return;
      out += '\n';
      out.append(static_cast<std::size_t>(n) * static_cast<std::size_t>(s.indent), ' ');
    };
    const char* const comma = s.indent >= 0 ? "," : ", ";
    if (v.is<std::nullptr_t>()) {
      out += "null";
    } else if (const auto* b = v.as<bool>()) {
      out += *b ? "true" : "false";
    } else if (const auto* i = v.as<std::int64_t>()) {
      out += std::to_string(*i);
    } else if (const auto* d = v.as<double>()) {
      out += io::json::dump_real(*d);
    } else if (const auto* t = v.text()) {
      charge(t->size());
      out += io::json::dump_string(*t, s.ensure_ascii);
    } else if (const auto* l = v.as<list>()) {
      if (l->data->items.empty()) {
        out += "[]";
        return;
      }
      out += '[';
      bool first = true;
      for (const auto& x : l->data->items) {
        if (!first) out += comma;
        first = false;
        line(level + 1);
        to_json(x, s, level + 1, out);
      }
      line(level);
      out += ']';
    } else if (const auto* m = v.as<dict>()) {
      if (m->data->items.empty()) {
        out += "{}";
        return;
      }
      auto items = m->data->items;
      charge(items.size() * 2 * sizeof(value));
      if (s.sort_keys) {
        for (const auto& [k, x] : items)
          if (!k.text()) fail("tojson: sort_keys needs text keys");
        ql::detail::stable_sort(items.begin(), items.end(),
                                [](const auto& x, const auto& y) { return *x.first.text() < *y.first.text(); });
      }
      out += '{';
      bool first = true;
      for (const auto& [k, x] : items) {
        if (!first) out += comma;
        first = false;
        line(level + 1);
        if (k.text()) {
          out += io::json::dump_string(*k.text(), s.ensure_ascii);
        } else if (k.is<bool>() || number(k) || k.is<std::nullptr_t>()) {
          out += '"';
          to_json(k, s, level, out);
          out += '"';
        } else {
          fail("tojson: keys must be text or numbers");
        }
        out += ": ";
        to_json(x, s, level + 1, out);
      }
      line(level);
      out += '}';
    } else {
      fail("tojson: a value of type " + std::string(type(v)) + " is not JSON serializable");
    }
  }

  // ---- sequences ----

  static std::size_t characters(std::string_view s) {
    return static_cast<std::size_t>(
        std::count_if(s.begin(), s.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
  }
  // Byte position of the character with that number (or the end).
  static std::size_t position(std::string_view s, std::size_t character) {
    std::size_t i = 0;
    for (; character > 0 && i < s.size(); --character) i += unicode::length(s[i]);
    return i;
  }
  std::shared_ptr<const list_data> items_of(const value& v) {
    if (const auto* l = v.as<list>()) return l->data;
    std::vector<value> items;
    if (const auto* s = v.text()) {
      for (std::size_t i = 0; i < s->size();) {
        const std::size_t n = unicode::length((*s)[i]);
        step();
        items.push_back(make(s->substr(i, n)));
        i += n;
      }
    } else if (const auto* d = v.as<dict>()) {
      for (const auto& [k, x] : d->data->items) items.push_back(k);
    } else if (!v.is<undefined>()) {
      fail("a value of type " + std::string(type(v)) + " is not iterable");
    }
    const value made = make_list(std::move(items));
    return made.as<list>()->data;
  }
  std::size_t size_of(const value& v) {
    if (v.is<undefined>()) return 0;
    if (const auto* s = v.text()) {
      read(s->size());
      return characters(*s);
    }
    if (const auto* l = v.as<list>()) return l->data->items.size();
    if (const auto* d = v.as<dict>()) return d->data->items.size();
    fail("a value of type " + std::string(type(v)) + " has no length");
  }
  bool contains(const value& container, const value& item) {
    if (const auto* s = container.text()) {
      const auto* part = item.text();
      if (!part) fail("'in <string>' needs a string on the left, not " + std::string(type(item)));
      read(s->size());
      return s->find(*part) != std::string::npos;
    }
    if (const auto* d = container.as<dict>()) return lookup(*d->data, item) != nullptr;
    if (container.is<undefined>()) return false;
    if (!container.is<list>()) fail("a value of type " + std::string(type(container)) + " is not iterable");
    for (const auto& x : container.as<list>()->data->items)
      if (equal(x, item)) return true;
    return false;
  }

  // ---- attributes and items ----

  value attribute(const value& of, const std::string& name) {
    if (of.is<undefined>()) fail_undefined(of);
    if (const auto* n = of.as<namespace_ref>()) {
      for (const auto& [k, v] : namespaces_[n->index])
        if (k == name) return v;
      return nothing("the namespace has no attribute '" + name + "'");
    }
    if (const auto* l = of.as<loop_ref>()) return loop_attribute(*l->data, name);
    if (const auto* d = of.as<dict>()) {
      if (is_dict_method(name)) return bound(of, name);
      if (const value* v = lookup(*d->data, name)) return *v;
    } else if (of.text() && is_text_method(name)) {
      return bound(of, name);
    } else if (of.is<list>() && (name == "index" || name == "count")) {
      return bound(of, name);
    }
    return nothing("'" + std::string(type(of)) + " object' has no attribute '" + name + "'");
  }
  value bound(const value& self, const std::string& name) {
    charge(64);
    auto m = std::make_shared<method_data>();
    m->self = self;
    m->name = name;
    return {method{std::move(m)}};
  }
  static bool is_dict_method(std::string_view n) {
    static constexpr std::string_view names[] = {"get",      "items", "keys",    "values",     "copy",  "clear",
                                                 "fromkeys", "pop",   "popitem", "setdefault", "update"};
    return among(names, n);
  }
  static bool is_text_method(std::string_view n) {
    static constexpr std::string_view names[] = {
        "capitalize", "count",  "endswith", "find",       "isalnum",      "isalpha",      "isdigit",
        "isspace",    "join",   "lower",    "lstrip",     "removeprefix", "removesuffix", "replace",
        "rfind",      "rsplit", "rstrip",   "split",      "splitlines",   "startswith",   "strip",
        "title",      "upper",  "format",   "format_map", "encode"};
    return among(names, n);
  }
  value loop_attribute(const loop_data& l, const std::string& name) {
    const auto n = static_cast<std::int64_t>(l.items->items.size()), i = static_cast<std::int64_t>(l.index);
    if (name == "index") return {i + 1};
    if (name == "index0") return {i};
    if (name == "revindex") return {n - i};
    if (name == "revindex0") return {n - i - 1};
    if (name == "first") return {i == 0};
    if (name == "last") return {i + 1 == n};
    if (name == "length") return {n};
    if (name == "depth") return {static_cast<std::int64_t>(l.depth)};
    if (name == "depth0") return {static_cast<std::int64_t>(l.depth - 1)};
    if (name == "previtem") return i > 0 ? l.items->items[l.index - 1] : nothing("there is no previous item");
    if (name == "nextitem") return i + 1 < n ? l.items->items[l.index + 1] : nothing("there is no next item");
    fail("loop." + name + " is not supported");
  }

  value item(const value& of, const value& key) {
    if (of.is<undefined>()) fail_undefined(of);
    if (const auto* d = of.as<dict>()) {
      if (const value* v = lookup(*d->data, key)) return *v;
    } else if (integral(key) && (of.is<list>() || of.text())) {
      auto n = static_cast<std::int64_t>(size_of(of));
      auto i = integer(key);
      if (i < 0) i += n;
      if (i >= 0 && i < n) {
        if (const auto* l = of.as<list>()) return l->data->items[static_cast<std::size_t>(i)];
        const std::string& s = *of.text();
        const std::size_t at = position(s, static_cast<std::size_t>(i));
        return make(s.substr(at, unicode::length(s[at])));
      }
      return nothing("index " + std::to_string(integer(key)) + " is out of range");
    }
    if (const auto* name = key.text()) {
      if (!of.is<dict>() || is_dict_method(*name)) return attribute(of, *name);
      return nothing("'dict object' has no attribute '" + name->substr(0, 80) + "'");
    }
    return nothing("a value of type " + std::string(type(of)) + " has no such item");
  }

  value slice(const value& of, const value* from, const value* to, const value* by) {
    if (of.is<undefined>()) fail_undefined(of);
    if (!of.is<list>() && !of.text()) fail("a value of type " + std::string(type(of)) + " cannot be sliced");
    const auto given = [&](const value* v) { return v && !v->is<std::nullptr_t>(); };
    const std::int64_t stride = given(by) ? whole(*by, "slice") : 1;
    if (stride == 0) fail("a slice with step 0");
    const auto n = static_cast<std::int64_t>(size_of(of));
    const auto bound_of = [&](const value* v, std::int64_t otherwise) {
      if (!given(v)) return otherwise;
      std::int64_t i = whole(*v, "slice");
      if (i < 0) i += n;
      return stride > 0 ? std::clamp<std::int64_t>(i, 0, n) : std::clamp<std::int64_t>(i, -1, n - 1);
    };
    const std::int64_t first = bound_of(from, stride > 0 ? 0 : n - 1), last = bound_of(to, stride > 0 ? n : -1);
    if (const auto* s = of.text(); s && stride == 1) {
      const std::size_t at = position(*s, static_cast<std::size_t>(first));
      const auto rest = std::string_view(*s).substr(at);
      return make(s->substr(at, last <= first ? 0 : position(rest, static_cast<std::size_t>(last - first))));
    }
    const auto all = items_of(of);
    std::vector<value> items;
    const auto more = [&](std::int64_t i) { return stride > 0 ? i < last : i > last; };
    for (std::int64_t i = first; more(i);) {
      items.push_back(all->items[static_cast<std::size_t>(i)]);
      if (stride > 0 ? stride > n : stride < -n) break;
      i += stride;
    }
    if (!of.text()) return make_list(std::move(items), of.as<list>()->data->tuple);
    std::string joined;
    for (const auto& c : items) joined += *c.text();
    return make(std::move(joined));
  }

  // ---- operators ----

  [[noreturn]] void bad_operands(std::string_view op, const value& a, const value& b) const {
    if (a.is<undefined>()) fail_undefined(a);
    if (b.is<undefined>()) fail_undefined(b);
    if (op == "+" && a.text()) fail("can only concatenate str (not \"" + std::string(type(b)) + "\") to str");
    fail("'" + std::string(op) + "' of " + std::string(type(a)) + " and " + std::string(type(b)) + " is not defined");
  }
  value binary(const std::string& op, const value& a, const value& b) {
    if (op == "~") return make(show(a) + show(b));
    if (op == "+") {
      if (a.text() && b.text()) {
        charge(a.text()->size() + b.text()->size());
        return {std::make_shared<const std::string>(*a.text() + *b.text())};
      }
      if (a.is<list>() && b.is<list>() && a.as<list>()->data->tuple == b.as<list>()->data->tuple) {
        auto items = a.as<list>()->data->items;
        const auto& more = b.as<list>()->data->items;
        charge((items.size() + more.size()) * sizeof(value));
        items.insert(items.end(), more.begin(), more.end());
        return make_list(std::move(items), a.as<list>()->data->tuple);
      }
    }
    if (op == "*" && ((a.text() && integral(b)) || (b.text() && integral(a)) || (a.is<list>() && integral(b)) ||
                      (b.is<list>() && integral(a))))
      return repeat(integral(b) ? a : b, integral(b) ? integer(b) : integer(a));
    if (op == "%" && a.text()) fail("formatting by % is not supported; use ~");
    if (!number(a) || !number(b)) bad_operands(op, a, b);
    if (op == "/") {
      if (real(b) == 0) fail("division by zero");
      return {real(a) / real(b)};
    }
    if (integral(a) && integral(b)) {
      const std::int64_t x = integer(a), y = integer(b);
      std::int64_t r = 0;
      bool over = false;
      if (op == "+") {
        over = __builtin_add_overflow(x, y, &r);
      } else if (op == "-") {
        over = __builtin_sub_overflow(x, y, &r);
      } else if (op == "*") {
        over = __builtin_mul_overflow(x, y, &r);
      } else if (op == "**") {
        if (y < 0) return {std::pow(static_cast<double>(x), static_cast<double>(y))};
        r = 1;
        if (x == 0 || x == 1)
          r = y == 0 ? 1 : x;
        else if (x == -1)
          r = y % 2 == 0 ? 1 : -1;
        else
          for (std::int64_t k = 0; k < y && !over; ++k) over = __builtin_mul_overflow(r, x, &r);
      } else {
        if (y == 0) fail("division by zero");
        if (y == -1) {
          if (op == "%") return {std::int64_t{0}};
          over = __builtin_sub_overflow(std::int64_t{0}, x, &r);
        } else {
          const bool down = x % y != 0 && (x < 0) != (y < 0);
          r = op == "//" ? x / y - (down ? 1 : 0) : x % y + (down ? y : 0);
        }
      }
      if (over) fail("an integer beyond 64 bits");
      return {r};
    }
    const double x = real(a), y = real(b);
    if (op == "+") return {x + y};
    if (op == "-") return {x - y};
    if (op == "*") return {x * y};
    if (op == "**") return {std::pow(x, y)};
    if (y == 0) fail("division by zero");
    if (op == "//") return {std::floor(x / y)};
    const double m = std::fmod(x, y);
    return {m != 0 && (m < 0) != (y < 0) ? m + y : m};
  }
  value repeat(const value& v, std::int64_t n) {
    const auto times = static_cast<std::size_t>(std::max<std::int64_t>(n, 0));
    const std::size_t unit = v.text() ? v.text()->size() : v.as<list>()->data->items.size() * sizeof(value);
    if (unit != 0 && times > intermediate_limit_ / unit) charge(intermediate_limit_ + 1);
    charge(unit * times);
    if (v.text()) {
      std::string s;
      if (unit != 0)
        for (std::size_t i = 0; i < times; ++i) s += *v.text();
      return make(std::move(s));
    }
    std::vector<value> items;
    const auto& once = v.as<list>()->data->items;
    if (unit != 0)
      for (std::size_t i = 0; i < times; ++i) items.insert(items.end(), once.begin(), once.end());
    return make_list(std::move(items), v.as<list>()->data->tuple);
  }
  // -1, 0 or 1
  int order(const value& a, const value& b, std::string_view op) {
    step();
    if (number(a) && number(b)) {
      if (integral(a) && integral(b)) return integer(a) < integer(b) ? -1 : integer(a) > integer(b);
      return real(a) < real(b) ? -1 : real(a) > real(b);
    }
    if (a.text() && b.text()) {
      read(std::min(a.text()->size(), b.text()->size()));
      const int c = a.text()->compare(*b.text());
      return c < 0 ? -1 : c > 0;
    }
    if (a.is<list>() && b.is<list>()) {
      const auto &x = a.as<list>()->data->items, &y = b.as<list>()->data->items;
      for (std::size_t i = 0; i < x.size() && i < y.size(); ++i)
        if (const int c = equal(x[i], y[i]) ? 0 : order(x[i], y[i], op); c != 0) return c;
      return x.size() < y.size() ? -1 : x.size() > y.size();
    }
    bad_operands(op, a, b);
  }
  bool compare(const std::string& op, const value& a, const value& b) {
    if (op == "==") return equal(a, b);
    if (op == "!=") return !equal(a, b);
    if (op == "in") return contains(b, a);
    if (op == "not in") return !contains(b, a);
    const int c = order(a, b, op);
    return op == "<" ? c < 0 : op == "<=" ? c <= 0 : op == ">" ? c > 0 : c >= 0;
  }

  // ---- evaluation ----

  value evaluate(const expression& e) {
    const nesting n(*this);
    line_ = e.line;
    step();
    switch (e.what) {
      case kind::none: return {nullptr};
      case kind::boolean: return {e.truth};
      case kind::integer: return {e.number};
      case kind::real: return {e.real};
      case kind::string: return make(e.text);
      case kind::name: return e.text.empty() ? captured_ : variable(e.text);
      case kind::list:
      case kind::tuple: {
        std::vector<value> items;
        for (const auto& p : e.parts) items.push_back(evaluate(*p));
        return make_list(std::move(items), e.what == kind::tuple);
      }
      case kind::dict: {
        std::vector<std::pair<value, value>> items;
        for (std::size_t i = 0; i + 1 < e.parts.size(); i += 2) {
          value key = evaluate(*e.parts[i]);
          put(items, std::move(key), evaluate(*e.parts[i + 1]));
        }
        return make_dict(std::move(items));
      }
      case kind::attribute: {
        const value of = evaluate(*e.parts[0]);
        line_ = e.line;
        return attribute(of, e.text);
      }
      case kind::item: {
        const value of = evaluate(*e.parts[0]);
        const value key = evaluate(*e.parts[1]);
        line_ = e.line;
        return item(of, key);
      }
      case kind::slice: {
        const value of = evaluate(*e.parts[0]);
        std::optional<value> part[3];
        for (std::size_t i = 0; i < 3; ++i)
          if (e.parts[i + 1]) part[i] = evaluate(*e.parts[i + 1]);
        line_ = e.line;
        return slice(of, part[0] ? &*part[0] : nullptr, part[1] ? &*part[1] : nullptr, part[2] ? &*part[2] : nullptr);
      }
      case kind::call: {
        const value f = evaluate(*e.parts[0]);
        const auto a = arguments(e);
        line_ = e.line;
        return call(f, a);
      }
      case kind::filter: {
        const value v = evaluate(*e.parts[0]);
        const auto a = arguments(e);
        line_ = e.line;
        return filter(e.text, v, a);
      }
      case kind::test: {
        const value v = evaluate(*e.parts[0]);
        const auto a = arguments(e);
        line_ = e.line;
        return {test(e.text, v, a.values) != e.truth};
      }
      case kind::negate:
      case kind::plus: {
        const value v = evaluate(*e.parts[0]);
        if (!number(v)) bad_operands(e.what == kind::negate ? "-" : "+", v, v);
        if (e.what == kind::plus) return integral(v) ? value{integer(v)} : v;
        return integral(v) ? binary("-", {std::int64_t{0}}, v) : value{-real(v)};
      }
      case kind::logical_not: return {!truth(evaluate(*e.parts[0]))};
      case kind::binary: {
        const value a = evaluate(*e.parts[0]);
        const value b = evaluate(*e.parts[1]);
        line_ = e.line;
        return binary(e.text, a, b);
      }
      case kind::compare: {
        value left = evaluate(*e.parts[0]);
        for (std::size_t i = 0; i < e.operators.size(); ++i) {
          value right = evaluate(*e.parts[i + 1]);
          line_ = e.line;
          if (!compare(e.operators[i], left, right)) return {false};
          left = std::move(right);
        }
        return {true};
      }
      case kind::logical_and: {
        value a = evaluate(*e.parts[0]);
        return truth(a) ? evaluate(*e.parts[1]) : a;
      }
      case kind::logical_or: {
        value a = evaluate(*e.parts[0]);
        return truth(a) ? a : evaluate(*e.parts[1]);
      }
      case kind::conditional:
        if (truth(evaluate(*e.parts[1]))) return evaluate(*e.parts[0]);
        return e.parts[2] ? evaluate(*e.parts[2]) : nothing("the condition without else is false");
    }
    return {nullptr};
  }

  void put(std::vector<std::pair<value, value>>& items, value key, value v) {
    if (!key.text() && !number(key) && !key.is<std::nullptr_t>())
      fail("keys of type " + std::string(type(key)) + " are not supported");
    step(1 + items.size() / 32);
    for (auto& [k, x] : items)
      if (equal(k, key)) {
        x = std::move(v);
        return;
      }
    items.emplace_back(std::move(key), std::move(v));
  }

  value variable(const std::string& name) {
    for (const scope* s = scope_; s; s = s->outer)
      for (const auto& [k, v] : s->names)
        if (k == &name || *k == name) return v;
    return nothing("'" + name + "' is undefined");
  }
  static void assign(scope& s, const std::string& name, value v) {
    for (auto& [k, x] : s.names)
      if (*k == name) {
        x = std::move(v);
        return;
      }
    s.names.emplace_back(&name, std::move(v));
  }

  positional_and_named arguments(const expression& e) {
    positional_and_named a;
    for (const auto& x : e.arguments) {
      value v = evaluate(*x.value);
      if (x.name.empty()) {
        a.values.push_back(std::move(v));
      } else if (x.name == "*") {
        const auto all = items_of(v);
        a.values.insert(a.values.end(), all->items.begin(), all->items.end());
      } else if (x.name == "**") {
        if (!v.is<dict>()) fail("** needs a mapping, got " + std::string(type(v)));
        for (const auto& [k, y] : v.as<dict>()->data->items) {
          if (!k.text()) fail("** needs a mapping of names");
          a.named.emplace_back(*k.text(), y);
        }
      } else {
        a.named.emplace_back(x.name, std::move(v));
      }
    }
    return a;
  }
  // Arguments by position or name; checks that there are no others.
  template <std::size_t N>
  std::array<const value*, N> bind(const std::string& what, const positional_and_named& a,
                                   const std::string_view (&names)[N]) const {
    std::array<const value*, N> out{};
    if (a.values.size() > N) fail(what + ": too many arguments");
    for (std::size_t i = 0; i < a.values.size(); ++i) out[i] = &a.values[i];
    for (const auto& [name, v] : a.named) {
      const auto at = std::find(std::begin(names), std::end(names), name);
      if (at == std::end(names)) fail(what + ": the argument '" + name + "' is not supported");
      out[static_cast<std::size_t>(at - std::begin(names))] = &v;
    }
    return out;
  }
  const std::string& text_argument(const value* v, const std::string& what) const {
    if (!v || !v->text()) fail(what + ": expected a string" + (v ? ", got " + std::string(type(*v)) : ""));
    return *v->text();
  }

  value call(const value& f, const positional_and_named& a) {
    if (f.is<undefined>()) fail_undefined(f);
    if (const auto* g = f.as<global_function>()) return call_global(*g, a);
    if (const auto* m = f.as<macro_ref>()) return call_macro(*m, a);
    if (const auto* m = f.as<method>()) return call_method(m->data->self, m->data->name, a);
    if (f.is<loop_ref>()) fail("calling loop (a recursive loop) is not supported");
    fail("a value of type " + std::string(type(f)) + " cannot be called");
  }

  value call_global(const global_function& g, const positional_and_named& a) {
    using enum global_function::kind;
    switch (g.what) {
      case raise: {
        const auto arg = bind("raise_exception", a, {"message"});
        fail("the template raises: " + (arg[0] ? show(*arg[0]) : std::string()));
      }
      case range: {
        if (!a.named.empty() || a.values.empty() || a.values.size() > 3) fail("range: expected one to three numbers");
        std::int64_t n[3] = {0, 0, 1};
        for (std::size_t i = 0; i < a.values.size(); ++i) n[i] = whole(a.values[i], "range");
        if (a.values.size() == 1) std::swap(n[0], n[1]);
        if (n[2] == 0) fail("range: step 0");
        std::vector<value> items;
        for (std::int64_t i = n[0]; n[2] > 0 ? i < n[1] : i > n[1];) {
          step();
          items.push_back({i});
          if (items.size() > 100'000) fail("range: more than 100000 numbers");
          if (__builtin_add_overflow(i, n[2], &i)) break;
        }
        return make_list(std::move(items));
      }
      case make_dict: {
        std::vector<std::pair<value, value>> items;
        if (a.values.size() > 1 || (a.values.size() == 1 && !a.values[0].is<dict>()))
          fail("dict: expected names or one dict");
        if (!a.values.empty()) items = a.values[0].as<dict>()->data->items;
        for (const auto& [k, v] : a.named) put(items, make(k), v);
        return this->make_dict(std::move(items));
      }
      case make_namespace: {
        std::vector<std::pair<std::string, value>> items;
        if (a.values.size() > 1 || (a.values.size() == 1 && !a.values[0].is<dict>()))
          fail("namespace: expected names or one dict");
        if (!a.values.empty())
          for (const auto& [k, v] : a.values[0].as<dict>()->data->items)
            if (k.text()) items.emplace_back(*k.text(), v);
        for (const auto& [k, v] : a.named) items.emplace_back(k, v);
        charge(items.size() * 64 + 64);
        namespaces_.push_back(std::move(items));
        return {namespace_ref{namespaces_.size() - 1}};
      }
      case strftime_now: {
        const auto arg = bind("strftime_now", a, {"format"});
        return make(time_text(text_argument(arg[0], "strftime_now")));
      }
    }
    return {nullptr};
  }

  std::string time_text(const std::string& format) const {
    if (!now_) fail("strftime_now needs a time: set render_options::now");
    const std::int64_t seconds = *now_;
    std::int64_t day = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) rest += 86400, --day;
    // Civil date from days since 1970-01-01, in 400-year eras that start on 1 March.
    const std::int64_t z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    const std::int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365,
                       doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    const std::int64_t mp = (5 * doy + 2) / 153, d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9;
    const std::int64_t y = yoe + era * 400 + (m <= 2 ? 1 : 0);
    static constexpr std::string_view months[] = {"January",   "February", "March",    "April",
                                                  "May",       "June",     "July",     "August",
                                                  "September", "October",  "November", "December"};
    static constexpr std::string_view days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                "Thursday", "Friday", "Saturday"};
    const auto month = months[static_cast<std::size_t>(m - 1)];
    const auto weekday = days[static_cast<std::size_t>(((day + 4) % 7 + 7) % 7)];
    const auto two = [](std::int64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
    std::string out;
    for (std::size_t i = 0; i < format.size(); ++i) {
      if (format[i] != '%' || i + 1 == format.size()) {
        out += format[i];
        continue;
      }
      const std::int64_t hour = rest / 3600;
      switch (format[++i]) {
        case 'Y': out += std::to_string(y); break;
        case 'y': out += two(((y % 100) + 100) % 100); break;
        case 'm': out += two(m); break;
        case 'd': out += two(d); break;
        case 'B': out += month; break;
        case 'b': out += month.substr(0, 3); break;
        case 'A': out += weekday; break;
        case 'a': out += weekday.substr(0, 3); break;
        case 'H': out += two(hour); break;
        case 'I': out += two(hour % 12 == 0 ? 12 : hour % 12); break;
        case 'p': out += hour < 12 ? "AM" : "PM"; break;
        case 'M': out += two(rest / 60 % 60); break;
        case 'S': out += two(rest % 60); break;
        case '%': out += '%'; break;
        default: fail(std::string("strftime_now: %") + format[i] + " is not supported");
      }
    }
    return out;
  }

  value call_macro(const macro_ref& m, const positional_and_named& a) {
    const statement& s = *m.definition;
    if (++macros_ > deepest_macro) {
      --macros_;
      fail("macros call each other deeper than " + std::to_string(deepest_macro));
    }
    const nesting n(*this);
    if (a.values.size() > s.targets.size())
      fail("macro " + s.text + ": takes " + std::to_string(s.targets.size()) + " arguments");
    std::vector<std::optional<value>> given(s.targets.size());
    for (std::size_t i = 0; i < a.values.size(); ++i) given[i] = a.values[i];
    for (const auto& [name, v] : a.named) {
      const auto at = std::find(s.targets.begin(), s.targets.end(), name);
      if (at == s.targets.end()) fail("macro " + s.text + ": has no parameter '" + name + "'");
      given[static_cast<std::size_t>(at - s.targets.begin())] = v;
    }
    std::string text;
    {
      const inside in(*this, m.defined_in);
      const std::size_t first_default = s.targets.size() - s.defaults.size();
      for (std::size_t i = 0; i < s.targets.size(); ++i) {
        value v = given[i]             ? *given[i]
                  : i >= first_default ? evaluate(*s.defaults[i - first_default])
                                       : nothing("the parameter '" + s.targets[i] + "' was not provided");
        assign(*scope_, s.targets[i], std::move(v));
      }
      text = capture(s.body);
    }
    --macros_;
    return make(std::move(text));
  }

  std::string capture(const block& b) {
    std::string text;
    std::string* const outer = std::exchange(out_, &text);
    execute(b);  // an exception ends the rendering: out_ is not used again
    out_ = outer;
    charge(text.size());
    return text;
  }

  // ---- statements ----

  // A scope within another; kept to the end if a macro may still look into it.
  struct inside {
    interpreter& i;
    scope* const before;
    std::unique_ptr<scope> own = std::make_unique<scope>();
    inside(interpreter& in, scope* outer) : i(in), before(in.scope_) {
      own->outer = outer;
      i.scope_ = own.get();
      i.charge(sizeof(scope));
    }
    ~inside() {
      i.scope_ = before;
      if (own->captured) i.kept_.push_back(std::move(own));
    }
    inside(const inside&) = delete;
    inside& operator=(const inside&) = delete;
  };

  flow execute(const block& b) {
    for (const auto& s : b)
      if (const flow f = execute(*s); f != flow::on) return f;
    return flow::on;
  }

  flow execute(const statement& s) {
    const nesting n(*this);
    line_ = s.line;
    step();
    switch (s.what) {
      case statement::kind::text:
        *out_ += s.text;
        check_output();
        step(s.text.size() >> 10);
        return flow::on;
      case statement::kind::output: {
        const value v = evaluate(*s.value);
        line_ = s.line;
        if (const auto* t = v.text()) {
          charge(t->size());
          *out_ += *t;
        } else {
          *out_ += show(v);
        }
        check_output();
        return flow::on;
      }
      case statement::kind::branches:
        for (const auto& b : s.branches)
          if (!b.condition || truth(evaluate(*b.condition))) return execute(b.body);
        return flow::on;
      case statement::kind::loop: loop(s); return flow::on;
      case statement::kind::set: {
        value v = evaluate(*s.value);
        line_ = s.line;
        if (!s.text.empty()) {
          const value of = variable(s.targets[0]);
          const auto* r = of.as<namespace_ref>();
          if (!r) fail("cannot set an attribute of '" + s.targets[0] + "': only of a namespace");
          auto& items = namespaces_[r->index];
          for (auto& [k, x] : items)
            if (k == s.text) {
              x = std::move(v);
              return flow::on;
            }
          items.emplace_back(s.text, std::move(v));
          return flow::on;
        }
        unpack(s, std::move(v));
        return flow::on;
      }
      case statement::kind::set_block: {
        std::string text;
        {
          const inside in(*this, scope_);
          text = capture(s.body);
        }
        captured_ = make(std::move(text));
        value v = evaluate(*s.value);
        captured_ = {};
        assign(*scope_, s.targets[0], std::move(v));
        return flow::on;
      }
      case statement::kind::filter: {
        std::string text;
        {
          const inside in(*this, scope_);
          text = capture(s.body);
        }
        captured_ = make(std::move(text));
        const value v = evaluate(*s.value);
        captured_ = {};
        *out_ += show(v);
        check_output();
        return flow::on;
      }
      case statement::kind::macro:
        for (scope* k = scope_; k; k = k->outer) k->captured = true;
        assign(*scope_, s.text, {macro_ref{&s, scope_}});
        return flow::on;
      case statement::kind::loop_break: return flow::loop_break;
      case statement::kind::loop_continue: return flow::loop_continue;
      case statement::kind::scope: {
        std::vector<value> values;
        for (const auto& d : s.defaults) values.push_back(evaluate(*d));
        const inside in(*this, scope_);
        for (std::size_t i = 0; i < values.size(); ++i) assign(*scope_, s.targets[i], std::move(values[i]));
        return execute(s.body);
      }
    }
    return flow::on;
  }

  void unpack(const statement& s, value v) {
    if (!s.unpack) return assign(*scope_, s.targets[0], std::move(v));
    const auto parts = items_of(v);
    if (parts->items.size() != s.targets.size())
      fail("cannot unpack " + std::to_string(parts->items.size()) + " values into " + std::to_string(s.targets.size()) +
           " names");
    for (std::size_t i = 0; i < s.targets.size(); ++i) assign(*scope_, s.targets[i], parts->items[i]);
  }

  void loop(const statement& s) {
    static const std::string loop_name = "loop";
    const value over = evaluate(*s.value);
    line_ = s.line;
    auto items = items_of(over);
    if (s.condition) {
      std::vector<value> kept;
      for (const auto& v : items->items) {
        const inside in(*this, scope_);
        unpack(s, v);
        if (truth(evaluate(*s.condition))) kept.push_back(v);
      }
      const value made = make_list(std::move(kept));
      items = made.as<list>()->data;
    }
    if (items->items.empty()) {
      const inside in(*this, scope_);
      execute(s.otherwise);
      return;
    }
    auto state = std::make_shared<loop_data>();
    state->items = items;
    state->depth = ++loops_;
    for (std::size_t i = 0; i < items->items.size(); ++i) {
      step();
      state->index = i;
      const inside in(*this, scope_);
      unpack(s, items->items[i]);
      assign(*scope_, loop_name, {loop_ref{state}});
      if (execute(s.body) == flow::loop_break) break;
    }
    --loops_;
  }

  // ---- methods ----

  enum class side { left, right, both };
  std::string strip(const std::string& s, const value* set, side which) const {
    std::vector<char32_t> chars;
    if (set && !set->is<std::nullptr_t>()) {
      const std::string& t = text_argument(set, "strip");
      for (std::size_t i = 0; i < t.size();) chars.push_back(unicode::next(t, i));
      std::sort(chars.begin(), chars.end());
    }
    const auto drop = [&](char32_t c) {
      if (!set || set->is<std::nullptr_t>()) return unicode::is_white_space(c) || (c >= 0x1c && c <= 0x1f);
      return std::binary_search(chars.begin(), chars.end(), c);
    };
    std::size_t b = 0, e = s.size();
    while (which != side::right && b < e) {
      std::size_t k = b;
      if (!drop(unicode::next(s, k))) break;
      b = k;
    }
    while (which != side::left && b < e) {
      std::size_t k = e - 1;
      while (k > b && (static_cast<unsigned char>(s[k]) & 0xc0) == 0x80) --k;
      std::size_t after = k;
      if (!drop(unicode::next(s, after))) break;
      e = k;
    }
    return s.substr(b, e - b);
  }
  value split(const std::string& s, const value* separator, std::int64_t most, bool from_right) {
    read(s.size());
    std::vector<value> parts;
    if (!separator || separator->is<std::nullptr_t>()) {
      if (most >= 0) fail("split: a limit without a separator is not supported");
      std::size_t first = std::string::npos;
      for (std::size_t i = 0; i < s.size();) {
        const std::size_t at = i;
        if (unicode::is_white_space(unicode::next(s, i))) {
          if (first != std::string::npos) parts.push_back(make(s.substr(first, at - first)));
          first = std::string::npos;
        } else if (first == std::string::npos) {
          first = at;
        }
      }
      if (first != std::string::npos) parts.push_back(make(s.substr(first)));
      return make_list(std::move(parts));
    }
    const std::string& sep = text_argument(separator, "split");
    if (sep.empty()) fail("split: an empty separator");
    const auto may = [&] { return most < 0 || static_cast<std::int64_t>(parts.size()) < most; };
    if (from_right) {
      std::size_t end = s.size();
      while (may() && end >= sep.size()) {
        const std::size_t k = s.rfind(sep, end - sep.size());
        if (k == std::string::npos) break;
        step();
        parts.push_back(make(s.substr(k + sep.size(), end - k - sep.size())));
        end = k;
      }
      parts.push_back(make(s.substr(0, end)));
      std::reverse(parts.begin(), parts.end());
    } else {
      std::size_t at = 0;
      for (std::size_t k; may() && (k = s.find(sep, at)) != std::string::npos; at = k + sep.size()) {
        step();
        parts.push_back(make(s.substr(at, k - at)));
      }
      parts.push_back(make(s.substr(at)));
    }
    return make_list(std::move(parts));
  }
  value replace(const std::string& s, const std::string& from, const std::string& to, std::int64_t most) {
    read(s.size());
    std::string out;
    std::size_t at = 0;
    std::int64_t done = 0;
    if (from.empty()) {
      for (std::size_t i = 0; i <= s.size();) {
        if (most < 0 || done++ < most) out += to;
        if (i == s.size()) break;
        const std::size_t n = unicode::length(s[i]);
        out.append(s, i, n);
        i += n;
        charge(to.size() + 1);
      }
      return make(std::move(out));
    }
    for (std::size_t k; (most < 0 || done < most) && (k = s.find(from, at)) != std::string::npos;
         at = k + from.size(), ++done) {
      out.append(s, at, k - at).append(to);
      charge(to.size() + 1);
    }
    return make(out.append(s, at));
  }
  std::string change_case(const std::string& s, bool up) const {
    std::string out;
    out.reserve(s.size());
    for (std::size_t i = 0; i < s.size();) {
      const char32_t c = unicode::next(s, i);
      if (up && c == 0xdf)
        out += "SS";
      else if (!up && c == 0x130)
        out += "i\xcc\x87";
      else
        unicode::append(out, up ? unicode::upper(c) : unicode::lower(c));
    }
    return out;
  }
  std::string capitalized(const std::string& s) const {
    if (s.empty()) return s;
    const std::size_t n = unicode::length(s[0]);
    return change_case(s.substr(0, n), true) + change_case(s.substr(n), false);
  }
  std::vector<std::string> lines(const std::string& s, bool keep_ends = false) const {
    std::vector<std::string> out;
    std::size_t first = 0;
    for (std::size_t i = 0; i < s.size();) {
      const std::size_t at = i;
      const char32_t c = unicode::next(s, i);
      if (!((c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029)) continue;
      if (c == '\r' && i < s.size() && s[i] == '\n') ++i;
      out.push_back(s.substr(first, (keep_ends ? i : at) - first));
      first = i;
    }
    if (first < s.size()) out.push_back(s.substr(first));
    return out;
  }
  value join(const std::vector<value>& items, const std::string& by, bool strict) {
    std::string out;
    bool first = true;
    for (const auto& v : items) {
      if (!first) out += by;
      first = false;
      if (strict && !v.text()) fail("join: expected strings, got " + std::string(type(v)));
      const std::string part = show(v);
      charge(part.size() + by.size());
      out += part;
    }
    return make(std::move(out));
  }

  value call_method(const value& self, const std::string& name, const positional_and_named& a) {
    if (const auto* s = self.text()) return text_method(*s, name, a);
    if (const auto* l = self.as<list>()) {
      const auto arg = bind(name, a, {"value"});
      if (!arg[0]) fail(name + ": expected a value");
      std::int64_t n = 0;
      for (std::size_t i = 0; i < l->data->items.size(); ++i) {
        if (!equal(l->data->items[i], *arg[0])) continue;
        if (name == "index") return {static_cast<std::int64_t>(i)};
        ++n;
      }
      if (name == "index") fail("index: the value is not in the list");
      return {n};
    }
    const dict_data& d = *self.as<dict>()->data;
    if (name == "get") {
      const auto arg = bind(name, a, {"key", "default"});
      if (!arg[0]) fail("get: expected a key");
      if (const value* v = lookup(d, *arg[0])) return *v;
      return arg[1] ? *arg[1] : value{nullptr};
    }
    if (name == "items" || name == "keys" || name == "values" || name == "copy") {
      if (!a.values.empty() || !a.named.empty()) fail(name + ": takes no arguments");
      return name == "copy" ? self : view_of(d, name);
    }
    fail("the method dict." + name + " is not supported: a template changes no values");
  }
  value view_of(const dict_data& d, const std::string& name) {
    std::vector<value> out;
    for (const auto& [k, v] : d.items) {
      step();
      out.push_back(name == "keys" ? k : name == "values" ? v : make_list({k, v}, true));
    }
    return make_list(std::move(out));
  }

  value text_method(const std::string& s, const std::string& name, const positional_and_named& a) {
    read(s.size());
    const auto limit = [&](const value* v) { return v ? whole(*v, name.c_str()) : std::int64_t{-1}; };
    if (name == "strip" || name == "lstrip" || name == "rstrip") {
      const auto arg = bind(name, a, {"chars"});
      return make(strip(s, arg[0], name == "strip" ? side::both : name == "lstrip" ? side::left : side::right));
    }
    if (name == "split" || name == "rsplit") {
      const auto arg = bind(name, a, {"sep", "maxsplit"});
      return split(s, arg[0], limit(arg[1]), name == "rsplit");
    }
    if (name == "startswith" || name == "endswith") {
      const auto arg = bind(name, a, {"prefix"});
      std::vector<value> options;
      if (arg[0] && arg[0]->is<list>() && arg[0]->as<list>()->data->tuple)
        options = arg[0]->as<list>()->data->items;
      else if (arg[0])
        options.push_back(*arg[0]);
      else
        fail(name + ": expected a string");
      for (const auto& o : options) {
        const std::string& t = text_argument(&o, name);
        if (name == "startswith" ? s.starts_with(t) : s.ends_with(t)) return {true};
      }
      return {false};
    }
    if (name == "replace") {
      const auto arg = bind(name, a, {"old", "new", "count"});
      return replace(s, text_argument(arg[0], name), text_argument(arg[1], name), limit(arg[2]));
    }
    if (name == "removeprefix" || name == "removesuffix") {
      const auto arg = bind(name, a, {"prefix"});
      const std::string& t = text_argument(arg[0], name);
      if (name == "removeprefix") return make(s.starts_with(t) ? s.substr(t.size()) : s);
      return make(s.ends_with(t) ? s.substr(0, s.size() - t.size()) : s);
    }
    if (name == "find" || name == "rfind" || name == "count") {
      const auto arg = bind(name, a, {"sub"});
      const std::string& t = text_argument(arg[0], name);
      if (name == "count") {
        if (t.empty()) return {static_cast<std::int64_t>(characters(s) + 1)};
        std::int64_t n = 0;
        for (std::size_t k = s.find(t); k != std::string::npos; k = s.find(t, k + t.size())) ++n;
        return {n};
      }
      const std::size_t k = name == "find" ? s.find(t) : s.rfind(t);
      if (k == std::string::npos) return {std::int64_t{-1}};
      return {static_cast<std::int64_t>(characters(std::string_view(s).substr(0, k)))};
    }
    if (name == "join") {
      const auto arg = bind(name, a, {"iterable"});
      if (!arg[0]) fail("join: expected a list");
      const auto all = items_of(*arg[0]);
      return join(all->items, s, true);
    }
    if (name == "splitlines") {
      const auto arg = bind(name, a, {"keepends"});
      std::vector<value> out;
      for (auto& l : lines(s, arg[0] && truth(*arg[0]))) out.push_back(make(std::move(l)));
      return make_list(std::move(out));
    }
    if (!a.values.empty() || !a.named.empty()) fail("the method str." + name + " with arguments is not supported");
    if (name == "upper") return make(change_case(s, true));
    if (name == "lower") return make(change_case(s, false));
    if (name == "capitalize") return make(capitalized(s));
    if (name == "title") {
      std::string out;
      bool word = false;
      for (std::size_t i = 0; i < s.size();) {
        const std::size_t at = i;
        const char32_t c = unicode::next(s, i);
        const bool letter = unicode::lower(c) != c || unicode::upper(c) != c;
        const std::string one = s.substr(at, i - at);
        out += letter ? change_case(one, !word) : one;
        word = letter;
      }
      return make(std::move(out));
    }
    if (name == "isdigit" || name == "isspace" || name == "isalpha" || name == "isalnum") {
      bool all = !s.empty();
      for (std::size_t i = 0; i < s.size();) {
        const char32_t c = unicode::next(s, i);
        const auto cat = utf8proc_category(static_cast<utf8proc_int32_t>(c));
        const bool digit = cat == UTF8PROC_CATEGORY_ND,
                   alpha = cat >= UTF8PROC_CATEGORY_LU && cat <= UTF8PROC_CATEGORY_LO;
        all = all && (name == "isdigit"   ? digit
                      : name == "isspace" ? unicode::is_white_space(c)
                      : name == "isalpha" ? alpha
                                          : alpha || digit);
      }
      return {all};
    }
    fail("the method str." + name + " is not supported");
  }

  // ---- filters and tests ----

  // a.b.0 as `map(attribute=...)` and others take it
  value path(const value& v, const value& name) {
    if (integral(name)) return item(v, name);
    const std::string& p = text_argument(&name, "attribute");
    value now = v;
    for (std::size_t at = 0; at <= p.size();) {
      const std::size_t dot = std::min(p.find('.', at), p.size());
      const std::string part = p.substr(at, dot - at);
      std::int64_t index = 0;
      const auto r = std::from_chars(part.data(), part.data() + part.size(), index);
      if (r.ec == std::errc() && r.ptr == part.data() + part.size() && !part.empty())
        now = item(now, {index});
      else
        now = item(now, make(part));
      at = dot + 1;
    }
    return now;
  }
  value sort_key(const value& v, const value* attribute_name, bool case_sensitive) {
    value k = attribute_name && !attribute_name->is<std::nullptr_t>() ? path(v, *attribute_name) : v;
    if (!case_sensitive && k.text()) k = make(change_case(*k.text(), false));
    return k;
  }
  value chosen(const std::string& name, const value& v, const positional_and_named& a) {
    const bool by_attribute = name.ends_with("attr"), wanted = name.starts_with("select");
    if (!a.named.empty()) fail(name + ": named arguments are not supported");
    std::size_t at = 0;
    const value* attribute_name = nullptr;
    if (by_attribute) {
      if (a.values.empty()) fail(name + ": expected the name of an attribute");
      attribute_name = &a.values[at++];
    }
    std::string which;
    if (at < a.values.size()) {
      which = text_argument(&a.values[at++], name);
      if (!is_known_test(which)) fail("the test '" + which + "' is not supported");
    }
    const std::vector<value> rest(a.values.begin() + static_cast<std::ptrdiff_t>(at), a.values.end());
    std::vector<value> out;
    const auto all = items_of(v);
    for (const auto& x : all->items) {
      step();
      const value subject = attribute_name ? path(x, *attribute_name) : x;
      if ((which.empty() ? truth(subject) : test(which, subject, rest)) == wanted) out.push_back(x);
    }
    return make_list(std::move(out));
  }
  value mapped(const value& v, const positional_and_named& a) {
    std::vector<value> out;
    const auto all = items_of(v);
    if (a.values.empty()) {
      const value *name = nullptr, *otherwise = nullptr;
      for (const auto& [k, x] : a.named) {
        if (k == "attribute")
          name = &x;
        else if (k == "default")
          otherwise = &x;
        else
          fail("map: the argument '" + k + "' is not supported");
      }
      if (!name) fail("map: expected a filter or attribute=");
      for (const auto& x : all->items) {
        value p = path(x, *name);
        out.push_back(p.is<undefined>() && otherwise ? *otherwise : std::move(p));
      }
      return make_list(std::move(out));
    }
    const std::string& which = text_argument(&a.values[0], "map");
    if (!is_known_filter(which) || which == "map") fail("map: the filter '" + which + "' is not supported here");
    const positional_and_named rest{{a.values.begin() + 1, a.values.end()}, a.named};
    for (const auto& x : all->items) {
      step();
      out.push_back(filter(which, x, rest));
    }
    return make_list(std::move(out));
  }

  value filter(const std::string& name, const value& v, const positional_and_named& a) {
    const nesting n(*this);
    const auto plain = [&] {
      if (!a.values.empty() || !a.named.empty()) fail("the filter '" + name + "' with arguments is not supported");
    };
    if (name == "tojson") {
      const auto arg = bind(name, a, {"indent", "ensure_ascii", "separators", "sort_keys"});
      if (arg[2] && !arg[2]->is<std::nullptr_t>()) fail("tojson: separators is not supported");
      io::json::style s;
      if (arg[0] && !arg[0]->is<std::nullptr_t>()) {
        const std::int64_t width = whole(*arg[0], "tojson");
        if (width < 0 || width > 64) fail("tojson: expected an indent from 0 to 64");
        s.indent = static_cast<int>(width);
      }
      s.ensure_ascii = arg[1] && truth(*arg[1]);
      s.sort_keys = arg[3] && truth(*arg[3]);
      std::string out;
      to_json(v, s, 0, out);
      return make(std::move(out));
    }
    if (name == "trim") {
      const auto arg = bind(name, a, {"chars"});
      return make(strip(show(v), arg[0], side::both));
    }
    if (name == "length" || name == "count") {
      plain();
      return {static_cast<std::int64_t>(size_of(v))};
    }
    if (name == "default" || name == "d") {
      const auto arg = bind(name, a, {"default_value", "boolean"});
      if (v.is<undefined>() || (arg[1] && truth(*arg[1]) && !truth(v))) return arg[0] ? *arg[0] : make("");
      return v;
    }
    if (name == "string" || name == "safe") {
      plain();
      return v.text() ? v : make(show(v));
    }
    if (name == "lower" || name == "upper" || name == "capitalize") {
      plain();
      const std::string s = show(v);
      return make(name == "capitalize" ? capitalized(s) : change_case(s, name == "upper"));
    }
    if (name == "title") {
      plain();
      const std::string s = show(v);
      std::string out;
      std::size_t first = 0;
      for (std::size_t i = 0; i <= s.size(); ++i) {
        const bool cut = i == s.size() || std::string_view("-({[< \t\n\r\f\v").find(s[i]) != std::string_view::npos;
        if (!cut) continue;
        out += capitalized(s.substr(first, i - first));
        if (i < s.size()) out += s[i];
        first = i + 1;
      }
      return make(std::move(out));
    }
    if (name == "join") {
      const auto arg = bind(name, a, {"d", "attribute"});
      std::vector<value> items = items_of(v)->items;
      if (arg[1] && !arg[1]->is<std::nullptr_t>())
        for (auto& x : items) x = path(x, *arg[1]);
      return join(items, arg[0] ? show(*arg[0]) : std::string(), false);
    }
    if (name == "items") {
      plain();
      if (v.is<undefined>()) return make_list({});
      if (!v.is<dict>()) fail("items: expected a mapping, got " + std::string(type(v)));
      return view_of(*v.as<dict>()->data, "items");
    }
    if (name == "list") {
      plain();
      return make_list(items_of(v)->items);
    }
    if (name == "first" || name == "last") {
      plain();
      const auto all = items_of(v);
      if (all->items.empty()) return nothing("no " + name + " item, the sequence is empty");
      return name == "first" ? all->items.front() : all->items.back();
    }
    if (name == "reverse") {
      plain();
      std::vector<value> items = items_of(v)->items;
      std::reverse(items.begin(), items.end());
      return v.text() ? join(items, "", false) : make_list(std::move(items));
    }
    if (name == "replace") {
      const auto arg = bind(name, a, {"old", "new", "count"});
      if (!arg[0] || !arg[1]) fail("replace: expected the old and the new text");
      return replace(show(v), show(*arg[0]), show(*arg[1]),
                     arg[2] && !arg[2]->is<std::nullptr_t>() ? whole(*arg[2], "replace") : -1);
    }
    if (name == "indent") {
      const auto arg = bind(name, a, {"width", "first", "blank"});
      std::string by = "    ";
      if (arg[0]) {
        if (const auto* t = arg[0]->text()) {
          by = *t;
        } else {
          const std::int64_t width = whole(*arg[0], "indent");
          if (width > 1000) fail("indent: expected a width up to 1000");
          by.assign(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' ');
        }
      }
      const bool first = arg[1] && truth(*arg[1]), blank = arg[2] && truth(*arg[2]);
      std::string out;
      bool begin = true;
      for (const auto& l : lines(show(v) + "\n")) {
        if (!begin) out += '\n';
        charge(l.size() + by.size() + 1);
        if (begin ? first : (blank || !l.empty())) out += by;
        out += l;
        begin = false;
      }
      return make(std::move(out));
    }
    if (name == "int" || name == "float") {
      const auto arg = bind(name, a, {"default"});
      if (v.is<undefined>()) fail_undefined(v);
      const bool whole_wanted = name == "int";
      if (number(v)) {
        if (!whole_wanted) return {real(v)};
        if (integral(v)) return {integer(v)};
        if (std::abs(real(v)) < 9e18) return {static_cast<std::int64_t>(real(v))};
      }
      if (v.text()) {
        std::string s = strip(*v.text(), nullptr, side::both);
        if (s.starts_with('+')) s.erase(0, 1);
        std::int64_t i = 0;
        double d = 0;
        const auto ri = std::from_chars(s.data(), s.data() + s.size(), i);
        if (whole_wanted && !s.empty() && ri.ec == std::errc() && ri.ptr == s.data() + s.size()) return {i};
        const auto rd = std::from_chars(s.data(), s.data() + s.size(), d);
        if (!s.empty() && rd.ec == std::errc() && rd.ptr == s.data() + s.size() && std::isfinite(d)) {
          if (!whole_wanted) return {d};
          if (std::abs(d) < 9e18) return {static_cast<std::int64_t>(d)};
        }
      }
      return arg[0] ? *arg[0] : whole_wanted ? value{std::int64_t{0}} : value{0.0};
    }
    if (name == "abs") {
      plain();
      if (!number(v)) bad_operands("abs", v, v);
      if (!integral(v)) return {std::abs(real(v))};
      return integer(v) < 0 ? binary("-", {std::int64_t{0}}, v) : value{integer(v)};
    }
    if (name == "round") {
      const auto arg = bind(name, a, {"precision", "method"});
      if (!number(v)) bad_operands("round", v, v);
      const std::int64_t places = arg[0] ? whole(*arg[0], "round") : 0;
      const std::string method = arg[1] ? text_argument(arg[1], "round") : "common";
      if (places < 0 || places > 15) fail("round: expected a precision from 0 to 15");
      const double scale = std::pow(10.0, static_cast<double>(places)), x = real(v) * scale;
      if (method == "ceil") return {std::ceil(x) / scale};
      if (method == "floor") return {std::floor(x) / scale};
      if (method != "common") fail("round: expected common, ceil or floor");
      return {std::nearbyint(x) / scale};
    }
    if (name == "sum") {
      const auto arg = bind(name, a, {"attribute", "start"});
      value total = arg[1] ? *arg[1] : value{std::int64_t{0}};
      const auto all = items_of(v);
      for (const auto& x : all->items)
        total = binary("+", total, arg[0] && !arg[0]->is<std::nullptr_t>() ? path(x, *arg[0]) : x);
      return total;
    }
    if (name == "min" || name == "max") {
      const auto arg = bind(name, a, {"case_sensitive", "attribute"});
      const auto all = items_of(v);
      if (all->items.empty()) return nothing("no item, the sequence is empty");
      const value* best = nullptr;
      value best_key;
      for (const auto& x : all->items) {
        value k = sort_key(x, arg[1], arg[0] && truth(*arg[0]));
        if (best && (name == "min" ? order(k, best_key, "<") >= 0 : order(k, best_key, ">") <= 0)) continue;
        best = &x;
        best_key = std::move(k);
      }
      return *best;
    }
    if (name == "sort") {
      const auto arg = bind(name, a, {"reverse", "case_sensitive", "attribute"});
      const auto all = items_of(v);
      return sorted(all->items, arg[0] && truth(*arg[0]),
                    [&](const value& x) { return sort_key(x, arg[2], arg[1] && truth(*arg[1])); });
    }
    if (name == "dictsort") {
      const auto arg = bind(name, a, {"case_sensitive", "by", "reverse"});
      if (!v.is<dict>()) fail("dictsort: expected a mapping, got " + std::string(type(v)));
      const bool by_value = arg[1] && text_argument(arg[1], "dictsort") == "value";
      const value pairs = view_of(*v.as<dict>()->data, "items");
      return sorted(pairs.as<list>()->data->items, arg[2] && truth(*arg[2]), [&](const value& x) {
        return sort_key(x.as<list>()->data->items[by_value ? 1 : 0], nullptr, arg[0] && truth(*arg[0]));
      });
    }
    if (name == "unique") {
      const auto arg = bind(name, a, {"case_sensitive", "attribute"});
      std::vector<value> keys, out;
      const auto all = items_of(v);
      for (const auto& x : all->items) {
        value k = sort_key(x, arg[1], arg[0] && truth(*arg[0]));
        bool known = false;
        for (const auto& o : keys) known = known || equal(o, k);
        if (known) continue;
        keys.push_back(std::move(k));
        out.push_back(x);
      }
      return make_list(std::move(out));
    }
    if (name == "escape" || name == "e") {
      plain();
      std::string out;
      for (char c : show(v)) {
        switch (c) {
          case '&': out += "&amp;"; break;
          case '<': out += "&lt;"; break;
          case '>': out += "&gt;"; break;
          case '\'': out += "&#39;"; break;
          case '"': out += "&#34;"; break;
          default: out += c;
        }
      }
      return make(std::move(out));
    }
    if (name == "map") return mapped(v, a);
    return chosen(name, v, a);
  }
  template <class Key>
  value sorted(const std::vector<value>& items, bool reverse, const Key& key) {
    std::vector<std::pair<value, value>> keyed;
    for (const auto& x : items) keyed.emplace_back(key(x), x);
    charge(keyed.size() * 2 * sizeof(value));
    ql::detail::stable_sort(keyed.begin(), keyed.end(), [&](const auto& x, const auto& y) {
      return reverse ? order(y.first, x.first, "<") < 0 : order(x.first, y.first, "<") < 0;
    });
    std::vector<value> out;
    for (auto& [k, x] : keyed) out.push_back(std::move(x));
    return make_list(std::move(out));
  }

  bool test(const std::string& name, const value& v, const std::vector<value>& a) {
    static constexpr std::string_view with_one[] = {
        "==", "divisibleby", "eq", "equalto", "ge", "greaterthan", "gt", "in", "le", "lessthan", "lt", "ne", "sameas"};
    const std::size_t wanted = among(with_one, name) ? 1 : 0;
    if (a.size() != wanted) fail("the test '" + name + "' takes " + std::to_string(wanted) + " argument(s)");
    if (name == "defined") return !v.is<undefined>();
    if (name == "undefined") return v.is<undefined>();
    if (name == "none") return v.is<std::nullptr_t>();
    if (name == "string") return v.text() != nullptr;
    if (name == "mapping") return v.is<dict>();
    if (name == "iterable" || name == "sequence") return v.text() || v.is<list>() || v.is<dict>() || v.is<undefined>();
    if (name == "boolean") return v.is<bool>();
    if (name == "true") return v.is<bool>() && *v.as<bool>();
    if (name == "false") return v.is<bool>() && !*v.as<bool>();
    if (name == "integer") return v.is<std::int64_t>();
    if (name == "float") return v.is<double>();
    if (name == "number") return number(v);
    if (name == "callable") return v.is<macro_ref>() || v.is<global_function>() || v.is<method>();
    if (name == "==" || name == "eq" || name == "equalto") return equal(v, a[0]);
    if (name == "ne") return !equal(v, a[0]);
    if (name == "in") return contains(a[0], v);
    if (name == "lt" || name == "lessthan") return order(v, a[0], "<") < 0;
    if (name == "le") return order(v, a[0], "<=") <= 0;
    if (name == "gt" || name == "greaterthan") return order(v, a[0], ">") > 0;
    if (name == "ge") return order(v, a[0], ">=") >= 0;
    if (name == "lower" || name == "upper") {
      const std::string s = show(v);
      return s == change_case(s, name == "upper") && s != change_case(s, name != "upper");
    }
    if (name == "sameas") {
      if (v.text() && a[0].text())
        return v.as<text_ptr>()->get() == a[0].as<text_ptr>()->get() || *v.text() == *a[0].text();
      return v.data.index() == a[0].data.index() && equal(v, a[0]);
    }
    const std::int64_t n = whole(v, name.c_str());
    if (name == "odd") return n % 2 != 0;
    if (name == "even") return n % 2 == 0;
    const std::int64_t by = whole(a[0], "divisibleby");
    if (by == 0) fail("division by zero");
    return by == -1 || n % by == 0;
  }

  const std::string& what_;
  const template_limits& limits_;
  std::optional<std::int64_t> now_;
  std::size_t intermediate_limit_ = 0, intermediate_ = 0;
  std::int64_t steps_ = 0;
  int depth_ = 0, macros_ = 0, loops_ = 0, line_ = 0;
  std::deque<std::vector<std::pair<std::string, value>>> namespaces_;
  std::vector<std::unique_ptr<scope>> kept_;
  std::unique_ptr<scope> root_;
  scope* scope_ = nullptr;
  std::string* out_ = nullptr;
  value captured_;
};

}  // namespace

bool is_known_filter(std::string_view name) { return among(filters, name); }
bool is_known_test(std::string_view name) { return among(tests, name); }

std::string render(const block& program, const std::string& what, const template_limits& limits,
                   const io::json::value::object_type& variables, std::optional<std::int64_t> now) {
  return interpreter(what, limits, now).run(program, variables);
}

}  // namespace ql::text::jinja
