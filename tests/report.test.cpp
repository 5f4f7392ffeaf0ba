// SPDX-License-Identifier: Apache-2.0
#include <ql/report.hpp>

#include "io/folder.hpp"
#include "support/synthetic_run.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

namespace {

namespace fs = std::filesystem;
using ql::test::bytes_of;

// Every element that is opened is closed, in order; attributes are quoted; no raw '<' or '&' in text.
std::string first_flaw(const std::string& html) {
  std::vector<std::string> open;
  const std::set<std::string> empty{"meta", "!doctype"};
  for (std::size_t i = html.find('<'); i != html.npos; i = html.find('<', i)) {
    const std::size_t end = html.find('>', i);
    if (end == html.npos) return "no '>' after " + html.substr(i, 40);
    std::string tag = html.substr(i + 1, end - i - 1);
    if (tag.find('<') != tag.npos) return "'<' in a tag: " + tag;
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0) return "an odd quote: " + tag;
    const bool closes = tag[0] == '/', whole = tag.back() == '/';
    std::string name = tag.substr(closes, tag.find_first_of(" /", closes) - closes);
    i = end + 1;
    if (closes) {
      if (open.empty() || open.back() != name)
        return "</" + name + "> closes " + (open.empty() ? "nothing" : open.back());
      open.pop_back();
    } else if (!whole && !empty.contains(name)) {
      open.push_back(name);
      if (name == "style") i = html.find("</style>", i);
    }
  }
  return open.empty() ? "" : "not closed: " + open.back();
}

TEST(Summary, HasTheDocumentedKeys) {
  const ql::test::folder f;
  ql::test::write_synthetic_run(f.path(), 20);
  ql::write_summary(f.path());
  const auto s = ql::io::json::parse(bytes_of(f / "summary.json"));
  EXPECT_EQ(s.at("format").integer(), 1);
  EXPECT_EQ(s.at("name").string(), "demo");
  EXPECT_EQ(s.at("state").string(), "finished");
  EXPECT_EQ(s.at("starts").integer(), 1);
  EXPECT_EQ(s.at("steps").integer(), 80);
  const auto& phases = s.at("phases").array();
  ASSERT_EQ(phases.size(), 4u);
  EXPECT_EQ(phases[2].at("first_step").integer(), 41);
  EXPECT_EQ(phases[2].at("last_step").integer(), 60);
  EXPECT_EQ(phases[2].at("scoring").at("retained").integer(), 128);
  EXPECT_EQ(phases[2].at("scoring").at("histogram").array().size(), 10u);
  EXPECT_EQ(phases[2].at("retained_groups").integer(), 160);
  EXPECT_EQ(phases[2].at("retained_mixed").integer(), 100);
  EXPECT_EQ(phases[0].find("scoring"), nullptr);
  EXPECT_GT(phases[3].at("reward_end").real(), phases[3].at("reward_begin").real());
  const auto& accuracy = s.at("accuracy").array();
  ASSERT_EQ(accuracy.size(), 5u);
  EXPECT_EQ(accuracy[0].at("moment").string(), "before");
  EXPECT_EQ(accuracy[4].at("moment").string(), "final");
  const auto& row = accuracy[4].at("by_length").array()[2];
  EXPECT_EQ(row.at("length").integer(), 512);
  EXPECT_LT(row.at("low").real(), row.at("accuracy").real());
  EXPECT_EQ(s.at("gain").array().size(), 4u);
  EXPECT_NEAR(s.at("gain").array()[3].at("difference").real(),
              s.at("gain").array()[3].at("after").real() - s.at("gain").array()[3].at("before").real(), 1e-12);
  EXPECT_EQ(s.at("tokens").at("trained").integer(), 80 * 21'000);
  EXPECT_EQ(s.at("tokens").at("generated").integer(), 60 * 5'000);
  EXPECT_EQ(s.at("tokens").at("scoring").integer(), 2 * 812'000);
  EXPECT_NEAR(s.at("seconds").at("scoring").real(), 12.5, 1e-9);
  EXPECT_EQ(s.at("memory_peak_bytes").integer(), 412'000'000);
  EXPECT_EQ(s.at("mismatch").at("compared").integer(), 60 * 5'000);
  EXPECT_EQ(s.at("mismatch").at("verdict").string(), "the same bits");
  EXPECT_EQ(s.at("warnings").integer(), 1);
}

TEST(Summary, SaysWhatWasNotChecked) {
  const ql::test::folder f;
  f.write("metrics.jsonl", "{\"phase\": 0, \"step\": 1}\n{\"phase\": 0, \"st");  // killed while it wrote
  const auto s = ql::summarise(f.path());
  EXPECT_EQ(s.at("mismatch").at("verdict").string(), "not checked");
  EXPECT_EQ(s.at("lines_passed_over").integer(), 1);
  EXPECT_EQ(s.at("steps").integer(), 1);
  QL_EXPECT_MESSAGE(ql::summarise(f / "absent"), ql::io::file_error, "no run directory: metrics.jsonl is missing");
}

TEST(Report, IsOneSmallPageWithoutNetworkOrScript) {
  const ql::test::folder f;
  ql::test::write_synthetic_run(f.path(), 400);
  ql::write_report(f.path());
  const std::string html = bytes_of(f / "report.html");
  EXPECT_LT(html.size(), 300'000u);
  EXPECT_EQ(first_flaw(html), "");
  for (const char* no : {"<script", "http:", "https:", "url(", "@import", "src=", "nan", "inf\"", "-e+"})
    EXPECT_EQ(html.find(no), html.npos) << no;
  for (const char* wanted :
       {"Accuracy by length", "Reward and accuracy", "Groups", "Entropy", "Distance from the start",
        "Length of answers", "Cut answers", "Pool", "Before phase 2", "Best", "Worst", "Rule and judge disagree",
        "Where the time went", "prefers-color-scheme:dark", "role=\"img\"><title>",
        "Of 3200 retained groups drawn later, 2000 had", "0 differ",
        "Alice reports to dan. Dan lives in rome. So the answer is rome", "Where lives the boss of alice?"})
    EXPECT_NE(html.find(wanted), html.npos) << wanted;
  EXPECT_EQ(html, ql::render_report(f.path()));
  // As many charts as figures with a picture, each with words and a table beside it.
  std::size_t svgs = 0, titles = 0;
  for (auto at = html.find("<svg"); at != html.npos; at = html.find("<svg", at + 1)) ++svgs;
  for (auto at = html.find("</title><desc>"); at != html.npos; at = html.find("</title><desc>", at + 1)) ++titles;
  EXPECT_EQ(svgs, titles);
  EXPECT_GE(svgs, 13u);
  if (const char* to = std::getenv("QL_TEST_REPORT"); to != nullptr) fs::copy_file(f / "report.html", to);
}

TEST(Report, ForeignTextStaysText) {
  const ql::test::folder f;
  ql::test::write_synthetic_run(f.path(), 30, true);
  f.write("recipe.json", "{\"x\": \"</pre><script>\"}");
  const std::string html = ql::render_report(f.path());
  EXPECT_EQ(first_flaw(html), "");
  EXPECT_EQ(html.find("<script"), html.npos);
  EXPECT_NE(html.find("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"), html.npos);
  EXPECT_EQ(html.find('\x01'), html.npos);
}

TEST(Report, TakesWhateverStandsInTheFiles) {
  const std::vector<std::string> lines{
      "{\"step\": 1}",
      "[]",
      "{",
      "{\"step\": \"x\", \"phase\": \"y\", \"reward_mean\": \"z\", \"time\": 3}",
      "{\"step\": -1e300, \"phase\": 0, \"reward_mean\": 1e300, \"accuracy\": -5, \"time\": {\"total\": 1e308}}",
      "{\"step\": 1e300, \"phase\": 9223372036854775807, \"reward_mean\": -1e300, \"pool\": 1e-320}",
      "{\"event\": \"validation_finished\", \"moment\": 7, \"by_length\": {\"a\": 1}}",
      "{\"event\": \"validation_finished\", \"moment\": \"final\", \"by_length\": [1, {\"length\": 8, \"low\": 9}, "
      "{}]}",
      "{\"event\": \"scoring_finished\", \"phase\": 0, \"histogram\": [\"a\", -1, 1e300], \"retained\": []}",
      "{\"event\": \"phase_started\", \"phase\": 0, \"name\": 5}",
      "\xff\xfe"};
  for (std::uint32_t round = 0; round < 60; ++round) {
    const ql::test::folder f;
    for (const char* name : {"metrics.jsonl", "events.jsonl", "log.jsonl", "samples.jsonl", "recipe.json"}) {
      std::string text;
      for (std::uint32_t i = 0; i < 6; ++i) {
        const auto bits = ql::random_bits({.seed = round, .what = ql::purpose::test, .example = i},
                                          static_cast<std::uint64_t>(name[0]));
        text += lines[bits[0] % lines.size()] + "\n";
      }
      f.write(name, text);
    }
    const std::string html = ql::render_report(f.path());
    EXPECT_EQ(first_flaw(html), "") << round;
    EXPECT_LT(html.size(), 300'000u);
  }
}

TEST(CompareRuns, SaysWhereTwoRunsPart) {
  const ql::test::folder f;
  fs::create_directory(f / "a"), fs::create_directory(f / "b");
  ql::test::write_synthetic_run(f / "a", 10);
  ql::test::write_synthetic_run(f / "b", 10);
  f.write("a/recipe.json", R"({"seed": 1, "lr": 0.5})"), f.write("b/recipe.json", R"({"seed": 1, "lr": 0.5})");
  std::string text = ql::table_of_runs(ql::compare_runs(f / "a", f / "b"));
  EXPECT_NE(
      text.find("The settings are the same.\nThe metrics are the same for all 40 rows that both have (40 and 40)."),
      text.npos)
      << text;
  // other times are no difference, another loss is
  std::string rows = bytes_of(f / "b/metrics.jsonl");
  for (std::size_t at = 0; (at = rows.find("\"wall\": 1", at)) != rows.npos; at += 9) rows[at + 8] = '2';
  f.write("b/metrics.jsonl", rows);
  EXPECT_EQ(ql::compare_runs(f / "a", f / "b").at("metrics").find("part_at_step"), nullptr);
  const auto at = rows.find("\"learning_rate\": ", rows.find("\"step\": 17,"));
  rows.replace(at, std::string("\"learning_rate\": 0.0003").size(), "\"learning_rate\": 0.0004");
  f.write("b/metrics.jsonl", rows), f.write("b/recipe.json", R"({"seed": 2, "lr": 0.5})");
  const auto c = ql::compare_runs(f / "a", f / "b");
  EXPECT_EQ(c.at("metrics").at("part_at_step").integer(), 17);
  EXPECT_EQ(c.at("metrics").at("by").array().at(0).at("key").string(), "learning_rate");
  EXPECT_EQ(c.at("settings").array().size(), 1u);
  text = ql::table_of_runs(c);
  EXPECT_NE(text.find("the same for 16 rows and part at step 17:"), text.npos) << text;
  EXPECT_NE(text.find("accuracy at 1024"), text.npos) << text;
}

TEST(ShowSamples, ShowsAGroupOrSaysWhatThereIs) {
  const ql::test::folder f;
  ql::test::write_synthetic_run(f.path(), 20, true);
  const std::string text = ql::show_samples(f.path(), 40, 20);
  EXPECT_NE(text.find("step 40, phase 1, group 20\n  example    doc-40\n"), text.npos) << text;
  EXPECT_NE(text.find("answer 1: score 0 (rule 0, judge 1), reward 0, advantage -1.1, 14 tokens"), text.npos) << text;
  EXPECT_EQ(text.find('\x01'), text.npos);
  EXPECT_NE(ql::show_samples(f.path(), 40, 20, {.tokens = true}).find("        0        5      -0.25  \"alice\""),
            std::string::npos)
      << ql::show_samples(f.path(), 40, 20, {.tokens = true});
  EXPECT_NE(ql::show_samples(f.path(), 30, 10, {.tokens = true}).find("tokens     not logged"), std::string::npos);
  EXPECT_TRUE(ql::show_samples(f.path(), 40, 20, {.json = true}).starts_with("{\"phase\": 1, \"step\": 40,"));
  QL_EXPECT_MESSAGE(ql::show_samples(f.path(), 41, 20), ql::argument_error,
                    "steps with answers: 30, 40, 50, 60, 70, 80");
  QL_EXPECT_MESSAGE(ql::show_samples(f.path(), 40, 3), ql::argument_error, "groups of that step with answers: 20");
  QL_EXPECT_MESSAGE(ql::show_samples(f / "absent", 1, 1), ql::io::file_error, "no answers were logged");
}

TEST(Report, AnEmptyRunIsAPageToo) {
  const ql::test::folder f;
  f.write("metrics.jsonl", "");
  EXPECT_NE(ql::render_report(f.path()).find("So far the run has done 0 steps"), std::string::npos);
}

}  // namespace
