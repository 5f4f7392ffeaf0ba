// SPDX-License-Identifier: Apache-2.0
#include <ql/io/json.hpp>
#include <ql/io/lines.hpp>
#include <ql/io/text_writer.hpp>
#include <ql/replay.hpp>

#include <cmath>
#include <limits>
#include <string_view>

namespace ql {

namespace {

using io::json::value;

constexpr std::pair<std::string_view, finish_reason> finishes[] = {
    {"none", finish_reason::none}, {"stop", finish_reason::stop}, {"length", finish_reason::length}};

template <class Numbers>
value list_of(const Numbers& numbers) {
  value::array_type a;
  a.reserve(numbers.size());
  for (const auto n : numbers) {
    if constexpr (std::is_integral_v<std::remove_const_t<decltype(n)>>) {
      a.emplace_back(static_cast<std::int64_t>(n));
    } else {
      a.emplace_back(static_cast<double>(n));
    }
  }
  return a;
}

value row_of(const rollout_row& r) {
  value::array_type answers;
  for (std::size_t i = 0; i < r.group.answers.size(); ++i) {
    const auto& a = r.group.answers[i];
    value::object_type o{{"ids", list_of(a.tokens)}, {"logp", list_of(a.logp)}, {"entropy", list_of(a.entropy)}};
    if (!a.support.empty()) {
      value::array_type support;
      for (const auto& kept : a.support) support.push_back(list_of(kept));
      o.emplace_back("support", std::move(support));
    }
    for (const auto& [name, f] : finishes)
      if (f == a.finish) o.emplace_back("finish", name);
    if (const auto* no = std::get_if<rl::abstained>(&a.score)) {
      o.emplace_back("score", nullptr);
      o.emplace_back("why", no->why);
    } else {
      o.emplace_back("score", rl::value_or(a.score, 0));
    }
    o.emplace_back("reward", a.reward);
    o.emplace_back("advantage", static_cast<double>(a.advantage));
    if (i < r.responses.size()) o.emplace_back("text", r.responses[i]);
    answers.push_back(std::move(o));
  }
  return value::object_type{{"step", r.step},
                            {"id", r.id},
                            {"question", r.question},
                            {"example", r.group.example},
                            {"visit", static_cast<std::int64_t>(r.group.visit)},
                            {"prompt_tokens", r.prompt_tokens},
                            {"answers", std::move(answers)}};
}

// Complains about the row at hand.
struct place {
  std::string where;
  [[noreturn]] void fail(const std::string& what) const {
    throw io::format_error(where + ": " + what + "; a file of rollouts is written by `rollout` or by `train`");
  }
  const value& at(const value& o, std::string_view key) const {
    const auto* v = o.find(key);
    if (v == nullptr) fail("expected a member \"" + std::string(key) + "\", got none");
    return *v;
  }
  std::int64_t integer(const value& v, std::string_view key, std::int64_t most) const {
    if (!v.is_integer() || v.integer() < 0 || v.integer() > most)
      fail("expected " + std::string(key) + " from 0 to " + std::to_string(most) + ", got " + io::json::dump(v));
    return v.integer();
  }
  double real(const value& v, std::string_view key) const {
    if (!v.is_number() || !std::isfinite(v.real()))
      fail("expected a number for " + std::string(key) + ", got " + std::string(v.kind()));
    return v.real();
  }
  const value::array_type& array(const value& v, std::string_view key) const {
    if (!v.is_array()) fail("expected a list for " + std::string(key) + ", got " + std::string(v.kind()));
    return v.array();
  }
  std::vector<token> tokens(const value& v, std::string_view key) const {
    std::vector<token> ids;
    for (const auto& x : array(v, key))
      ids.push_back(static_cast<token>(integer(x, key, std::numeric_limits<std::int32_t>::max())));
    return ids;
  }
  std::vector<float> reals(const value& v, std::string_view key, std::size_t n) const {
    std::vector<float> out;
    for (const auto& x : array(v, key)) out.push_back(static_cast<float>(real(x, key)));
    if (out.size() != n)
      fail("expected one " + std::string(key) + " for each of " + std::to_string(n) + " ids, got " +
           std::to_string(out.size()));
    return out;
  }
};

answer<float> answer_of(const value& v, const place& p, std::string& text) {
  if (!v.is_object()) p.fail("expected an object for an answer, got " + std::string(v.kind()));
  answer<float> a;
  a.tokens = p.tokens(p.at(v, "ids"), "ids");
  a.logp = p.reals(p.at(v, "logp"), "logp", a.tokens.size());
  a.entropy = p.reals(p.at(v, "entropy"), "entropy", a.tokens.size());
  if (const auto* support = v.find("support")) {
    for (const auto& kept : p.array(*support, "support")) a.support.push_back(p.tokens(kept, "support"));
    if (a.support.size() != a.tokens.size()) p.fail("expected one list of support for each id");
  }
  const auto& finish = p.at(v, "finish");
  bool known = false;
  for (const auto& [name, f] : finishes)
    if (finish.is_string() && finish.string() == name) a.finish = f, known = true;
  if (!known) p.fail("expected finish to be \"stop\", \"length\" or \"none\", got " + io::json::dump(finish));
  const auto& score = p.at(v, "score");
  if (score.is_null()) {
    const auto* why = v.find("why");
    a.score = rl::abstained{why != nullptr && why->is_string() ? why->string() : "not scored"};
  } else {
    a.score = rl::scored{p.real(score, "score")};
  }
  if (const auto* reward = v.find("reward")) a.reward = p.real(*reward, "reward");
  if (const auto* advantage = v.find("advantage")) a.advantage = static_cast<float>(p.real(*advantage, "advantage"));
  if (const auto* t = v.find("text"); t != nullptr && t->is_string()) text = t->string();
  return a;
}

}  // namespace

void write_rollouts(const io::file_path& path, std::span<const rollout_row> rows) {
  io::text_writer out(path);
  for (const auto& r : rows) out.write(io::json::dump(row_of(r), {.compact = true}) + "\n");
  out.commit();
}

std::vector<rollout_row> read_rollouts(const io::file_path& path) {
  std::vector<rollout_row> rows;
  io::line_reader in(path, std::size_t{1} << 30);
  for (std::string line; in.next(line);) {
    const place p{path.text + ":" + std::to_string(in.number())};
    if (in.too_long()) p.fail("expected at most 1 GiB in a line");
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    const auto v = io::json::parse(line, p.where, {.bytes = std::size_t{1} << 30});
    if (!v.is_object()) p.fail("expected an object, got " + std::string(v.kind()));
    constexpr auto any = std::numeric_limits<std::int64_t>::max();
    auto& r = rows.emplace_back();
    r.step = p.integer(p.at(v, "step"), "step", any);
    r.group.example = p.integer(p.at(v, "example"), "example", any);
    r.group.visit =
        static_cast<std::uint32_t>(p.integer(p.at(v, "visit"), "visit", std::numeric_limits<std::uint32_t>::max()));
    if (const auto* x = v.find("id"); x != nullptr && x->is_string()) r.id = x->string();
    if (const auto* x = v.find("question"); x != nullptr && x->is_string()) r.question = x->string();
    if (const auto* x = v.find("prompt_tokens")) r.prompt_tokens = p.integer(*x, "prompt_tokens", any);
    for (const auto& a : p.array(p.at(v, "answers"), "answers")) {
      std::string text;
      r.group.answers.push_back(answer_of(a, p, text));
      r.responses.push_back(std::move(text));
    }
    if (r.step != rows.front().step)
      p.fail("expected rollouts of step " + std::to_string(rows.front().step) + ", as in the first line, got step " +
             std::to_string(r.step));
  }
  if (rows.empty()) throw io::format_error(path.text + ": expected rollouts, one group a line, got an empty file");
  return rows;
}

}  // namespace ql
