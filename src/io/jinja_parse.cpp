// SPDX-License-Identifier: Apache-2.0
#include "jinja.hpp"
#include "unicode.hpp"

#include <algorithm>
#include <charconv>
#include <initializer_list>

namespace ql::text::jinja {
namespace {

constexpr std::size_t longest_source = 1 << 20;
constexpr int deepest_expression = 150;
constexpr int deepest_block = 40;

enum class lexeme {
  text,
  open_output,
  close_output,
  open_block,
  close_block,
  name,
  integer,
  real,
  string,
  symbol,
  end
};

struct piece {
  lexeme what;
  std::string text;
  int line;
};

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c); }

class lexer {
 public:
  lexer(std::string_view source, const std::string& what) : what_(what) {
    // As Jinja: every line end is \n, and one at the very end is dropped.
    for (std::size_t i = 0; i < source.size(); ++i) {
      if (source[i] != '\r') {
        s_ += source[i];
      } else {
        s_ += '\n';
        if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
      }
    }
    if (s_.ends_with('\n')) s_.pop_back();
  }

  std::vector<piece> run() {
    while (i_ < s_.size()) data();
    put(lexeme::end, "");
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw template_error(what_ + ": line " + std::to_string(line_) + ": " + why, line_);
  }
  void put(lexeme l, std::string text) { out_.push_back({l, std::move(text), line_}); }
  void advance(std::size_t to) {
    line_ += static_cast<int>(
        std::count(s_.begin() + static_cast<std::ptrdiff_t>(i_), s_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    i_ = to;
  }
  bool at(std::string_view t) const { return s_.compare(i_, t.size(), t) == 0; }
  std::size_t after_space(std::size_t k) const {
    while (k < s_.size() && is_space(s_[k])) ++k;
    return k;
  }
  // Where a tag that ends at k lets the text go on: '-' eats white space, a block's end eats one line end.
  std::size_t resume(std::size_t k, char sign, bool block) const {
    if (sign == '-') return after_space(k);
    if (block && sign != '+' && k < s_.size() && s_[k] == '\n') return k + 1;
    return k;
  }

  void data() {
    const std::size_t start = i_;
    std::size_t tag = start;
    for (;; ++tag) {
      tag = s_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= s_.size()) {
        tag = s_.size();
        break;
      }
      if (s_[tag + 1] == '{' || s_[tag + 1] == '%' || s_[tag + 1] == '#') break;
    }
    std::string_view text = std::string_view(s_).substr(start, tag - start);
    const char kind = tag < s_.size() ? s_[tag + 1] : '\0';
    const char sign = tag + 2 < s_.size() && (s_[tag + 2] == '-' || s_[tag + 2] == '+') ? s_[tag + 2] : '\0';
    if (kind != '\0') {
      if (sign == '-') {
        while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
      } else if (sign != '+' && kind != '{') {
        const auto newline = text.rfind('\n');
        const std::size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
        const bool starts_line = line_start > 0 || start == 0 || s_[start - 1] == '\n';
        if (starts_line && std::all_of(text.begin() + static_cast<std::ptrdiff_t>(line_start), text.end(), is_space))
          text = text.substr(0, line_start);
      }
    }
    if (!text.empty()) put(lexeme::text, std::string(text));
    advance(tag);
    if (kind == '\0') return;
    const std::size_t inside = tag + 2 + (sign != '\0' ? 1 : 0);
    if (kind == '#') return comment(inside);
    if (kind == '%' && raw(inside)) return;
    advance(inside);
    put(kind == '{' ? lexeme::open_output : lexeme::open_block, "");
    code(kind == '{');
  }

  void comment(std::size_t inside) {
    const std::size_t end = s_.find("#}", inside);
    if (end == std::string::npos) fail("a comment without #}");
    const char sign = end > inside && (s_[end - 1] == '-' || s_[end - 1] == '+') ? s_[end - 1] : '\0';
    advance(resume(end + 2, sign, true));
  }

  bool raw(std::size_t inside) {
    std::size_t k = after_space(inside);
    if (s_.compare(k, 3, "raw") != 0 || (k + 3 < s_.size() && is_name(s_[k + 3]))) return false;
    k = after_space(k + 3);
    const char sign = k < s_.size() && (s_[k] == '-' || s_[k] == '+') ? s_[k] : '\0';
    if (sign != '\0') ++k;
    if (s_.compare(k, 2, "%}") != 0) fail("expected %} after raw");
    const std::size_t first = resume(k + 2, sign, true);
    for (std::size_t end = s_.find("{%", first); end != std::string::npos; end = s_.find("{%", end + 1)) {
      std::size_t e = end + 2;
      const char open = e < s_.size() && (s_[e] == '-' || s_[e] == '+') ? s_[e] : '\0';
      e = after_space(e + (open != '\0' ? 1 : 0));
      if (s_.compare(e, 6, "endraw") != 0) continue;
      e = after_space(e + 6);
      const char close = e < s_.size() && (s_[e] == '-' || s_[e] == '+') ? s_[e] : '\0';
      e += close != '\0' ? 1 : 0;
      if (s_.compare(e, 2, "%}") != 0) continue;
      std::string_view text = std::string_view(s_).substr(first, end - first);
      while (open == '-' && !text.empty() && is_space(text.back())) text.remove_suffix(1);
      if (!text.empty()) put(lexeme::text, std::string(text));
      advance(resume(e + 2, close, true));
      return true;
    }
    fail("raw without endraw");
  }

  void code(bool output) {
    const std::string_view end = output ? "}}" : "%}";
    std::string open;  // brackets
    for (;;) {
      advance(after_space(i_));
      if (i_ == s_.size()) fail(output ? "{{ without }}" : "{% without %}");
      const char c = s_[i_];
      if (open.empty()) {
        const bool signed_end = (c == '-' || (c == '+' && !output)) && s_.compare(i_ + 1, 2, end) == 0;
        if (signed_end || at(end)) {
          put(output ? lexeme::close_output : lexeme::close_block, "");
          advance(resume(i_ + 2 + (signed_end ? 1 : 0), signed_end ? c : '\0', !output));
          return;
        }
      }
      if (c == '\'' || c == '"') {
        string(c);
      } else if (is_digit(c)) {
        number();
      } else if (is_name(c)) {
        std::size_t k = i_;
        while (k < s_.size() && is_name(s_[k])) ++k;
        put(lexeme::name, s_.substr(i_, k - i_));
        i_ = k;
      } else {
        symbol(open);
      }
    }
  }

  void symbol(std::string& open) {
    static constexpr std::string_view two[] = {"==", "!=", ">=", "<=", "//", "**"};
    for (std::string_view t : two) {
      if (!at(t)) continue;
      put(lexeme::symbol, std::string(t));
      i_ += 2;
      return;
    }
    const char c = s_[i_];
    if (std::string_view("+-*/%~()[]{}<>=.:|,").find(c) == std::string_view::npos)
      fail("unexpected character '" + s_.substr(i_, unicode::length(c)) + "'");
    if (c == '(' || c == '[' || c == '{') open += c;
    if (c == ')' || c == ']' || c == '}') {
      const char partner = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (open.empty() || open.back() != partner) fail(std::string("unexpected '") + c + "'");
      open.pop_back();
    }
    put(lexeme::symbol, std::string(1, c));
    ++i_;
  }

  void number() {
    std::size_t k = i_;
    std::string digits;
    bool real = false;
    for (; k < s_.size() && (is_digit(s_[k]) || s_[k] == '_'); ++k)
      if (s_[k] != '_') digits += s_[k];
    if (k + 1 < s_.size() && s_[k] == '.' && is_digit(s_[k + 1])) {
      real = true;
      do digits += s_[k++];
      while (k < s_.size() && is_digit(s_[k]));
    }
    if (k < s_.size() && (s_[k] == 'e' || s_[k] == 'E')) {
      std::size_t e = k + 1;
      if (e < s_.size() && (s_[e] == '+' || s_[e] == '-')) ++e;
      if (e < s_.size() && is_digit(s_[e])) {
        real = true;
        while (e < s_.size() && is_digit(s_[e])) ++e;
        digits += s_.substr(k, e - k);
        k = e;
      }
    }
    if (k < s_.size() && is_name(s_[k])) fail("a number that runs into a name");
    put(real ? lexeme::real : lexeme::integer, std::move(digits));
    i_ = k;
  }

  void string(char quote) {
    std::string text;
    std::size_t k = i_ + 1;
    const auto hex = [&](std::size_t n) {
      char32_t c = 0;
      const auto* first = s_.data() + k + 1;
      const auto* last = s_.data() + std::min(s_.size(), k + 1 + n);
      std::uint32_t u = 0;
      const auto r = std::from_chars(first, last, u, 16);
      if (r.ptr != first + n) fail("a string with a malformed \\ escape");
      c = u;
      if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) fail("a string with a \\ escape that is no character");
      unicode::append(text, c);
      k += n;
    };
    for (;; ++k) {
      if (k >= s_.size()) fail("a string without its closing quote");
      const char c = s_[k];
      if (c == quote) break;
      if (c != '\\') {
        text += c;
        continue;
      }
      if (++k >= s_.size()) fail("a string without its closing quote");
      switch (s_[k]) {
        case 'n': text += '\n'; break;
        case 't': text += '\t'; break;
        case 'r': text += '\r'; break;
        case 'a': text += '\a'; break;
        case 'b': text += '\b'; break;
        case 'f': text += '\f'; break;
        case 'v': text += '\v'; break;
        case '\\':
        case '\'':
        case '"': text += s_[k]; break;
        case '\n': break;
        case 'x': hex(2); break;
        case 'u': hex(4); break;
        case 'U': hex(8); break;
        case 'N': fail("\\N{...} in strings is not supported");
        default:
          if (s_[k] >= '0' && s_[k] <= '7') {
            char32_t o = 0;
            std::size_t n = 0;
            for (; n < 3 && k + n < s_.size() && s_[k + n] >= '0' && s_[k + n] <= '7'; ++n)
              o = o * 8 + static_cast<char32_t>(s_[k + n] - '0');
            unicode::append(text, o);
            k += n - 1;
          } else {
            text += '\\';
            text += s_[k];
          }
      }
    }
    put(lexeme::string, std::move(text));
    advance(k + 1);
  }

  const std::string& what_;
  std::string s_;
  std::size_t i_ = 0;
  int line_ = 1;
  std::vector<piece> out_;
};

class parser {
 public:
  parser(std::vector<piece> pieces, const std::string& what) : p_(std::move(pieces)), what_(what) {}

  block whole() {
    block b = statements({});
    if (now().what != lexeme::end) fail("unexpected " + shown(now()));
    return b;
  }

 private:
  using kind = expression::kind;

  [[noreturn]] void fail(const std::string& why) const {
    throw template_error(what_ + ": line " + std::to_string(now().line) + ": " + why, now().line);
  }
  [[noreturn]] void unsupported(const std::string& construct) const { fail(construct + " is not supported"); }
  static std::string shown(const piece& p) {
    switch (p.what) {
      case lexeme::text: return "text";
      case lexeme::open_output: return "{{";
      case lexeme::close_output: return "}}";
      case lexeme::open_block: return "{%";
      case lexeme::close_block: return "%}";
      case lexeme::end: return "end of the template";
      default: return "'" + p.text.substr(0, 60) + "'";
    }
  }
  const piece& now() const { return p_[i_]; }
  const piece& ahead() const { return p_[std::min(i_ + 1, p_.size() - 1)]; }
  bool is(std::string_view symbol) const { return now().what == lexeme::symbol && now().text == symbol; }
  bool is_word(std::string_view word) const { return now().what == lexeme::name && now().text == word; }
  bool skip(std::string_view symbol) { return is(symbol) && (++i_, true); }
  bool skip_word(std::string_view word) { return is_word(word) && (++i_, true); }
  void expect(std::string_view symbol) {
    if (!skip(symbol)) fail("expected '" + std::string(symbol) + "', got " + shown(now()));
  }
  void expect(lexeme l, const char* name) {
    if (now().what != l) fail(std::string("expected ") + name + ", got " + shown(now()));
    ++i_;
  }
  std::string name() {
    if (now().what != lexeme::name) fail("expected a name, got " + shown(now()));
    return p_[i_++].text;
  }

  struct guard {
    int& n;
    guard(parser& p, int& counter, int limit, const char* of) : n(counter) {
      if (++n > limit) {
        --n;
        p.fail(std::string(of) + " nested deeper than " + std::to_string(limit));
      }
    }
    ~guard() { --n; }
  };

  // ---- statements ----

  // Up to a block whose first word is one of `ends`; that word is the current piece afterwards.
  block statements(std::initializer_list<std::string_view> ends) {
    const guard g(*this, blocks_, deepest_block, "blocks");
    block b;
    for (;;) {
      const piece& p = now();
      switch (p.what) {
        case lexeme::end:
          if (ends.size() != 0) fail("expected {% " + std::string(*(ends.end() - 1)) + " %} before the end");
          return b;
        case lexeme::text: {
          auto s = make(statement::kind::text);
          s->text = p.text;
          ++i_;
          b.push_back(std::move(s));
          break;
        }
        case lexeme::open_output: {
          auto s = make(statement::kind::output);
          ++i_;
          s->value = tuple();
          expect(lexeme::close_output, "}}");
          b.push_back(std::move(s));
          break;
        }
        case lexeme::open_block: {
          ++i_;
          for (std::string_view e : ends)
            if (is_word(e)) return b;
          one(b);
          break;
        }
        default: fail("unexpected " + shown(p));
      }
    }
  }

  std::unique_ptr<statement> make(statement::kind k) const {
    auto s = std::make_unique<statement>();
    s->what = k;
    s->line = now().line;
    return s;
  }
  void close() { expect(lexeme::close_block, "%}"); }
  void end_block() {
    ++i_;
    close();
  }

  void one(block& b) {
    const std::string word = now().what == lexeme::name ? now().text : shown(now());
    auto s = make(statement::kind::scope);
    ++i_;
    if (word == "if") {
      s->what = statement::kind::branches;
      s->branches.push_back({tuple(), {}});
      close();
      for (;;) {
        s->branches.back().body = statements({"elif", "else", "endif"});
        if (skip_word("elif")) {
          s->branches.push_back({tuple(), {}});
          close();
        } else if (skip_word("else")) {
          close();
          s->branches.push_back({nullptr, statements({"endif"})});
          end_block();
          break;
        } else {
          end_block();
          break;
        }
      }
    } else if (word == "for") {
      s->what = statement::kind::loop;
      targets(*s);
      if (!skip_word("in")) fail("expected 'in', got " + shown(now()));
      s->value = tuple(false);
      if (skip_word("if")) s->condition = any();
      if (is_word("recursive")) unsupported("a recursive loop");
      close();
      ++loops_;
      s->body = statements({"else", "endfor"});
      --loops_;
      if (skip_word("else")) {
        close();
        s->otherwise = statements({"endfor"});
      }
      end_block();
    } else if (word == "set") {
      if (now().what == lexeme::name && ahead().what == lexeme::symbol && ahead().text == ".") {
        s->targets.push_back(name());
        ++i_;
        s->text = name();
      } else {
        targets(*s);
      }
      if (skip("=")) {
        s->what = statement::kind::set;
        s->value = tuple();
        close();
      } else {
        s->what = statement::kind::set_block;
        if (s->unpack || !s->text.empty()) fail("expected '='");
        s->value = filters_of_block();
        close();
        s->body = statements({"endset"});
        end_block();
      }
    } else if (word == "macro") {
      s->what = statement::kind::macro;
      s->text = name();
      expect("(");
      while (!is(")")) {
        s->targets.push_back(name());
        if (skip("="))
          s->defaults.push_back(any());
        else if (!s->defaults.empty())
          fail("a parameter without default after one with");
        if (!is(")")) expect(",");
      }
      expect(")");
      close();
      const int outer = std::exchange(loops_, 0);
      s->body = statements({"endmacro"});
      loops_ = outer;
      end_block();
    } else if (word == "break" || word == "continue") {
      if (loops_ == 0) fail(word + " outside a loop");
      s->what = word == "break" ? statement::kind::loop_break : statement::kind::loop_continue;
      close();
    } else if (word == "with") {
      while (now().what != lexeme::close_block) {
        s->targets.push_back(name());
        expect("=");
        s->defaults.push_back(any());
        if (now().what != lexeme::close_block) expect(",");
      }
      close();
      s->body = statements({"endwith"});
      end_block();
    } else if (word == "generation") {
      close();
      s->body = statements({"endgeneration"});
      end_block();
    } else if (word == "filter") {
      s->what = statement::kind::filter;
      --i_;
      p_[i_].what = lexeme::symbol;
      p_[i_].text = "|";
      s->value = filters_of_block();
      close();
      s->body = statements({"endfilter"});
      end_block();
    } else {
      --i_;
      unsupported("{% " + word + " %}");
    }
    b.push_back(std::move(s));
  }

  // The filters of {% set x | a | b %} and {% filter a | b %}, applied to the string constant that stands for the body.
  expression_ptr filters_of_block() {
    auto body = node(kind::name);  // without a name: what was captured
    return filters(std::move(body));
  }

  void targets(statement& s) {
    const bool open = skip("(");
    do {
      if (!s.targets.empty() && now().what != lexeme::name) break;
      s.targets.push_back(name());
      if (is(",")) s.unpack = true;
    } while (skip(","));
    if (open) expect(")");
    static constexpr std::string_view reserved[] = {"true", "false", "none", "True", "False", "None", "loop"};
    for (const auto& t : s.targets)
      if (std::find(std::begin(reserved), std::end(reserved), t) != std::end(reserved))
        fail("cannot assign to '" + t + "'");
  }

  // ---- expressions ----

  expression_ptr node(kind k) const {
    auto e = std::make_unique<expression>();
    e->what = k;
    e->line = now().line;
    return e;
  }
  void add(expression& e, expression_ptr part) const {
    if (part) e.depth = std::max(e.depth, part->depth + 1);
    if (e.depth > deepest_expression) fail("an expression nested deeper than " + std::to_string(deepest_expression));
    e.parts.push_back(std::move(part));
  }
  expression_ptr unary(kind k, expression_ptr part) const {
    auto e = node(k);
    add(*e, std::move(part));
    return e;
  }
  expression_ptr pair(kind k, std::string op, expression_ptr a, expression_ptr b) const {
    auto e = node(k);
    e->text = std::move(op);
    add(*e, std::move(a));
    add(*e, std::move(b));
    return e;
  }

  // Expressions with commas between make a tuple.
  expression_ptr tuple(bool conditional = true) {
    const auto one_of = [&] { return conditional ? any() : either(); };
    auto first = one_of();
    if (!is(",")) return first;
    auto e = node(kind::tuple);
    add(*e, std::move(first));
    while (skip(",")) {
      if (now().what == lexeme::close_output || now().what == lexeme::close_block || is(")") || is("=")) break;
      add(*e, one_of());
    }
    return e;
  }

  expression_ptr any() {
    const guard g(*this, expressions_, deepest_expression, "expressions");
    auto e = either();
    while (skip_word("if")) {
      auto c = node(kind::conditional);
      add(*c, std::move(e));
      add(*c, either());
      add(*c, skip_word("else") ? any() : nullptr);
      e = std::move(c);
    }
    return e;
  }
  expression_ptr either() {
    auto e = both();
    while (skip_word("or")) e = pair(kind::logical_or, "or", std::move(e), both());
    return e;
  }
  expression_ptr both() {
    auto e = negation();
    while (skip_word("and")) e = pair(kind::logical_and, "and", std::move(e), negation());
    return e;
  }
  expression_ptr negation() {
    if (!is_word("not")) return comparison();
    const guard g(*this, expressions_, deepest_expression, "expressions");
    ++i_;
    return unary(kind::logical_not, negation());
  }
  expression_ptr comparison() {
    auto first = sum();
    auto e = node(kind::compare);
    add(*e, std::move(first));
    for (;;) {
      std::string op;
      for (std::string_view o : {"==", "!=", "<", "<=", ">", ">="})
        if (is(o)) op = o;
      if (!op.empty()) {
        ++i_;
      } else if (skip_word("in")) {
        op = "in";
      } else if (is_word("not") && ahead().what == lexeme::name && ahead().text == "in") {
        i_ += 2;
        op = "not in";
      } else {
        break;
      }
      e->operators.push_back(op);
      add(*e, sum());
    }
    return e->operators.empty() ? std::move(e->parts[0]) : std::move(e);
  }
  expression_ptr sum() {
    auto e = join();
    while (is("+") || is("-")) {
      const std::string op = p_[i_++].text;
      e = pair(kind::binary, op, std::move(e), join());
    }
    return e;
  }
  expression_ptr join() {
    auto e = product();
    while (skip("~")) e = pair(kind::binary, "~", std::move(e), product());
    return e;
  }
  expression_ptr product() {
    auto e = power();
    while (is("*") || is("/") || is("//") || is("%")) {
      const std::string op = p_[i_++].text;
      e = pair(kind::binary, op, std::move(e), power());
    }
    return e;
  }
  expression_ptr power() {
    auto e = signed_value(true);
    while (skip("**")) e = pair(kind::binary, "**", std::move(e), signed_value(true));
    return e;
  }
  expression_ptr signed_value(bool with_filters) {
    const guard g(*this, expressions_, deepest_expression, "expressions");
    expression_ptr e;
    if (skip("-"))
      e = unary(kind::negate, signed_value(false));
    else if (skip("+"))
      e = unary(kind::plus, signed_value(false));
    else
      e = primary();
    e = postfix(std::move(e));
    return with_filters ? filters(std::move(e)) : std::move(e);
  }

  expression_ptr primary() {
    const piece p = now();
    switch (p.what) {
      case lexeme::name: {
        auto e = node(kind::name);
        ++i_;
        if (p.text == "true" || p.text == "True" || p.text == "false" || p.text == "False") {
          e->what = kind::boolean;
          e->truth = p.text[0] == 't' || p.text[0] == 'T';
        } else if (p.text == "none" || p.text == "None") {
          e->what = kind::none;
        } else {
          e->text = p.text;
        }
        return e;
      }
      case lexeme::string: {
        auto e = node(kind::string);
        while (now().what == lexeme::string) e->text += p_[i_++].text;
        return e;
      }
      case lexeme::integer: {
        auto e = node(kind::integer);
        const auto r = std::from_chars(p.text.data(), p.text.data() + p.text.size(), e->number);
        if (r.ec != std::errc()) fail("the number " + p.text.substr(0, 40) + " is too large");
        ++i_;
        return e;
      }
      case lexeme::real: {
        auto e = node(kind::real);
        const auto r = std::from_chars(p.text.data(), p.text.data() + p.text.size(), e->real);
        if (r.ec != std::errc()) fail("the number " + p.text.substr(0, 40) + " is out of range");
        ++i_;
        return e;
      }
      default: break;
    }
    const guard g(*this, expressions_, deepest_expression, "expressions");
    if (skip("(")) {
      if (is(")")) {
        auto e = node(kind::tuple);
        ++i_;
        return e;
      }
      auto e = tuple();
      expect(")");
      return e;
    }
    if (skip("[")) {
      auto e = node(kind::list);
      while (!is("]")) {
        add(*e, any());
        if (!is("]")) expect(",");
      }
      ++i_;
      return e;
    }
    if (skip("{")) {
      auto e = node(kind::dict);
      while (!is("}")) {
        add(*e, any());
        expect(":");
        add(*e, any());
        if (!is("}")) expect(",");
      }
      ++i_;
      return e;
    }
    fail("expected an expression, got " + shown(p));
  }

  expression_ptr postfix(expression_ptr e) {
    for (;;) {
      if (skip(".")) {
        if (now().what == lexeme::integer) {
          auto index = primary();
          e = pair(kind::item, "", std::move(e), std::move(index));
        } else {
          auto a = unary(kind::attribute, std::move(e));
          a->text = name();
          e = std::move(a);
        }
      } else if (skip("[")) {
        e = subscript(std::move(e));
        expect("]");
      } else if (is("(")) {
        e = call(std::move(e));
      } else {
        return e;
      }
    }
  }
  expression_ptr subscript(expression_ptr of) {
    expression_ptr part[3];
    int n = 0;
    bool sliced = false;
    for (;;) {
      if (!is(":") && !is("]")) part[n] = any();
      if (!is(":")) break;
      ++i_;
      sliced = true;
      if (++n > 2) fail("a slice with more than three parts");
    }
    if (is(",")) unsupported("a subscript of several indices");
    auto e = node(sliced ? kind::slice : kind::item);
    add(*e, std::move(of));
    if (!sliced && !part[0]) fail("an empty subscript");
    for (int k = 0; k < (sliced ? 3 : 1); ++k) add(*e, std::move(part[k]));
    return e;
  }
  void arguments(expression& e) {
    expect("(");
    while (!is(")")) {
      argument a;
      if (is("*") || is("**")) {
        a.name = p_[i_++].text;
      } else if (now().what == lexeme::name && ahead().what == lexeme::symbol && ahead().text == "=") {
        a.name = name();
        ++i_;
      } else if (!e.arguments.empty() && !e.arguments.back().name.empty() && e.arguments.back().name != "*") {
        fail("a positional argument after a named one");
      }
      a.value = any();
      e.depth = std::max(e.depth, a.value->depth + 1);
      if (e.depth > deepest_expression) fail("an expression nested deeper than " + std::to_string(deepest_expression));
      e.arguments.push_back(std::move(a));
      if (!is(")")) expect(",");
    }
    ++i_;
  }
  expression_ptr call(expression_ptr e) {
    auto c = unary(kind::call, std::move(e));
    arguments(*c);
    return c;
  }
  expression_ptr filters(expression_ptr e) {
    for (;;) {
      if (skip("|")) {
        auto f = unary(kind::filter, std::move(e));
        f->text = name();
        if (!is_known_filter(f->text)) unsupported("the filter '" + f->text + "'");
        if (is("(")) arguments(*f);
        e = std::move(f);
      } else if (skip_word("is")) {
        auto t = unary(kind::test, std::move(e));
        t->truth = skip_word("not");
        t->text = is("==") ? p_[i_++].text : name();
        if (!is_known_test(t->text)) unsupported("the test '" + t->text + "'");
        const auto w = now().what;
        if (is("(")) {
          arguments(*t);
        } else if (w == lexeme::string || w == lexeme::integer || w == lexeme::real || is("[") || is("{") ||
                   (w == lexeme::name && !is_word("else") && !is_word("or") && !is_word("and") && !is_word("if") &&
                    !is_word("is") && !is_word("not") && !is_word("in"))) {
          argument a;
          a.value = postfix(primary());
          t->depth = std::max(t->depth, a.value->depth + 1);
          t->arguments.push_back(std::move(a));
        }
        e = std::move(t);
      } else if (is("(")) {
        e = call(std::move(e));
      } else {
        return e;
      }
    }
  }

  std::vector<piece> p_;
  const std::string& what_;
  std::size_t i_ = 0;
  int loops_ = 0, blocks_ = 0, expressions_ = 0;
};

}  // namespace

block parse(std::string_view source, const std::string& what) {
  if (source.size() > longest_source)
    throw template_error(what + ": " + std::to_string(source.size()) + " bytes, more than the limit of 1 MiB", 0);
  if (!unicode::valid(source)) throw template_error(what + ": not valid UTF-8", 0);
  return parser(lexer(source, what).run(), what).whole();
}

}  // namespace ql::text::jinja
