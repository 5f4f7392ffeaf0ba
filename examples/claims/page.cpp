// SPDX-License-Identifier: Apache-2.0
#include "page.hpp"

#include <ql/eval/statistics.hpp>
#include <ql/io/file.hpp>
#include <ql/io/lines.hpp>
#include <ql/io/svg.hpp>
#include <ql/report.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

namespace claims {
namespace {

using ql::eval::interval;
using ql::io::json::value;
namespace svg = ql::io::svg;

constexpr double close_enough = 0.02;

double real(const value& v, const char* key) {
  const auto* x = v.find(key);
  return x != nullptr && x->is_number() ? x->real() : 0;
}
std::string text(const value& v, const char* key) {
  const auto* x = v.find(key);
  return x != nullptr && x->is_string() ? x->string() : "";
}

// The validation of a moment, "before" or "final"; null where there is none.
const value* validation(const value& summary, bool before) {
  for (const auto& v : summary.at("accuracy").array())
    if (text(v, "moment") == (before ? "before" : "final")) return &v;
  return nullptr;
}

std::optional<double> named(const value& v, const std::string& name) {
  const auto* all = v.find("measures");
  if (all == nullptr) return std::nullopt;
  for (const auto& m : all->array())
    if (text(m, "name") == name) return real(m, "value");
  return std::nullopt;
}

std::optional<double> measured(const value& summary, measure m, bool before) {
  if (summary.is_null()) return std::nullopt;
  const auto* v = validation(summary, before);
  if (v == nullptr) return std::nullopt;
  switch (m) {
    case measure::all: return real(*v, "accuracy");
    case measure::longest: {
      const auto& lengths = v->at("by_length").array();
      return lengths.empty() ? std::nullopt : std::optional(real(lengths.back(), "accuracy"));
    }
    case measure::by_rule: return named(*v, "rule");
    case measure::grounding: return named(*v, "grounding");
    case measure::pass_gap: {
      const auto one = named(*v, "pass@1"), many = named(*v, "pass@16");
      return one && many ? std::optional(*many - *one) : std::nullopt;
    }
    case measure::growth: {
      const value *first = nullptr, *last = nullptr;
      for (const auto& p : summary.at("phases").array())
        if (text(p, "stage") == "rl" && p.find("reward_end") != nullptr) {
          if (first == nullptr) first = &p;
          last = &p;
        }
      if (first == nullptr) return std::nullopt;
      const double from = real(*first, "reward_begin"), to = real(*last, "reward_end");
      return from < 1 ? std::optional((to - from) / (1 - from)) : std::nullopt;
    }
  }
  return std::nullopt;
}

const char* name_of(measure m) {
  switch (m) {
    case measure::all: return "accuracy, all lengths";
    case measure::longest: return "accuracy, longest documents";
    case measure::by_rule: return "accuracy by the rule, all lengths";
    case measure::grounding: return "share of gold evidence quoted";
    case measure::pass_gap: return "pass@16 - pass@1";
    case measure::growth: return "share of the missing reward gained";
  }
  return "";
}

std::string points(double share) {
  char b[32];
  std::snprintf(b, sizeof b, "%+.1f", 100 * share);
  return b;
}
std::string percent(double share) {
  char b[32];
  std::snprintf(b, sizeof b, "%.1f", 100 * share);
  return b;
}
std::string range(const interval& i, std::string (*shown)(double)) {
  std::string s = shown(i.estimate);
  if (std::isfinite(i.low)) s += " [" + shown(i.low) + ", " + shown(i.high) + "]";
  return s;
}

// All runs that have ended, and what the page says about them.
class book {
 public:
  book(const plan& p, const std::vector<arm>& arms) : plan_(p), arms_(arms) {
    for (const auto& a : arms)
      for (std::int64_t s = 1; s <= asked(a.name); ++s) {
        auto v = summary_of(p, a.name, s);
        if (!v.is_null()) runs_[a.name].emplace(s, std::move(v));
      }
  }

  static std::int64_t asked(const std::string& arm) {
    std::int64_t n = seeds_of(arm);
    if (arm == reference)
      for (const auto& c : all()) n = std::max(n, c.seeds);
    return n;
  }
  std::int64_t done(const std::string& arm) const {
    const auto at = runs_.find(arm);
    return at == runs_.end() ? 0 : static_cast<std::int64_t>(at->second.size());
  }
  std::vector<double> values(const std::string& arm, measure m, bool before) const {
    std::vector<double> out;
    if (const auto at = runs_.find(arm); at != runs_.end())
      for (const auto& [seed, v] : at->second)
        if (const auto x = measured(v, m, before)) out.push_back(*x);
    return out;
  }

  // A claim's difference in each seed that has all its arms.
  std::vector<std::pair<std::int64_t, double>> differences(const claim& c) const {
    std::vector<std::pair<std::int64_t, double>> out;
    for (std::int64_t s = 1; s <= c.seeds; ++s) {
      double sum = 0;
      bool whole = true;
      for (const auto& t : c.difference) {
        const auto at = runs_.find(t.arm);
        const auto run = at == runs_.end() ? decltype(at->second.find(s)){} : at->second.find(s);
        const auto x =
            at == runs_.end() || run == at->second.end() ? std::nullopt : measured(run->second, c.measure, t.before);
        whole = whole && x.has_value();
        sum += t.sign * x.value_or(0);
      }
      if (whole) out.emplace_back(s, sum);
    }
    return out;
  }

  struct judged {
    std::vector<std::pair<std::int64_t, double>> by_seed;
    std::optional<interval> mean;
    double p = 1;
    std::string verdict = "not run yet";
  };
  judged judge(const claim& c) const {
    judged j;
    j.by_seed = differences(c);
    if (j.by_seed.empty()) return j;
    std::vector<double> d;
    for (const auto& [seed, x] : j.by_seed) d.push_back(x);
    j.mean = ql::eval::student_interval(d);
    j.p = ql::eval::sign_flip_test(d);
    const bool few = static_cast<std::int64_t>(d.size()) < c.seeds;
    if (d.size() < 2)
      j.verdict = "one seed: no interval";
    else if (c.direction == direction::near_zero)
      j.verdict = j.mean->low > -close_enough && j.mean->high < close_enough   ? "shown"
                  : j.mean->low > close_enough || j.mean->high < -close_enough ? "the contrary is shown"
                                                                               : "not settled";
    else
      j.verdict = j.mean->low > 0 ? "shown" : j.mean->high < 0 ? "the contrary is shown" : "not settled";
    if (few && d.size() >= 2) j.verdict += " (so far)";
    return j;
  }

  static std::string formula(const claim& c) {
    std::string s;
    for (const auto& t : c.difference) {
      s += t.sign > 0 ? (s.empty() ? "" : " + ") : (s.empty() ? "-" : " - ");
      s += t.arm + (t.before ? " before" : "");
    }
    return s;
  }

  // One arm's line of the table: accuracy by length at a moment, over its seeds.
  std::vector<std::pair<std::int64_t, interval>> by_length(const std::string& arm, bool before) const {
    std::map<std::int64_t, std::vector<double>> found;
    if (const auto at = runs_.find(arm); at != runs_.end())
      for (const auto& [seed, v] : at->second)
        if (const auto* moment = validation(v, before))
          for (const auto& l : moment->at("by_length").array())
            found[l.at("length").integer()].push_back(real(l, "accuracy"));
    std::vector<std::pair<std::int64_t, interval>> out;
    for (const auto& [length, x] : found) out.emplace_back(length, ql::eval::student_interval(x));
    return out;
  }
  // Means over its seeds: steps of RL, tokens sampled (scoring included), tokens trained on after warm-up.
  struct cost {
    double steps = 0, sampled = 0, trained = 0;
  };
  cost spent(const std::string& arm) const {
    cost c;
    const auto at = runs_.find(arm);
    if (at == runs_.end()) return c;
    for (const auto& [seed, v] : at->second)
      for (const auto& p : v.at("phases").array()) {
        if (real(p, "phase") < 2) continue;  // the drill and warm-up
        c.steps += real(p, "steps"), c.sampled += real(p, "tokens_generated"), c.trained += real(p, "tokens_trained");
        if (const auto* s = p.find("scoring")) c.sampled += real(*s, "tokens");
      }
    const auto n = static_cast<double>(at->second.size());
    c.steps /= n, c.sampled /= n, c.trained /= n;
    return c;
  }

  // A metric of the steps of RL against the share of the tokens spent, in 40 bins, mean over seeds.
  std::vector<std::pair<double, double>> curve(const std::string& arm, const char* key) const {
    constexpr std::size_t bins = 40;
    std::vector<double> sum(bins), count(bins);
    const auto at = runs_.find(arm);
    if (at == runs_.end()) return {};
    for (const auto& [seed, v] : at->second) {
      std::vector<std::pair<double, double>> rows;
      double tokens = 0;
      ql::io::line_reader in(folder_of(plan_, arm, seed) + "/metrics.jsonl");
      for (std::string line; in.next(line);) {
        const auto row = ql::io::json::parse(line, in.path());
        if (text(row, "stage") != "rl") continue;
        tokens += real(row, "tokens_generated") + real(row, "tokens_trained");
        if (row.find(key) != nullptr) rows.emplace_back(tokens, real(row, key));
      }
      for (const auto& [x, y] : rows) {
        const auto b = std::min(bins - 1, static_cast<std::size_t>(x / tokens * static_cast<double>(bins)));
        sum[b] += y, count[b] += 1;
      }
    }
    std::vector<std::pair<double, double>> out;
    for (std::size_t b = 0; b < bins; ++b)
      if (count[b] > 0)
        out.emplace_back(100 * (static_cast<double>(b) + 0.5) / static_cast<double>(bins), sum[b] / count[b]);
    return out;
  }

  // A validation's measure at each checkpoint, mean over seeds: (number of the validation, value).
  std::vector<std::pair<double, double>> checkpoints(const std::string& arm, const std::string& name) const {
    std::map<std::size_t, std::vector<double>> found;
    if (const auto at = runs_.find(arm); at != runs_.end())
      for (const auto& [seed, v] : at->second) {
        std::size_t i = 0;
        for (const auto& moment : v.at("accuracy").array()) {
          const auto x = name == "accuracy" ? std::optional(real(moment, "accuracy")) : named(moment, name);
          if (x) found[i].push_back(*x);
          ++i;
        }
      }
    std::vector<std::pair<double, double>> out;
    for (const auto& [i, x] : found) {
      double sum = 0;
      for (double one : x) sum += one;
      out.emplace_back(static_cast<double>(i), sum / static_cast<double>(x.size()));
    }
    return out;
  }

  const std::vector<arm>& arms() const { return arms_; }
  std::pair<std::int64_t, std::int64_t> progress() const {
    std::int64_t ended = 0, wanted = 0;
    for (const auto& a : arms_) ended += done(a.name), wanted += asked(a.name);
    return {ended, wanted};
  }

 private:
  const plan& plan_;
  const std::vector<arm>& arms_;
  std::map<std::string, std::map<std::int64_t, value>> runs_;
};

const char* about_budget =
    "Arms of one seed begin with the warm-up model of its first arm (but for those that change the warm-up), and end "
    "when "
    "they have spent, phase by phase, as many tokens as that arm did: tokens sampled, tokens sampled to score earlier "
    "examples, and tokens that went through a training forward, added. What each arm spent of either kind stands in "
    "the "
    "table of arms; an update's last step may overshoot. Intervals are Student's over seeds, 95 %; differences are "
    "taken "
    "within a seed. p is of the sign-flip test, two-sided, and cannot be below 2 / 2^seeds.";

value json_of(const book& b) {
  value::array_type claims, arms;
  for (const auto& c : all()) {
    const auto j = b.judge(c);
    value::array_type seeds;
    for (const auto& [seed, x] : j.by_seed) seeds.push_back(value::object_type{{"seed", seed}, {"difference", x}});
    value::object_type o{{"claim", c.number},
                         {"says", c.says},
                         {"measure", name_of(c.measure)},
                         {"difference", book::formula(c)},
                         {"expected", c.direction == direction::above_zero ? "above zero" : "within 2 points of zero"},
                         {"seeds_asked", c.seeds},
                         {"seeds", std::move(seeds)},
                         {"verdict", j.verdict}};
    if (j.mean) {
      o.emplace_back("mean", j.mean->estimate);
      o.emplace_back("low", std::isfinite(j.mean->low) ? value(j.mean->low) : value(nullptr));
      o.emplace_back("high", std::isfinite(j.mean->high) ? value(j.mean->high) : value(nullptr));
      o.emplace_back("p", j.p);
    }
    claims.emplace_back(std::move(o));
  }
  for (const auto& a : b.arms()) {
    const auto cost = b.spent(a.name);
    value::object_type o{{"arm", a.name},
                         {"what", a.what},
                         {"seeds", b.done(a.name)},
                         {"seeds_asked", book::asked(a.name)},
                         {"steps", cost.steps},
                         {"tokens_sampled", cost.sampled},
                         {"tokens_trained", cost.trained}};
    for (const bool before : {true, false}) {
      value::array_type lengths;
      for (const auto& [length, i] : b.by_length(a.name, before))
        lengths.push_back(value::object_type{{"length", length},
                                             {"accuracy", i.estimate},
                                             {"low", std::isfinite(i.low) ? value(i.low) : value(nullptr)},
                                             {"high", std::isfinite(i.high) ? value(i.high) : value(nullptr)}});
      o.emplace_back(before ? "before" : "after", std::move(lengths));
    }
    arms.emplace_back(std::move(o));
  }
  const auto [ended, wanted] = b.progress();
  return value::object_type{
      {"format", 1}, {"runs", ended}, {"runs_asked", wanted}, {"claims", std::move(claims)}, {"arms", std::move(arms)}};
}

using table = std::vector<std::vector<std::string>>;  // the first row is the head

table claims_table(const book& b) {
  table t{{"claim", "says", "measure", "difference within a seed", "seeds", "mean [95 %], points", "p", "verdict"}};
  for (const auto& c : all()) {
    const auto j = b.judge(c);
    t.push_back({c.number, c.says, name_of(c.measure),
                 book::formula(c) + (c.direction == direction::above_zero ? " > 0" : " near 0"),
                 std::to_string(j.by_seed.size()) + " of " + std::to_string(c.seeds),
                 j.mean ? range(*j.mean, points) : "", j.by_seed.size() > 1 ? svg::shown(j.p) : "", j.verdict});
  }
  return t;
}

table arms_table(const book& b) {
  table t{{"arm", "what", "seeds", "before RL, by length", "at the end, by length", "steps", "sampled", "trained on"}};
  for (const auto& a : b.arms()) {
    std::vector<std::string> row{a.name, a.what,
                                 std::to_string(b.done(a.name)) + " of " + std::to_string(book::asked(a.name))};
    for (const bool before : {true, false}) {
      std::string s;
      for (const auto& [length, i] : b.by_length(a.name, before))
        s += (s.empty() ? "" : "; ") + std::to_string(length) + ": " + range(i, percent);
      row.push_back(s.empty() ? "not run yet" : s);
    }
    const auto c = b.spent(a.name);
    for (const double x : {c.steps, c.sampled, c.trained}) row.push_back(b.done(a.name) > 0 ? svg::shown(x) : "");
    t.push_back(std::move(row));
  }
  return t;
}

std::string markdown(const table& t) {
  std::string s;
  for (std::size_t i = 0; i < t.size(); ++i) {
    s += "|";
    for (const auto& cell : t[i]) s += " " + cell + " |";
    s += "\n";
    if (i > 0) continue;
    s += "|";
    for (std::size_t k = 0; k < t[i].size(); ++k) s += "---|";
    s += "\n";
  }
  return s;
}

std::string html(const table& t) {
  std::string s = "<div class=\"scroll\"><table>";
  for (std::size_t i = 0; i < t.size(); ++i) {
    const std::string tag = i == 0 ? "th" : "td";
    s += "<tr>";
    for (const auto& cell : t[i])
      s.append("<").append(tag).append(">").append(svg::escaped(cell)).append("</").append(tag).append(">");
    s += "</tr>";
  }
  return s + "</table></div>";
}

std::string figure(const std::string& title, const std::vector<std::string>& names, const std::string& chart,
                   const std::string& caption) {
  std::string s = "<figure class=\"wide\"><h3>" + svg::escaped(title) + "</h3><div class=\"legend\">";
  for (std::size_t i = 0; i < names.size(); ++i)
    s.append("<span><i class=\"c")
        .append(std::to_string(i % 8))
        .append("\"></i>")
        .append(svg::escaped(names[i]))
        .append("</span>");
  return s + "</div>" + chart + "<figcaption>" + svg::escaped(caption) + "</figcaption></figure>";
}

// Arms that are compared with each other, in one picture each.
struct group {
  const char* title;
  std::vector<std::string> arms;
};

std::string pictures(const book& b) {
  const std::vector<group> groups{{"Short and long documents", {"short", "long"}},
                                  {"Phases, warm-up", {"phased", "mixed", "single", "phased_no_sft", "single_no_sft"}},
                                  {"Retention", {"phased", "random", "dapo", "zero_accuracy"}},
                                  {"Short and long SFT, positions", {"dapo", "no_yarn", "long_sft"}},
                                  {"GRPO and DAPO", {"dapo", "grpo"}},
                                  {"Rule and judges", {"rule", "dapo", "permissive_judge", "permissive_max"}},
                                  {"Log-probs as recorded", {"dapo", "perturbed_1", "exact_4", "perturbed_4"}},
                                  {"Controls", {"dapo", "sft_continued", "shuffled"}}};
  std::string s;
  for (const auto& g : groups) {
    std::vector<std::string> names, categories;
    std::vector<svg::interval_series> ends;
    svg::chart reward, entropy;
    for (const auto& name : g.arms) {
      const auto lengths = b.by_length(name, false);
      if (lengths.empty()) continue;
      const int colour = static_cast<int>(names.size()) % 8;
      names.push_back(name);
      if (categories.empty())
        for (const auto& [length, i] : lengths) categories.push_back(std::to_string(length));
      svg::interval_series line{name, colour, {}};
      for (std::size_t k = 0; k < lengths.size() && k < categories.size(); ++k) {
        const auto& i = lengths[k].second;
        const bool known = std::isfinite(i.low);
        line.points.push_back({k, i.estimate, known ? i.low : i.estimate, known ? i.high : i.estimate});
      }
      ends.push_back(std::move(line));
      if (auto c = b.curve(name, "reward_mean"); !c.empty()) reward.lines.push_back({name, colour, std::move(c)});
      if (auto c = b.curve(name, "entropy"); !c.empty()) entropy.lines.push_back({name, colour, std::move(c)});
    }
    std::string missing;
    for (const auto& name : g.arms)
      if (b.done(name) == 0) missing += (missing.empty() ? "not run yet: " : ", ") + name;
    s += "<h2>" + svg::escaped(g.title) + "</h2><p class=\"note\">" + svg::escaped(missing) +
         "</p><div class=\"charts\">";
    if (!names.empty()) {
      s += figure("Accuracy at the end", names,
                  svg::interval_chart(g.title, "accuracy by length", categories, ends, "tokens of a document"),
                  "Mean over seeds with its 95 % interval; a single seed has none.");
      reward.title = entropy.title = g.title, reward.unit = "%";
      if (!reward.lines.empty())
        s += figure("Reward of training", names, svg::line_chart(reward),
                    "Against the share of the tokens spent, in percent.");
      if (!entropy.lines.empty())
        s += figure("Entropy", names, svg::line_chart(entropy), "Nats a token, against the share of the tokens spent.");
    }
    s += "</div>";
  }
  svg::chart c;
  c.title = "Checkpoints of dapo", c.unit = "%";
  std::vector<std::string> names;
  for (const char* name : {"accuracy", "grounding", "pass@1", "pass@2", "pass@4", "pass@8", "pass@16"})
    if (auto p = b.checkpoints(reference, name); !p.empty()) {
      c.lines.push_back({name, static_cast<int>(names.size()) % 8, std::move(p)});
      names.emplace_back(name);
    }
  if (!names.empty())
    s += "<h2>Behaviours and pass@k by checkpoint</h2><div class=\"charts\">" +
         figure(
             "dapo", names, svg::line_chart(c),
             "0: before RL, then after each phase. Grounding is exact: the share of a question's evidence sentences "
             "that the greedy answer quotes. The documents' language has no words for backtracking or verification.") +
         "</div>";
  return s;
}

}  // namespace

void write_page(const plan& p, const std::vector<arm>& arms) {
  const book b(p, arms);
  const auto [ended, wanted] = b.progress();
  const std::string so_far = std::to_string(ended) + " of " + std::to_string(wanted) + " runs have ended.";
  const auto claims = claims_table(b), table_of_arms = arms_table(b);
  ql::io::write_file(p.directory + "/claims.json", ql::io::json::dump(json_of(b), {.indent = 2}) + "\n");
  ql::io::write_file(p.directory + "/claims.md", "# Claims, tested again in the small\n\n" + so_far + " " +
                                                     about_budget + "\n\n" + markdown(claims) + "\n" +
                                                     markdown(table_of_arms));
  ql::io::write_file(p.directory + "/claims.html",
                     ql::render_page("Claims, tested again in the small",
                                     "<h1>Claims, tested again in the small</h1><p class=\"lead\">" + so_far +
                                         "</p><p class=\"note\">" + svg::escaped(about_budget) + "</p><h2>Claims</h2>" +
                                         html(claims) + "<h2>Arms</h2>" + html(table_of_arms) + pictures(b)));
}

}  // namespace claims
