// SPDX-License-Identifier: Apache-2.0
// What this shows: the claims of the paper that a CPU can carry, tested again in the small. Every claim, its arms and
// its measure are written down in claims.hpp; a run is the demonstration of `qwenlong-l1` with other settings.
//
//   ql_example_claims RUNS [--seeds N] [--arms a,b] [--jobs N] [--threads N] [--program PATH] [--set key=value]...
//
// The same command again goes on where it stood. Without arguments it prints the claims and the arms.

#include <ql/error.hpp>
#include <ql/io/error.hpp>
#include <ql/io/run_directory.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>

#include "page.hpp"

namespace {

volatile std::sig_atomic_t stopped = 0;

std::int64_t number(const std::string& option, const std::string& text) {
  char* end = nullptr;
  const long long n = std::strtoll(text.c_str(), &end, 10);
  ql::detail::expects(!text.empty() && *end == '\0' && n >= 0 && n <= 1000, "ql_example_claims", option,
                      "a number from 0 to 1000", text);
  return n;
}

claims::plan plan_of(int count, char** text, const std::vector<claims::arm>& arms) {
  claims::plan p;
  p.program = std::filesystem::canonical("/proc/self/exe").parent_path().parent_path() / "bin" / "qwenlong-l1";
  for (int i = 1; i < count; ++i) {
    const std::string option = text[i];
    if (!option.starts_with("--")) {
      ql::detail::expects(p.directory.empty(), "ql_example_claims", "arguments", "one folder", option);
      p.directory = option;
      continue;
    }
    ql::detail::expects(i + 1 < count, "ql_example_claims", option, "a value", "none");
    const std::string given = text[++i];
    if (option == "--seeds") {
      p.seeds = number(option, given);
    } else if (option == "--jobs") {
      p.jobs = std::max<std::int64_t>(1, number(option, given));
    } else if (option == "--threads") {
      p.threads = number(option, given);
    } else if (option == "--program") {
      p.program = std::filesystem::absolute(given);
    } else if (option == "--set") {
      p.common.push_back(given);
    } else if (option == "--arms") {
      for (std::size_t first = 0; first <= given.size();) {
        const auto last = std::min(given.find(',', first), given.size());
        const auto name = given.substr(first, last - first);
        bool known = false;
        for (const auto& a : arms) known = known || a.name == name;
        ql::detail::expects(known, "ql_example_claims", option, "names of arms, with commas", name);
        p.only.push_back(name);
        first = last + 1;
      }
    } else {
      ql::detail::expects(false, "ql_example_claims", "option",
                          "--seeds, --arms, --jobs, --threads, --program or --set", option);
    }
  }
  ql::detail::expects(!p.directory.empty(), "ql_example_claims", "arguments", "the folder of the runs", "none");
  ql::detail::expects(std::filesystem::is_regular_file(p.program), "ql_example_claims", "--program",
                      "the program qwenlong-l1", p.program);
  p.directory = std::filesystem::absolute(p.directory);
  while (p.directory.size() > 1 && p.directory.back() == '/') p.directory.pop_back();
  return p;
}

void print_claims(const std::vector<claims::arm>& arms) {
  std::puts("claims:");
  for (const auto& c : claims::all())
    std::printf("  %-4s%s, %d seeds\n", c.number.c_str(), c.says.c_str(), static_cast<int>(c.seeds));
  std::puts("arms:");
  for (const auto& a : arms) std::printf("  %-17s%s\n", a.name.c_str(), a.what.c_str());
  std::puts("ql_example_claims RUNS runs them all, which takes hours; --seeds 1 --arms dapo,mixed takes minutes.");
}

}  // namespace

int main(int count, char** text) {
  try {
    const auto arms = claims::arms();
    if (count < 2) {
      print_claims(arms);
      return 0;
    }
    auto p = plan_of(count, text, arms);
    using ql::io::json::value;
    value::array_type common;
    for (const auto& s : p.common) common.emplace_back(s);
    const ql::io::run_directory held(p.directory, value(value::object_type{{"set", std::move(common)}}));
    p.common.insert(p.common.begin(), "samples=16");
    std::signal(SIGINT, [](int) { stopped = 1; });
    std::signal(SIGTERM, [](int) { stopped = 1; });
    const auto page = [&] { claims::write_page(p, arms); };
    const auto ended = claims::run_all(p, arms, [] { return stopped != 0; }, page);
    page();
    std::printf("%s/claims.html\n", p.directory.c_str());
    return ended == claims::outcome::done ? 0 : ended == claims::outcome::interrupted ? 75 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
