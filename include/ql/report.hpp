// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a run directory says about its run, for programs (summary.json) and for people (report.html). Both are functions
// of the files alone: they can be made again at any time, also of a run that was killed (docs/run_directory.md).

#include <ql/io/file.hpp>
#include <ql/io/json.hpp>

#include <cstddef>
#include <string>

namespace ql {

// The tree of summary.json. Lines that do not parse (the last one of a killed run) are passed over and counted. Throws
// io::file_error where there is no metrics.jsonl.
io::json::value summarise(const io::file_path& run);

// Writes RUN/summary.json.
void write_summary(const io::file_path& run);

// One HTML page of less than 300 KB: no network, no script; readable in light and dark. Text of documents, models and
// judges is escaped and cut.
std::string render_report(const io::file_path& run);

// Writes RUN/summary.json and RUN/report.html.
void write_report(const io::file_path& run);

}  // namespace ql
