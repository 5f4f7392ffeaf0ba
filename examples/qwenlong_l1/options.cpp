// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <CLI/CLI.hpp>

namespace ql::tool {

template <class T>
options& options::required(const std::string& names, T& to, const std::string& help) {
  app_->add_option(names, to, help)->required();
  return *this;
}

template <class T>
options& options::optional(const std::string& names, T& to, const std::string& help) {
  auto* o = app_->add_option(names, to, help);
  if constexpr (!requires { to.has_value(); }) o->capture_default_str();
  return *this;
}

options& options::flag(const std::string& names, bool& to, const std::string& help) {
  app_->add_flag(names, to, help);
  return *this;
}

options& options::choice(const std::string& names, std::string& to, std::initializer_list<const char*> words,
                         const std::string& help) {
  const std::vector<std::string> list(words.begin(), words.end());
  app_->add_option(names, to, help)->check(CLI::IsMember(list))->capture_default_str();
  return *this;
}

options& options::footer(const std::string& text) {
  app_->footer(text);
  return *this;
}

template options& options::required(const std::string&, std::string&, const std::string&);
template options& options::required(const std::string&, std::int64_t&, const std::string&);
template options& options::required(const std::string&, std::uint64_t&, const std::string&);
template options& options::required(const std::string&, int&, const std::string&);
template options& options::required(const std::string&, double&, const std::string&);
template options& options::required(const std::string&, std::vector<std::string>&, const std::string&);
template options& options::optional(const std::string&, std::string&, const std::string&);
template options& options::optional(const std::string&, std::int64_t&, const std::string&);
template options& options::optional(const std::string&, std::uint64_t&, const std::string&);
template options& options::optional(const std::string&, int&, const std::string&);
template options& options::optional(const std::string&, double&, const std::string&);
template options& options::optional(const std::string&, std::vector<std::string>&, const std::string&);
template options& options::optional(const std::string&, std::optional<std::int64_t>&, const std::string&);
template options& options::optional(const std::string&, std::optional<double>&, const std::string&);

}  // namespace ql::tool
