// SPDX-License-Identifier: Apache-2.0
#include <ql/reflect.hpp>

#include <algorithm>

namespace ql::detail {
namespace {

std::string shown(const tree& t) {
  if (t.is_array() || t.is_object()) return std::string(t.kind() == "object" ? "a table" : "a list");
  const std::string s = io::json::dump(t);
  return s.size() <= 80 ? s : s.substr(0, 80) + "...";
}

}  // namespace

void wrong_kind(problems& out, const std::string& key, std::string_view expected, const tree& got) {
  out.push_back({"", key, "expected " + std::string(expected) + ", got " + shown(got)});
}

void wrong_name(problems& out, const std::string& key, const tree& got, const std::vector<std::string>& allowed) {
  std::string what = "expected one of " + io::quoted_list(allowed) + ", got " + shown(got);
  if (got.is_string())
    if (const std::string near = io::nearest(got.string(), allowed); !near.empty())
      what += "; did you mean \"" + near + "\"?";
  out.push_back({"", key, what});
}

void unknown_keys(problems& out, const std::string& key, const tree& object, const std::vector<std::string>& known) {
  for (const auto& [name, v] : object.object()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string near = io::nearest(name, known);
    out.push_back({"", key_under(key, name),
                   "unknown key; " +
                       (near.empty() ? "known here: " + io::quoted_list(known) : "did you mean \"" + near + "\"?")});
  }
}

std::string key_under(const std::string& key, std::string_view name) {
  return key.empty() ? std::string(name) : key + "." + std::string(name);
}
std::string key_at(const std::string& key, std::size_t index) { return key + "[" + std::to_string(index) + "]"; }

io::problem rule_problem(const std::string& key, const rl::violation& v) {
  std::string member = v.key;  // "adamw.beta1" of a part that stands at "optimizer" is "optimizer.beta1"
  if (const auto dot = member.rfind('.'); dot != member.npos) member.erase(0, dot + 1);
  return {"", key_under(key, member),
          "expected " + std::string(v.rule) + ", got " + io::json::dump_real(v.value) + "; " + v.fix};
}

void apply_set(tree& t, const tree& defaults, const std::string& text, std::vector<std::string>& keys, problems& out) {
  const auto equals = text.find('=');
  if (equals == text.npos || equals == 0) {
    out.push_back({"--set " + text, "", "expected key=value, such as --set train.seed=2"});
    return;
  }
  const std::string key = text.substr(0, equals);
  try {
    if (const auto index = key.find('['); index < equals) {
      const auto list = key.substr(0, index);
      const auto* known = io::find(defaults, list);
      if (io::find(t, list) == nullptr && known != nullptr && known->is_array() && !known->array().empty())
        io::put(t, list, *known);
    }
    io::put(t, key, io::leaf_of(std::string_view(text).substr(equals + 1)));
    keys.push_back(key);
  } catch (const io::format_error& e) {
    out.push_back({"--set " + text, "", e.what()});
  }
}

void locate(problems& p, const io::toml::document& file, const std::vector<std::string>& set_keys) {
  for (auto& one : p) {
    if (!one.where.empty()) continue;
    one.where = file.where(one.key);
    for (const auto& k : set_keys)
      if (one.key.starts_with(k)) one.where = "--set";
  }
}

void refuse(const problems& p) {
  std::string s = io::text_of(p);
  s.pop_back();
  throw settings_error(s);
}

void too_large(std::uint64_t value) {
  throw argument_error("a configuration: expected an integer of at most 9223372036854775807, got " +
                       std::to_string(value));
}

}  // namespace ql::detail
