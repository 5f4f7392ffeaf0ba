// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/error.hpp>
#include <ql/scalar.hpp>

#include <concepts>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace ql {

enum class role : std::uint8_t { prompt, action, observation };
enum class finish_reason : std::uint8_t { none, stop, length };

// A run of tokens. `parent` is the segment before it on the path to the root, -1 for a root.
struct segment {
  std::int32_t parent = -1;
  role what = role::prompt;
  finish_reason finish = finish_reason::none;  // of a leaf
  std::int64_t first = 0;                      // its first token in token_tree::tokens()
  std::int64_t count = 0;
  std::int64_t start = 0;  // path position of its first token: tokens of all its ancestors

  friend bool operator==(const segment&, const segment&) = default;
};

// The one batch of ql: a packed forest of segments. A token sees the tokens of its segment's ancestors and those before
// it in its own segment. A plain sequence is a root, a group of answers a root with a leaf for each, a packed batch
// several roots. No padding anywhere. Parents come before their children; a parent never grows once it has a child.
//
//   token_tree t;
//   auto prompt = t.add_root({5, 6, 7});
//   auto answer = t.add(prompt, {8, 9}, role::action);   // its tokens stand at path positions 3 and 4
template <class Id = token>
class basic_token_tree {
 public:
  using token = Id;
  static constexpr std::int64_t max_tokens = std::int64_t{1} << 40;

  // A root; its tokens carry no loss unless asked to. The first token of a root is predicted by nothing: it never does.
  std::int32_t add_root(std::span<const token> tokens, role what = role::prompt, bool loss = false) {
    return put(-1, tokens, what, loss);
  }
  std::int32_t add_root(std::initializer_list<token> tokens, role what = role::prompt, bool loss = false) {
    return put(-1, {tokens.begin(), tokens.size()}, what, loss);
  }
  // A child of `parent`; actions carry loss, observations and prompts do not.
  std::int32_t add(std::int32_t parent, std::span<const token> tokens, role what = role::action) {
    return add(parent, tokens, what, what == role::action);
  }
  std::int32_t add(std::int32_t parent, std::initializer_list<token> tokens, role what = role::action) {
    return add(parent, {tokens.begin(), tokens.size()}, what, what == role::action);
  }
  std::int32_t add(std::int32_t parent, std::span<const token> tokens, role what, bool loss) {
    const auto segments = static_cast<std::int32_t>(segments_.size());
    detail::expects(parent >= 0 && parent < segments, "token_tree::add", "parent",
                    "a segment that is there already (0 to " + std::to_string(segments - 1) + ")", parent);
    const auto p = static_cast<std::size_t>(parent);
    detail::expects(reserved_[p] == segments_[p].count, "token_tree::add", "parent", "a segment that no longer grows",
                    "segment " + std::to_string(parent) + " with room left; close() it first");
    return put(parent, tokens, what, loss);
  }
  // An empty leaf with room for `capacity` tokens, filled by push().
  std::int32_t add_growing(std::int32_t parent, std::int64_t capacity, role what = role::action) {
    detail::expects(capacity >= 0 && capacity < max_tokens, "token_tree::add_growing", "capacity", "0 or more",
                    capacity);
    const auto s = add(parent, std::span<const token>{}, what, what == role::action);
    reserved_[static_cast<std::size_t>(s)] = capacity;
    tokens_.resize(tokens_.size() + static_cast<std::size_t>(capacity));
    loss_.resize(tokens_.size(), what == role::action ? 1 : 0);
    return s;
  }
  bool has_room(std::int32_t leaf) const { return at(leaf).count < reserved_[static_cast<std::size_t>(leaf)]; }
  // Appends to a growing leaf; returns the token's index.
  std::int64_t push(std::int32_t leaf, token t) {
    auto& s = at(leaf);
    if (s.count >= reserved_[static_cast<std::size_t>(leaf)])
        [[unlikely]]  // once a sampled token: no message without need
      detail::fail<state_error>("token_tree::push", "leaf", "room for another token",
                                "segment " + std::to_string(leaf) + " is full");
    const auto i = s.first + s.count++;
    tokens_[static_cast<std::size_t>(i)] = t;
    return i;
  }
  // Ends all growth and packs the tokens; returns for each token index after the packing its index before it.
  std::vector<std::int64_t> close() {
    std::vector<std::int64_t> from;
    from.reserve(tokens_.size());
    for (std::size_t s = 0; s < segments_.size(); ++s) {
      auto& g = segments_[s];
      const auto to = static_cast<std::int64_t>(from.size());
      for (std::int64_t i = 0; i < g.count; ++i) {
        tokens_[from.size()] = tokens_[static_cast<std::size_t>(g.first + i)];
        loss_[from.size()] = loss_[static_cast<std::size_t>(g.first + i)];
        from.push_back(g.first + i);
      }
      g.first = to;
      reserved_[s] = g.count;
    }
    tokens_.resize(from.size());
    loss_.resize(from.size());
    return from;
  }
  void finish(std::int32_t leaf, finish_reason why) { at(leaf).finish = why; }
  void set_loss(std::int64_t index, bool on) {
    detail::expects(index >= 0 && index < tokens(), "token_tree::set_loss", "index", "a token of the tree", index);
    loss_[static_cast<std::size_t>(index)] = on ? 1 : 0;
  }

  std::int64_t tokens() const { return static_cast<std::int64_t>(tokens_.size()); }
  bool empty() const { return tokens_.empty(); }
  std::span<const token> ids() const { return {tokens_.data(), tokens_.size()}; }
  std::span<const token> ids(std::int32_t s) const {
    return {tokens_.data() + at(s).first, static_cast<std::size_t>(at(s).count)};
  }
  std::span<const segment> segments() const { return {segments_.data(), segments_.size()}; }
  const segment& operator[](std::int32_t s) const { return at(s); }
  bool leaf(std::int32_t s) const { return children_[static_cast<std::size_t>(s)] == 0; }
  std::int32_t children(std::int32_t s) const { return children_[static_cast<std::size_t>(s)]; }
  bool has_loss(std::int64_t index) const { return loss_[static_cast<std::size_t>(index)] != 0; }
  std::int32_t root_of(std::int32_t s) const {
    while (at(s).parent >= 0) s = at(s).parent;
    return s;
  }
  // Segments from the root to s.
  std::vector<std::int32_t> path(std::int32_t s) const {
    std::size_t depth = 0;
    for (auto i = s; i >= 0; i = at(i).parent) ++depth;
    std::vector<std::int32_t> p(depth);
    for (; s >= 0; s = at(s).parent) p[--depth] = s;
    return p;
  }
  // The token that predicts `index`'s, or -1 for the first of a root. `s` is the segment that holds index.
  std::int64_t predecessor(std::int32_t s, std::int64_t index) const {
    if (index > at(s).first) return index - 1;
    for (auto p = at(s).parent; p >= 0; p = at(p).parent)
      if (at(p).count > 0) return at(p).first + at(p).count - 1;
    return -1;
  }
  // Tokens whose log-prob is trained on.
  std::int64_t loss_tokens() const {
    std::int64_t n = 0;
    for (std::int32_t s = 0; s < static_cast<std::int32_t>(segments_.size()); ++s)
      for (std::int64_t i = at(s).first; i < at(s).first + at(s).count; ++i) n += has_loss(i) && predecessor(s, i) >= 0;
    return n;
  }
  // (query, key) pairs that attention computes: what its work is proportional to.
  std::int64_t visible_pairs() const {
    std::int64_t n = 0;
    for (const auto& s : segments_) n += s.count * s.start + s.count * (s.count + 1) / 2;
    return n;
  }
  // Throws unless every id lies in [0, vocab_size) and no path is longer than max_context.
  void validate(std::int64_t vocab_size, std::int64_t max_context = std::numeric_limits<std::int64_t>::max()) const {
    detail::expects(!empty(), "token_tree", "tokens", "at least one token", "an empty tree");
    for (std::int32_t s = 0; s < static_cast<std::int32_t>(segments_.size()); ++s) {
      const auto& g = at(s);
      detail::expects(g.start + g.count <= max_context, "token_tree", "length",
                      "at most " + std::to_string(max_context) + " tokens on a path (max_context)", g.start + g.count);
      for (auto id : ids(s))
        if (id < 0 || id >= vocab_size) [[unlikely]]  // once a token: no message without need
          detail::fail<argument_error>("token_tree", "token id in segment " + std::to_string(s),
                                       "0 to " + std::to_string(vocab_size - 1) + " (the vocabulary)",
                                       std::to_string(id));
    }
  }

  friend bool operator==(const basic_token_tree&, const basic_token_tree&) = default;

 private:
  const segment& at(std::int32_t s) const {
    if (s < 0 || s >= static_cast<std::int32_t>(segments_.size())) [[unlikely]]
      detail::fail<argument_error>("token_tree", "segment",
                                   "0 to " + std::to_string(static_cast<std::int32_t>(segments_.size()) - 1),
                                   std::to_string(s));
    return segments_[static_cast<std::size_t>(s)];
  }
  segment& at(std::int32_t s) { return const_cast<segment&>(static_cast<const basic_token_tree*>(this)->at(s)); }
  std::int32_t put(std::int32_t parent, std::span<const token> t, role what, bool loss) {
    detail::expects(tokens() + static_cast<std::int64_t>(t.size()) <= max_tokens &&
                        segments_.size() < std::numeric_limits<std::int32_t>::max(),
                    "token_tree", "size", "fewer than 2^40 tokens and 2^31 segments", t.size());
    segment s{.parent = parent, .what = what, .first = tokens(), .count = static_cast<std::int64_t>(t.size())};
    if (parent >= 0) {
      const auto& p = segments_[static_cast<std::size_t>(parent)];
      s.start = p.start + p.count;
      ++children_[static_cast<std::size_t>(parent)];
    }
    tokens_.insert(tokens_.end(), t.begin(), t.end());
    loss_.resize(tokens_.size(), loss ? 1 : 0);
    segments_.push_back(s);
    reserved_.push_back(s.count);
    children_.push_back(0);
    return static_cast<std::int32_t>(segments_.size()) - 1;
  }

  std::vector<token> tokens_;
  std::vector<std::uint8_t> loss_;
  std::vector<segment> segments_;
  std::vector<std::int64_t> reserved_;  // room of each segment; == count once it is closed
  std::vector<std::int32_t> children_;
};

using token_tree = basic_token_tree<>;

// The functions below are templates so that their bodies cost a compiler nothing where nobody calls them.

// A packed batch: one root a sequence, all its tokens but the first trained on.
template <class Tree = token_tree>
Tree from_sequences(std::span<const std::vector<token>> sequences) {
  Tree t;
  for (const auto& s : sequences) t.add_root(s, role::action, true);
  return t;
}

// A group: one prompt, several answers.
template <class Tree = token_tree>
Tree prompt_group(std::span<const token> prompt, std::span<const std::vector<token>> answers) {
  Tree t;
  const auto root = t.add_root(prompt);
  for (const auto& a : answers) t.add(root, a);
  return t;
}

// A document with several questions, each with its answers: answers[q] belong to questions[q].
template <class Tree = token_tree>
Tree document_group(std::span<const token> document, std::span<const std::vector<token>> questions,
                    std::span<const std::vector<std::vector<token>>> answers) {
  detail::expects<shape_error>(questions.size() == answers.size(), "document_group", "answers",
                               std::to_string(questions.size()) + " sets of answers, one a question", answers.size());
  Tree t;
  const auto root = t.add_root(document);
  for (std::size_t q = 0; q < questions.size(); ++q) {
    const auto branch = t.add(root, questions[q], role::prompt);
    for (const auto& a : answers[q]) t.add(branch, a);
  }
  return t;
}

// The same paths as independent sequences, one root for each leaf, for policies that know only sequences.
struct flat_tree {
  token_tree tree;
  std::vector<std::int64_t> source;  // flat token -> token of the original; a shared token occurs once a leaf
};

// Of the given segments those that are leaves; loss stays on a token's first copy alone, so that sums over the flat
// tree equal sums over the original.
template <std::same_as<token_tree> Tree>
flat_tree flatten(const Tree& t, std::span<const std::int32_t> segments) {
  flat_tree flat;
  std::vector<char> seen(static_cast<std::size_t>(t.tokens()), 0);
  for (const auto s : segments) {
    if (!t.leaf(s)) continue;
    std::vector<token> ids;
    std::vector<std::int64_t> from;
    for (auto p : t.path(s))
      for (std::int64_t i = t[p].first; i < t[p].first + t[p].count; ++i) {
        ids.push_back(t.ids()[static_cast<std::size_t>(i)]);
        from.push_back(i);
      }
    const auto root = flat.tree.add_root(ids, t[s].what, false);
    flat.tree.finish(root, t[s].finish);
    const auto first = flat.tree[root].first;
    for (std::size_t i = 0; i < from.size(); ++i) {
      auto& once = seen[static_cast<std::size_t>(from[i])];
      if (t.has_loss(from[i]) && once == 0) flat.tree.set_loss(first + static_cast<std::int64_t>(i), true);
      once = 1;
    }
    flat.source.insert(flat.source.end(), from.begin(), from.end());
  }
  return flat;
}
template <std::same_as<token_tree> Tree>
flat_tree flatten(const Tree& t) {
  std::vector<std::int32_t> all(t.segments().size());
  for (std::size_t s = 0; s < all.size(); ++s) all[s] = static_cast<std::int32_t>(s);
  return flatten(t, std::span<const std::int32_t>(all));
}

}  // namespace ql
