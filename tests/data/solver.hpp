// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ql::test {

// Answers questions by reading English alone; knows nothing of tokens or of how documents are made.
class reader {
 public:
  explicit reader(const std::string& document) {
    for (std::size_t at = 0; at < document.size();) {
      const auto end = std::min(document.find(" .", at), document.size());
      read(document.substr(at, end - at));
      at = std::min(end + 3, document.size());
    }
  }
  bool contradicts_itself() const { return twice_; }
  std::size_t facts() const { return said_.size(); }

  std::optional<std::string> answer(std::string q) const {
    for (const char* tag : {"<q> ", " <a>"})
      if (const auto at = q.find(tag); at != std::string::npos) q.erase(at, std::string(tag).size());
    const auto mark = q.find(" ?");
    const std::string options = q.substr(std::min(mark + 3, q.size()));
    q.resize(mark);
    if (after(q, "how many coins have ")) {
      const auto both = q.find(" and ");
      const auto x = coins(q.substr(0, both)), y = coins(q.substr(both + 5));
      if (!x || !y) return std::nullopt;
      return std::to_string(*x + *y);
    }
    if (after(q, "who has more coins , ")) {
      const auto either = q.find(" or ");
      const auto x = coins(q.substr(0, either)), y = coins(q.substr(either + 4));
      if (!x || !y || *x == *y) return std::nullopt;
      return *x > *y ? q.substr(0, either) : q.substr(either + 4);
    }
    std::optional<std::string> found;
    for (auto [ask, verb] : {std::pair("where lives ", "lives in "),
                             {"what is the job of ", "works as a "},
                             {"which pet has ", "keeps a "}}) {
      std::string who = q;
      if (after(who, ask)) found = look_up(who, verb);
    }
    if (!found || options.empty()) return found;
    const auto at = (options + " ").find(") " + *found + " ");
    if (at == std::string::npos) return std::nullopt;
    return options.substr(at - 2, 3);
  }

 private:
  static bool after(std::string& s, const std::string& beginning) {
    if (!s.starts_with(beginning)) return false;
    s.erase(0, beginning.size());
    return true;
  }
  void read(std::string s) {
    after(s, "<doc> ");
    const auto space = s.find(' ');
    const std::string who = s.substr(0, space);
    for (const std::string verb : {"lives in ", "works as a ", "keeps a ", "has ", "reports to "}) {
      std::string rest = s.substr(space + 1);
      if (after(rest, verb)) twice_ = !said_.emplace(std::pair(who, verb), rest).second || twice_;
    }
  }
  std::optional<std::string> person(std::string who) const {
    if (after(who, "the boss of ")) return look_up(who, "reports to ");
    return who;
  }
  std::optional<std::string> look_up(const std::string& who, const std::string& verb) const {
    const auto name = person(who);
    if (!name) return std::nullopt;
    const auto at = said_.find({*name, verb});
    return at == said_.end() ? std::nullopt : std::optional(at->second);
  }
  std::optional<int> coins(const std::string& who) const {
    const auto n = look_up(who, "has ");
    return n ? std::optional(std::stoi(*n)) : std::nullopt;
  }

  std::map<std::pair<std::string, std::string>, std::string> said_;
  bool twice_ = false;
};

}  // namespace ql::test
