// SPDX-License-Identifier: Apache-2.0
#pragma once

// Configurations described once, and everything that follows from the description: print, parse, set by key, compare,
// hash, save as a tree.
//
//   struct clip { double low = 0.2, high = 0.28; };
//   template <>
//   inline constexpr auto ql::members<clip> = ql::fields(ql::field("low", &clip::low, "lower bound of the ratio"),
//                                                        ql::field("high", &clip::high, "upper bound"));
//   to_text(clip{})   is "low = 0.2\nhigh = 0.28\n"

#include <ql/archive.hpp>
#include <ql/io/hash.hpp>
#include <ql/io/toml.hpp>
#include <ql/io/tree.hpp>
#include <ql/rl/rules.hpp>

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace ql {

// One member of an aggregate: its key in files, where it lies, and a sentence for people.
template <class T, class M>
struct field {
  std::string_view name;
  M T::* pointer;
  std::string_view about;

  constexpr field(std::string_view n, M T::* p, std::string_view a = {}) : name(n), pointer(p), about(a) {}
};

template <class... F>
constexpr auto fields(F... f) {
  return std::tuple<F...>(f...);
}

// Specialised for each described aggregate, with every member: ql checks their number against the aggregate's.
template <class T>
inline constexpr auto members = nullptr;

// Specialised for each enumeration that files may name: std::array of {name, value}.
//   template <> inline constexpr auto ql::names<mode> = ql::enumerators<mode>({{"repo", mode::repo}, ...});
template <class E>
inline constexpr auto names = nullptr;

template <class E, std::size_t N>
constexpr std::array<std::pair<std::string_view, E>, N> enumerators(const std::pair<std::string_view, E> (&list)[N]) {
  std::array<std::pair<std::string_view, E>, N> a{};
  for (std::size_t i = 0; i < N; ++i) a[i].first = list[i].first, a[i].second = list[i].second;
  return a;
}

// Specialised for each alternative of a variant (a ql::choice) that files may name: `kind = "..."` picks it.
template <class T>
inline constexpr std::string_view kind{};

// A described aggregate.
template <class T>
concept reflected = !std::is_null_pointer_v<std::remove_const_t<decltype(members<T>)>>;

namespace detail {

// The description of T, checked: no member escapes print, diff and hash.
template <reflected T>
constexpr const auto& members_of() {
  if constexpr (plain_aggregate<T>)
    static_assert(arity<T> == std::tuple_size_v<std::remove_const_t<decltype(members<T>)>>,
                  "ql: ql::members of this aggregate does not list each of its members once");
  return members<T>;
}

template <class T, class F>
constexpr void each_field(T& v, F&& f) {
  std::apply([&](const auto&... m) { (f(m, v.*(m.pointer)), ...); }, members_of<std::remove_const_t<T>>());
}

using tree = io::json::value;
using problems = std::vector<io::problem>;

// What take_tree says when the text and the type do not meet; compiled once.
void wrong_kind(problems& out, const std::string& key, std::string_view expected, const tree& got);
void wrong_name(problems& out, const std::string& key, const tree& got, const std::vector<std::string>& allowed);
void unknown_keys(problems& out, const std::string& key, const tree& object, const std::vector<std::string>& known);
std::string key_under(const std::string& key, std::string_view name);
std::string key_at(const std::string& key, std::size_t index);
io::problem rule_problem(const std::string& key, const rl::violation& v);
// `defaults`: whose lists an index refers to where the file says nothing of them.
void apply_set(tree& t, const tree& defaults, const std::string& text, std::vector<std::string>& keys, problems& out);
void locate(problems& p, const io::toml::document& file, const std::vector<std::string>& set_keys);
[[noreturn]] void refuse(const problems& p);
[[noreturn]] void too_large(std::uint64_t value);

template <class T>
tree tree_of(const T& v);
template <class T>
void take_tree(const tree& t, T& v, const std::string& key, problems& out);

template <class V>
std::vector<std::string> kinds_of() {
  std::vector<std::string> all;
  [&]<class... A>(std::type_identity<std::variant<A...>>) {
    static_assert((... && !kind<A>.empty()), "ql: an alternative of a variant has no name: specialise ql::kind");
    (all.emplace_back(kind<A>), ...);
  }(std::type_identity<V>());
  return all;
}

template <class T>
tree tree_of(const T& v) {
  if constexpr (std::same_as<T, bool>) {
    return v;
  } else if constexpr (std::is_enum_v<T>) {
    static_assert(!std::is_null_pointer_v<std::remove_const_t<decltype(names<T>)>>,
                  "ql: this enumeration has no names: specialise ql::names");
    for (const auto& [name, value] : names<T>)
      if (value == v) return name;
    return static_cast<std::int64_t>(v);
  } else if constexpr (std::is_integral_v<T>) {
    if constexpr (std::is_unsigned_v<T> && sizeof(T) == 8)
      if (v > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) too_large(v);
    return static_cast<std::int64_t>(v);
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<double>(v);
  } else if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    return std::string_view(v);
  } else if constexpr (is_a<T, std::optional>) {
    return v ? tree_of(*v) : tree(nullptr);
  } else if constexpr (is_a<T, std::vector> || is_array<T>) {
    tree::array_type a;
    for (const auto& e : v) a.push_back(tree_of(static_cast<const typename T::value_type&>(e)));
    return a;
  } else if constexpr (is_a<T, std::map>) {
    tree::object_type o;
    for (const auto& [name, e] : v) o.emplace_back(name, tree_of(e));
    return o;
  } else if constexpr (variant_like<T>) {
    const variant_of<T>& base = v;
    const auto all = kinds_of<variant_of<T>>();
    tree::object_type o{{"kind", all[base.index()]}};
    std::visit(
        [&](const auto& x) {
          each_field(x, [&](const auto& f, const auto& m) { o.emplace_back(std::string(f.name), tree_of(m)); });
        },
        base);
    return o;
  } else {
    static_assert(reflected<T>, "ql: this type is not described: specialise ql::members for it");
    tree::object_type o;
    each_field(v, [&](const auto& f, const auto& m) { o.emplace_back(std::string(f.name), tree_of(m)); });
    return o;
  }
}

template <class T>
void fields_from_tree(const tree& t, T& v, const std::string& key, problems& out, const char* besides = nullptr) {
  if (!t.is_object()) {
    wrong_kind(out, key, "a table", t);
    return;
  }
  std::vector<std::string> known;
  if (besides != nullptr) known.emplace_back(besides);
  each_field(v, [&](const auto& f, auto& m) {
    known.emplace_back(f.name);
    if (const tree* x = t.find(f.name)) take_tree(*x, m, key_under(key, f.name), out);
  });
  unknown_keys(out, key, t, known);
}

template <class V, std::size_t Index = 0>
void alternative_from_tree(const tree& t, V& v, std::size_t index, const std::string& key, problems& out) {
  if constexpr (Index < std::variant_size_v<V>) {
    if (index != Index) return alternative_from_tree<V, Index + 1>(t, v, index, key, out);
    if (v.index() != Index) v.template emplace<Index>();
    if (t.is_object()) fields_from_tree(t, *std::get_if<Index>(&v), key, out, "kind");
  }
}

template <class T>
void take_tree(const tree& t, T& v, const std::string& key, problems& out) {
  if constexpr (std::same_as<T, bool>) {
    if (!t.is_boolean()) return wrong_kind(out, key, "true or false", t);
    v = t.boolean();
  } else if constexpr (std::is_enum_v<T>) {
    std::vector<std::string> allowed;
    for (const auto& [name, value] : names<T>) {
      if (t.is_string() && t.string() == name) {
        v = value;
        return;
      }
      allowed.emplace_back(name);
    }
    wrong_name(out, key, t, allowed);
  } else if constexpr (std::is_integral_v<T>) {
    constexpr auto low = std::is_signed_v<T> ? static_cast<std::int64_t>(std::numeric_limits<T>::min()) : 0;
    constexpr auto high = sizeof(T) == 8 ? std::numeric_limits<std::int64_t>::max()
                                         : static_cast<std::int64_t>(std::numeric_limits<T>::max());
    if (!t.is_integer() || t.integer() < low || t.integer() > high)
      return wrong_kind(out, key,
                        sizeof(T) == 8 ? (low == 0 ? "an integer of at least 0" : "an integer")
                                       : "an integer from " + std::to_string(low) + " to " + std::to_string(high),
                        t);
    v = static_cast<T>(t.integer());
  } else if constexpr (std::is_floating_point_v<T>) {
    if (!t.is_number()) return wrong_kind(out, key, "a number", t);
    v = static_cast<T>(t.real());
  } else if constexpr (std::same_as<T, std::string>) {
    if (!t.is_string()) return wrong_kind(out, key, "a text in quotes", t);
    v = t.string();
  } else if constexpr (is_a<T, std::optional>) {
    if (t.is_null()) return v.reset();
    if (!std::same_as<typename T::value_type, std::string> && t.is_string() && t.string() == "none") return v.reset();
    if (!v) v.emplace();
    take_tree(t, *v, key, out);
  } else if constexpr (is_a<T, std::vector>) {
    if (!t.is_array()) return wrong_kind(out, key, "a list", t);
    v.clear();
    for (std::size_t i = 0; i < t.array().size(); ++i) {
      typename T::value_type e{};
      take_tree(t.array()[i], e, key_at(key, i), out);
      v.push_back(std::move(e));
    }
  } else if constexpr (is_array<T>) {
    if (!t.is_array() || t.array().size() != v.size())
      return wrong_kind(out, key, "a list of " + std::to_string(v.size()), t);
    for (std::size_t i = 0; i < v.size(); ++i) take_tree(t.array()[i], v[i], key_at(key, i), out);
  } else if constexpr (is_a<T, std::map>) {
    if (!t.is_object()) return wrong_kind(out, key, "a table", t);
    v.clear();
    for (const auto& [name, e] : t.object()) take_tree(e, v[name], key_under(key, name), out);
  } else if constexpr (variant_like<T>) {
    variant_of<T>& base = v;
    const auto all = kinds_of<variant_of<T>>();
    const tree* picked = t.is_string() ? &t : t.find("kind");
    std::size_t index = base.index();
    if (picked != nullptr) {
      for (index = 0; index < all.size(); ++index)
        if (picked->is_string() && picked->string() == all[index]) break;
      if (index == all.size()) return wrong_name(out, t.is_string() ? key : key_under(key, "kind"), *picked, all);
    } else if (!t.is_object()) {
      return wrong_name(out, key, t, all);
    }
    alternative_from_tree(t, base, index, key, out);
  } else {
    static_assert(reflected<T>, "ql: this type is not described: specialise ql::members for it");
    fields_from_tree(t, v, key, out);
  }
}

}  // namespace detail

// A described value as a tree: objects in the order of the description, enumerations and kinds by name, an empty
// optional as null. Throws argument_error for an unsigned number above 2^63 - 1, which no configuration file can hold.
template <class T>
io::json::value to_tree(const T& value) {
  return detail::tree_of(value);
}

// Takes from the tree what it says; other members keep their values. Returns all problems: unknown keys with the
// nearest known one, wrong kinds, values out of range, names that are not allowed. With problems, `value` is unusable.
template <class T>
[[nodiscard]] std::vector<io::problem> from_tree(const io::json::value& tree, T& value) {
  std::vector<io::problem> problems;
  detail::take_tree(tree, value, "", problems);
  return problems;
}

// One line "key = value" per leaf; values as JSON.
template <class T>
std::string to_text(const T& value) {
  std::string s;
  for (const auto& [key, leaf] : io::flatten(to_tree(value))) s += key + " = " + io::json::dump(leaf) + "\n";
  return s;
}

// Sets one member by its dotted key. The text is JSON, or a bare word for a text or a name. Throws argument_error with
// the key, the value and what is allowed.
//   set(config, "phases[1].steps", "40")
template <class T>
void set(T& value, std::string_view key, std::string_view text) {
  io::json::value tree = to_tree(value);
  io::put(tree, key, io::leaf_of(text));
  T changed = value;
  if (const auto problems = from_tree(tree, changed); !problems.empty()) detail::refuse(problems);
  value = std::move(changed);
}

// The members that differ, the first one first.
template <class T>
std::vector<io::difference> differences(const T& before, const T& after) {
  return io::differences(to_tree(before), to_tree(after));
}

// Equal for equal values only (but for chance), whatever the compiler and the machine.
template <class T>
io::digest hash_of(const T& value) {
  return io::hash(io::json::dump(to_tree(value), {.compact = true}));
}

// What a described type offers: each leaf's key, default value and sentence, for help texts and tables.
struct field_note {
  std::string key, value, about;
};
template <class T>
std::vector<field_note> describe(const T& value = {}) {
  std::vector<field_note> notes;
  const auto walk = [&](const auto& self, const auto& v, const std::string& key) -> void {
    detail::each_field(v, [&](const auto& f, const auto& m) {
      using M = std::remove_cvref_t<decltype(m)>;
      const std::string k = detail::key_under(key, f.name);
      if constexpr (reflected<M>) {
        if (!f.about.empty()) notes.push_back({k, "", std::string(f.about)});
        self(self, m, k);
      } else {
        notes.push_back({k, io::json::dump(to_tree(m)), std::string(f.about)});
      }
    });
  };
  walk(walk, value, "");
  return notes;
}

// What is wrong with a described value by the rules of its parts (their `validate`), with dotted keys.
template <class T>
std::vector<io::problem> rule_problems(const T& value) {
  std::vector<io::problem> out;
  const auto walk = [&](const auto& self, const auto& v, const std::string& key) -> void {
    using V = std::remove_cvref_t<decltype(v)>;
    if constexpr (rl::checked<V>) {
      const auto book = rl::broken_rules(v);
      for (std::size_t i = 0; i < book.size(); ++i) out.push_back(detail::rule_problem(key, book[i]));
    }
    if constexpr (detail::variant_like<V>) {
      const detail::variant_of<V>& base = v;
      std::visit([&](const auto& x) { self(self, x, key); }, base);
    } else if constexpr (detail::is_a<V, std::vector>) {
      for (std::size_t i = 0; i < v.size(); ++i)
        if constexpr (!std::same_as<V, std::vector<bool>>) self(self, v[i], detail::key_at(key, i));
    } else if constexpr (detail::is_a<V, std::optional>) {
      if (v) self(self, *v, key);
    } else if constexpr (reflected<V>) {
      detail::each_field(v, [&](const auto& f, const auto& m) { self(self, m, detail::key_under(key, f.name)); });
    }
  };
  walk(walk, value, "");
  return out;
}

// A configuration and everything that is wrong with it; the value is of use only without problems.
template <class T>
struct configured {
  T value;
  std::vector<io::problem> problems;
};

// A TOML file over `defaults`, then "key=value" texts over the file. Every problem of both, and of the rules, has its
// place: file:line:column, or "--set".
template <class T>
configured<T> configure(io::toml::document file, const std::vector<std::string>& sets = {}, T defaults = {}) {
  configured<T> c{std::move(defaults), {}};
  std::vector<std::string> set_keys;
  const auto before = sets.empty() ? detail::tree() : to_tree(c.value);
  for (const auto& text : sets) detail::apply_set(file.tree, before, text, set_keys, c.problems);
  for (auto& p : from_tree(file.tree, c.value)) c.problems.push_back(std::move(p));
  if (c.problems.empty()) c.problems = rule_problems(c.value);
  detail::locate(c.problems, file, set_keys);
  return c;
}

// The resolved configuration as TOML, with the description's sentences as comments.
template <class T>
std::string to_toml(const T& value) {
  std::vector<std::pair<std::string, std::string>> comments;
  for (auto& n : describe(value)) comments.emplace_back(std::move(n.key), std::move(n.about));
  return io::toml::print(to_tree(value), comments);
}

}  // namespace ql
