// SPDX-License-Identifier: Apache-2.0
#include <ql/report.hpp>

#include <cstdio>
#include <filesystem>
#include <set>

#include <ql/io/svg.hpp>
#include "run_files.hpp"

namespace ql {
namespace {

using namespace io;
using tree = json::value;

// Lines without characters that would move a terminal's cursor.
std::string plain(const std::string& s, const char* indent) {
  std::string out;
  for (const char c : s) {
    if (c == '\n')
      out.append("\n").append(indent);
    else
      out += (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) ? ' ' : c;
  }
  return out;
}

std::string line(const char* name, const std::string& text) {
  if (text.empty()) return {};
  char head[16];
  std::snprintf(head, sizeof head, "  %-10s ", name);
  return head + plain(text, "             ") + "\n";
}

std::string given(const tree& r, const char* key) {
  const auto x = number(r, key);
  return x ? svg::shown(*x) : std::string("-");
}

bool says(const tree& r, const char* key, bool otherwise) {
  const auto* x = r.find(key);
  return x != nullptr && x->is_boolean() ? x->boolean() : otherwise;
}

std::string one(const tree& r, bool tokens) {
  std::string s = "answer " + std::to_string(integer_or(r, "sample")) + ": score " + given(r, "score") + " (rule " +
                  given(r, "rule") + ", judge " + given(r, "judge") + "), reward " + given(r, "reward") +
                  ", advantage " + given(r, "advantage") + ", " + std::to_string(integer_or(r, "length")) + " tokens" +
                  (says(r, "truncated", false) ? ", cut by the limit" : "") + "\n";
  s += line("answer", text_or(r, "answer")) + line("why", text_or(r, "why")) + line("response", text_or(r, "response"));
  if (!tokens) return s;
  const auto &ids = list_or_empty(r, "ids"), &pieces = list_or_empty(r, "pieces"), &logp = list_or_empty(r, "logp");
  if (ids.empty() && pieces.empty()) return s + line("tokens", "not logged");
  for (std::size_t i = 0; i < std::max(ids.size(), pieces.size()); ++i) {
    const std::string piece = i < pieces.size() && pieces[i].is_string() ? json::dump_string(pieces[i].string()) : "";
    char head[64];
    std::snprintf(head, sizeof head, "    %5zu %8s %10s  ", i,
                  i < ids.size() ? json::dump(ids[i]).substr(0, 12).c_str() : "",
                  i < logp.size() && logp[i].is_number() ? svg::shown(logp[i].real()).c_str() : "");
    s += head + plain(piece, "") + "\n";
  }
  return s;
}

}  // namespace

std::string show_samples(const file_path& run, std::int64_t step, std::int64_t group, const sample_options& o) {
  const std::string path = run.text + "/samples.jsonl";
  if (!std::filesystem::is_regular_file(path)) throw file_error(path + ": it is missing; no answers were logged");
  std::string s;
  std::set<std::int64_t> steps, groups;
  bool first = true;
  each_row(path, [&](const tree& r) {
    const auto at = integer_or(r, "step", -1);
    steps.insert(at);
    if (at == step) groups.insert(integer_or(r, "group", -1));
    if (at != step || integer_or(r, "group", -1) != group) return;
    if (o.json) {
      s.append(json::dump(r)).append("\n");
      return;
    }
    if (first) {
      s += "step " + std::to_string(step) + ", phase " + std::to_string(integer_or(r, "phase")) + ", group " +
           std::to_string(group) + "\n" + line("example", text_or(r, "example")) +
           line("document", text_or(r, "document")) + line("question", text_or(r, "question")) +
           line("expected", text_or(r, "gold"));
      s += line("trained on", says(r, "kept", true) ? "yes" : "no: " + text_or(r, "dropped", "not said why"));
      first = false;
    }
    s.append("\n").append(one(r, o.tokens));
  });
  if (!s.empty()) return s;
  const auto some = [](const std::set<std::int64_t>& all) {
    std::string list;
    std::size_t n = 0;
    for (const auto x : all) {
      if (++n > 20) return list + ", ...";
      if (!list.empty()) list += ", ";
      list += std::to_string(x);
    }
    return list.empty() ? std::string("none") : list;
  };
  throw argument_error(path + ": no answers of step " + std::to_string(step) + ", group " + std::to_string(group) +
                       (groups.empty() ? "; steps with answers: " + some(steps)
                                       : "; groups of that step with answers: " + some(groups)));
}

}  // namespace ql
