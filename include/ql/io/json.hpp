// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace ql::io::json {

// A JSON document as a value. Objects keep the order of the document; keys are unique. Numbers are integer where the
// text has neither point nor exponent and fits std::int64_t, real otherwise.
//   parse(R"({"a": [1, 2.5]})").at("a").array()[1].real()   is 2.5
class value {
 public:
  using array_type = std::vector<value>;
  using member = std::pair<std::string, value>;
  using object_type = std::vector<member>;

  value() = default;
  value(std::nullptr_t) {}                               // NOLINT: implicit by design
  value(bool b) : data_(b) {}                            // NOLINT
  value(int i) : data_(static_cast<std::int64_t>(i)) {}  // NOLINT
  value(std::int64_t i) : data_(i) {}                    // NOLINT
  value(double d) : data_(d) {}                          // NOLINT
  value(const char* s) : data_(std::string(s)) {}        // NOLINT
  value(std::string_view s) : data_(std::string(s)) {}   // NOLINT
  value(std::string s) : data_(std::move(s)) {}          // NOLINT
  value(array_type a) : data_(std::move(a)) {}           // NOLINT
  value(object_type o) : data_(std::move(o)) {}          // NOLINT

  bool is_null() const { return data_.index() == 0; }
  bool is_boolean() const { return data_.index() == 1; }
  bool is_integer() const { return data_.index() == 2; }
  bool is_real() const { return data_.index() == 3; }
  bool is_number() const { return is_integer() || is_real(); }
  bool is_string() const { return data_.index() == 4; }
  bool is_array() const { return data_.index() == 5; }
  bool is_object() const { return data_.index() == 6; }
  // "null", "boolean", "integer", "number", "string", "array" or "object".
  std::string_view kind() const;

  // Each throws format_error where the value is of another kind.
  bool boolean() const;
  std::int64_t integer() const;
  double real() const;  // of an integer too
  const std::string& string() const;
  const array_type& array() const;
  const object_type& object() const;

  // The member of an object, or null where there is none or this is no object.
  const value* find(std::string_view key) const;
  // The member of an object; throws format_error where there is none.
  const value& at(std::string_view key) const;

  friend bool operator==(const value&, const value&) = default;

 private:
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, array_type, object_type> data_;
};

struct limits {
  std::size_t bytes = std::size_t{256} << 20;  // of the text
  int depth = 64;                              // of nested arrays and objects
};

// Reads one document. Throws format_error for anything else: malformed JSON or UTF-8, a duplicate key, a text over the
// limits. `what` names the text in messages (a path, say).
value parse(std::string_view text, std::string_view what = "JSON", const limits& l = {});

struct style {
  int indent = -1;            // spaces per level; -1: one line, with ", " and ": "
  bool ensure_ascii = false;  // \u escapes for everything but ASCII
  bool compact = false;       // one line without spaces
  bool sort_keys = false;
};

// Writes a document as Python's json.dumps does, byte for byte: reals are the shortest text that reads back equal.
//   dump(parse("[1,2.0,1e-6]"))   is "[1, 2.0, 1e-06]"
std::string dump(const value& v, const style& s = {});

// The text of one number or string, as in dump().
std::string dump_real(double d);
std::string dump_string(std::string_view s, bool ensure_ascii = false);

// Replaces the value of one top-level member by `replacement` (JSON text) and leaves every other byte as it is. A
// member that is absent is appended in the document's own layout. `document` must be an object.
//   patch("{\"a\": 1,  \"b\": 2}", "b", "3")   is "{\"a\": 1,  \"b\": 3}"
std::string patch(std::string_view document, std::string_view key, std::string_view replacement);

}  // namespace ql::io::json
