// SPDX-License-Identifier: Apache-2.0
#include "runs.hpp"

#include <ql/error.hpp>
#include <ql/io/error.hpp>
#include <ql/io/file.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <thread>

namespace claims {
namespace {

using ql::io::json::value;

std::int64_t integer(const value& v, const char* key) {
  const auto* x = v.find(key);
  return x != nullptr && x->is_integer() ? x->integer() : 0;
}

// Tokens that the reference arm spent on each phase of RL: sampled, for scoring too, and trained on.
std::vector<std::int64_t> budget_of(const value& summary) {
  std::vector<std::int64_t> tokens;
  for (const auto& p : summary.at("phases").array()) {
    if (const auto* stage = p.find("stage"); stage == nullptr || stage->string() != "rl") continue;
    const auto* scoring = p.find("scoring");
    tokens.push_back(integer(p, "tokens_generated") + integer(p, "tokens_trained") +
                     (scoring != nullptr ? integer(*scoring, "tokens") : 0));
  }
  return tokens;
}

std::vector<std::string> command_of(const plan& p, const run_of& r) {
  std::vector<std::string> set = p.common;
  if (r.arm->name != reference) {
    const auto budget = budget_of(summary_of(p, reference, r.seed));
    std::int64_t all = 0;
    for (std::size_t k = 0; k < budget.size(); ++k) {
      const std::string phase = "rl.phases[" + std::to_string(k) + "].";
      set.push_back(phase + "steps=0");
      set.push_back(phase + "tokens=" + std::to_string(budget[k]));
      all += budget[k];
    }
    set.emplace_back("rl.skips=1000000");  // a step without an update spends its tokens too: the budget ends the run
    if (r.arm->shares_warm_up)
      set.push_back("start=" + std::string(reference) + "/seed_" + std::to_string(r.seed) + "/warm_up");
    if (r.arm->instead_of_rl) set.push_back("continued.tokens=" + std::to_string(all));
  }
  set.insert(set.end(), r.arm->set.begin(), r.arm->set.end());
  std::vector<std::string> c{p.program,
                             "demo",
                             r.arm->name + "/seed_" + std::to_string(r.seed),
                             "--seed",
                             std::to_string(r.seed),
                             "--threads",
                             std::to_string(p.threads)};
  for (auto& s : set) {
    c.emplace_back("--set");
    c.push_back(std::move(s));
  }
  return c;
}

// The child works in the folder of all runs: no path in a recipe depends on where that lies.
pid_t start(const plan& p, const run_of& r) {
  const auto command = command_of(p, r);
  const std::string folder = folder_of(p, r.arm->name, r.seed);
  std::filesystem::create_directories(std::filesystem::path(folder).parent_path());
  const std::string log = folder + ".txt";
  std::vector<char*> arguments;
  for (const auto& c : command) arguments.push_back(const_cast<char*>(c.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw ql::io::file_error("cannot start another process");
  if (child > 0) return child;
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing goes on where nobody waits for it
#endif
  if (getppid() != parent) _exit(127);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (out < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 || chdir(p.directory.c_str()) != 0) _exit(127);
  execv(arguments[0], arguments.data());
  _exit(127);
}

bool ended(const plan& p, const run_of& r) { return !summary_of(p, r.arm->name, r.seed).is_null(); }

}  // namespace

std::vector<run_of> runs_of(const plan& p, const std::vector<arm>& arms) {
  std::vector<run_of> out;
  std::int64_t most = 0;
  const auto wanted = [&](const arm& a) {
    return a.name == reference || p.only.empty() || std::find(p.only.begin(), p.only.end(), a.name) != p.only.end();
  };
  const auto seeds = [&](const arm& a) {
    const auto n = seeds_of(a.name);
    return p.seeds > 0 ? std::min(p.seeds, n) : n;
  };
  for (const auto& a : arms) most = wanted(a) ? std::max(most, seeds(a)) : most;
  for (std::int64_t s = 1; s <= most; ++s)
    for (const auto& a : arms)
      if (wanted(a) && (s <= seeds(a) || a.name == reference)) out.push_back({&a, s});
  return out;
}

std::string folder_of(const plan& p, const std::string& arm, std::int64_t seed) {
  return p.directory + "/" + arm + "/seed_" + std::to_string(seed);
}

value summary_of(const plan& p, const std::string& arm, std::int64_t seed) {
  const std::string file = folder_of(p, arm, seed) + "/summary.json";
  if (!std::filesystem::is_regular_file(file)) return {};
  auto v = ql::io::json::parse(ql::io::read_file(file, std::size_t{64} << 20), file);
  const auto* state = v.find("state");
  return state != nullptr && state->is_string() && state->string() == "finished" ? v : value{};
}

outcome run_all(const plan& p, const std::vector<arm>& arms, const std::function<bool()>& stop,
                const std::function<void()>& after) {
  const auto all = runs_of(p, arms);
  std::vector<bool> settled(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) settled[i] = ended(p, all[i]);
  std::map<pid_t, std::size_t> running;
  std::vector<std::size_t> broken;
  bool told = false, any_interrupted = false;
  const auto can_start = [&](std::size_t i) {
    if (settled[i]) return false;
    for (const auto& [child, j] : running)
      if (j == i) return false;
    return all[i].arm->name == reference || ended(p, {&arms[0], all[i].seed});
  };
  for (;;) {
    while (!stop() && static_cast<std::int64_t>(running.size()) < p.jobs) {
      std::size_t i = 0;
      while (i < all.size() && !can_start(i)) ++i;
      if (i == all.size()) break;
      std::fprintf(stderr, "%s, seed %lld\n", all[i].arm->name.c_str(), static_cast<long long>(all[i].seed));
      running.emplace(start(p, all[i]), i);
    }
    if (running.empty()) break;
    if (stop() && !told) {
      for (const auto& [child, i] : running) kill(child, SIGINT);
      told = true;
    }
    int status = 0;
    const pid_t child = waitpid(-1, &status, WNOHANG);
    const auto at = running.find(child);
    if (child <= 0 || at == running.end()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      continue;
    }
    const auto i = at->second;
    running.erase(at);
    settled[i] = true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && ended(p, all[i])) {
      after();
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == 75) {
      any_interrupted = true;
    } else {
      broken.push_back(i);
      std::fprintf(stderr, "%s, seed %lld: failed; see %s.txt\n", all[i].arm->name.c_str(),
                   static_cast<long long>(all[i].seed), folder_of(p, all[i].arm->name, all[i].seed).c_str());
    }
  }
  if (stop() || any_interrupted) return outcome::interrupted;
  return broken.empty() ? outcome::done : outcome::failed;
}

}  // namespace claims
