// SPDX-License-Identifier: Apache-2.0
#pragma once

// A recipe is a map from slot to component, made once and checked at compile time:
//
//   auto mine = ql::recipe(ql::slot::loss = ql::rl::clip_higher, ql::slot::aggregation = ql::rl::token_mean{}, ...);
//   auto other = ql::with(mine, ql::slot::loss = ql::rl::cispo{});
//   mine[ql::slot::loss];

#include <boost/hana/at_key.hpp>
#include <boost/hana/map.hpp>
#include <boost/hana/pair.hpp>
#include <boost/hana/type.hpp>

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace ql {

namespace slot {

template <class Tag, class V>
struct assignment {
  using tag = Tag;
  using type = V;
  V value;
};
// A slot's name in code; `slot = component` fills it.
template <class Tag>
struct key {
  template <class V>
  constexpr assignment<Tag, std::decay_t<V>> operator=(V&& v) const {
    return {std::forward<V>(v)};
  }
};

// clang-format off
struct engine_tag      { static constexpr std::string_view name = "engine"; };       // how answers are sampled
struct sampler_tag     { static constexpr std::string_view name = "sampler"; };      // rl::sampler
struct curriculum_tag  { static constexpr std::string_view name = "curriculum"; };   // curriculum::curriculum
struct filter_tag      { static constexpr std::string_view name = "filter"; };       // rl::group_filter
struct shaping_tag     { static constexpr std::string_view name = "shaping"; };      // length -> added to the reward
struct advantage_tag   { static constexpr std::string_view name = "advantage"; };    // rl::advantage_estimator
struct loss_tag        { static constexpr std::string_view name = "loss"; };         // rl::policy_loss
struct control_tag     { static constexpr std::string_view name = "control"; };      // rl::loss_control; may be left empty
struct aggregation_tag { static constexpr std::string_view name = "aggregation"; };  // rl::aggregation
struct optimizer_tag   { static constexpr std::string_view name = "optimizer"; };    // rl::adamw, ...
struct schedule_tag    { static constexpr std::string_view name = "schedule"; };     // rl::schedule
// clang-format on

inline constexpr key<engine_tag> engine;
inline constexpr key<sampler_tag> sampler;
inline constexpr key<curriculum_tag> curriculum;
inline constexpr key<filter_tag> filter;
inline constexpr key<shaping_tag> shaping;
inline constexpr key<advantage_tag> advantage;
inline constexpr key<loss_tag> loss;
inline constexpr key<control_tag> control;
inline constexpr key<aggregation_tag> aggregation;
inline constexpr key<optimizer_tag> optimizer;
inline constexpr key<schedule_tag> schedule;

}  // namespace slot

// No shaping: the reward is the task score.
struct no_shaping {
  constexpr double operator()(std::int64_t) const { return 0; }
};

// Slots: slot::assignment<Tag, Component>, one a filled slot.
template <class... Slots>
class recipe_of {
 public:
  constexpr explicit recipe_of(Slots... parts)
      : parts_(boost::hana::make_map(
            boost::hana::make_pair(boost::hana::type_c<typename Slots::tag>, std::move(parts.value))...)) {}

  template <class Tag>
  static constexpr bool has = (std::is_same_v<Tag, typename Slots::tag> || ...);

  template <class Tag>
  constexpr auto& operator[](slot::key<Tag>) {
    static_assert(has<Tag>, "ql: this recipe leaves the slot empty; fill it with ql::with(recipe, slot = component)");
    if constexpr (has<Tag>) {
      return boost::hana::at_key(parts_, boost::hana::type_c<Tag>);
    } else {
      return parts_;  // never reached; one complaint is enough
    }
  }
  template <class Tag>
  constexpr const auto& operator[](slot::key<Tag>) const {
    static_assert(has<Tag>, "ql: this recipe leaves the slot empty; fill it with ql::with(recipe, slot = component)");
    if constexpr (has<Tag>) {
      return boost::hana::at_key(parts_, boost::hana::type_c<Tag>);
    } else {
      return parts_;  // never reached; one complaint is enough
    }
  }
  template <class Tag>
  using component = std::decay_t<decltype(std::declval<recipe_of&>()[slot::key<Tag>{}])>;

  template <class Tag, class V>
  constexpr auto with(slot::assignment<Tag, V> a) const {
    if constexpr (has<Tag>) {
      return recipe_of<
          std::conditional_t<std::is_same_v<Tag, typename Slots::tag>, slot::assignment<Tag, V>, Slots>...>(
          chosen<Slots>(a)...);
    } else {
      return recipe_of<Slots..., slot::assignment<Tag, V>>(chosen<Slots>(a)..., std::move(a));
    }
  }

 private:
  // What fills a slot in a recipe that is like this one but for `a`.
  template <class Slot, class Tag, class V>
  constexpr auto chosen(slot::assignment<Tag, V>& a) const {
    if constexpr (std::is_same_v<Tag, typename Slot::tag>) {
      return std::move(a);
    } else {
      return Slot{(*this)[slot::key<typename Slot::tag>{}]};
    }
  }

  decltype(boost::hana::make_map(boost::hana::make_pair(boost::hana::type_c<typename Slots::tag>,
                                                        std::declval<typename Slots::type>())...)) parts_;
};

namespace detail {
template <class... Tags>
constexpr bool distinct_tags() {
  return sizeof...(Tags) == 0 || [] {
    constexpr std::string_view names[] = {Tags::name...};
    for (std::size_t i = 0; i < sizeof...(Tags); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if (names[i] == names[j]) return false;
    return true;
  }();
}
}  // namespace detail

// Components by slot. A slot that is filled twice is an error.
template <class... Tags, class... Vs>
constexpr auto recipe(slot::assignment<Tags, Vs>... parts) {
  static_assert(detail::distinct_tags<Tags...>(), "ql: a slot of this recipe is filled twice");
  return recipe_of<slot::assignment<Tags, Vs>...>(std::move(parts)...);
}

namespace detail {
template <class V>
inline constexpr bool is_assignment = false;
template <class Tag, class V>
inline constexpr bool is_assignment<slot::assignment<Tag, V>> = true;
}  // namespace detail

// What is not `slot = component` is refused in words.
template <class... Vs>
  requires(!detail::is_assignment<Vs> || ...)
constexpr void recipe(const Vs&...) {
  static_assert((detail::is_assignment<Vs> && ...),
                "ql: recipe() takes assignments: ql::recipe(ql::slot::loss = my_loss{}, ...)");
}

// The same recipe with some slots filled anew: what a researcher changes.
template <class... Slots>
constexpr auto with(const recipe_of<Slots...>& r) {
  return r;
}
template <class... Slots, class Tag, class V, class... Rest>
constexpr auto with(const recipe_of<Slots...>& r, slot::assignment<Tag, V> first, Rest... rest) {
  return with(r.with(std::move(first)), std::move(rest)...);
}

// What a configuration may choose at run time: one of several components. It is opened once per call by visit_choice,
// never inside a loop over tokens.
template <class... Ts>
struct choice {
  std::variant<Ts...> value;
  choice() = default;
  template <class T>
    requires(std::same_as<std::decay_t<T>, Ts> || ...)
  choice(T&& t) : value(std::forward<T>(t)) {}
};
template <class C>
inline constexpr bool is_choice = false;
template <class... Ts>
inline constexpr bool is_choice<choice<Ts...>> = true;

// f(component), whether the slot holds a component or a choice of some.
template <class C, class F>
decltype(auto) visit_choice(C&& c, F&& f) {
  if constexpr (is_choice<std::remove_cvref_t<C>>) {
    return std::visit(std::forward<F>(f), std::forward<C>(c).value);
  } else {
    return std::forward<F>(f)(std::forward<C>(c));
  }
}

}  // namespace ql
