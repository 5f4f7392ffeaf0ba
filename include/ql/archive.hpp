// SPDX-License-Identifier: Apache-2.0
#pragma once

// State as bytes: save(archive, value) and load(archive, value) for numbers, enumerations, strings, vectors, arrays,
// optionals, variants, pairs, tuples, maps, and plain aggregates of these, nested. An aggregate takes part as it is; a
// class with invariants offers `each_member(f)`, const and not, which calls f with all members at once.

#include <ql/detail/aggregate.hpp>
#include <ql/dispatch.hpp>
#include <ql/error.hpp>
#include <ql/scalar.hpp>

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace ql {

// Bytes that are no archive of the expected type: what() says which type was saved and which is wanted.
class archive_error : public error {
 public:
  using error::error;
  const char* id() const noexcept override { return "QL-E0305"; }
};

// Collects the bytes of values (little-endian).
class archive_writer {
 public:
  void put(const void* data, std::size_t n) { bytes_.append(static_cast<const char*>(data), n); }
  const std::string& bytes() const& { return bytes_; }
  std::string bytes() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Hands out the bytes of an archive; never more than there are.
class archive_reader {
 public:
  explicit archive_reader(std::string_view bytes) : left_(bytes) {}
  void get(void* data, std::size_t n) {
    if (n > left_.size())
      throw archive_error("archive: " + std::to_string(n) + " bytes are wanted where " + std::to_string(left_.size()) +
                          " are left; it is cut short or damaged");
    if (n > 0) std::memcpy(data, left_.data(), n);
    left_.remove_prefix(n);
  }
  std::size_t left() const { return left_.size(); }

 private:
  std::string_view left_;
};

namespace detail {

static_assert(std::endian::native == std::endian::little, "ql: archives are little-endian");

template <class T>
concept plain_number = std::is_arithmetic_v<T> || std::is_enum_v<T> || std::same_as<T, bf16>;

struct any_members {
  template <class... M>
  void operator()(M&...) const {}
};
template <class T>
concept with_each_member = requires(T& v) { v.each_member(any_members()); };

template <class T, template <class...> class Of>
inline constexpr bool is_a = false;
template <class... A, template <class...> class Of>
inline constexpr bool is_a<Of<A...>, Of> = true;
template <class T>
inline constexpr bool is_array = false;
template <class T, std::size_t N>
inline constexpr bool is_array<std::array<T, N>> = true;
template <class T>
concept tuple_like = is_a<T, std::tuple> || is_a<T, std::pair>;
template <class T>
concept map_like = is_a<T, std::map>;
template <class T>
concept set_like = is_a<T, std::set>;

// A variant, or a class derived from one.
template <class... A>
std::variant<A...> variant_base(const std::variant<A...>&);
template <class T>
concept variant_like = requires(const T& v) { ql::detail::variant_base(v); };
template <class T>
using variant_of = decltype(ql::detail::variant_base(std::declval<const T&>()));

// f(member...) of whatever has members.
template <class T, class F>
constexpr void all_members(T& v, F&& f) {
  using U = std::remove_const_t<T>;
  if constexpr (with_each_member<U>)
    v.each_member(f);
  else if constexpr (tuple_like<U>)
    std::apply(f, v);
  else if constexpr (plain_aggregate<U>)
    with_members(v, f);
  else
    static_assert(plain_aggregate<U>,
                  "ql: this type cannot be archived: it is no number, string, container or plain "
                  "aggregate; give it each_member(f)");
}

// What a type looks like in an archive: "{f64,[u32],?s}". Saved with it, so that an older layout is told by name.
template <class T>
void layout(std::string& s) {
  if constexpr (std::same_as<T, bf16>) {
    s += "bf16";
  } else if constexpr (std::is_enum_v<T>) {
    s += 'e', layout<std::underlying_type_t<T>>(s);
  } else if constexpr (std::same_as<T, bool>) {
    s += 'b';
  } else if constexpr (std::is_arithmetic_v<T>) {
    s += (std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u') + std::to_string(8 * sizeof(T));
  } else if constexpr (std::same_as<T, std::string>) {
    s += 's';
  } else if constexpr (is_a<T, std::vector> || set_like<T>) {
    s += '[', layout<typename T::value_type>(s), s += ']';
  } else if constexpr (is_array<T>) {
    layout<typename T::value_type>(s), s += '*' + std::to_string(std::tuple_size_v<T>);
  } else if constexpr (is_a<T, std::optional>) {
    s += '?', layout<typename T::value_type>(s);
  } else if constexpr (map_like<T>) {
    s += '[', layout<typename T::key_type>(s), s += ':', layout<typename T::mapped_type>(s), s += ']';
  } else if constexpr (variant_like<T>) {
    [&]<class... A>(std::type_identity<std::variant<A...>>) {
      s += '<';
      ((s += s.back() == '<' ? "" : "|", layout<A>(s)), ...);
      s += '>';
    }(std::type_identity<variant_of<T>>());
  } else if constexpr (std::same_as<T, std::monostate>) {
    s += "{}";
  } else {
    s += '{';
    T value{};
    all_members(value, [&]<class... M>(M&...) { ((s += s.back() == '{' ? "" : ",", layout<M>(s)), ...); });
    s += '}';
  }
}

inline void save_size(archive_writer& a, std::size_t n) {
  const std::uint64_t wide = n;
  a.put(&wide, sizeof wide);
}

// Every element takes at least one byte of an archive, so that a damaged count cannot ask for more memory than that.
inline std::size_t load_size(archive_reader& a) {
  std::uint64_t n = 0;
  a.get(&n, sizeof n);
  if (n > a.left())
    throw archive_error("archive: a list of " + std::to_string(n) + " elements in " + std::to_string(a.left()) +
                        " bytes; it is damaged");
  return static_cast<std::size_t>(n);
}

template <class T>
void save_body(archive_writer& a, const T& v);
template <class T>
void load_body(archive_reader& a, T& v);

template <class T>
void save_elements(archive_writer& a, const T& v) {
  for (const auto& e : v) {
    if constexpr (std::same_as<T, std::vector<bool>>)
      save_body(a, static_cast<bool>(e));
    else
      save_body(a, e);
  }
}

template <class T>
void save_body(archive_writer& a, const T& v) {
  if constexpr (std::same_as<T, bool>) {
    const std::uint8_t byte = v ? 1 : 0;
    a.put(&byte, 1);
  } else if constexpr (plain_number<T>) {
    a.put(&v, sizeof v);
  } else if constexpr (std::same_as<T, std::string>) {
    save_size(a, v.size());
    a.put(v.data(), v.size());
  } else if constexpr (is_a<T, std::vector>) {
    using E = typename T::value_type;
    save_size(a, v.size());
    if constexpr (plain_number<E> && !std::same_as<E, bool>)
      a.put(v.data(), v.size() * sizeof(E));
    else
      save_elements(a, v);
  } else if constexpr (is_array<T>) {
    save_elements(a, v);
  } else if constexpr (set_like<T>) {
    save_size(a, v.size());
    save_elements(a, v);
  } else if constexpr (map_like<T>) {
    save_size(a, v.size());
    for (const auto& [key, value] : v) save_body(a, key), save_body(a, value);
  } else if constexpr (is_a<T, std::optional>) {
    save_body(a, v.has_value());
    if (v) save_body(a, *v);
  } else if constexpr (variant_like<T>) {
    const variant_of<T>& base = v;
    const auto index = static_cast<std::uint8_t>(base.index());
    static_assert(std::variant_size_v<variant_of<T>> < 255);
    a.put(&index, 1);
    std::visit([&](const auto& x) { save_body(a, x); }, base);
  } else if constexpr (std::same_as<T, std::monostate>) {
    const std::uint8_t nothing = 0;
    a.put(&nothing, 1);
  } else {
    const std::uint8_t mark = '{';  // an aggregate without members takes a byte too
    a.put(&mark, 1);
    all_members(v, [&](const auto&... m) { (save_body(a, m), ...); });
  }
}

template <class V, std::size_t Index = 0>
void load_variant(archive_reader& a, V& v, std::size_t index) {
  if constexpr (Index < std::variant_size_v<V>) {
    if (index == Index) {
      std::variant_alternative_t<Index, V> x{};
      load_body(a, x);
      v.template emplace<Index>(std::move(x));
    } else {
      load_variant<V, Index + 1>(a, v, index);
    }
  } else {
    throw archive_error("archive: alternative " + std::to_string(index) + " of " +
                        std::to_string(std::variant_size_v<V>) + "; it is damaged");
  }
}

template <class T>
void load_body(archive_reader& a, T& v) {
  if constexpr (std::same_as<T, bool>) {
    std::uint8_t byte = 0;
    a.get(&byte, 1);
    if (byte > 1) throw archive_error("archive: a boolean of value " + std::to_string(byte) + "; it is damaged");
    v = byte == 1;
  } else if constexpr (plain_number<T>) {
    a.get(&v, sizeof v);
  } else if constexpr (std::same_as<T, std::string>) {
    v.resize(load_size(a));
    a.get(v.data(), v.size());
  } else if constexpr (is_a<T, std::vector>) {
    using E = typename T::value_type;
    const std::size_t n = load_size(a);
    v.clear();
    if constexpr (plain_number<E> && !std::same_as<E, bool>) {
      if (n > a.left() / sizeof(E)) throw archive_error("archive: a list that is longer than the archive");
      v.resize(n);
      a.get(v.data(), n * sizeof(E));
    } else {
      for (std::size_t i = 0; i < n; ++i) {
        E e{};
        load_body(a, e);
        v.push_back(std::move(e));
      }
    }
  } else if constexpr (is_array<T>) {
    for (auto& e : v) load_body(a, e);
  } else if constexpr (set_like<T>) {
    v.clear();
    for (std::size_t i = 0, n = load_size(a); i < n; ++i) {
      typename T::value_type e{};
      load_body(a, e);
      v.insert(std::move(e));
    }
  } else if constexpr (map_like<T>) {
    v.clear();
    for (std::size_t i = 0, n = load_size(a); i < n; ++i) {
      typename T::key_type key{};
      typename T::mapped_type value{};
      load_body(a, key), load_body(a, value);
      v.emplace(std::move(key), std::move(value));
    }
  } else if constexpr (is_a<T, std::optional>) {
    bool there = false;
    load_body(a, there);
    v.reset();
    if (there) load_body(a, v.emplace());
  } else if constexpr (variant_like<T>) {
    std::uint8_t index = 0;
    a.get(&index, 1);
    variant_of<T>& base = v;
    load_variant(a, base, index);
  } else if constexpr (std::same_as<T, std::monostate>) {
    std::uint8_t nothing = 0;
    a.get(&nothing, 1);
  } else {
    std::uint8_t mark = 0;
    a.get(&mark, 1);
    if (mark != '{') throw archive_error("archive: the beginning of an aggregate is missing; it is damaged");
    all_members(v, [&](auto&... m) { (load_body(a, m), ...); });
  }
}

}  // namespace detail

// The text of a type's layout, which save() puts before the value.
//   struct point { double x, y; };   layout_of<point>() is "{f64,f64}"
template <class T>
std::string layout_of() {
  std::string s;
  detail::layout<T>(s);
  return s;
}

template <class T>
void save(archive_writer& a, const T& value) {
  detail::save_body(a, layout_of<T>());
  detail::save_body(a, value);
}

// Throws archive_error where the archive holds another layout or ends early.
template <class T>
void load(archive_reader& a, T& value) {
  std::string saved;
  detail::load_body(a, saved);
  if (const std::string wanted = layout_of<T>(); saved != wanted)
    throw archive_error("archive: saved as " + saved.substr(0, 300) + ", wanted as " + wanted.substr(0, 300) +
                        "; it was written by another version");
  detail::load_body(a, value);
}

// The bytes of one value, and back; everything must be used up.
template <class T>
std::string to_bytes(const T& value) {
  archive_writer a;
  save(a, value);
  return std::move(a).bytes();
}
template <class T>
T from_bytes(std::string_view bytes) {
  archive_reader a(bytes);
  T value{};
  load(a, value);
  if (a.left() > 0) throw archive_error("archive: " + std::to_string(a.left()) + " bytes too many");
  return value;
}

}  // namespace ql
