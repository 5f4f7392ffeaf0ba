// SPDX-License-Identifier: Apache-2.0
#pragma once

// The members of a plain aggregate, counted and visited without any help of its author.

#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace ql::detail {

template <class T>
concept plain_aggregate = std::is_aggregate_v<T> && std::is_class_v<T>;

// Converts to every type but the aggregate that is being counted, whose copy would pass for a first member. The
// operator is const and its objects are not, so that a member's own converting constructor (std::optional has one) is
// preferred to it instead of ambiguous with it.
template <class Owner>
struct anything {
  template <class U>
    requires(!std::same_as<U, Owner>)
  operator U() const {
    throw this;  // never called
  }
};

template <class T, std::size_t... Index>
constexpr bool takes(std::index_sequence<Index...>) {
  return requires { T{((void)Index, anything<T>{})...}; };
}

template <class T, std::size_t N = 0>
constexpr std::size_t count_members() {
  if constexpr (takes<T>(std::make_index_sequence<N + 1>()))
    return count_members<T, N + 1>();
  else
    return N;
}

// How many members an aggregate without base classes and C arrays has.
template <plain_aggregate T>
inline constexpr std::size_t arity = count_members<T>();

inline constexpr std::size_t most_members = 24;

// f(first member, second member, ...) of an aggregate of at most 24 members.
template <class T, class F>
constexpr void with_members(T& v, F&& f) {
  constexpr std::size_t n = arity<std::remove_const_t<T>>;
  static_assert(n <= most_members, "ql: an aggregate of more than 24 members: group them in aggregates");
  if constexpr (n == 0) f();
  if constexpr (n == 1) {
    auto& [m0] = v;
    f(m0);
  }
  if constexpr (n == 2) {
    auto& [m0, m1] = v;
    f(m0, m1);
  }
  if constexpr (n == 3) {
    auto& [m0, m1, m2] = v;
    f(m0, m1, m2);
  }
  if constexpr (n == 4) {
    auto& [m0, m1, m2, m3] = v;
    f(m0, m1, m2, m3);
  }
  if constexpr (n == 5) {
    auto& [m0, m1, m2, m3, m4] = v;
    f(m0, m1, m2, m3, m4);
  }
  if constexpr (n == 6) {
    auto& [m0, m1, m2, m3, m4, m5] = v;
    f(m0, m1, m2, m3, m4, m5);
  }
  if constexpr (n == 7) {
    auto& [m0, m1, m2, m3, m4, m5, m6] = v;
    f(m0, m1, m2, m3, m4, m5, m6);
  }
  if constexpr (n == 8) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7);
  }
  if constexpr (n == 9) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8);
  }
  if constexpr (n == 10) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9);
  }
  if constexpr (n == 11) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10);
  }
  if constexpr (n == 12) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11);
  }
  if constexpr (n == 13) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12);
  }
  if constexpr (n == 14) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13);
  }
  if constexpr (n == 15) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14);
  }
  if constexpr (n == 16) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15);
  }
  if constexpr (n == 17) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16);
  }
  if constexpr (n == 18) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17);
  }
  if constexpr (n == 19) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18);
  }
  if constexpr (n == 20) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19);
  }
  if constexpr (n == 21) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20);
  }
  if constexpr (n == 22) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21);
  }
  if constexpr (n == 23) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22);
  }
  if constexpr (n == 24) {
    auto& [m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22,
           m23] = v;
    f(m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11, m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23);
  }
}

}  // namespace ql::detail
