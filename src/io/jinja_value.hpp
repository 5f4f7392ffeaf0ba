// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "jinja.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ql::text::jinja {

struct value;
struct scope;

struct undefined {
  std::shared_ptr<const std::string> why;  // may be null
};
struct list_data;
struct dict_data;
struct loop_data;
struct method_data;
struct list {
  std::shared_ptr<const list_data> data;
};
struct dict {
  std::shared_ptr<const dict_data> data;
};
// By number: namespaces belong to the rendering, so that they cannot keep each other alive.
struct namespace_ref {
  std::size_t index;
};
struct macro_ref {
  const statement* definition;
  scope* defined_in;
};
struct global_function {
  enum class kind { raise, range, make_dict, make_namespace, strftime_now } what;
};
struct method {
  std::shared_ptr<const method_data> data;
};
struct loop_ref {
  std::shared_ptr<loop_data> data;
};
using text_ptr = std::shared_ptr<const std::string>;

struct value {
  std::variant<undefined, std::nullptr_t, bool, std::int64_t, double, text_ptr, list, dict, namespace_ref, macro_ref,
               global_function, method, loop_ref>
      data;

  template <class T>
  const T* as() const {
    return std::get_if<T>(&data);
  }
  template <class T>
  bool is() const {
    return std::holds_alternative<T>(data);
  }
  const std::string* text() const {
    const auto* t = as<text_ptr>();
    return t ? t->get() : nullptr;
  }
};

struct list_data {
  std::vector<value> items;
  bool tuple = false;
  int depth = 1;
};
struct dict_data {
  std::vector<std::pair<value, value>> items;
  int depth = 1;
};
struct method_data {
  value self;
  std::string name;
};
struct loop_data {
  std::shared_ptr<const list_data> items;
  std::size_t index = 0;
  int depth = 1;
};

}  // namespace ql::text::jinja
