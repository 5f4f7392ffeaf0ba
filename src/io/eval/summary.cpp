// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/summary.hpp>

#include <ql/eval/benchmarks.hpp>
#include <ql/eval/metrics.hpp>
#include <ql/io/json.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

namespace ql::eval {
namespace {

namespace json = io::json;
using json::value;
using members = value::object_type;
using record_list = std::vector<const item_record*>;

constexpr std::size_t most_reasons = 20;

std::string bucket_name(const protocol& p, std::size_t bucket) {
  if (bucket == p.lengths.size()) return p.lengths.empty() ? "any length" : "over " + std::to_string(p.lengths.back());
  return std::to_string(bucket == 0 ? 1 : p.lengths[bucket - 1] + 1) + " to " + std::to_string(p.lengths[bucket]);
}
std::size_t bucket_of(const protocol& p, std::int64_t tokens) {
  return static_cast<std::size_t>(std::lower_bound(p.lengths.begin(), p.lengths.end(), tokens) - p.lengths.begin());
}

// Numbers for documents, in order of appearance; an item that names no document stands alone.
std::vector<std::uint32_t> clusters_of(const record_list& list) {
  std::map<std::pair<std::string_view, std::string_view>, std::uint32_t> numbers;
  std::vector<std::uint32_t> out;
  for (const auto* r : list) {
    const std::pair<std::string_view, std::string_view> document{"", r->document}, alone{r->benchmark, r->id};
    const auto at =
        numbers.try_emplace(r->document.empty() ? alone : document, static_cast<std::uint32_t>(numbers.size()));
    out.push_back(at.first->second);
  }
  return out;
}

double score_of(const item_record& r) {
  double sum = 0;
  for (const auto& s : r.samples) sum += s.score.value_or(0.0);
  return r.samples.empty() ? 0.0 : sum / static_cast<double>(r.samples.size());
}
std::int64_t unknown_in(const item_record& r) {
  std::int64_t n = 0;
  for (const auto& s : r.samples) n += s.score ? 0 : 1;
  return n;
}
double at_most(const item_record& r) {
  return r.samples.empty() ? 0.0
                           : score_of(r) + static_cast<double>(unknown_in(r)) / static_cast<double>(r.samples.size());
}
// Two decimals of a percent are noise: one.
std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", 100 * share);
  return text;
}
std::string fixed(double v, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, v);
  return text;
}
std::string small_p(double p) { return p < 0.0001 ? "<0.0001" : fixed(p, 4); }

group_summary group_of(std::string name, const record_list& list, std::int32_t samples, const resampling& r) {
  group_summary g;
  g.name = std::move(name);
  g.items = static_cast<std::int64_t>(list.size());
  if (list.empty()) return g;
  const auto cluster = clusters_of(list);
  g.documents = static_cast<std::int64_t>(std::set<std::uint32_t>(cluster.begin(), cluster.end()).size());
  std::vector<double> scores;
  for (std::int32_t k = 1; k <= samples; k *= 2) g.pass_at.emplace_back(k, 0.0);
  if (g.pass_at.empty() || g.pass_at.back().first != samples) g.pass_at.emplace_back(samples, 0.0);
  std::int64_t quoted = 0;
  for (const auto* rec : list) {
    const auto n = static_cast<double>(rec->samples.size());
    g.samples += static_cast<std::int64_t>(rec->samples.size());
    g.truncated_inputs += rec->truncated ? 1 : 0;
    g.prompt_tokens += static_cast<double>(rec->prompt_tokens);
    scores.push_back(score_of(*rec));
    g.at_most += at_most(*rec);
    std::int64_t right = 0;
    for (const auto& s : rec->samples) {
      g.failed += s.finish == "failed" ? 1 : 0;
      g.abstained += s.finish != "failed" && !s.score ? 1 : 0;
      g.truncated_outputs += s.finish == "length" ? 1 : 0;
      right += s.score.value_or(0.0) >= 1.0 ? 1 : 0;
      g.rule += s.rule.value_or(0.0) / n;
      g.exact += s.exact / n;
      g.f1 += s.f1 / n;
      g.cover += s.cover / n;
      g.output_tokens += static_cast<double>(s.tokens);
      const auto& b = s.behaviours;
      g.grounding += static_cast<double>(b.grounding);
      g.subgoals += static_cast<double>(b.subgoals);
      g.backtracking += static_cast<double>(b.backtracking);
      g.verification += static_cast<double>(b.verification);
      g.facts += b.facts;
      quoted += b.quoted;
    }
    for (auto& [k, share] : g.pass_at)
      if (k <= static_cast<std::int32_t>(rec->samples.size()))
        share += pass_at_k(static_cast<std::int64_t>(rec->samples.size()), right, k);
  }
  g.score = bootstrap_interval(scores, cluster, r);
  const auto items = static_cast<double>(g.items), answers = static_cast<double>(std::max<std::int64_t>(1, g.samples));
  for (double* d : {&g.at_most, &g.rule, &g.exact, &g.f1, &g.cover, &g.prompt_tokens}) *d /= items;
  for (double* d : {&g.output_tokens, &g.grounding, &g.subgoals, &g.backtracking, &g.verification}) *d /= answers;
  for (auto& [k, share] : g.pass_at) share /= items;
  if (g.facts > 0) g.quoted = static_cast<double>(quoted) / static_cast<double>(g.facts);
  return g;
}

value interval_json(const interval& i) { return members{{"estimate", i.estimate}, {"low", i.low}, {"high", i.high}}; }
value header_json(const evaluation_header& h) { return json::parse(to_json(h)); }
value resampling_json(const resampling& r) {
  return members{
      {"replicates", std::int64_t{r.replicates}}, {"confidence", r.confidence}, {"seed", std::to_string(r.seed)}};
}

value group_json(const group_summary& g) {
  members pass;
  for (const auto& [k, share] : g.pass_at) pass.emplace_back(std::to_string(k), share);
  return members{{"name", g.name},
                 {"proxy", is_proxy(g.name)},
                 {"items", g.items},
                 {"documents", g.documents},
                 {"samples", g.samples},
                 {"failed", g.failed},
                 {"abstained", g.abstained},
                 {"truncated_inputs", g.truncated_inputs},
                 {"truncated_outputs", g.truncated_outputs},
                 {"score", interval_json(g.score)},
                 {"at_most", g.at_most},
                 {"rule", g.rule},
                 {"exact", g.exact},
                 {"f1", g.f1},
                 {"cover", g.cover},
                 {"pass_at", pass},
                 {"prompt_tokens", g.prompt_tokens},
                 {"output_tokens", g.output_tokens},
                 {"grounding", g.grounding},
                 {"subgoals", g.subgoals},
                 {"backtracking", g.backtracking},
                 {"verification", g.verification},
                 {"quoted", g.facts > 0 ? value(g.quoted) : value(nullptr)},
                 {"facts", g.facts}};
}

value row_json(const comparison_row& r) {
  return members{{"name", r.name},
                 {"proxy", is_proxy(r.name)},
                 {"items", r.items},
                 {"documents", r.documents},
                 {"first", r.first},
                 {"second", r.second},
                 {"unknown", r.unknown},
                 {"least", r.least},
                 {"most", r.most},
                 {"difference", interval_json(r.bootstrap.difference)},
                 {"p_bootstrap", r.bootstrap.p},
                 {"p_sign_flip", r.sign_flip},
                 {"p_holm", r.holm},
                 {"only_first", r.only_first},
                 {"only_second", r.only_second},
                 {"p_mcnemar", r.mcnemar ? value(*r.mcnemar) : value(nullptr)}};
}

// The first column to the left, the others to the right.
std::string layout_rows(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> width;
  for (const auto& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (width.size() <= c) width.push_back(0);
      width[c] = std::max(width[c], row[c].size());
    }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string space(width[c] - row[c].size(), ' ');
      line += c == 0 ? row[c] + space : "  " + space + row[c];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

std::vector<std::string> group_row(const group_summary& g) {
  std::vector<std::string> row{g.name,
                               std::to_string(g.items),
                               std::to_string(g.documents),
                               percent(g.score.estimate),
                               "[" + percent(g.score.low) + ", " + percent(g.score.high) + "]",
                               percent(g.rule),
                               percent(g.exact),
                               percent(g.f1),
                               percent(g.cover),
                               percent(g.pass_at.empty() ? 0.0 : g.pass_at.back().second),
                               fixed(g.prompt_tokens, 0),
                               fixed(g.output_tokens, 0),
                               std::to_string(g.failed),
                               std::to_string(g.abstained)};
  return row;
}

std::vector<std::string> comparison_cells(const comparison_row& r, bool adjusted) {
  return {r.name,
          std::to_string(r.items),
          std::to_string(r.documents),
          percent(r.first),
          percent(r.second),
          percent(r.bootstrap.difference.estimate),
          "[" + percent(r.bootstrap.difference.low) + ", " + percent(r.bootstrap.difference.high) + "]",
          small_p(r.bootstrap.p),
          small_p(r.sign_flip),
          adjusted ? small_p(r.holm) : "-",
          r.mcnemar ? small_p(*r.mcnemar) : "-",
          std::to_string(r.unknown)};
}

struct pair_of_records {
  const item_record *first, *second;
};

comparison_row compare_group(std::string name, const std::vector<pair_of_records>& pairs, const resampling& r) {
  comparison_row row;
  row.name = std::move(name);
  row.items = static_cast<std::int64_t>(pairs.size());
  if (pairs.empty()) return row;
  record_list list;
  std::vector<double> a, b, d;
  bool one_sample = true;
  for (const auto& p : pairs) {
    list.push_back(p.first);
    a.push_back(score_of(*p.first));
    b.push_back(score_of(*p.second));
    d.push_back(b.back() - a.back());
    row.first += a.back();
    row.second += b.back();
    row.unknown += unknown_in(*p.first) + unknown_in(*p.second);
    row.least += b.back() - at_most(*p.first);
    row.most += at_most(*p.second) - a.back();
    one_sample = one_sample && p.first->samples.size() == 1 && p.second->samples.size() == 1;
    row.only_first += a.back() >= 1 && b.back() < 1 ? 1 : 0;
    row.only_second += b.back() >= 1 && a.back() < 1 ? 1 : 0;
  }
  const auto n = static_cast<double>(pairs.size());
  for (double* x : {&row.first, &row.second, &row.least, &row.most}) *x /= n;
  const auto cluster = clusters_of(list);
  row.documents = static_cast<std::int64_t>(std::set<std::uint32_t>(cluster.begin(), cluster.end()).size());
  row.bootstrap = paired_bootstrap(a, b, cluster, r);
  row.sign_flip = row.holm = sign_flip_test(d, cluster, r);
  if (one_sample) row.mcnemar = mcnemar_exact(row.only_first, row.only_second);
  return row;
}

}  // namespace

summary summarise(const evaluation_header& header, std::span<const item_record> records, const resampling& r) {
  summary s;
  s.header = header;
  s.intervals = r;
  record_list all;
  std::map<std::string, record_list> by_benchmark;
  std::vector<record_list> by_length(header.protocol.lengths.size() + 1);
  std::map<std::string, std::int64_t> reasons;
  for (const auto& rec : records) {
    all.push_back(&rec);
    by_benchmark[rec.benchmark].push_back(&rec);
    by_length[bucket_of(header.protocol, rec.prompt_tokens)].push_back(&rec);
    for (const auto& sample : rec.samples)
      if (!sample.score) ++reasons[sample.why];
  }
  const auto samples = header.protocol.samples;
  s.all = group_of("all items", all, samples, r);
  for (const auto& [name, list] : by_benchmark) s.benchmarks.push_back(group_of(name, list, samples, r));
  for (std::size_t b = 0; b < by_length.size(); ++b)
    if (!by_length[b].empty()) s.lengths.push_back(group_of(bucket_name(header.protocol, b), by_length[b], samples, r));
  s.reasons.assign(reasons.begin(), reasons.end());
  std::sort(s.reasons.begin(), s.reasons.end(), [](const auto& a, const auto& b) {
    return a.second > b.second || (a.second == b.second && a.first < b.first);
  });
  if (s.reasons.size() > most_reasons) {
    std::int64_t others = 0;
    for (std::size_t i = most_reasons; i < s.reasons.size(); ++i) others += s.reasons[i].second;
    s.reasons.resize(most_reasons);
    s.reasons.emplace_back("other reasons", others);
  }
  double sum = 0;
  std::size_t found = 0;
  s.seven_complete = true;
  for (const auto& b : the_seven)
    for (const auto& g : s.benchmarks)
      if (g.name == b.name) {
        ++found;
        sum += g.score.estimate;
        s.seven_complete = s.seven_complete && g.items == b.items;
      }
  if (found == std::size(the_seven)) {
    s.mean_of_seven = sum / static_cast<double>(found);
  } else {
    s.seven_complete = false;
  }
  return s;
}

std::string to_json(const summary& s) {
  value::array_type benchmarks, lengths, reasons;
  for (const auto& g : s.benchmarks) benchmarks.push_back(group_json(g));
  for (const auto& g : s.lengths) lengths.push_back(group_json(g));
  for (const auto& [why, n] : s.reasons) reasons.push_back(members{{"why", why}, {"samples", n}});
  json::style style;
  style.indent = 2;
  return json::dump(members{{"header", header_json(s.header)},
                            {"intervals", resampling_json(s.intervals)},
                            {"all", group_json(s.all)},
                            {"benchmarks", benchmarks},
                            {"lengths", lengths},
                            {"reasons", reasons},
                            {"mean_of_seven", s.mean_of_seven ? value(*s.mean_of_seven) : value(nullptr)},
                            {"seven_complete", s.seven_complete}},
                    style) +
         "\n";
}

std::string table(const summary& s) {
  const auto& p = s.header.protocol;
  std::string out = "policy " + s.header.policy + ", judge " + (s.header.judge.empty() ? "none" : s.header.judge) +
                    ", rule " + std::string(name_of(p.rule)) + ", " + std::to_string(p.samples) +
                    (p.samples == 1 ? " sample" : " samples") + " an item, temperature " + fixed(p.temperature, 2) +
                    ", top-p " + fixed(p.top_p, 2) + "\n\n";
  const std::string pass = "pass@" + std::to_string(p.samples),
                    confidence = fixed(100 * s.intervals.confidence, 0) + " %";
  std::vector<std::vector<std::string>> rows{{"benchmark", "items", "docs", "score", confidence, "rule", "EM", "F1",
                                              "cover", pass, "input", "output", "failed", "abstained"}};
  for (const auto& g : s.benchmarks) rows.push_back(group_row(g));
  if (s.benchmarks.size() != 1) rows.push_back(group_row(s.all));
  rows.push_back({});
  rows.push_back({"prompt tokens"});
  for (const auto& g : s.lengths) rows.push_back(group_row(g));
  out += layout_rows(rows) + "\n";
  if (s.mean_of_seven)
    out += "mean of the seven benchmarks" + std::string(s.seven_complete ? "" : " (not all of their items)") + ": " +
           percent(*s.mean_of_seven) + "\n";
  out += "a response, on average: grounding " + fixed(s.all.grounding, 2) + ", subgoals " + fixed(s.all.subgoals, 2) +
         ", backtracking " + fixed(s.all.backtracking, 2) + ", verification " + fixed(s.all.verification, 2) +
         " (phrases of a lexicon)";
  if (s.all.facts > 0)
    out += "; quotes " + percent(s.all.quoted) + " % of " + std::to_string(s.all.facts) + " known facts";
  out += "\n";
  if (s.all.truncated_inputs > 0 || s.all.truncated_outputs > 0)
    out += "cut: " + std::to_string(s.all.truncated_inputs) + " inputs in the middle, " +
           std::to_string(s.all.truncated_outputs) + " outputs at their end\n";
  if (s.all.failed + s.all.abstained > 0) {
    out += "without a score, counted as not right: " + std::to_string(s.all.failed + s.all.abstained) + " of " +
           std::to_string(s.all.samples) + " (were they right: " + percent(s.all.at_most) + ")\n";
    for (const auto& [why, n] : s.reasons) out += "  " + std::to_string(n) + " x " + why + "\n";
  }
  return out;
}

comparison compare(const evaluation_file& first, const evaluation_file& second, const resampling& r) {
  const auto fail = [](const std::string& why) { throw argument_error("compare: " + why); };
  if (first.header.items_hash != second.header.items_hash)
    fail("the two evaluations are of different items (" + std::to_string(first.header.items) + " and " +
         std::to_string(second.header.items) + "); evaluate both on the same files");
  std::map<std::pair<std::string_view, std::string_view>, const item_record*> others;
  for (const auto& rec : second.records) others[{rec.benchmark, rec.id}] = &rec;
  std::vector<pair_of_records> all;
  std::map<std::string, std::vector<pair_of_records>> by_benchmark;
  std::vector<std::vector<pair_of_records>> by_length(first.header.protocol.lengths.size() + 1);
  for (const auto& rec : first.records) {
    const auto at = others.find({rec.benchmark, rec.id});
    if (at == others.end())
      fail("item \"" + rec.id + "\" of " + rec.benchmark + " is in the first evaluation alone; finish the second");
    const pair_of_records p{&rec, at->second};
    others.erase(at);
    all.push_back(p);
    by_benchmark[rec.benchmark].push_back(p);
    by_length[bucket_of(first.header.protocol, rec.prompt_tokens)].push_back(p);
  }
  if (!others.empty())
    fail("item \"" + std::string(others.begin()->first.second) + "\" of " + std::string(others.begin()->first.first) +
         " is in the second evaluation alone; finish the first");
  comparison c;
  c.first = first.header;
  c.second = second.header;
  c.intervals = r;
  c.all = compare_group("all items", all, r);
  std::vector<double> p;
  for (const auto& [name, pairs] : by_benchmark) {
    c.benchmarks.push_back(compare_group(name, pairs, r));
    p.push_back(c.benchmarks.back().sign_flip);
  }
  const auto adjusted = holm(p);
  for (std::size_t i = 0; i < adjusted.size(); ++i) c.benchmarks[i].holm = adjusted[i];
  for (std::size_t b = 0; b < by_length.size(); ++b)
    if (!by_length[b].empty())
      c.lengths.push_back(compare_group(bucket_name(first.header.protocol, b), by_length[b], r));
  return c;
}

std::string to_json(const comparison& c) {
  value::array_type benchmarks, lengths;
  for (const auto& g : c.benchmarks) benchmarks.push_back(row_json(g));
  for (const auto& g : c.lengths) lengths.push_back(row_json(g));
  json::style style;
  style.indent = 2;
  return json::dump(members{{"first", header_json(c.first)},
                            {"second", header_json(c.second)},
                            {"intervals", resampling_json(c.intervals)},
                            {"all", row_json(c.all)},
                            {"benchmarks", benchmarks},
                            {"lengths", lengths}},
                    style) +
         "\n";
}

std::string table(const comparison& c) {
  std::vector<std::vector<std::string>> rows{{"benchmark", "items", "docs", "first", "second", "gain",
                                              fixed(100 * c.intervals.confidence, 0) + " %", "p boot", "p flip",
                                              "p Holm", "p McN", "unknown"}};
  for (const auto& r : c.benchmarks) rows.push_back(comparison_cells(r, true));
  if (c.benchmarks.size() != 1) rows.push_back(comparison_cells(c.all, false));
  rows.push_back({});
  rows.push_back({"prompt tokens"});
  for (const auto& r : c.lengths) rows.push_back(comparison_cells(r, false));
  std::string out = "first: " + c.first.policy + "\nsecond: " + c.second.policy + "\n\n" + layout_rows(rows);
  if (c.all.unknown > 0)
    out += "\n" + std::to_string(c.all.unknown) +
           " answers without a score count as not right; the gain over all items lies between " + percent(c.all.least) +
           " and " + percent(c.all.most) + " whatever they are\n";
  return out;
}

}  // namespace ql::eval
