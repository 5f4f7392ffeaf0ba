// SPDX-License-Identifier: Apache-2.0
#include <ql/io/file.hpp>
#include <ql/text/tokenizer.hpp>

#include "bpe.hpp"
#include "counted.hpp"
#include "dom.hpp"
#include "pattern.hpp"
#include "unicode.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

namespace ql::text {
namespace {

namespace dom = simdjson::dom;
using unicode::alignment;

constexpr std::size_t largest_file = std::size_t{256} << 20;
constexpr std::size_t longest_added_token = 4096;
constexpr std::size_t largest_text = 0xfffffff0u;
constexpr std::string_view replacement_character = "\xef\xbf\xbd";
constexpr std::string_view gpt2_rule =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

// Longest of the texts at a place, by a trie over bytes.
class finder {
 public:
  void add(std::string_view text, std::size_t index) {
    std::size_t n = 0;
    for (char c : text) {
      auto& children = nodes_[n].children;
      const auto at = std::lower_bound(children.begin(), children.end(), c,
                                       [](const auto& child, char x) { return child.first < x; });
      if (at != children.end() && at->first == c) {
        n = at->second;
      } else {
        const std::size_t made = nodes_.size();
        children.insert(at, {c, made});
        nodes_.emplace_back();
        n = made;
      }
    }
    nodes_[n].index = static_cast<std::ptrdiff_t>(index);
    auto& first = first_[static_cast<unsigned char>(text[0])];
    starts_ += first ? 0 : 1;
    first = true;
    only_ = text[0];
  }
  bool empty() const { return starts_ == 0; }
  // The leftmost, and there the longest, text at or after `from`; false: none.
  bool find(std::string_view s, std::size_t from, std::size_t& begin, std::size_t& end, std::size_t& index) const {
    for (std::size_t i = from;; ++i) {
      if (starts_ == 1) {
        const void* p = i < s.size() ? std::memchr(s.data() + i, only_, s.size() - i) : nullptr;
        if (!p) return false;
        i = static_cast<std::size_t>(static_cast<const char*>(p) - s.data());
      } else {
        while (i < s.size() && !first_[static_cast<unsigned char>(s[i])]) ++i;
        if (i == s.size()) return false;
      }
      bool found = false;
      std::size_t n = 0;
      for (std::size_t k = i; k < s.size(); ++k) {
        const auto& children = nodes_[n].children;
        const auto at = std::lower_bound(children.begin(), children.end(), s[k],
                                         [](const auto& child, char x) { return child.first < x; });
        if (at == children.end() || at->first != s[k]) break;
        n = at->second;
        if (nodes_[n].index < 0) continue;
        found = true;
        begin = i;
        end = k + 1;
        index = static_cast<std::size_t>(nodes_[n].index);
      }
      if (found) return true;
    }
  }

 private:
  struct node {
    std::vector<std::pair<char, std::size_t>> children;
    std::ptrdiff_t index = -1;
  };
  std::vector<node> nodes_ = std::vector<node>(1);
  std::array<bool, 256> first_{};
  int starts_ = 0;
  char only_ = 0;
};

struct range {
  std::uint32_t begin, end;
};

// One way of rewriting a text.
struct rewrite {
  enum class kind { nfc, nfd, nfkc, nfkd, lower, prepend, replace, strip, space_mark } what;
  std::string text{};                                                     // prepend; space_mark: the mark
  std::optional<pattern> find{};                                          // replace
  std::string by{};                                                       // replace
  bool left = false, right = false;                                       // strip
  enum class scheme { always, first, never } mark_first = scheme::never;  // space_mark
};

struct split_rule {
  enum class behavior { removed, isolated, contiguous, with_previous, with_next } what;
  pattern find;
  bool invert = false;
};

struct decoding {
  enum class kind { joined, byte_level, chain } what = kind::joined;
  std::vector<std::pair<std::string, std::string>> replace;
  bool byte_fallback = false;
  bool fuse = false;
  char strip = ' ';
  std::size_t strip_first = 0;
  std::string space_mark;  // not empty: the Metaspace decoder
  bool drop_first_mark = false;
};

struct workspace {
  pattern::scratch match;
  bpe::scratch merge;
  std::vector<range> pieces, next;
  std::vector<std::uint32_t> sizes;
};

}  // namespace

struct tokenizer::parts {
  std::vector<added_token> added;   // by id
  std::vector<std::string> spoken;  // what each of `added` decodes to: normalized where it is found so
  std::unordered_map<std::string, token> added_ids;
  finder raw, normalized;  // of `added`
  std::vector<rewrite> normalizer, front;
  std::vector<split_rule> splits;
  std::optional<bpe> merges;
  std::optional<vocabulary> word_level;
  token unk = -1;
  decoding decoder;
  std::vector<token> before, after;
  std::int64_t size = 0;

  mutable std::mutex pool_mutex;
  mutable std::vector<std::unique_ptr<workspace>> pool;

  const vocabulary& words() const { return merges ? merges->words() : *word_level; }
  const added_token* find_added(token id) const {
    const auto at = std::lower_bound(added.begin(), added.end(), id, [](const auto& a, token x) { return a.id < x; });
    return at != added.end() && at->id == id ? &*at : nullptr;
  }
};

namespace {

// ---- encoding ----

class lease {
 public:
  explicit lease(const tokenizer::parts& p) : parts_(p) {
    const std::lock_guard lock(p.pool_mutex);
    if (!p.pool.empty()) {
      work_ = std::move(p.pool.back());
      p.pool.pop_back();
    }
    if (!work_) work_ = std::make_unique<workspace>();
  }
  ~lease() {
    const std::lock_guard lock(parts_.pool_mutex);
    parts_.pool.push_back(std::move(work_));
  }
  lease(const lease&) = delete;
  lease& operator=(const lease&) = delete;
  workspace& operator*() const { return *work_; }

 private:
  const tokenizer::parts& parts_;
  std::unique_ptr<workspace> work_;
};

// A text that is rewritten step by step, and the way back.
class rewritten {
 public:
  rewritten(std::string_view s, pattern::scratch& m, bool track) : view_(s), match_(m), track_(track) {}
  std::string_view view() const { return view_; }

  void apply(const std::vector<rewrite>& steps, bool at_start) {
    for (const rewrite& r : steps) {
      if (view_.empty()) return;
      apply(r, at_start);
      if (view_.size() > largest_text) throw argument_error("tokenizer: the normalized text exceeds 4 GiB");
    }
  }
  range original(range r) const {
    std::size_t b = r.begin, e = r.end;
    for (auto a = chain_.rbegin(); a != chain_.rend(); ++a) {
      const bool empty = b == e;
      b = a->begin_of(b);
      e = empty ? b : a->end_of(e);
    }
    return {static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(e)};
  }

 private:
  void apply(const rewrite& r, bool at_start) {
    using enum rewrite::kind;
    alignment where;
    alignment* w = track_ ? &where : nullptr;
    std::string out;
    switch (r.what) {
      case nfc:
      case nfd:
      case nfkc:
      case nfkd: {
        const auto f = static_cast<unicode::form>(static_cast<int>(r.what) - static_cast<int>(nfc));
        if (!unicode::needs_normalization(view_, f)) return;
        out = unicode::normalize(view_, f, w);
        break;
      }
      case lower: out = unicode::lower(view_, w); break;
      case prepend: put_in_front(r.text, out, w); break;
      case replace: {
        std::size_t from = 0, at = 0, b = 0, e = 0;
        while (from <= view_.size() && r.find->find(view_, from, match_, b, e)) {
          if (e == b) {  // an empty match replaces nothing
            if (b == view_.size()) break;
            from = b + unicode::length(view_[b]);
            continue;
          }
          copy(at, b, out, w);
          out += r.by;
          if (w) w->add(r.by.size(), b, e, false);
          from = at = e;
          if (out.size() > largest_text) throw argument_error("tokenizer: the normalized text exceeds 4 GiB");
        }
        if (at == 0 && out.empty()) return;
        copy(at, view_.size(), out, w);
        break;
      }
      case strip: {
        std::size_t b = 0, e = view_.size();
        while (r.left && b < e) {
          std::size_t k = b;
          if (!unicode::is_white_space(unicode::next(view_, k))) break;
          b = k;
        }
        while (r.right && b < e) {
          std::size_t k = e - 1;
          while (k > b && (static_cast<unsigned char>(view_[k]) & 0xc0) == 0x80) --k;
          const std::size_t start = k;
          if (!unicode::is_white_space(unicode::next(view_, k))) break;
          e = start;
        }
        if (b == 0 && e == view_.size()) return;
        copy(b, e, out, w);
        break;
      }
      case space_mark: {
        const bool marked = view_.starts_with(r.text) || view_[0] == ' ';
        const bool wanted =
            r.mark_first == rewrite::scheme::always || (r.mark_first == rewrite::scheme::first && at_start);
        if (wanted && !marked) {
          out += r.text;
          if (w) w->add(r.text.size(), 0, 0, false);
        }
        for (std::size_t at = 0; at < view_.size();) {
          const std::size_t b = std::min(view_.find(' ', at), view_.size());
          copy(at, b, out, w);
          if (b == view_.size()) break;
          out += r.text;
          if (w) w->add(r.text.size(), b, b + 1, false);
          at = b + 1;
        }
        break;
      }
    }
    storage_.swap(out);
    view_ = storage_;
    if (track_) chain_.push_back(std::move(where));
  }
  void copy(std::size_t b, std::size_t e, std::string& out, alignment* w) const {
    out.append(view_.substr(b, e - b));
    if (w && b != e) w->add(e - b, b, e, true);
  }
  void put_in_front(const std::string& text, std::string& out, alignment* w) const {
    out.reserve(text.size() + view_.size());
    out = text;
    if (w) w->add(text.size(), 0, 0, false);
    copy(0, view_.size(), out, w);
  }

  std::string_view view_;
  std::string storage_;
  pattern::scratch& match_;
  bool track_;
  std::vector<alignment> chain_;
};

void split(std::string_view text, range piece, const split_rule& rule, pattern::scratch& m, std::vector<range>& out) {
  using enum split_rule::behavior;
  const std::string_view s = text.substr(piece.begin, piece.end - piece.begin);
  const std::size_t start = out.size();
  bool last_matched = false, any = false;
  const auto part = [&](std::size_t b, std::size_t e, bool matched) {
    if (b == e) return;
    matched = matched != rule.invert;
    const range r{piece.begin + static_cast<std::uint32_t>(b), piece.begin + static_cast<std::uint32_t>(e)};
    const bool joins = any && out.size() > start &&
                       ((rule.what == contiguous && matched == last_matched) ||
                        (rule.what == with_previous && matched && !last_matched) ||
                        (rule.what == with_next && !matched && last_matched));
    if (joins)
      out.back().end = r.end;
    else if (rule.what != removed || !matched)
      out.push_back(r);
    last_matched = matched;
    any = true;
  };
  std::size_t at = 0, from = 0, b = 0, e = 0;
  while (from < s.size() && rule.find.find(s, from, m, b, e)) {
    if (e == b) {
      if (b == s.size()) break;
      from = b + unicode::length(s[b]);
      continue;
    }
    part(at, b, false);
    part(b, e, true);
    at = from = e;
  }
  part(at, s.size(), false);
}

struct encoder {
  const tokenizer::parts& p;
  const encode_options& options;
  workspace& work;
  encoding& out;
  bool track;
  const alignment* repaired = nullptr;

  void put(token id, std::size_t base, range r) {
    out.ids.push_back(id);
    if (!track) return;
    std::size_t b = base + r.begin, e = base + r.end;
    if (repaired) {
      const bool empty = b == e;
      b = repaired->begin_of(b);
      e = empty ? b : repaired->end_of(e);
    }
    out.offsets.push_back({static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(e)});
  }

  // Calls token_at(added token, begin, end) and text_at(begin, end) in order, together covering s.
  template <class Token, class Text>
  void extract(const finder& f, std::string_view s, const Token& token_at, const Text& text_at) const {
    std::size_t done = 0, from = 0, b = 0, e = 0, index = 0;
    while (f.find(s, from, b, e, index)) {
      from = e;
      const added_token& a = p.added[index];
      if (a.special && !options.special_in_text) continue;
      if (b < done) continue;
      if (a.single_word) {
        std::size_t k = b;
        bool word = false;
        if (b > 0) {
          do --k;
          while (k > 0 && (static_cast<unsigned char>(s[k]) & 0xc0) == 0x80);
          word = unicode::is_word(unicode::next(s, k));
        }
        k = e;
        if (word || (e < s.size() && unicode::is_word(unicode::next(s, k)))) continue;
      }
      while (a.lstrip && b > done) {
        std::size_t k = b - 1;
        while (k > done && (static_cast<unsigned char>(s[k]) & 0xc0) == 0x80) --k;
        const std::size_t start = k;
        if (!unicode::is_white_space(unicode::next(s, k))) break;
        b = start;
      }
      while (a.rstrip && e < s.size()) {
        std::size_t k = e;
        if (!unicode::is_white_space(unicode::next(s, k))) break;
        e = k;
      }
      if (done < b) text_at(done, b);
      token_at(a, b, e);
      done = e;
    }
    if (done < s.size()) text_at(done, s.size());
  }

  void run(std::string_view text) {
    const auto r = [](std::size_t b, std::size_t e) {
      return range{static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(e)};
    };
    extract(
        p.raw, text, [&](const added_token& a, std::size_t b, std::size_t e) { put(a.id, 0, r(b, e)); },
        [&](std::size_t b, std::size_t e) {
          rewritten whole(text.substr(b, e - b), work.match, track);
          whole.apply(p.normalizer, b == 0);
          const auto original = [&](range x) {
            const range o = whole.original(x);
            return range{o.begin, o.end};
          };
          extract(
              p.normalized, whole.view(),
              [&](const added_token& a, std::size_t nb, std::size_t ne) { put(a.id, b, original(r(nb, ne))); },
              [&](std::size_t nb, std::size_t ne) {
                rewritten part(whole.view().substr(nb, ne - nb), work.match, track);
                part.apply(p.front, b == 0 && nb == 0);
                pieces(part.view(), [&](token id, range x) {
                  const range y = part.original(x);
                  put(id, b,
                      original(
                          range{y.begin + static_cast<std::uint32_t>(nb), y.end + static_cast<std::uint32_t>(nb)}));
                });
              });
        });
  }

  template <class Put>
  void pieces(std::string_view text, const Put& found) {
    if (text.empty()) return;
    work.pieces.assign(1, {0, static_cast<std::uint32_t>(text.size())});
    for (const split_rule& rule : p.splits) {
      work.next.clear();
      for (range piece : work.pieces) split(text, piece, rule, work.match, work.next);
      work.pieces.swap(work.next);
    }
    if (p.merges && p.merges->cuts_at_space_mark()) cut(text);
    for (range piece : work.pieces) {
      const std::string_view s = text.substr(piece.begin, piece.end - piece.begin);
      if (!p.merges) {
        token id = p.word_level->find(s);
        if (id < 0) id = p.unk;
        if (id < 0) {
          throw argument_error("tokenizer: \"" + std::string(s.substr(0, 80)) +
                               "\" is not in the word-level vocabulary, which names no unk_token");
        }
        if (track)
          found(id, piece);
        else
          out.ids.push_back(id);
      } else if (!track) {
        p.merges->encode(s, work.merge, out.ids, nullptr);
      } else {
        const std::size_t first = out.ids.size();
        work.sizes.clear();
        p.merges->encode(s, work.merge, out.ids, &work.sizes);
        const std::vector<token> ids(out.ids.begin() + static_cast<std::ptrdiff_t>(first), out.ids.end());
        out.ids.resize(first);
        std::uint32_t at = piece.begin;
        for (std::size_t i = 0; i < ids.size(); ++i) {
          found(ids[i], {at, at + work.sizes[i]});
          at += work.sizes[i];
        }
      }
    }
  }

  // Cuts before every space mark that follows another character: no token reaches across.
  void cut(std::string_view text) {
    constexpr std::string_view mark = "\xe2\x96\x81";
    work.next.clear();
    for (range piece : work.pieces) {
      std::size_t at = piece.begin;
      for (std::size_t i = at + 1; i < piece.end;) {
        i = text.find(mark, i);
        if (i >= piece.end) break;
        if (i < at + mark.size() || text.compare(i - mark.size(), mark.size(), mark) != 0) {
          work.next.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(i)});
          at = i;
        }
        i += mark.size();
      }
      work.next.push_back({static_cast<std::uint32_t>(at), piece.end});
    }
    work.pieces.swap(work.next);
  }
};

void encode_into(const tokenizer::parts& p, std::string_view text, const encode_options& options, workspace& work,
                 encoding& out, bool track) {
  if (text.size() > largest_text)
    throw argument_error("tokenizer: expected a text below 4 GiB, got " + std::to_string(text.size()) + " bytes");
  encoder e{p, options, work, out, track};
  const auto special = [&](const std::vector<token>& ids, std::uint32_t at) {
    for (token id : options.add_special_tokens ? ids : std::vector<token>()) {
      out.ids.push_back(id);
      if (track) out.offsets.push_back({at, at});
    }
  };
  special(p.before, 0);
  if (unicode::valid(text)) {
    e.run(text);
  } else {
    alignment where;
    const std::string fixed = unicode::repair(text, track ? &where : nullptr);
    if (fixed.size() > largest_text) throw argument_error("tokenizer: the repaired text exceeds 4 GiB");
    if (track) e.repaired = &where;
    e.run(fixed);
  }
  special(p.after, static_cast<std::uint32_t>(text.size()));
}

// ---- decoding ----

// -1: no such piece
int fallback_byte(std::string_view s) {
  if (s.size() != 6 || !s.starts_with("<0x") || s[5] != '>') return -1;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
  };
  const int a = digit(s[3]), b = digit(s[4]);
  return a < 0 || b < 0 ? -1 : a * 16 + b;
}

void replace_all(std::string& s, const std::string& from, const std::string& to) {
  if (from.empty() || s.find(from) == std::string::npos) return;
  std::string out;
  std::size_t at = 0;
  for (std::size_t k; (k = s.find(from, at)) != std::string::npos; at = k + from.size())
    out.append(s, at, k - at).append(to);
  s = out.append(s, at);
}

// The bytes (byte-level) or text of one id as decoders see it; false: nothing stands for it.
bool piece_of(const tokenizer::parts& p, token id, bool skip_special, std::string& out) {
  if (id < 0) throw argument_error("tokenizer: decode: expected ids of 0 and more, got " + std::to_string(id));
  const bool byte_level = p.decoder.what == decoding::kind::byte_level;
  if (const added_token* a = p.find_added(id)) {
    if (a->special && skip_special) return false;
    const std::string& text = p.spoken[static_cast<std::size_t>(a - p.added.data())];
    if (!byte_level || !alphabet().decode(text, out)) out = text;
    return true;
  }
  const vocabulary& v = p.words();
  if (!v.contains(id)) return false;
  if (!byte_level) {
    out = v.name(id);
  } else if (v.bytes() || !alphabet().decode(v.stored(id), out)) {
    out = v.stored(id);
  }
  return true;
}

// What one id adds in a chain of decoders but for byte fallback.
void finish_piece(const tokenizer::parts& p, bool first, std::string& s) {
  const decoding& d = p.decoder;
  for (const auto& [from, to] : d.replace) replace_all(s, from, to);
  if (!d.space_mark.empty()) replace_all(s, d.space_mark, first && d.drop_first_mark ? "" : " ");
}

void strip_front(std::string& s, char c, std::size_t& n) {
  std::size_t cut = 0;
  while (cut < s.size() && n > 0 && s[cut] == c) ++cut, --n;
  if (cut < s.size()) n = 0;
  s.erase(0, cut);
}

// Moves what is certain from `bytes` to the result. `last`: nothing follows.
std::string take_text(std::string& bytes, bool last, bool each_byte) {
  std::string out;
  std::size_t i = 0;
  while (i < bytes.size()) {
    const auto q = unicode::sequence_at(bytes, i);
    if (q.complete) {
      out.append(bytes, i, q.size);
    } else {
      if (q.truncated && !last) break;
      for (std::size_t k = 0; k < (each_byte ? q.size : 1); ++k) out += replacement_character;
    }
    i += q.size;
  }
  bytes.erase(0, i);
  return out;
}

// ---- loading ----

struct loader {
  std::string what;
  tokenizer::parts& p;

  [[noreturn]] void refuse(const std::string& where, const std::string& why) const {
    throw io::format_error(what + ": " + where + ": " + why);
  }
  [[noreturn]] void unsupported(const std::string& where, std::string_view type, const std::string& known) const {
    refuse(where, "type \"" + std::string(type) + "\" is not supported (known: " + known +
                      "); convert the tokenizer or use another model");
  }
  // The member, or a null element's stand-in: nullopt where it is absent or null.
  static std::optional<dom::element> get(const dom::element& e, std::string_view key) {
    dom::element found;
    if (!e.is_object() || e.at_key(key).get(found) || found.is_null()) return std::nullopt;
    return found;
  }
  std::string text(const dom::element& e, std::string_view key, const std::string& where) const {
    const auto m = get(e, key);
    std::string_view s;
    if (!m || m->get(s)) refuse(where, "expected a string \"" + std::string(key) + "\"");
    return std::string(s);
  }
  bool flag(const dom::element& e, std::string_view key, bool otherwise, const std::string& where) const {
    const auto m = get(e, key);
    if (!m) return otherwise;
    bool b = false;
    if (m->get(b)) refuse(where, "expected \"" + std::string(key) + "\" to be true or false");
    return b;
  }
  dom::array array(const dom::element& e, std::string_view key, const std::string& where) const {
    const auto m = get(e, key);
    dom::array a;
    if (!m || m->get(a)) refuse(where, "expected an array \"" + std::string(key) + "\"");
    return a;
  }
  pattern read_pattern(const dom::element& e, const std::string& where) const {
    const auto m = get(e, "pattern");
    std::string_view s;
    if (m && m->is_string()) return pattern::literal(std::string_view(*m));
    if (m && m->is_object()) {
      if (!m->at_key("String").get(s)) return pattern::literal(s);
      if (!m->at_key("Regex").get(s)) return pattern(s, what + ": " + where);
    }
    refuse(where, "expected \"pattern\" to be {\"String\": ...} or {\"Regex\": ...}");
  }

  void normalizer(const dom::element& e, const std::string& where, int depth = 0) {
    using enum rewrite::kind;
    const std::string type = text(e, "type", where);
    auto& n = p.normalizer;
    if (n.size() > 64 || depth > 8) refuse(where, "more than 64 steps");
    if (type == "Sequence") {
      for (const auto& x : array(e, "normalizers", where)) normalizer(x, where, depth + 1);
    } else if (type == "NFC") {
      n.push_back({nfc});
    } else if (type == "NFD") {
      n.push_back({nfd});
    } else if (type == "NFKC") {
      n.push_back({nfkc});
    } else if (type == "NFKD") {
      n.push_back({nfkd});
    } else if (type == "Lowercase") {
      n.push_back({lower});
    } else if (type == "Prepend") {
      n.push_back({prepend, text(e, "prepend", where)});
    } else if (type == "Replace") {
      rewrite r{replace};
      r.find = read_pattern(e, where);
      r.by = text(e, "content", where);
      n.push_back(std::move(r));
    } else if (type == "Strip") {
      rewrite r{strip};
      r.left = flag(e, "strip_left", true, where);
      r.right = flag(e, "strip_right", true, where);
      n.push_back(std::move(r));
    } else {
      unsupported(where, type, "NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace, Strip, Sequence");
    }
  }

  split_rule::behavior behavior(const dom::element& e, const std::string& where) const {
    using enum split_rule::behavior;
    const std::string b = get(e, "behavior") ? text(e, "behavior", where) : "Isolated";
    if (b == "Removed") return removed;
    if (b == "Isolated") return isolated;
    if (b == "Contiguous") return contiguous;
    if (b == "MergedWithPrevious") return with_previous;
    if (b == "MergedWithNext") return with_next;
    refuse(where, "unknown behavior \"" + b + "\"");
  }
  rewrite::scheme mark_scheme(const dom::element& e, const std::string& where) const {
    const std::string s = get(e, "prepend_scheme")                   ? text(e, "prepend_scheme", where)
                          : flag(e, "add_prefix_space", true, where) ? "always"
                                                                     : "never";
    if (s == "always") return rewrite::scheme::always;
    if (s == "first") return rewrite::scheme::first;
    if (s == "never") return rewrite::scheme::never;
    refuse(where, "unknown prepend_scheme \"" + s + "\"");
  }

  // Returns whether the pieces end as bytes.
  bool pre_tokenizer(const dom::element& e, const std::string& where, int depth = 0) {
    using enum split_rule::behavior;
    const std::string type = text(e, "type", where);
    if (p.splits.size() > 64 || depth > 8) refuse(where, "more than 64 steps");
    const auto first_only = [&] {
      if (!p.splits.empty() || !p.front.empty())
        refuse(where, type + " that changes the text is supported as the first step only");
    };
    const auto add = [&](split_rule::behavior b, std::string_view expression, bool invert = false) {
      p.splits.push_back({b, pattern(expression, what + ": " + where), invert});
    };
    if (type == "Sequence") {
      bool bytes = false;
      for (const auto& x : array(e, "pretokenizers", where)) {
        if (bytes) refuse(where, "a step after ByteLevel is not supported");
        bytes = pre_tokenizer(x, where, depth + 1);
      }
      return bytes;
    }
    if (type == "ByteLevel") {
      if (flag(e, "add_prefix_space", true, where)) {
        first_only();
        p.front.push_back({rewrite::kind::space_mark, " ", {}, {}, false, false, rewrite::scheme::always});
      }
      if (flag(e, "use_regex", true, where)) add(isolated, gpt2_rule);
      return true;
    }
    if (type == "Split") {
      p.splits.push_back({behavior(e, where), read_pattern(e, where), flag(e, "invert", false, where)});
    } else if (type == "Whitespace") {
      add(removed, "\\w+|[^\\w\\s]+", true);
    } else if (type == "WhitespaceSplit") {
      add(removed, "\\s");
    } else if (type == "Digits") {
      add(isolated, flag(e, "individual_digits", false, where) ? "\\p{N}" : "\\p{N}+");
    } else if (type == "Punctuation") {
      add(behavior(e, where), "[!-/:-@\\[-`{-~\\p{P}]");
    } else if (type == "Metaspace") {
      first_only();
      const std::string mark = get(e, "replacement") ? text(e, "replacement", where) : "\xe2\x96\x81";
      if (mark.empty() || mark == " ") refuse(where, "expected a visible \"replacement\"");
      p.front.push_back({rewrite::kind::space_mark, mark, {}, {}, false, false, mark_scheme(e, where)});
      if (flag(e, "split", true, where)) p.splits.push_back({with_next, pattern::literal(mark)});
    } else {
      unsupported(where, type,
                  "ByteLevel, Split, Whitespace, WhitespaceSplit, Digits, Punctuation, Metaspace, Sequence");
    }
    return false;
  }

  void decoder(const dom::element& e, const std::string& where, int depth = 0) {
    decoding& d = p.decoder;
    const std::string type = text(e, "type", where);
    if (depth > 8 || d.replace.size() > 64) refuse(where, "more than 64 steps");
    if (type == "Sequence") {
      d.what = decoding::kind::chain;
      for (const auto& x : array(e, "decoders", where)) {
        if (d.what == decoding::kind::byte_level) refuse(where, "a step after ByteLevel is not supported");
        decoder(x, where, depth + 1);
      }
      return;
    }
    const auto not_after = [&](bool earlier) {
      if (earlier) refuse(where, type + " is not supported after the steps before it");
    };
    if (type == "ByteLevel") {
      not_after(!d.replace.empty() || d.byte_fallback || d.fuse || !d.space_mark.empty());
      d.what = decoding::kind::byte_level;
      return;
    }
    d.what = decoding::kind::chain;
    if (type == "Replace") {
      not_after(d.byte_fallback || d.fuse);
      const auto m = get(e, "pattern");
      std::string_view s;
      if (m && m->is_object() && m->at_key("String").get(s))
        refuse(where, "Replace is supported with a String pattern only");
      if (m && m->is_string()) s = std::string_view(*m);
      d.replace.emplace_back(std::string(s), text(e, "content", where));
    } else if (type == "ByteFallback") {
      not_after(d.fuse);
      d.byte_fallback = true;
    } else if (type == "Fuse") {
      d.fuse = true;
    } else if (type == "Strip") {
      not_after(d.strip_first != 0);
      const std::string c = text(e, "content", where);
      std::int64_t start = 0, stop = 0;
      const auto a = get(e, "start"), b = get(e, "stop");
      if (c.size() != 1 || !a || a->get(start) || !b || b->get(stop) || start < 0 || start > 1000 || stop != 0 ||
          !d.fuse)
        refuse(where, "Strip is supported after Fuse, with one ASCII character and stop 0");
      d.strip = c[0];
      d.strip_first = static_cast<std::size_t>(start);
    } else if (type == "Metaspace") {
      not_after(d.byte_fallback || d.fuse || !d.space_mark.empty());
      d.space_mark = get(e, "replacement") ? text(e, "replacement", where) : "\xe2\x96\x81";
      d.drop_first_mark = mark_scheme(e, where) != rewrite::scheme::never;
    } else {
      unsupported(where, type, "ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace, Sequence");
    }
  }

  void post_processor(const dom::element& e, const std::string& where, int depth = 0) {
    const std::string type = text(e, "type", where);
    if (depth > 8) refuse(where, "nested too deeply");
    const auto id = [&](const dom::element& x) {
      std::int64_t i = -1;
      if (x.get(i) || i < 0 || i > 0x7fffffff) refuse(where, "expected a token id");
      return static_cast<token>(i);
    };
    if (type == "Sequence") {
      for (const auto& x : array(e, "processors", where)) post_processor(x, where, depth + 1);
    } else if (type == "TemplateProcessing") {
      bool text_seen = false;
      for (const auto& x : array(e, "single", where)) {
        if (get(x, "Sequence")) {
          if (text_seen) refuse(where, "\"single\" holds the text twice");
          text_seen = true;
          continue;
        }
        const auto s = get(x, "SpecialToken");
        if (!s) refuse(where, "expected SpecialToken or Sequence in \"single\"");
        const auto all = get(e, "special_tokens");
        const auto entry = all ? get(*all, text(*s, "id", where)) : std::nullopt;
        if (!entry) refuse(where, "special token \"" + text(*s, "id", where) + "\" is not among \"special_tokens\"");
        for (const auto& i : array(*entry, "ids", where)) (text_seen ? p.after : p.before).push_back(id(i));
      }
      if (!text_seen) refuse(where, "\"single\" does not hold the text");
    } else if (type == "RobertaProcessing" || type == "BertProcessing") {
      for (const char* key : {"cls", "sep"}) {
        std::size_t k = 0;
        for (const auto& x : array(e, key, where))
          if (k++ == 1) (*key == 'c' ? p.before : p.after).push_back(id(x));
      }
    } else if (type != "ByteLevel") {
      unsupported(where, type, "TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel, Sequence");
    }
  }

  vocabulary words(const dom::object& o, bool bytes) const {
    // Ids index tables, so that a far-off id in a small file must not make a large one.
    std::size_t n = 0;
    for ([[maybe_unused]] const auto& f : o) ++n;
    const auto limit = static_cast<std::int64_t>(2 * n + 65536);
    vocabulary v(bytes, n);
    for (const auto& f : o) {
      std::int64_t id = -1;
      if (f.value.get(id) || id < 0 || id >= limit)
        refuse("model.vocab", "\"" + std::string(f.key) + "\": expected an id from 0 to " + std::to_string(limit - 1));
      if (!v.add(f.key, static_cast<token>(id)))
        refuse("model.vocab", "\"" + std::string(f.key) + "\" (id " + std::to_string(id) + ") repeats an id or a text");
    }
    return v;
  }

  void model(const dom::element& e, bool bytes) {
    const std::string where = "model";
    const auto vocab = get(e, "vocab");
    const auto merges = get(e, "merges");
    const std::string type = get(e, "type") ? text(e, "type", where) : merges ? "BPE" : "(none)";
    dom::object o;
    if (type != "BPE" && type != "WordLevel") unsupported(where, type, "BPE, WordLevel");
    if (!vocab || vocab->get(o)) refuse("model.vocab", "expected an object of texts and ids");
    const std::string unk = get(e, "unk_token") ? text(e, "unk_token", where) : "";
    if (type == "WordLevel") {
      if (bytes) refuse(where, "WordLevel behind a ByteLevel pre-tokenizer is not supported");
      p.word_level = words(o, false);
      p.unk = unk.empty() ? -1 : p.word_level->find(unk);
      return;
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (get(e, key) && !text(e, key, where).empty()) refuse(where, std::string(key) + " is not supported");
    if (const auto d = get(e, "dropout")) {
      double x = 1;
      if (d->get(x) || x != 0) refuse(where, "dropout is not supported; set it to null");
    }
    bpe::options options;
    options.byte_fallback = flag(e, "byte_fallback", false, where);
    options.fuse_unk = flag(e, "fuse_unk", false, where);
    options.ignore_merges = flag(e, "ignore_merges", false, where);
    vocabulary v = words(o, bytes);
    if (!unk.empty()) {
      options.unk = v.find_name(unk);
      if (options.unk < 0) refuse(where, "unk_token \"" + unk + "\" is not in the vocabulary");
    }
    dom::array list;
    if (!merges || merges->get(list)) refuse("model.merges", "expected an array");
    p.merges.emplace(std::move(v), options, std::min<std::size_t>(list.size(), 1 << 22));
    std::size_t line = 0;
    for (const auto& m : list) {
      std::string_view left, right;
      dom::array pair;
      if (m.get(left) == simdjson::SUCCESS) {
        const auto gap = left.find(' ');
        if (gap == std::string_view::npos || left.find(' ', gap + 1) != std::string_view::npos)
          refuse("model.merges[" + std::to_string(line) + "]", "expected two tokens with one space between");
        right = left.substr(gap + 1);
        left = left.substr(0, gap);
      } else if (m.get(pair) || pair.size() != 2 || pair.at(0).get(left) || pair.at(1).get(right)) {
        refuse("model.merges[" + std::to_string(line) + "]", "expected \"a b\" or [\"a\", \"b\"]");
      }
      merge(left, right, "model.merges[" + std::to_string(line++) + "]");
    }
    p.merges->finish();
  }
  void merge(std::string_view left, std::string_view right, const std::string& where) {
    if (const auto missing = p.merges->add_merge(left, right))
      refuse(where, "\"" + missing->substr(0, 80) +
                        "\" is not in the vocabulary; the file is damaged or its parts do not belong together");
  }

  void added_tokens(const dom::element& root) {
    const auto list = get(root, "added_tokens");
    dom::array a;
    if (!list) return;
    if (list->get(a)) refuse("added_tokens", "expected an array");
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& x : a) ++count;
    const auto limit = static_cast<std::int64_t>(2 * (p.words().size() + count) + 65536);
    for (const auto& x : a) {
      added_token t;
      const std::string where = "added_tokens[" + std::to_string(p.added.size()) + "]";
      t.content = text(x, "content", where);
      std::int64_t id = -1;
      const auto i = get(x, "id");
      if (!i || i->get(id) || id < 0 || id >= limit)
        refuse(where, "expected an id from 0 to " + std::to_string(limit - 1));
      t.id = static_cast<token>(id);
      t.special = flag(x, "special", false, where);
      t.normalized = flag(x, "normalized", !t.special, where);
      t.single_word = flag(x, "single_word", false, where);
      t.lstrip = flag(x, "lstrip", false, where);
      t.rstrip = flag(x, "rstrip", false, where);
      if (t.content.empty() || t.content.size() > longest_added_token)
        refuse(where, "expected a content of 1 to " + std::to_string(longest_added_token) + " bytes");
      const token known = p.words().find_name(t.content);
      if (known >= 0 && known != t.id)
        refuse(where, "\"" + t.content + "\" has id " + std::to_string(id) + " here and " + std::to_string(known) +
                          " in the vocabulary");
      p.added.push_back(std::move(t));
    }
  }

  void finish() {
    std::sort(p.added.begin(), p.added.end(), [](const auto& x, const auto& y) { return x.id < y.id; });
    workspace work;
    for (std::size_t i = 0; i < p.added.size(); ++i) {
      const added_token& a = p.added[i];
      if (i > 0 && p.added[i - 1].id == a.id) refuse("added_tokens", "id " + std::to_string(a.id) + " occurs twice");
      if (!p.added_ids.emplace(a.content, a.id).second) refuse("added_tokens", "\"" + a.content + "\" occurs twice");
      if (!a.normalized) {
        p.raw.add(a.content, i);
        p.spoken.push_back(a.content);
        continue;
      }
      rewritten r(a.content, work.match, false);
      r.apply(p.normalizer, true);
      if (!r.view().empty()) p.normalized.add(r.view(), i);
      p.spoken.emplace_back(r.view());
    }
    p.size = static_cast<std::int64_t>(p.words().size());
    if (!p.added.empty()) p.size = std::max<std::int64_t>(p.size, p.added.back().id + 1);
    for (const auto* list : {&p.before, &p.after})
      for (token id : *list)
        if (id >= p.size) refuse("post_processor", "token id " + std::to_string(id) + " has no token");
  }
};

std::filesystem::path present(const std::filesystem::path& path) {
  const std::filesystem::path packed = path.string() + ".gz";
  return !exists(path) && exists(packed) ? packed : path;
}

}  // namespace

tokenizer tokenizer::from_json(std::string_view text, std::string_view what) {
  io::json::limits l;
  l.bytes = largest_file;
  l.depth = 32;
  const io::json::detail::document d(text, what, l);
  if (!d.root.is_object()) throw io::format_error(std::string(what) + ": expected a JSON object");
  auto p = std::make_unique<io::detail::counted<parts>>();
  loader load{std::string(what), *p};
  if (const auto e = loader::get(d.root, "normalizer")) load.normalizer(*e, "normalizer");
  bool bytes = false;
  if (const auto e = loader::get(d.root, "pre_tokenizer")) bytes = load.pre_tokenizer(*e, "pre_tokenizer");
  const auto model = loader::get(d.root, "model");
  if (!model || !model->is_object()) load.refuse("model", "missing; is this a tokenizer.json?");
  load.model(*model, bytes);
  if (const auto e = loader::get(d.root, "decoder")) load.decoder(*e, "decoder");
  if (const auto e = loader::get(d.root, "post_processor")) load.post_processor(*e, "post_processor");
  load.added_tokens(d.root);
  load.finish();
  return tokenizer(io::detail::shared<parts>(p.release()));
}

tokenizer::tokenizer(io::detail::shared<parts> p) : parts_(std::move(p)) {}

tokenizer tokenizer::from_file(const std::string& path) { return from_json(io::read_file(path, largest_file), path); }

tokenizer tokenizer::from_gpt2(const std::string& vocab, const std::string& merges) {
  auto p = std::make_unique<io::detail::counted<parts>>();
  loader load{vocab, *p};
  io::json::limits l;
  l.bytes = largest_file;
  const io::json::detail::document d(io::read_file(vocab, largest_file), vocab, l);
  dom::object o;
  if (d.root.get(o)) load.refuse("vocabulary", "expected an object of texts and ids");
  vocabulary v = load.words(o, true);
  const token end = v.find_name("<|endoftext|>");
  load.what = merges;
  const std::string text = io::read_file(merges, largest_file);
  p->merges.emplace(std::move(v), bpe::options{}, static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')));
  if (!unicode::valid(text)) load.refuse("merges", "not valid UTF-8");
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t stop = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, stop - at);
    at = stop + 1;
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with("#version")) continue;
    const auto gap = line.find(' ');
    const std::string where = "line " + std::to_string(number);
    if (gap == std::string_view::npos || line.find(' ', gap + 1) != std::string_view::npos)
      load.refuse(where, "expected two tokens with one space between");
    load.merge(line.substr(0, gap), line.substr(gap + 1), where);
  }
  p->merges->finish();
  p->splits.push_back({split_rule::behavior::isolated, pattern(gpt2_rule, "GPT-2"), false});
  p->decoder.what = decoding::kind::byte_level;
  if (end >= 0) p->added.push_back({.id = end, .content = "<|endoftext|>", .special = true});
  load.finish();
  return tokenizer(io::detail::shared<parts>(p.release()));
}

tokenizer tokenizer::from_directory(const std::string& folder) {
  const std::filesystem::path directory = folder;
  const auto whole = present(directory / "tokenizer.json");
  if (exists(whole)) return from_file(whole);
  const auto vocab = present(directory / "vocab.json"), merges = present(directory / "merges.txt");
  if (exists(vocab) && exists(merges)) return from_gpt2(vocab, merges);
  throw io::file_error(
      directory.string() + ": holds neither tokenizer.json nor vocab.json with merges.txt; save the " +
      "tokenizer in the fast format (transformers: AutoTokenizer.from_pretrained(...).save_pretrained(...))");
}

std::vector<token> tokenizer::encode(std::string_view text, const encode_options& options) const {
  const lease work(*parts_);
  encoding out;
  out.ids.reserve(text.size() / 3 + 8);
  encode_into(*parts_, text, options, *work, out, false);
  return std::move(out.ids);
}

encoding tokenizer::encode_with_offsets(std::string_view text, const encode_options& options) const {
  const lease work(*parts_);
  encoding out;
  encode_into(*parts_, text, options, *work, out, true);
  return out;
}

std::vector<std::vector<token>> tokenizer::encode_batch(std::span<const std::string_view> texts, unsigned threads,
                                                        const encode_options& options) const {
  std::vector<std::vector<token>> out(texts.size());
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  threads = static_cast<unsigned>(std::min<std::size_t>(threads, texts.size()));
  std::atomic<std::size_t> next{0};
  std::mutex failed_mutex;
  std::exception_ptr failed;
  const auto work = [&] {
    try {
      for (std::size_t i; (i = next++) < texts.size();) out[i] = encode(texts[i], options);
    } catch (...) {
      const std::lock_guard lock(failed_mutex);
      if (!failed) failed = std::current_exception();
      next = texts.size();
    }
  };
  {
    std::vector<std::jthread> others;
    for (unsigned t = 1; t < threads; ++t) others.emplace_back(work);
    work();
  }
  if (failed) std::rethrow_exception(failed);
  return out;
}

std::string tokenizer::decode(std::span<const token> ids, bool skip_special) const {
  const parts& p = *parts_;
  const decoding& d = p.decoder;
  std::string out, piece, run;
  bool first = true;
  const auto end_run = [&] {
    if (unicode::valid(run))
      out += run;
    else
      for (std::size_t i = 0; i < run.size(); ++i) out += replacement_character;
    run.clear();
  };
  for (token id : ids) {
    if (!piece_of(p, id, skip_special, piece)) continue;
    if (d.what == decoding::kind::byte_level) {
      out += piece;
      continue;
    }
    if (d.what == decoding::kind::joined && !first) out += ' ';
    finish_piece(p, first, piece);
    first = false;
    const int b = d.byte_fallback ? fallback_byte(piece) : -1;
    if (b >= 0) {
      run += static_cast<char>(static_cast<unsigned char>(b));
    } else {
      end_run();
      out += piece;
    }
  }
  end_run();
  if (d.what == decoding::kind::byte_level && !unicode::valid(out)) return unicode::repair(out);
  std::size_t strip = d.strip_first;
  strip_front(out, d.strip, strip);
  return out;
}

std::optional<token> tokenizer::id_of(std::string_view content) const {
  const auto a = parts_->added_ids.find(std::string(content));
  if (a != parts_->added_ids.end()) return a->second;
  if (!unicode::valid(content)) return std::nullopt;
  const token id = parts_->words().find_name(content);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::optional<std::string> tokenizer::token_text(token id) const {
  if (const auto* a = parts_->find_added(id)) return a->content;
  const vocabulary& v = parts_->words();
  return v.contains(id) ? std::optional(v.name(id)) : std::nullopt;
}

bool tokenizer::is_special(token id) const {
  const auto* a = parts_->find_added(id);
  return a && a->special;
}

std::int64_t tokenizer::vocab_size() const { return parts_->size; }
std::span<const added_token> tokenizer::added_tokens() const { return parts_->added; }

stream_decoder::stream_decoder(const tokenizer& t, bool skip_special)
    : parts_(t.parts_), skip_special_(skip_special), to_strip_(t.parts_->decoder.strip_first) {}

std::string stream_decoder::push(token id) {
  const tokenizer::parts& p = *parts_;
  const decoding& d = p.decoder;
  std::string piece, out;
  if (!piece_of(p, id, skip_special_, piece)) return out;
  if (d.what == decoding::kind::byte_level) {
    pending_ += piece;
    return take_text(pending_, false, false);
  }
  if (d.what == decoding::kind::joined && !first_) out += ' ';
  finish_piece(p, first_, piece);
  first_ = false;
  const int b = d.byte_fallback ? fallback_byte(piece) : -1;
  if (b >= 0) {
    pending_ += static_cast<char>(static_cast<unsigned char>(b));
    out += take_text(pending_, false, true);
  } else {
    out += take_text(pending_, true, true);
    out += piece;
  }
  if (!out.empty() && to_strip_ > 0) strip_front(out, d.strip, to_strip_);
  return out;
}

std::string stream_decoder::finish() {
  return take_text(pending_, true, parts_->decoder.what != decoding::kind::byte_level);
}

thinking_tokens find_thinking_tokens(const tokenizer& t, std::string_view open, std::string_view close) {
  return {t.id_of(open), t.id_of(close)};
}

}  // namespace ql::text

template class ql::io::detail::shared<ql::text::tokenizer::parts>;
