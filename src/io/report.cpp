// SPDX-License-Identifier: Apache-2.0
#include <ql/report.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>

#include <ql/detail/stable_sort.hpp>
#include <ql/io/svg.hpp>
#include "run_files.hpp"

namespace ql {
namespace {

using namespace io;
using tree = json::value;
using points = std::vector<std::pair<double, double>>;
using svg::escaped;
using svg::shown;

constexpr std::size_t most_points = 220;  // of a line
constexpr std::size_t most_cards = 4;     // of each kind of sample

constexpr std::string_view style = R"css(
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1d2430;--soft:#5c6675;--line:#e3e6ea;--band:#f2f4f7;
--c0:#2563c9;--c1:#c2570c;--c2:#0d8a5f;--c3:#8a46c9;--c4:#c22f4e;--c5:#0b8299;--c6:#7a6a10;--c7:#a3aebd;--ok:#0d8a5f;--bad:#c22f4e}
@media(prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1a2029;--ink:#e6eaf0;--soft:#9aa5b4;--line:#2c3542;--band:#1f2731;
--c0:#6ea8fe;--c1:#ffa261;--c2:#4fd1a1;--c3:#c59bff;--c4:#ff7d95;--c5:#56cfe1;--c6:#e0c95a;--c7:#76839a;--ok:#4fd1a1;--bad:#ff7d95}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:34px 22px 70px}h1{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:20px;margin:44px 0 4px}h3{font-size:15px;margin:0 0 2px}p{margin:4px 0 12px;max-width:78ch}.lead{font-size:18px;color:var(--soft)}
.note,figcaption,td.n,th{color:var(--soft)}.note,figcaption{font-size:14px}.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin:22px 0 0}
.tile,figure,.sample{background:var(--card);border:1px solid var(--line);border-radius:10px}.tile{padding:13px 16px}.tile b{display:block;font-size:25px;line-height:1.25;font-variant-numeric:tabular-nums}
.tile span{font-size:13px;color:var(--soft)}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:16px;margin-top:14px}.small{grid-template-columns:repeat(auto-fit,minmax(min(290px,100%),370px))}
figure{margin:0;padding:14px 16px 10px;min-width:0}figure.wide{grid-column:1/-1}svg{display:block;width:100%;height:auto;font:11px system-ui,sans-serif}svg text{fill:var(--soft)}
.yt{text-anchor:end;font-variant-numeric:tabular-nums}.xt,.bt{text-anchor:middle}.grid{stroke:var(--line);stroke-width:1}.b0{fill:var(--band)}.b1{fill:none}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.thin{stroke-width:1.2;opacity:.55}.faint{stroke-width:1;opacity:.32}.dash{stroke-dasharray:6 4}.area{opacity:.78}.whisker{fill:none;stroke-width:1.6}
.legend{display:flex;flex-wrap:wrap;gap:3px 16px;font-size:13px;color:var(--soft);margin:2px 0 6px}.legend i{display:inline-block;width:18px;height:4px;border-radius:2px;margin-right:6px;vertical-align:middle}
details{margin:6px 0 2px;font-size:13px}summary{cursor:pointer;color:var(--soft)}.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}th{font-weight:600;text-align:left}td,th{padding:4px 14px 4px 0;border-bottom:1px solid var(--line);white-space:nowrap}
.sample{padding:14px 16px;margin:0 0 14px;overflow-wrap:anywhere}.sample dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:8px 0 0;font-size:14px}dt{color:var(--soft)}dd{margin:0;white-space:pre-line}
.tag{display:inline-block;border-radius:99px;padding:0 9px;font-size:12px;border:1px solid currentColor;margin-right:6px}.ok{color:var(--ok)}.bad{color:var(--bad)}pre{overflow-x:auto;font-size:13px;line-height:1.45}
.stack{display:flex;height:22px;border-radius:6px;overflow:hidden;margin:10px 0}.stack i{display:block}@media print{body{background:#fff}figure,.sample{break-inside:avoid}}
)css";

// Colours of areas, lines and swatches.
std::string colour_rules() {
  std::string s;
  for (int i = 0; i < 8; ++i) {
    const std::string n = std::to_string(i);
    s.append(".c").append(n).append("{stroke:var(--c").append(n).append(");fill:var(--c").append(n).append(")}");
    s.append("i.c").append(n).append("{background:var(--c").append(n).append(")}");
  }
  return s + ".area,.bar{stroke:none}.line,.whisker{fill:none}";
}

std::string percent(double share) {
  char b[32];
  std::snprintf(b, sizeof b, "%.1f %%", 100 * share);
  return b;
}

std::string duration(double seconds) {
  char b[48];
  const auto s = static_cast<long long>(std::clamp(seconds, 0.0, 1e12) + 0.5);
  if (seconds < 10)
    std::snprintf(b, sizeof b, "%.1f s", seconds);
  else if (s < 120)
    std::snprintf(b, sizeof b, "%lld s", s);
  else if (s < 7200)
    std::snprintf(b, sizeof b, "%lld min %lld s", s / 60, s % 60);
  else
    std::snprintf(b, sizeof b, "%lld h %lld min", s / 3600, s / 60 % 60);
  return b;
}

std::string bytes(double n) {
  char b[32];
  if (n >= 1e9)
    std::snprintf(b, sizeof b, "%.2f GB", n / 1e9);
  else
    std::snprintf(b, sizeof b, "%.0f MB", n / 1e6);
  return b;
}

// The beginning and the end of a long text, cut at characters.
std::string cut(const std::string& s, std::size_t most) {
  if (s.size() <= most) return s;
  const auto boundary = [&](std::size_t i) {
    while (i > 0 && i < s.size() && (static_cast<unsigned char>(s[i]) & 0xc0u) == 0x80) --i;
    return i;
  };
  const std::size_t head = boundary(most * 2 / 3), tail = boundary(s.size() - most / 3);
  return s.substr(0, head) + " [\xe2\x80\xa6] " + s.substr(tail);
}

// Texts of a vocabulary of words and phrases ("carol reports_to dan .") as English: spaces for underscores, capitals
// after full stops, no space before a stop. Other texts stay as they are.
std::string readable(const std::string& s) {
  if (s.find(" .") == s.npos && s.find(" ?") == s.npos && s.find('_') == s.npos) return s;
  std::string out;
  bool begins = true;
  for (const char c : s) {
    if ((c == '.' || c == '?' || c == ',') && !out.empty() && out.back() == ' ') out.pop_back();
    const char plain = c == '_' ? ' ' : c;
    out += begins && plain >= 'a' && plain <= 'z' ? static_cast<char>(plain - 'a' + 'A') : plain;
    if (plain != ' ' && plain != '\n') begins = plain == '.' || plain == '?';
  }
  return out;
}

class page {
 public:
  explicit page(const file_path& directory) : run_(directory), summary_(summarise(directory)) {}

  std::string render() {
    header();
    accuracy();
    learning();
    curriculum();
    samples();
    timings();
    notes();
    return render_page(title_, out_);
  }

 private:
  void add(std::string_view s) { out_.append(s); }
  void heading(std::string_view name, std::string_view about) {
    add("<h2>"), add(name), add("</h2><p class=\"note\">"), add(escaped(about)), add("</p>");
  }
  void tile(const std::string& value, const std::string& what) {
    add("<div class=\"tile\"><b>"), add(escaped(value)), add("</b><span>"), add(escaped(what)), add("</span></div>");
  }
  void row(const std::vector<std::string>& cells, bool head = false) {
    add("<tr>");
    for (const auto& c : cells) add(head ? "<th>" : "<td>"), add(escaped(c)), add(head ? "</th>" : "</td>");
    add("</tr>");
  }

  // The values of a metric by step, "time.total" included; rows without it are left out.
  points values(std::string_view key, std::string_view stage = {}) const {
    points p;
    const auto dot = key.find('.');
    for (const auto& r : run_.steps) {
      if (!stage.empty() && text_or(r, "stage", "rl") != stage) continue;
      const tree* v = dot == key.npos ? r.find(key) : r.find(key.substr(0, dot));
      if (v != nullptr && dot != key.npos) v = v->find(key.substr(dot + 1));
      if (v != nullptr && v->is_number() && std::isfinite(v->real())) p.emplace_back(number_or(r, "step"), v->real());
    }
    return p;
  }
  std::vector<svg::band> phase_bands() const {
    std::vector<svg::band> bands;
    for (const auto& p : summary_.at("phases").array()) {
      if (integer_or(p, "steps") == 0) continue;
      std::string name = text_or(p, "stage") == "sft" ? "SFT" : "phase " + std::to_string(integer_or(p, "phase"));
      if (integer_or(p, "max_length") > 0) name += ", \xe2\x89\xa4 " + std::to_string(integer_or(p, "max_length"));
      bands.push_back({number_or(p, "first_step") - 0.5, number_or(p, "last_step") + 0.5, name});
    }
    return bands;
  }

  static double end_of_phase(const std::vector<svg::band>& bands, double step) {
    for (const auto& b : bands)
      if (b.from <= step && step <= b.to) return b.to;
    return std::numeric_limits<double>::infinity();
  }

  void legend(const std::vector<std::pair<std::string, int>>& names) {
    add("<div class=\"legend\">");
    for (const auto& [name, colour] : names)
      add("<span><i class=\"c"), add(std::to_string(colour)), add("\"></i>"), add(escaped(name)), add("</span>");
    add("</div>");
  }

  struct curve {
    std::string key, name;
    int colour;
    bool smooth = true;
    std::string_view stage = {};
  };
  // A figure of metrics over steps, with the numbers behind it as a table.
  void lines(const std::string& title, const std::string& caption, const std::vector<curve>& wanted,
             const std::string& unit = "", bool stacked = false, bool small = false) {
    svg::chart c;
    c.title = title, c.unit = unit, c.stacked = stacked, c.bands = phase_bands();
    if (small) c.width = 340, c.height = 190;
    std::vector<std::pair<std::string, int>> names;
    std::vector<points> tables;
    c.description = caption;
    for (const auto& w : wanted) {
      points p = values(w.key, w.stage);
      if (p.empty()) continue;
      names.emplace_back(w.name, w.colour);
      if (stacked) {
        c.lines.push_back({w.name, w.colour, svg::thinned(p, most_points)});
      } else if (w.smooth && p.size() >= 20) {
        c.lines.push_back({w.name, w.colour, svg::thinned(p, most_points), true});
        points mean;  // phase by phase: nothing is smeared over a change
        for (std::size_t first = 0; first < p.size();) {
          const double end = end_of_phase(c.bands, p[first].first);
          std::size_t last = first;
          while (last < p.size() && p[last].first <= end) ++last;
          last = std::max(last, first + 1);
          const auto part = svg::smoothed(
              {p.begin() + static_cast<std::ptrdiff_t>(first), p.begin() + static_cast<std::ptrdiff_t>(last)},
              1 + p.size() / 40);
          mean.insert(mean.end(), part.begin(), part.end());
          first = last;
        }
        c.lines.push_back({w.name, w.colour, svg::thinned(mean, most_points)});
      } else {
        c.lines.push_back({w.name, w.colour, svg::thinned(p, most_points)});
      }
      char b[64];
      const double scale = unit == "%" ? 100 : 1;
      std::snprintf(b, sizeof b, "%s%s to %s%s", shown(p.front().second * scale).c_str(), unit.c_str(),
                    shown(p.back().second * scale).c_str(), unit.c_str());
      c.description += " " + w.name + " goes from " + b + ".";
      tables.push_back(svg::thinned(p, 12));
    }
    if (names.empty()) return;
    add("<figure><h3>"), add(escaped(title)), add("</h3>");
    if (names.size() > 1) legend(names);
    add(svg::line_chart(c));
    add("<figcaption>"), add(escaped(caption)), add("</figcaption>");
    add("<details><summary>Numbers</summary><div class=\"scroll\"><table>");
    std::vector<std::string> head{"step"};
    for (const auto& n : names) head.push_back(n.first);
    row(head, true);
    for (std::size_t i = 0; i < tables[0].size(); ++i) {
      std::vector<std::string> cells{shown(std::round(tables[0][i].first))};
      for (const auto& t : tables)
        cells.push_back(i < t.size() ? shown(t[i].second * (unit == "%" ? 100 : 1)) + unit : "");
      row(cells);
    }
    add("</table></div></details></figure>");
  }

  static std::string moment_of(const tree& v) {
    const std::string m = text_or(v, "moment");
    if (m == "before") return "before RL";
    if (m == "phase") return "after phase " + std::to_string(integer_or(v, "phase"));
    if (m == "final") return "at the end";
    return "step " + std::to_string(integer_or(v, "step"));
  }

  void header() {
    const std::string name = text_or(summary_, "name").empty() ? "run" : text_or(summary_, "name");
    title_ = name + ": report of a run";
    add("<h1>"), add(escaped(name)), add("</h1><p class=\"lead\">");
    const std::string state = text_or(summary_, "state");
    const auto& seconds = summary_.at("seconds");
    const double all = number_or(seconds, "steps") + number_or(seconds, "scoring") + number_or(seconds, "validation");
    std::string s = state == "finished"      ? "The run finished after "
                    : state == "interrupted" ? "The run was interrupted after "
                    : state == "failed"      ? "The run failed after "
                                             : "So far the run has done ";
    s += std::to_string(integer_or(summary_, "steps")) + " steps in " + duration(all);
    if (integer_or(summary_, "starts") > 1)
      s += "; it was continued " + std::to_string(integer_or(summary_, "starts") - 1) + " times from a checkpoint";
    s += ".";
    const tree* best = nullptr;  // the longest documents tell most
    for (const auto& g : list_or_empty(summary_, "gain"))
      if (best == nullptr || integer_or(g, "length") > integer_or(*best, "length")) best = &g;
    if (best != nullptr)
      s += " On documents of up to " + std::to_string(integer_or(*best, "length")) + " tokens accuracy went from " +
           percent(number_or(*best, "before")) + " to " + percent(number_or(*best, "after")) + ".";
    add(escaped(s)), add("</p><div class=\"tiles\">");
    const auto& measured = summary_.at("accuracy").array();
    if (!measured.empty())
      tile(percent(number_or(measured.back(), "accuracy")),
           "accuracy, all lengths (" + percent(number_or(measured.front(), "accuracy")) + " at first)");
    if (const auto r = values("reward_mean"); !r.empty()) {
      const auto tail = svg::smoothed(r, r.size() / 10);
      const std::size_t back = std::min(r.size() - 1, r.size() / 20);
      tile(shown(tail[r.size() - 1 - back].second), "mean reward of the last steps");
    }
    const auto& tokens = summary_.at("tokens");
    if (number_or(tokens, "generated") > 0)
      tile(shown(number_or(tokens, "generated")),
           "tokens sampled, " + shown(number_or(tokens, "trained")) + " trained on");
    else
      tile(shown(number_or(tokens, "trained")), "tokens trained on");
    if (number_or(seconds, "steps") > 0)
      tile(shown((number_or(tokens, "generated") + number_or(tokens, "trained")) / number_or(seconds, "steps")),
           "tokens a second in steps");
    if (number_or(summary_, "memory_peak_bytes") > 0)
      tile(bytes(number_or(summary_, "memory_peak_bytes")), "of memory at most");
    const auto& m = summary_.at("mismatch");
    tile(integer_or(m, "compared") == 0 ? "not checked"
         : integer_or(m, "found") == 0  ? "0 differ"
                                        : shown(number_or(m, "found")) + " differ",
         integer_or(m, "compared") == 0
             ? "log-probs of sampling against training"
             : "of " + shown(number_or(m, "compared")) + " log-probs: sampling against training, bit by bit");
    add("</div>");
  }

  void accuracy() {
    const auto& measured = summary_.at("accuracy").array();
    std::vector<std::int64_t> lengths;
    for (const auto& v : measured)
      for (const auto& l : list_or_empty(v, "by_length")) lengths.push_back(integer_or(l, "length"));
    std::sort(lengths.begin(), lengths.end());
    lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
    if (lengths.empty() || lengths.size() > 24) return;
    heading("Accuracy by length",
            "Held-out questions, by the length of their document. The whiskers are 95 % intervals.");
    std::vector<std::string> categories;
    for (const auto l : lengths) categories.push_back(std::to_string(l));
    std::vector<svg::interval_series> all;
    std::vector<std::pair<std::string, int>> names;
    const std::size_t most = 7;
    for (std::size_t i = 0; i < measured.size(); ++i) {
      // The first, the last and what fits between them.
      if (measured.size() > most && i > 0 && i + (most - 1) < measured.size()) continue;
      svg::interval_series s{moment_of(measured[i]), all.empty() ? 7 : static_cast<int>(all.size() - 1), {}};
      for (const auto& l : list_or_empty(measured[i], "by_length")) {
        const auto at = std::lower_bound(lengths.begin(), lengths.end(), integer_or(l, "length")) - lengths.begin();
        s.points.push_back(
            {static_cast<std::size_t>(at), number_or(l, "accuracy"), number_or(l, "low"), number_or(l, "high")});
      }
      names.emplace_back(s.name, s.colour);
      all.push_back(std::move(s));
    }
    std::string description = "Accuracy over document length, a series for each moment of the run.";
    add("<figure class=\"wide\">");
    legend(names);
    add(svg::interval_chart("Accuracy by length", description, categories, all, "tokens of the document, at most"));
    add("<details open><summary>Numbers</summary><div class=\"scroll\"><table>");
    std::vector<std::string> head{"moment", "all lengths"};
    for (const auto& c : categories) head.push_back("\xe2\x89\xa4 " + c);
    row(head, true);
    for (const auto& v : measured) {
      std::vector<std::string> cells{moment_of(v), percent(number_or(v, "accuracy"))};
      cells.resize(2 + lengths.size());
      for (const auto& l : list_or_empty(v, "by_length")) {
        const auto at = std::lower_bound(lengths.begin(), lengths.end(), integer_or(l, "length")) - lengths.begin();
        cells[2 + static_cast<std::size_t>(at)] = percent(number_or(l, "accuracy")) + " [" +
                                                  shown(100 * number_or(l, "low")) + ", " +
                                                  shown(100 * number_or(l, "high")) + "]";
      }
      row(cells);
    }
    add("</table></div></details></figure>");
  }

  void learning() {
    heading("Learning", "Every step; thin lines are single steps, thick ones running means. Shades are phases.");
    add("<div class=\"charts\">");
    lines("Reward and accuracy", "Mean reward after length shaping, and the share of answers with full score.",
          {{"reward_mean", "reward", 0, true, "rl"}, {"accuracy", "accuracy", 2, true, "rl"}});
    lines("Groups", "Only groups with right and wrong answers teach; the others are left out.",
          {{"groups_wrong", "all wrong", 4}, {"groups_mixed", "both", 0}, {"groups_right", "all right", 2}}, "", true);
    lines("Entropy", "Nats per sampled token: a fall to zero means that nothing new is tried.",
          {{"entropy", "entropy", 3}});
    lines("Distance from the start", "KL divergence from the policy at the first RL step, where it was measured.",
          {{"kl", "KL", 5, false}});
    lines("Length of answers", "In tokens.", {{"length_mean", "mean", 0}, {"length_max", "longest", 7, false}});
    lines("Cut answers", "Share of answers that reached the length limit.", {{"truncated", "cut", 4}}, "%");
    lines("Loss of supervised steps", "Mean negative log-likelihood of a target token, nats.",
          {{"loss", "loss", 6, true, "sft"}});
    lines("Accuracy of supervised steps", "Share of targets that were predicted right.",
          {{"accuracy", "accuracy", 2, true, "sft"}}, "%");
    lines("Loss of RL", "Of the last update of each step.", {{"loss", "loss", 6, true, "rl"}});
    lines("Gradient", "Norm before clipping.", {{"gradient_norm", "norm", 1}});
    lines("Clipping", "Share of tokens whose probability ratio was clipped.", {{"clip_fraction", "clipped", 5}}, "%");
    lines("Speed", "Sampled and trained tokens a second.", {{"time.tokens_per_second", "tokens a second", 2}});
    add("</div>");
  }

  void curriculum() {
    bool any = false;
    for (const auto& p : summary_.at("phases").array()) any = any || p.find("scoring") != nullptr;
    const auto pool = values("pool");
    if (!any && pool.empty()) return;
    heading("Curriculum",
            "At each change of phase the examples seen so far are scored, and hard ones are taken along.");
    add("<div class=\"charts small\">");
    lines("Pool", "Examples that a phase draws from, and those of earlier phases among them.",
          {{"pool", "pool", 7, false}, {"retained", "retained", 1, false}}, "", false, true);
    for (const auto& p : summary_.at("phases").array()) {
      const tree* s = p.find("scoring");
      if (s == nullptr) continue;
      const auto counts = [&](const char* key) {
        std::vector<double> v;
        for (const auto& n : list_or_empty(*s, key))
          if (v.size() < 100) v.push_back(n.is_number() ? n.real() : 0);
        return v;
      };
      const std::string n = std::to_string(integer_or(p, "phase"));
      add("<figure><h3>Before phase "), add(n), add("</h3>");
      legend({{"scored", 7}, {"retained", 1}});
      const std::string what = std::to_string(integer_or(*s, "scored")) + " examples scored, " +
                               std::to_string(integer_or(*s, "retained")) + " retained";
      add(svg::bar_chart("Scores before phase " + n, what, counts("histogram"), counts("retained_histogram"),
                         "mean score of an example"));
      std::string more = what + " in " + duration(number_or(*s, "seconds"));
      if (integer_or(*s, "tokens") > 0) more += ", with " + shown(number_or(*s, "tokens")) + " tokens";
      more += ".";
      if (integer_or(p, "retained_groups") > 0)
        more += " Of " + std::to_string(integer_or(p, "retained_groups")) + " retained groups drawn later, " +
                std::to_string(integer_or(p, "retained_mixed")) + " had right and wrong answers.";
      add("<figcaption>"), add(escaped(more)), add("</figcaption></figure>");
    }
    add("</div>");
  }

  void samples() {
    // The best and the worst answers of the last steps, and those that rule and judge disagree on: one of an example.
    struct ranked {
      double key;
      tree row;
    };
    std::vector<ranked> best, worst, disputed;
    const auto keep = [](std::vector<ranked>& list, double key, const tree& row) {
      const std::string id = text_or(row, "example") + text_or(row, "question");
      for (auto& r : list)
        if (text_or(r.row, "example") + text_or(r.row, "question") == id) {
          if (key >= r.key) r = {key, row};
          return;
        }
      list.push_back({key, row});
      ql::detail::stable_sort(list.begin(), list.end(), [](const ranked& a, const ranked& b) { return a.key > b.key; });
      if (list.size() > most_cards) list.pop_back();
    };
    std::size_t count = 0;
    each_row(run_.directory + "/samples.jsonl", [&](const tree& full) {
      ++count;
      tree::object_type o;  // without the long lists
      for (const auto& m : full.object())
        if (!m.second.is_array()) o.push_back(m);
      const tree r(std::move(o));
      const double step = number_or(r, "step") * 1e-9;  // later ones first among equals
      const double reward = number_or(r, "reward");
      const auto rule = number(r, "rule"), judge = number(r, "judge");
      if (reward > 0) keep(best, reward + step, r);
      if (reward <= 0 && number(r, "score")) keep(worst, -reward + step, r);
      if (rule && judge && std::fabs(*rule - *judge) > 0.5) keep(disputed, step, r);
    });
    if (count == 0) return;
    heading("Samples", std::to_string(count) + " answers were written down; here are some of the latest.");
    const auto cards = [&](const char* name, const std::vector<ranked>& list) {
      if (list.empty()) return;
      add("<h3>"), add(name), add("</h3>");
      for (const auto& r : list) card(r.row);
    };
    cards("Best", best);
    cards("Worst", worst);
    cards("Rule and judge disagree", disputed);
  }

  void card(const tree& r) {
    const auto score = number(r, "score");
    add("<div class=\"sample\"><span class=\"tag ");
    add(!score ? "\">no score" : *score >= 0.5 ? "ok\">right" : "bad\">wrong");
    add("</span>");
    const auto* truncated = r.find("truncated");
    if (truncated != nullptr && truncated->is_boolean() && truncated->boolean())
      add("<span class=\"tag bad\">cut</span>");
    std::string where = "step " + std::to_string(integer_or(r, "step")) + ", group " +
                        std::to_string(integer_or(r, "group")) + ", answer " + std::to_string(integer_or(r, "sample"));
    if (!text_or(r, "example").empty()) where += ", example " + cut(text_or(r, "example"), 60);
    add("<span class=\"note\">"), add(escaped(where)), add("</span><dl>");
    const auto item = [&](const char* name, const std::string& text) {
      if (text.empty()) return;
      add("<dt>"), add(name), add("</dt><dd>"), add(escaped(text)), add("</dd>");
    };
    item("document", cut(readable(text_or(r, "document")), 700));
    item("question", cut(readable(text_or(r, "question")), 500));
    item("expected", cut(readable(text_or(r, "gold")), 200));
    item("answer", cut(readable(text_or(r, "answer")), 200));
    item("response", cut(readable(text_or(r, "response")), 700));
    const auto given = [&](const char* key) {
      const auto x = number(r, key);
      return x ? shown(*x) : std::string("not asked");
    };
    item("scores", "rule " + given("rule") + ", judge " + given("judge") + ", reward " + shown(number_or(r, "reward")) +
                       ", advantage " + shown(number_or(r, "advantage")) + ", " +
                       std::to_string(integer_or(r, "length")) + " tokens");
    item("why", cut(text_or(r, "why"), 300));
    item("left out", cut(text_or(r, "dropped"), 200));
    add("</dl></div>");
  }

  void timings() {
    const auto& seconds = summary_.at("seconds");
    const std::vector<std::pair<const char*, const char*>> parts{
        {"rollout", "sampling"}, {"reward", "scoring of answers"},   {"update", "training"},
        {"other", "other"},      {"scoring", "scoring of examples"}, {"validation", "validation"}};
    double all = 0;
    for (const auto& [key, name] : parts) all += number_or(seconds, key);
    if (!(all > 0)) return;
    heading("Where the time went", duration(all) + " in all, without loading and saving.");
    add("<figure>");
    std::vector<std::pair<std::string, int>> names;
    add("<div class=\"stack\" role=\"img\" aria-label=\"share of time of each part\">");
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const double share = number_or(seconds, parts[i].first) / all;
      if (!(share > 0)) continue;
      char width[64];
      std::snprintf(width, sizeof width, "<i class=\"c%d\" style=\"width:%.2f%%\"></i>", static_cast<int>(i),
                    100 * share);
      add(width);
      names.emplace_back(std::string(parts[i].second) + " " + percent(share), static_cast<int>(i));
    }
    add("</div>");
    legend(names);
    add("<div class=\"scroll\"><table>");
    row({"phase", "stage", "steps", "seconds", "seconds a step", "tokens sampled", "tokens trained", "refills",
         "no update", "reward, first to last tenth"},
        true);
    for (const auto& p : summary_.at("phases").array()) {
      const double n = number_or(p, "steps");
      const auto begin = number(p, "reward_begin"), end = number(p, "reward_end");
      row({std::to_string(integer_or(p, "phase")) +
               (text_or(p, "name").empty() ? "" : ": " + cut(text_or(p, "name"), 60)),
           text_or(p, "stage"), shown(n), shown(number_or(p, "seconds")),
           n > 0 ? shown(number_or(p, "seconds") / n) : "", shown(number_or(p, "tokens_generated")),
           shown(number_or(p, "tokens_trained")), shown(number_or(p, "refills")), shown(number_or(p, "skipped_steps")),
           begin && end ? shown(*begin) + " to " + shown(*end) : ""});
    }
    add("</table></div></figure>");
  }

  void notes() {
    std::map<std::string, std::size_t> warnings;
    for (const auto& e : run_.log)
      if (text_or(e, "event") == "warning") ++warnings[cut(text_or(e, "what"), 300)];
    if (!warnings.empty() || run_.bad_lines > 0) {
      heading("Warnings", "What the run complained about.");
      add("<ul>");
      std::size_t count = 0;
      for (const auto& [what, n] : warnings) {
        if (++count > 30) break;
        add("<li>"), add(escaped(what)), add(n > 1 ? " (" + std::to_string(n) + " times)" : ""), add("</li>");
      }
      if (run_.bad_lines > 0)
        add("<li>"), add(std::to_string(run_.bad_lines)), add(" lines of the run's files could not be read.</li>");
      add("</ul>");
    }
    if (run_.recipe.is_null()) return;
    heading("Recipe", "Every setting the run was made with.");
    add("<details><summary>Show</summary><pre>");
    add(escaped(cut(json::dump(run_.recipe, {.indent = 2}), 40'000)));
    add("</pre></details>");
  }

  run_files run_;
  tree summary_;
  std::string out_, title_;
};

}  // namespace

std::string render_page(std::string_view title, std::string_view body) {
  std::string html =
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><title>";
  html += escaped(title) + "</title><style>";
  html.append(style).append(colour_rules()).append("</style></head><body><main>").append(body);
  return html.append("</main></body></html>\n");
}

std::string render_report(const io::file_path& run) { return page(run).render(); }

void write_report(const io::file_path& run) {
  write_summary(run);
  io::write_file(run.text + "/report.html", render_report(run));
}

}  // namespace ql
