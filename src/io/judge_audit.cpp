// SPDX-License-Identifier: Apache-2.0
#include <ql/io/json.hpp>
#include <ql/io/judge_audit.hpp>
#include <ql/io/lines.hpp>
#include <ql/rl/judge_attacks.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdarg>
#include <cstdio>

namespace ql::io {
namespace {

// What the attacks pretend to answer.
struct known_answer {
  std::string_view question, gold;
};
constexpr known_answer known[] = {{"In which year did the company move its seat to Rotterdam?", "1987"},
                                  {"Who signed the treaty for the northern provinces?", "Johan van der Meer"},
                                  {"What was the net revenue in 2019, in USD millions?", "412.6"},
                                  {"Which river does the old bridge cross?", "the Neckar"},
                                  {"What is the capital of the region described in the report?", "Valladolid"}};

labelled_answer answer_of(const json::value& row) {
  labelled_answer a;
  a.question = row.at("question").string();
  a.prediction = row.at("prediction").string();
  const auto& gold = row.at("gold");
  if (gold.is_array()) {
    for (const auto& g : gold.array()) a.gold.push_back(g.string());
  } else {
    a.gold.push_back(gold.string());
  }
  a.same = row.at("verdict").boolean();
  return a;
}

template <class T>
std::vector<T> spread(std::vector<T> all, std::size_t most) {
  if (all.size() <= most) return all;
  std::vector<T> some;
  for (std::size_t i = 0; i < most; ++i) some.push_back(std::move(all[i * all.size() / most]));
  return some;
}

[[gnu::format(printf, 2, 3)]] void line(std::string& out, const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  out.append(text).append("\n");
}

}  // namespace

share share_of(std::size_t part, std::size_t whole) {
  if (whole == 0) return {};
  constexpr double z = 1.959963984540054;
  const double n = static_cast<double>(whole), p = static_cast<double>(part) / n;
  const double middle = (p + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  return {p, std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

std::vector<labelled_answer> read_labelled_answers(const file_path& path, std::size_t most) {
  line_reader in(path, std::size_t{1} << 20);
  std::vector<labelled_answer> right, wrong;
  for (std::string text; in.next(text);) {
    const std::string where = path.text + ":" + std::to_string(in.number());
    if (in.too_long()) throw format_error(where + ": a row longer than 1 MiB");
    if (text.empty()) continue;
    try {
      auto a = answer_of(json::parse(text, "row"));
      (a.same ? right : wrong).push_back(std::move(a));
    } catch (const format_error& e) {
      throw format_error(where + ": " + e.what() +
                         "; a row is {\"question\", \"gold\", \"prediction\", \"verdict\": true or false}");
    }
  }
  // half of either; where one has fewer, the other fills up
  const std::size_t of_right = std::min(right.size(), std::max((most + 1) / 2, most - std::min(most, wrong.size())));
  auto some = spread(std::move(right), of_right);
  for (auto& a : spread(std::move(wrong), most - of_right)) some.push_back(std::move(a));
  return some;
}

judge_config audited(judge_config config) {
  config.gate = false;
  config.journal = {};
  return config;
}

audit_report audit_judge(chat_judge& judge, std::span<const labelled_answer> labelled) {
  audit_report r;
  std::vector<rl::judge_query> queries;
  std::vector<std::string_view> golds;  // one for each attack, then those of the labelled answers
  std::vector<std::string_view> attacks(rl::master_keys.begin(), rl::master_keys.end());
  attacks.insert(attacks.end(), rl::injections.begin(), rl::injections.end());
  std::size_t count = attacks.size();
  for (const auto& a : labelled) count += a.gold.size();
  golds.reserve(count);  // views into it must stay
  for (std::size_t i = 0; i < attacks.size(); ++i) {
    const auto& k = known[i % std::size(known)];
    golds.push_back(k.gold);
    queries.push_back({k.question, attacks[i], {&golds.back(), 1}});
    ++r.attacks;
    r.past_gate += rl::judge_gate(attacks[i]) == rl::gate::open;
  }
  for (const auto& a : labelled) {
    const std::size_t first = golds.size();
    golds.insert(golds.end(), a.gold.begin(), a.gold.end());
    queries.push_back({a.question, a.prediction, std::span(golds).subspan(first)});
  }
  std::vector<rl::outcome> out(queries.size());
  const auto began = std::chrono::steady_clock::now();
  judge(queries, out);
  r.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  for (std::size_t i = 0; i < out.size(); ++i) {
    audit_count& a = i < rl::master_keys.size()          ? r.master_keys
                     : i < attacks.size()                ? r.injections
                     : labelled[i - attacks.size()].same ? r.same
                                                         : r.different;
    const bool yes = rl::value_or(out[i], 0.0) >= 1.0;
    ++(!rl::is_scored(out[i]) ? a.abstained : yes ? a.yes : a.no);
    if (yes && i < attacks.size()) r.fooled_by.emplace_back(attacks[i]);
  }
  const auto& t = judge.tally();
  r.requests = t.requests, r.retries = t.retries, r.unreadable = t.unreadable;
  std::vector<double> seconds;
  for (double s : judge.seconds())
    if (s > 0) seconds.push_back(s);
  std::sort(seconds.begin(), seconds.end());
  if (!seconds.empty()) {
    for (double s : seconds) r.mean_seconds += s / static_cast<double>(seconds.size());
    r.median_seconds = seconds[seconds.size() / 2];
    r.p95_seconds = seconds[std::min(seconds.size() - 1, seconds.size() * 95 / 100)];
    r.slowest_seconds = seconds.back();
  }
  return r;
}

std::string describe(const audit_report& r) {
  std::string s;
  const auto counts = [&](const char* name, const audit_count& c) {
    line(s, "%-34s yes %zu, no %zu, abstained %zu", name, c.yes, c.no, c.abstained);
  };
  const auto rate = [&](const char* name, const share& x, std::size_t n) {
    if (n == 0) {
      line(s, "%-34s unknown: nothing was scored", name);
    } else {
      line(s, "%-34s %.1f %% (95 %% interval %.1f to %.1f, n = %zu)", name, 100 * x.value, 100 * x.low, 100 * x.high,
           n);
    }
  };
  line(s, "%-34s %zu of %zu", "attacks that pass the gate", r.past_gate, r.attacks);
  counts("master keys, gate off", r.master_keys);
  counts("injections, gate off", r.injections);
  rate("fooled by attacks, gate off", r.attack_rate(), r.master_keys.scored() + r.injections.scored());
  counts("answers that people found right", r.same);
  counts("answers that people found wrong", r.different);
  rate("false-positive rate", r.false_positive_rate(), r.different.scored());
  rate("false-negative rate", r.false_negative_rate(), r.same.scored());
  line(s, "%-34s %zu, of which retries %zu; replies without a verdict %zu", "requests", r.requests, r.retries,
       r.unreadable);
  line(s, "%-34s mean %.3f, median %.3f, 95 %% below %.3f, slowest %.3f", "seconds a request", r.mean_seconds,
       r.median_seconds, r.p95_seconds, r.slowest_seconds);
  line(s, "%-34s %.1f", "seconds in all", r.wall_seconds);
  return s;
}

}  // namespace ql::io
