// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/rules.hpp>

#include <ql/rl/verify_repo.hpp>
#include <ql/rl/verify_strict.hpp>

namespace ql::eval {
namespace {

namespace text = rl::detail;
namespace repo = rl::repo;

// What follows the last </think>, or all of it where that is empty or missing.
std::u32string final_text(std::string_view response) {
  const std::u32string all = text::decode_utf8(response);
  auto after = repo::after_thinking(all);
  if (after && !after->empty()) return std::move(*after);
  return std::u32string(text::trim(all));
}

std::optional<std::string> number_of(std::u32string_view s) {
  return repo::numeric_answer(text::without(text::without(s, U'('), U')'));
}

bool same_number(double p, double g) {
  const double v1 = math::max(math::abs(p), math::abs(g)), v2 = math::min(math::abs(p), math::abs(g));
  if (!math::isfinite(v1)) return false;
  const auto within = [](double a, double b) {
    const double eps = math::fma(math::abs(b), 0.0015, 0.0);
    return a >= b - eps && a <= b + eps;
  };
  if (v1 != 0 && v2 != 0) {
    const double ratio = v1 / v2;
    if (!math::isfinite(ratio)) return false;
    const double d = text::fdlibm_log10(ratio);
    if (d == static_cast<double>(static_cast<std::int64_t>(d))) return true;
  }
  if (v2 <= v1 / 50 && within(v2 * 100, v1)) return true;
  if (v2 <= v1 / 500 && within(v2 * 1000, v1)) return true;
  if (v2 <= v1 / 50000 && within(v2 * 100000, v1)) return true;
  const auto up = [](double v) {
    const double t = v * 100;
    if (t >= 0x1p53) return t / 100;
    const double whole = static_cast<double>(static_cast<std::int64_t>(t));
    return (whole < t ? whole + 1 : whole) / 100;
  };
  return up(v1) == up(v2) || within(p, g);
}

}  // namespace

rl::outcome repo_eval::operator()(const rl::graded_item& item) const {
  if (item.gold.empty()) return rl::abstained{"repo_eval rule: no gold answer"};
  const std::u32string answer = final_text(item.response);
  const std::u32string gold = text::decode_utf8(item.gold[0]);
  switch (item.kind) {
    case rl::answer_kind::choice: {
      const char p = repo::choice_answer(answer);
      char g = repo::choice_answer(gold);
      if (g == 0 && gold.size() == 1 && gold[0] >= U'A' && gold[0] <= U'D') g = static_cast<char>(gold[0]);
      if (g == 0) return rl::abstained{"repo_eval rule: the gold answer is no letter A to D"};
      return rl::scored{p == g ? 1.0 : 0.0};
    }
    case rl::answer_kind::numeric: {
      const auto p = number_of(answer);
      if (!p) return rl::scored{0};
      const auto g = number_of(U"the answer is " + gold + U".");
      if (!g) return rl::abstained{"repo_eval rule: the gold answer holds no number"};
      return rl::scored{same_number(repo::numeric_value(*p), repo::numeric_value(*g)) ? 1.0 : 0.0};
    }
    case rl::answer_kind::text: {
      const auto p = repo::text_answer(answer);
      if (!p || p->empty()) return rl::scored{0};
      return rl::scored{repo::same_text(*p, gold) ? 1.0 : 0.0};
    }
  }
  return rl::abstained{"repo_eval rule: unknown kind of answer"};
}

rl::outcome strict_eval::operator()(const rl::graded_item& item) const {
  return rl::strict::rule_reward<rl::after_think>{rl::after_think{.optional = true}}(item);
}

rl::outcome rule_score(rule_mode mode, const rl::graded_item& item) {
  return mode == rule_mode::repo_eval ? repo_eval{}(item) : strict_eval{}(item);
}

std::optional<std::string> answer_of(rule_mode mode, rl::answer_kind kind, std::string_view response) {
  if (mode == rule_mode::strict_eval) {
    const auto last = rl::after_think{.optional = true}(response);
    if (!last || last->empty()) return std::nullopt;
    if (auto b = rl::boxed{}(*last)) return b;
    if (auto a = rl::after_phrase{}(*last)) return a;
    return last;
  }
  const std::u32string last = final_text(response);
  switch (kind) {
    case rl::answer_kind::numeric: return number_of(last);
    case rl::answer_kind::choice: {
      const char c = repo::choice_answer(last);
      return c == 0 ? std::nullopt : std::optional<std::string>(std::string(1, c));
    }
    case rl::answer_kind::text: break;
  }
  auto a = repo::text_answer(last);
  if (!a || a->empty()) return std::nullopt;
  return text::encode_utf8(*a);
}

std::optional<rl::presented> present_answer::operator()(const rl::graded_item& item) const {
  if (item.gold.empty()) return std::nullopt;
  auto answer = answer_of(mode, item.kind, item.response);
  if (mode == rule_mode::strict_eval) {
    if (!answer) return std::nullopt;
    return rl::presented{std::move(*answer), {item.gold.begin(), item.gold.end()}};
  }
  if (!answer && item.kind == rl::answer_kind::text) answer = "None";
  if (!answer && item.kind == rl::answer_kind::numeric) {
    const std::u32string rest = text::without(final_text(item.response), U"Therefore, the answer is");
    std::u32string_view s = text::trim(rest);
    while (!s.empty() && s.back() == U'.') s.remove_suffix(1);
    s = text::trim(s);
    if (!s.empty()) answer = text::encode_utf8(s);
  }
  if (!answer) return std::nullopt;
  return rl::presented{std::move(*answer), {std::string(item.gold[0])}};
}

}  // namespace ql::eval
