// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/record.hpp>

#include <ql/io/hash.hpp>
#include <ql/io/json.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

namespace ql::eval {
namespace {

namespace json = io::json;
using json::value;
using members = value::object_type;

value number_or_null(const std::optional<double>& d) { return d ? value(*d) : value(nullptr); }
std::optional<double> number_of(const value& v) { return v.is_null() ? std::nullopt : std::optional(v.real()); }

value protocol_json(const protocol& p) {
  value::array_type lengths;
  for (auto l : p.lengths) lengths.emplace_back(l);
  return members{
      {"max_input", p.max_input}, {"max_output", p.max_output},         {"temperature", p.temperature},
      {"top_p", p.top_p},         {"samples", std::int64_t{p.samples}}, {"attempts", std::int64_t{p.attempts}},
      {"rule", name_of(p.rule)},  {"seed", std::to_string(p.seed)},     {"lengths", lengths}};
}

std::int32_t small(const value& v) {
  const auto i = v.integer();
  if (i < 0 || i > 1'000'000'000) throw io::format_error("JSON: " + std::to_string(i) + " is out of range");
  return static_cast<std::int32_t>(i);
}

protocol protocol_of(const value& v) {
  protocol p;
  p.max_input = v.at("max_input").integer();
  p.max_output = v.at("max_output").integer();
  p.temperature = v.at("temperature").real();
  p.top_p = v.at("top_p").real();
  p.samples = small(v.at("samples"));
  p.attempts = small(v.at("attempts"));
  const auto& rule = v.at("rule").string();
  if (rule != "repo_eval" && rule != "strict_eval")
    throw io::format_error("rule: expected \"repo_eval\" or \"strict_eval\", got \"" + rule + "\"");
  p.rule = rule == "repo_eval" ? rule_mode::repo_eval : rule_mode::strict_eval;
  const auto& seed = v.at("seed").string();
  if (seed.empty() || seed.size() > 20 || seed.find_first_not_of("0123456789") != std::string::npos)
    throw io::format_error("seed: expected digits, got \"" + seed + "\"");
  p.seed = 0;
  for (char c : seed) p.seed = p.seed * 10 + static_cast<std::uint64_t>(c - '0');
  p.lengths.clear();
  for (const auto& l : v.at("lengths").array()) p.lengths.push_back(l.integer());
  return p;
}

value sample_json(const sample_record& s) {
  const auto& b = s.behaviours;
  return members{{"text", s.text},
                 {"tokens", s.tokens},
                 {"finish", s.finish},
                 {"answer", s.answer ? value(*s.answer) : value(nullptr)},
                 {"rule", number_or_null(s.rule)},
                 {"judge", number_or_null(s.judge)},
                 {"score", number_or_null(s.score)},
                 {"why", s.why},
                 {"exact", s.exact},
                 {"f1", s.f1},
                 {"cover", s.cover},
                 {"grounding", b.grounding},
                 {"subgoals", b.subgoals},
                 {"backtracking", b.backtracking},
                 {"verification", b.verification},
                 {"words", b.words},
                 {"quoted", b.quoted},
                 {"facts", b.facts}};
}

sample_record sample_of(const value& v) {
  sample_record s;
  s.text = v.at("text").string();
  s.tokens = v.at("tokens").integer();
  s.finish = v.at("finish").string();
  if (s.finish != "stop" && s.finish != "length" && s.finish != "failed")
    throw io::format_error("finish: expected stop, length or failed, got \"" + s.finish + "\"");
  if (!v.at("answer").is_null()) s.answer = v.at("answer").string();
  s.rule = number_of(v.at("rule"));
  s.judge = number_of(v.at("judge"));
  s.score = number_of(v.at("score"));
  s.why = v.at("why").string();
  s.exact = v.at("exact").real();
  s.f1 = v.at("f1").real();
  s.cover = v.at("cover").real();
  auto& b = s.behaviours;
  b.grounding = v.at("grounding").integer();
  b.subgoals = v.at("subgoals").integer();
  b.backtracking = v.at("backtracking").integer();
  b.verification = v.at("verification").integer();
  b.words = v.at("words").integer();
  b.quoted = v.at("quoted").integer();
  b.facts = v.at("facts").integer();
  return s;
}

[[noreturn]] void fail_errno(const std::string& path, const char* doing) {
  throw io::file_error(path + ": cannot " + doing + ": " + std::strerror(errno));
}

struct parsed_file {
  evaluation_file file;
  std::size_t whole = 0;  // bytes of complete lines
};

parsed_file parse_file(const std::string& path) {
  const std::string text = io::read_file(path, std::size_t{16} << 30);
  parsed_file out;
  std::map<std::pair<std::string, std::string>, std::size_t> place;
  std::int64_t line = 0;
  for (std::size_t end; (end = text.find('\n', out.whole)) != std::string::npos; out.whole = end + 1) {
    const auto row = std::string_view(text).substr(out.whole, end - out.whole);
    const std::string where = path + ":" + std::to_string(++line);
    if (line == 1) {
      out.file.header = header_of(row, where);
      continue;
    }
    item_record r = record_of(row, where);
    const auto [at, fresh] = place.try_emplace({r.benchmark, r.id}, out.file.records.size());
    if (fresh) {
      out.file.records.push_back(std::move(r));
    } else {
      out.file.records[at->second] = std::move(r);
    }
  }
  return out;
}

// "protocol.samples: 4 in the file, 8 asked for"; empty where both are the same.
std::string first_difference(const std::string& file, const std::string& asked) {
  const value a = json::parse(file), b = json::parse(asked);
  const auto differ = [](const members& x, const members& y, const std::string& under,
                         const auto& self) -> std::string {
    for (const auto& [key, is] : x)
      for (const auto& [other, wanted] : y) {
        if (key != other || is == wanted) continue;
        if (is.is_object() && wanted.is_object()) return self(is.object(), wanted.object(), under + key + ".", self);
        return under + key + ": " + json::dump(is) + " in the file, " + json::dump(wanted) + " now";
      }
    return "";
  };
  return differ(a.object(), b.object(), "", differ);
}

}  // namespace

const protocol& checked(const protocol& p) {
  std::string broken;
  const auto require = [&](bool ok, const char* key, const std::string& got, const char* rule) {
    if (ok) return;
    if (!broken.empty()) broken += '\n';
    broken.append("protocol.").append(key).append(" = ").append(got).append(": expected ").append(rule);
  };
  require(p.max_input >= 2, "max_input", std::to_string(p.max_input), "2 tokens or more");
  require(p.max_output >= 1, "max_output", std::to_string(p.max_output), "1 token or more");
  require(p.temperature >= 0 && p.temperature <= 100, "temperature", json::dump_real(p.temperature),
          "0 (greedy) to 100");
  require(p.top_p > 0 && p.top_p <= 1, "top_p", json::dump_real(p.top_p), "above 0, at most 1");
  require(p.samples >= 1 && p.samples <= 65536, "samples", std::to_string(p.samples), "1 to 65536");
  require(p.temperature > 0 || p.samples == 1, "samples", std::to_string(p.samples),
          "1 with temperature 0 (all greedy answers are the same)");
  require(p.attempts >= 1 && p.attempts <= 100, "attempts", std::to_string(p.attempts), "1 to 100");
  bool rising = true;
  for (std::size_t i = 0; i < p.lengths.size(); ++i) rising = rising && p.lengths[i] > (i == 0 ? 0 : p.lengths[i - 1]);
  require(rising, "lengths", std::to_string(p.lengths.size()) + " ends", "positive, each above the one before");
  if (!broken.empty()) throw argument_error(broken);
  return p;
}

bool item_record::complete() const {
  for (const auto& s : samples)
    if (!s.score) return false;
  return !samples.empty();
}

std::string to_json(const item_record& r) {
  value::array_type samples;
  for (const auto& s : r.samples) samples.push_back(sample_json(s));
  return json::dump(members{{"id", r.id},
                            {"benchmark", r.benchmark},
                            {"document", r.document},
                            {"prompt_tokens", r.prompt_tokens},
                            {"truncated", r.truncated},
                            {"samples", std::move(samples)}});
}

item_record record_of(std::string_view text, std::string_view what) {
  const value v = json::parse(text, what);
  try {
    item_record r;
    r.id = v.at("id").string();
    r.benchmark = v.at("benchmark").string();
    r.document = v.at("document").string();
    r.prompt_tokens = v.at("prompt_tokens").integer();
    r.truncated = v.at("truncated").boolean();
    for (const auto& s : v.at("samples").array()) r.samples.push_back(sample_of(s));
    return r;
  } catch (const io::format_error& e) {
    throw io::format_error(std::string(what) + ": not a record of an evaluation: " + e.what());
  }
}

std::string to_json(const evaluation_header& h) {
  return json::dump(members{{"ql_evaluation", 1},
                            {"policy", h.policy},
                            {"judge", h.judge},
                            {"protocol", protocol_json(h.protocol)},
                            {"items", h.items},
                            {"items_hash", h.items_hash}});
}

evaluation_header header_of(std::string_view text, std::string_view what) {
  const value v = json::parse(text, what);
  try {
    if (v.at("ql_evaluation").integer() != 1)
      throw io::format_error("version " + std::to_string(v.at("ql_evaluation").integer()) + ", expected 1");
    evaluation_header h;
    h.policy = v.at("policy").string();
    h.judge = v.at("judge").string();
    h.protocol = protocol_of(v.at("protocol"));
    h.items = v.at("items").integer();
    h.items_hash = v.at("items_hash").string();
    return h;
  } catch (const io::format_error& e) {
    throw io::format_error(std::string(what) + ": not the header of an evaluation: " + e.what());
  }
}

std::string hash_of(std::span<const item> items) {
  io::hasher h;
  const auto put = [&](std::string_view s) {
    h.update(std::to_string(s.size()) + ":");
    h.update(s);
  };
  for (const auto& i : items) {
    for (std::string_view s : {std::string_view(i.benchmark), std::string_view(i.id), std::string_view(i.context),
                               std::string_view(i.question)})
      put(s);
    put(std::to_string(static_cast<int>(i.kind)));
    for (const auto& g : i.gold) put(g);
    for (const auto& e : i.evidence) put(e);
    put("");
  }
  return h.finish().text();
}

evaluation_file read_evaluation(const io::file_path& path) {
  auto p = parse_file(path.text);
  if (p.whole == 0) throw io::format_error(path.text + ": not an evaluation: no complete first line");
  return std::move(p.file);
}

record_log::record_log(const io::file_path& path, const evaluation_header& header) : path_(path.text) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail_errno(path_, "open");
  try {
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0)
      throw io::file_error(path_ + ": another process is writing this evaluation");
    auto p = parse_file(path_);
    const std::string first = to_json(header);
    if (p.whole > 0) {
      if (const auto d = first_difference(to_json(p.file.header), first); !d.empty())
        throw argument_error(path_ + ": holds another evaluation: " + d + "; name another file, or remove this one");
      found_ = std::move(p.file.records);
    }
    if (::ftruncate(descriptor_, static_cast<off_t>(p.whole)) != 0) fail_errno(path_, "cut");
    if (p.whole == 0) {
      const std::string line = first + "\n";
      if (::write(descriptor_, line.data(), line.size()) != static_cast<ssize_t>(line.size()) ||
          ::fsync(descriptor_) != 0)
        fail_errno(path_, "write");
    }
  } catch (...) {
    ::close(std::exchange(descriptor_, -1));
    throw;
  }
}

record_log::~record_log() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void record_log::append(const item_record& r) {
  const std::string line = to_json(r) + "\n";
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t n = ::write(descriptor_, line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(path_, "write");
    done += static_cast<std::size_t>(n);
  }
  if (::fdatasync(descriptor_) != 0) fail_errno(path_, "sync");
}

}  // namespace ql::eval
