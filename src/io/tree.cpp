// SPDX-License-Identifier: Apache-2.0
#include <ql/io/tree.hpp>

#include <algorithm>
#include <charconv>
#include <map>

namespace ql::io {
namespace {

using json::value;

void flatten_into(const value& tree, const std::string& key, std::vector<std::pair<std::string, value>>& out) {
  if (tree.is_object() && !tree.object().empty()) {
    for (const auto& [name, v] : tree.object()) flatten_into(v, key.empty() ? name : key + "." + name, out);
  } else if (tree.is_array() && !tree.array().empty()) {
    for (std::size_t i = 0; i < tree.array().size(); ++i)
      flatten_into(tree.array()[i], key + "[" + std::to_string(i) + "]", out);
  } else {
    out.emplace_back(key, tree);
  }
}

// A step of a dotted key: a member's name, or an index where the name is empty.
struct key_step {
  std::string name;
  std::size_t index = 0;
};

std::vector<key_step> steps_of(std::string_view key) {
  const auto wrong = [&](const char* why) {
    return format_error("the key \"" + std::string(key.substr(0, 200)) + "\": " + why +
                        "; expected names with dots between, and [index] after a list, such as phases[0].steps");
  };
  std::vector<key_step> steps;
  std::size_t i = 0;
  while (i < key.size()) {
    if (key[i] == '[') {
      std::size_t index = 0;
      const auto close = key.find(']', i);
      if (close == key.npos) throw wrong("'[' without ']'");
      const auto [end, code] = std::from_chars(key.data() + i + 1, key.data() + close, index);
      if (code != std::errc() || end != key.data() + close || steps.empty()) throw wrong("a wrong index");
      steps.push_back({"", index});
      i = close + 1;
      if (i < key.size() && key[i] == '.') {
        if (++i == key.size()) throw wrong("it ends with a dot");
      }
      continue;
    }
    const auto end = std::min(key.find_first_of(".[", i), key.size());
    if (end == i) throw wrong("an empty name");
    steps.push_back({std::string(key.substr(i, end - i)), 0});
    i = end;
    if (i < key.size() && key[i] == '.') {
      if (++i == key.size()) throw wrong("it ends with a dot");
    }
  }
  if (steps.empty()) throw wrong("it is empty");
  if (steps.size() > 32) throw wrong("more than 32 levels");
  return steps;
}

value put_at(const value* old, const std::vector<key_step>& steps, std::size_t at, value leaf, std::string_view key) {
  if (at == steps.size()) return leaf;
  const auto wrong = [&](const std::string& why) { return format_error(std::string(key) + ": " + why); };
  const auto& s = steps[at];
  if (s.name.empty()) {
    if (old != nullptr && !old->is_array()) throw wrong("this is no list");
    value::array_type a = old == nullptr ? value::array_type{} : old->array();
    if (s.index > a.size())
      throw wrong("the list has " + std::to_string(a.size()) + " elements, [" + std::to_string(s.index) +
                  "] would leave a gap");
    if (s.index == a.size())
      a.push_back(put_at(nullptr, steps, at + 1, std::move(leaf), key));
    else
      a[s.index] = put_at(&a[s.index], steps, at + 1, std::move(leaf), key);
    return a;
  }
  if (old != nullptr && !old->is_object() && !old->is_null())
    throw wrong("\"" + s.name + "\" lies below a plain value");
  value::object_type o = old == nullptr || old->is_null() ? value::object_type{} : old->object();
  const auto member = std::find_if(o.begin(), o.end(), [&](const auto& m) { return m.first == s.name; });
  if (member == o.end())
    o.emplace_back(s.name, put_at(nullptr, steps, at + 1, std::move(leaf), key));
  else
    member->second = put_at(&member->second, steps, at + 1, std::move(leaf), key);
  return o;
}

}  // namespace

std::string problem::text() const {
  std::string s = where;
  if (!s.empty()) s += ": ";
  if (!key.empty()) s += key + ": ";
  return s + what;
}

std::string text_of(const std::vector<problem>& problems) {
  std::string s;
  for (const auto& p : problems) s += p.text() + "\n";
  return s;
}

std::vector<std::pair<std::string, value>> flatten(const value& tree) {
  std::vector<std::pair<std::string, value>> out;
  flatten_into(tree, "", out);
  return out;
}

std::vector<difference> differences(const value& before, const value& after) {
  const auto a = flatten(before), b = flatten(after);
  const auto index = [](const auto& leaves) {
    std::map<std::string_view, const value*> m;
    for (const auto& [key, v] : leaves) m.emplace(key, &v);
    return m;
  };
  const auto in_a = index(a), in_b = index(b);
  std::vector<difference> out;
  for (const auto& [key, v] : a) {
    const auto other = in_b.find(key);
    if (other == in_b.end())
      out.push_back({key, json::dump(v), "(absent)"});
    else if (json::dump(v) != json::dump(*other->second))
      out.push_back({key, json::dump(v), json::dump(*other->second)});
  }
  for (const auto& [key, v] : b)
    if (!in_a.contains(key)) out.push_back({key, "(absent)", json::dump(v)});
  return out;
}

const value* find(const value& tree, std::string_view key) {
  const value* v = &tree;
  for (const auto& s : steps_of(key)) {
    if (s.name.empty())
      v = v->is_array() && s.index < v->array().size() ? &v->array()[s.index] : nullptr;
    else
      v = v->find(s.name);
    if (v == nullptr) return nullptr;
  }
  return v;
}

void put(value& tree, std::string_view key, value leaf) {
  tree = put_at(&tree, steps_of(key), 0, std::move(leaf), key);
}

value leaf_of(std::string_view text) {
  try {
    return json::parse(text, "value", {.bytes = std::size_t{1} << 20, .depth = 16});
  } catch (const format_error&) {
    return text;
  }
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  a = a.substr(0, 100), b = b.substr(0, 100);
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0u : 1u)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) now[j] = std::min(now[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, now);
  }
  return last[b.size()];
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string* best = nullptr;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const auto& c : candidates) {
    const std::size_t d = edit_distance(word, c);
    if (d < least && d < c.size()) best = &c, least = d;
  }
  return best == nullptr ? std::string() : *best;
}

std::string quoted_list(const std::vector<std::string>& words) {
  std::string s;
  for (const auto& w : words) s += (s.empty() ? "\"" : ", \"") + w + "\"";
  return s;
}

}  // namespace ql::io
