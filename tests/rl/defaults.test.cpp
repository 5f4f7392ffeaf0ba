// SPDX-License-Identifier: Apache-2.0
// The defaults that docs/algorithms.md prints are those of the code.
#include <ql/detail/aggregate.hpp>
#include <ql/rl/adamw_8bit.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/correction.hpp>
#include <ql/rl/covariance.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/kl.hpp>
#include <ql/rl/length.hpp>
#include <ql/rl/matrix_optimizers.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/preference.hpp>
#include <ql/rl/token_advantage.hpp>

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "support/source.hpp"

namespace {
using namespace ql::rl;

std::string text(double x) {
  if (x == unlimited) return "unlimited";
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%g", x);
  return buffer;
}
std::string text(bool x) { return x ? "true" : "false"; }
std::string text(int x) { return std::to_string(x); }
std::string text(ratio_cap x) { return text(x.value); }
std::string text(divisor x) { return x == divisor::sample ? "sample" : "population"; }
std::string text(single_group x) { return x == single_group::reject ? "reject" : "another"; }
std::string text(divergence x) { return x == divergence::k2 ? "k2" : "k3"; }
std::string text(muon_scale x) { return x == muon_scale::original ? "original" : "another"; }

// | `name` | member value, ... | with the names given and the values of X{}.
template <class X>
std::string row(const char* name, const std::vector<std::string_view>& members) {
  constexpr X x{};
  std::string line = std::string("| `") + name + "` | ";
  EXPECT_EQ(members.size(), ql::detail::arity<X>) << name << ": a member has no name here";
  std::size_t i = 0;
  ql::detail::with_members(x, [&](const auto&... m) {
    ((line += std::string(i == 0 ? "" : ", ") + std::string(members.at(i)) + " " + text(m), ++i), ...);
  });
  return line + " |\n";
}

std::string table() {
  std::string t;
  t += row<ratio_loss>("ratio_loss", {"log_ratio_limit"});
  t += row<clip>("clip", {"low", "high", "log_ratio_limit"});
  t += row<dual_clip>("dual_clip", {"low", "high", "c", "log_ratio_limit"});
  t += row<two_sided_clip>("two_sided_clip", {"low", "high", "cap"});
  t += row<cispo>("cispo", {"floor", "cap"});
  t += row<gspo>("gspo", {"low", "high", "allow_wide", "log_ratio_limit"});
  t += row<gspo_token>("gspo_token", {"low", "high", "allow_wide", "log_ratio_limit"});
  t += row<gmpo>("gmpo", {"low", "high"});
  t += row<sapo>("sapo", {"tau_positive", "tau_negative"});
  t += row<dppo_tv>("dppo_tv", {"delta", "cap"});
  t += row<dppo_kl>("dppo_kl", {"delta", "eps", "cap"});
  t += row<vespo>("vespo", {"k_positive", "lambda_positive", "k_negative", "lambda_negative"});
  t += row<absolute_log_ratio>("absolute_log_ratio", {"coefficient"});
  t += row<value_clip>("value_clip", {"e"});
  t += row<k3>("k3", {"input_limit", "output_limit"});
  t += row<adaptive_kl>("adaptive_kl", {"target", "horizon"});
  t += row<adaptive_entropy>("adaptive_entropy", {"target", "delta", "lowest", "highest"});
  t += row<clip_cov>("clip_cov", {"share", "low", "high"});
  t += row<kl_cov>("kl_cov", {"share"});
  t += row<token_tis>("token_tis", {"cap", "floor"});
  t += row<token_mask>("token_mask", {"low", "high"});
  t += row<sequence_tis>("sequence_tis", {"cap"});
  t += row<sequence_mask>("sequence_mask", {"low", "high"});
  t += row<geometric_rejection>("geometric_rejection", {"low", "high", "raw_weights"});
  t += row<off_policy_sequence_mask>("off_policy_sequence_mask", {"delta"});
  t += row<divergence_rejection<>>("divergence_rejection", {"by", "threshold"});
  t += row<sequence_error_mask>("sequence_error_mask", {"threshold"});
  t += row<grpo_advantage>("grpo_advantage", {"eps", "spread", "leave_one_out", "single"});
  t += row<batch_std_advantage>("batch_std_advantage", {"eps", "spread", "single"});
  t += row<task_std_advantage>("task_std_advantage", {"eps", "spread", "single"});
  t += row<gpg_advantage>("gpg_advantage", {"scale", "single"});
  t += row<pass_at_k_advantage>("pass_at_k_advantage", {"eps", "normalise"});
  t += row<max_rl_advantage>("max_rl_advantage", {"eps", "single"});
  t += row<whiten>("whiten", {"spread", "eps", "floor", "centre"});
  t += row<gae>("gae", {"gamma", "lambda"});
  t += row<vapo_gae>("vapo_gae", {"gamma", "alpha", "value_lambda"});
  t += row<optimal_token_baseline>("optimal_token_baseline", {"gamma", "eps"});
  t += row<stop_properly>("stop_properly", {"coefficient", "constant"});
  t += row<dpo>("dpo", {"beta", "smoothing"});
  t += row<ipo>("ipo", {"beta"});
  t += row<hinge_preference>("hinge_preference", {"beta"});
  t += row<forward_kl_margin>("forward_kl_margin", {"limit"});
  t += row<alpha_margin>("alpha_margin", {"alpha", "limit"});
  t += row<adamw>("adamw", {"beta1", "beta2", "eps", "weight_decay"});
  t += row<sgd>("sgd", {"momentum", "weight_decay", "nesterov"});
  t += row<muon>("muon", {"momentum", "weight_decay", "nesterov", "scale", "a", "b", "c", "iterations", "eps"});
  t += row<adafactor>("adafactor", {"decay", "eps1", "eps2", "clip", "beta1", "weight_decay", "scale_by_weights"});
  return t;
}

TEST(Defaults, OfTheDocumentAreThoseOfTheCode) {
  std::ifstream in(ql::test::source_file("docs/algorithms.md"));
  std::stringstream all;
  all << in.rdbuf();
  const std::string page = all.str(), head = "| type | defaults |\n|---|---|\n", expected = table();
  const auto begin = page.find(head);
  ASSERT_NE(begin, page.npos) << "no table of defaults";
  const auto end = page.find("\n\n", begin);
  EXPECT_EQ(page.substr(begin + head.size(), end + 1 - begin - head.size()), expected);
}
}  // namespace
