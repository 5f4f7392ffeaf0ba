// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a run directory says about its run, for programs (summary.json) and for people (report.html). Both are functions
// of the files alone: they can be made again at any time, also of a run that was killed (docs/run_directory.md).

#include <ql/io/file.hpp>
#include <ql/io/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace ql {

// The tree of summary.json. Lines that do not parse (the last one of a killed run) are passed over and counted. Throws
// io::file_error where there is no metrics.jsonl.
io::json::value summarise(const io::file_path& run);

// Writes RUN/summary.json.
void write_summary(const io::file_path& run);

// One HTML page of less than 300 KB: no network, no script; readable in light and dark. Text of documents, models and
// judges is escaped and cut.
std::string render_report(const io::file_path& run);

// A page of that look: the title is escaped, the body is HTML as it is. Charts are those of ql/io/svg.hpp.
std::string render_page(std::string_view title, std::string_view body);

// Writes RUN/summary.json and RUN/report.html.
void write_report(const io::file_path& run);

// Two runs side by side: the settings that differ, whether their metrics are the same (but for times) and where they
// part, accuracy by length, rewards, tokens, seconds. As a tree, and as a table for people.
io::json::value compare_runs(const io::file_path& first, const io::file_path& second);
std::string table_of_runs(const io::json::value& comparison);

// The logged answers of one group of one step: question, answers, rule, judge, reward, advantage, why the group was
// left out; with `tokens` each token with its id and log-prob. Throws argument_error, naming what there is, where the
// group was not logged.
struct sample_options {
  bool tokens = false;
  bool json = false;  // the lines of samples.jsonl as they are
};
std::string show_samples(const io::file_path& run, std::int64_t step, std::int64_t group, const sample_options& o = {});

}  // namespace ql
