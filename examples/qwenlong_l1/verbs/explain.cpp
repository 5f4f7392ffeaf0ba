// SPDX-License-Identifier: Apache-2.0
#include <ql/error.hpp>
#include <ql/io/error_guide.hpp>

#include <cstdio>
#include <string>

#include "verb.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string id;
  bool page = false;
};

void declare(options& o, settings& s) {
  o.optional("id", s.id, "id of an error, such as QL-E0302; without it all of them are listed");
  o.flag("--page", s.page, "the whole page, in Markdown: docs/errors.md");
}

int run(const settings& s) {
  if (s.page) {
    std::fputs(io::error_page().c_str(), stdout);
    return 0;
  }
  if (s.id.empty()) {
    for (const auto& e : io::error_guide()) std::printf("%s  %s\n", e.id, e.type);
    return 0;
  }
  const auto* e = io::find_error(s.id);
  if (e == nullptr)
    throw argument_error("explain: id: expected one that 'qwenlong-l1 explain' lists, got '" + s.id + "'");
  std::fputs(io::text_of(*e).c_str(), stdout);
  return 0;
}

}  // namespace

verb explain_verb() { return {"explain", "says what an error means and what to do", bind<settings, declare, run>}; }

}  // namespace ql::tool
