// SPDX-License-Identifier: Apache-2.0
// Prints random batches with the numbers that ql computes for them, one JSON object a line; tests/golden/peers.py
// compares them with the functions of verl and TRL.
//   g++ -std=c++20 -O1 -Iinclude tests/golden/peers.cpp -o peers && ./peers 200 > batches.jsonl
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/correction_batch.hpp>
#include <ql/rl/presets.hpp>
#include <ql/rl/resampling.hpp>
#include <ql/testing/rl_laws.hpp>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {
using namespace ql::rl;
namespace presets = ql::rl::presets;

struct batch {
  std::vector<std::int64_t> offsets{0}, prompts{0}, length;
  std::vector<double> reward, greedy, logp, old, ref, rollout, value, entropy;

  explicit batch(std::uint64_t seed) {
    ql::testing::numbers r(seed);
    const auto groups = 1 + r.below(4);
    const bool binary = r.below(2) == 0;
    for (std::int64_t g = 0; g < groups; ++g) {
      const auto members = 2 + r.below(5);
      greedy.push_back(r.uniform(0, 1));
      for (std::int64_t i = 0; i < members; ++i) {
        const auto n = 1 + r.below(10);
        for (std::int64_t t = 0; t < n; ++t) {
          old.push_back(r.uniform(-4, -0.05));
          logp.push_back(old.back() + r.uniform(-0.8, 0.04));
          rollout.push_back(old.back() + r.uniform(-0.3, 0.04));
          ref.push_back(old.back() + r.uniform(-0.8, 0.04));
          value.push_back(r.uniform(-1, 1));
          entropy.push_back(r.uniform(0, 3));
        }
        offsets.push_back(static_cast<std::int64_t>(logp.size()));
        length.push_back(n);
        reward.push_back(binary ? static_cast<double>(r.below(2)) : r.uniform(-1, 1));
      }
      prompts.push_back(static_cast<std::int64_t>(offsets.size()) - 1);
    }
  }
};

void print(const char* key, const std::vector<double>& x, const char* after = ",") {
  std::printf("\"%s\":[", key);
  for (std::size_t i = 0; i < x.size(); ++i) std::printf("%s%.17g", i == 0 ? "" : ",", x[i]);
  std::printf("]%s", after);
}
void print(const char* key, const std::vector<std::int64_t>& x) { print(key, std::vector<double>(x.begin(), x.end())); }

template <class Estimator>
void advantages(const char* key, const batch& b, const Estimator& estimator) {
  outcome_batch<double> in;
  in.reward = b.reward, in.groups = b.prompts, in.length = b.length, in.greedy = b.greedy;
  std::vector<double> out(b.reward.size());
  estimator(in, ql::view<double, 1>(out));
  print(key, out);
}
template <class Correction>
void weights(const char* key, const batch& b, const Correction& c) {
  token_batch<double> t;
  t.offsets = b.offsets, t.old = b.old, t.rollout = b.rollout;
  std::vector<double> out;
  ql::rl::detail::for_each_weight(c, t, [&](std::int64_t, double w, bool) { out.push_back(w); });
  print(key, out);
}
template <drift_of Over>
void rejections(const std::string& key, const batch& b, double threshold) {
  weights(("verl.reject_" + key + "_k2").c_str(), b, divergence_rejection<Over>{divergence::k2, threshold});
  weights(("verl.reject_" + key + "_k3").c_str(), b, divergence_rejection<Over>{divergence::k3, threshold});
}
template <class Loss, class Aggregation>
void loss(const std::string& key, const batch& b, const std::vector<double>& advantage, const Loss& l,
          const Aggregation& how) {
  token_batch<double> t;
  t.offsets = b.offsets, t.prompts = b.prompts;
  t.logp = b.logp, t.old = b.old, t.ref = b.ref, t.rollout = b.rollout, t.entropy = b.entropy;
  t.sequence_advantage = advantage;
  std::vector<double> dlogp(b.logp.size()), dentropy(b.logp.size());
  const double v = apply_loss(l, t, how, {dlogp, dentropy}).value;
  print((key + ".value").c_str(), std::vector<double>{v});
  print((key + ".grad").c_str(), dlogp);
}
}  // namespace

int main(int argc, char** argv) {
  const int n = argc > 1 ? std::atoi(argv[1]) : 200;
  for (int k = 0; k < n; ++k) {
    const batch b(static_cast<std::uint64_t>(k) + 1);
    std::printf("{");
    print("offsets", b.offsets), print("prompts", b.prompts), print("reward", b.reward), print("greedy", b.greedy);
    print("logp", b.logp), print("old", b.old), print("ref", b.ref), print("rollout", b.rollout),
        print("values", b.value);
    print("entropy", b.entropy);

    advantages("verl.grpo", b, presets::verl::grpo);
    advantages("verl.dr_grpo", b, presets::verl::dr_grpo);
    advantages("verl.rloo", b, presets::verl::rloo);
    advantages("verl.opo", b, opo_advantage{});
    advantages("verl.gpg", b, gpg_advantage{});
    advantages("verl.passk", b, pass_at_k_advantage{});
    advantages("verl.remax", b, remax_advantage{});
    advantages("trl.group", b, presets::trl::grpo);
    advantages("trl.batch", b, presets::trl::batch_std);
    std::vector<double> rho(b.logp.size()), a(rho), returns(rho);
    token_rewards<double>(b.offsets, {}, b.reward, {}, 0.0, rho);
    const reward_batch<double> rewards{b.offsets, {}, rho};
    presets::verl::reinforce_plus_plus(rewards, ql::view<double, 1>(a));
    print("verl.reinforce_pp", a);
    outcome_batch<double> in;
    in.reward = b.reward, in.groups = b.prompts;
    reinforce_pp_baseline{}(in, b.offsets, {}, ql::view<double, 1>(a));
    print("verl.reinforce_pp_baseline", a);
    gae{.gamma = 0.99, .lambda = 0.95}(rewards, ql::view<const double, 1>(b.value), ql::view<double, 1>(a),
                                       ql::view<double, 1>(returns));
    whiten{}(ql::view<double, 1>(a));
    print("verl.gae", a), print("verl.returns", returns);
    double critic = 0;
    for (std::size_t t = 0; t < b.value.size(); ++t) {
      critic += value_clip{0.2}(b.value[t] + 0.3, b.value[t], returns[t]).value;
      rho[t] = ql::math::exp(2 * b.old[t]);  // stands for the sum of squared probabilities
    }
    print("verl.value_loss", std::vector<double>{critic / static_cast<double>(b.value.size())});
    std::vector<double> squares = rho;
    token_rewards<double>(b.offsets, {}, b.reward, {}, 0.0, rho);
    optimal_token_baseline{}(reward_batch<double>{b.offsets, {}, rho}, ql::view<const std::int64_t, 1>(b.prompts),
                             ql::view<const double, 1>(b.old), ql::view<const double, 1>(squares),
                             ql::view<double, 1>(a));
    print("verl.token_baseline", a);
    std::vector<double> w(b.reward.size());
    const auto resampled = [&](const char* key, pf_ppo::rule by) {
      pf_ppo{.by = by}.weights<double>(b.reward, w);
      print(key, w);
    };
    resampled("verl.pf_ppo_pow", pf_ppo::rule::power);
    resampled("verl.pf_ppo_extremes", pf_ppo::rule::extremes);
    resampled("verl.pf_ppo_best", pf_ppo::rule::best_random);
    token_batch<double> pair;
    pair.offsets = b.offsets, pair.old = b.old, pair.rollout = b.rollout;
    const token_tis tis{.cap = ratio_cap{1.1}};
    const sequence_tis whole{.cap = ratio_cap{1.1}};
    weights("verl.tis_weights", b, tis);
    weights("verl.icepop", b, token_mask{.low = 0.9, .high = 1.2});
    weights("verl.sequence_tis", b, whole);
    weights("verl.tis_normalised", b, normalised{tis, mean_weight(tis, pair).token_mean()});
    weights("verl.sequence_tis_normalised", b, normalised{whole, mean_weight(whole, pair).sequence_mean()});
    rejections<drift_of::token>("token", b, 0.01);
    rejections<drift_of::sum>("seq_sum", b, 0.02);
    rejections<drift_of::mean>("seq_mean", b, 0.01);
    rejections<drift_of::maximum>("seq_max", b, 0.01);

    std::vector<double> adv(b.reward.size());
    grpo_advantage{}(in, ql::view<double, 1>(adv));
    print("advantage", adv);
    loss("verl.vanilla", b, adv, presets::verl::policy_loss, token_mean{});
    loss("verl.vanilla_smtm", b, adv, presets::verl::policy_loss, sequence_mean_token_mean{});
    loss("verl.vanilla_smts", b, adv, presets::verl::policy_loss, sequence_mean_token_sum{});
    loss("verl.vanilla_smtsn", b, adv, presets::verl::policy_loss, sequence_mean_token_sum_norm{10});
    loss("verl.dual", b, adv, dual_clip{.low = 0.2, .high = 0.28, .c = 1.2, .log_ratio_limit = 20}, token_mean{});
    loss("verl.gspo", b, adv, presets::verl::gspo, sequence_mean_token_mean{});
    loss("verl.sapo", b, adv, sapo{}, sequence_mean_token_mean{});
    loss("verl.gpg_loss", b, adv, reinforce{}, token_mean{});
    loss("verl.geo_mean", b, adv, gmpo{.low = 0.2, .high = 0.2}, sequence_mean_token_mean{});
    loss("verl.cispo", b, adv, cispo{.floor = 0.8, .cap = ratio_cap{1.2}}, token_mean{});
    loss("verl.dro", b, adv, squared_log_ratio{.tau = 0.1}, token_mean{});
    loss("verl.dppo_tv", b, adv, dppo_tv{.delta = 0.2}, token_mean{});
    loss("verl.dppo_kl", b, adv, dppo_kl{.delta = 0.02}, token_mean{});
    loss("verl.tis", b, adv, corrected{presets::verl::policy_loss, token_tis{.cap = ratio_cap{1.1}}}, token_mean{});
    loss("verl.k1", b, adv, score_function<k1>{}, token_mean{});
    loss("verl.k2", b, adv, k2{}, token_mean{});
    loss("verl.k3", b, adv, presets::verl::kl, token_mean{});
    loss("verl.k3+", b, adv, straight_through{presets::verl::kl}, token_mean{});
    loss("verl.abs", b, adv, absolute_kl{}, token_mean{});
    loss("trl.dapo", b, adv, clip_higher, token_mean{});
    loss("trl.dapo_kl", b, adv, kl_penalized{clip{}, k3{}, 0.04}, token_mean{});
    loss("trl.dapo_kl_is", b, adv, kl_penalized{clip{}, importance_weighted<k3>{}, 0.04}, token_mean{});
    loss("trl.grpo", b, adv, clip{}, sequence_mean_token_mean{});
    loss("trl.delta", b, adv, two_sided_clip{.cap = ratio_cap{1.25}}, sequence_mean_token_mean{});
    loss("trl.gspo", b, adv, gspo{}, sequence_mean_token_mean{});
    loss("trl.dr_grpo", b, adv, clip{}, sequence_mean_token_sum_norm{10});
    loss("trl.cispo", b, adv, cispo{.cap = ratio_cap{1.28}}, token_mean{});
    loss("trl.sapo", b, adv, sapo{}, sequence_mean_token_mean{});
    loss("trl.vespo", b, adv, vespo{}, token_mean{});
    loss("trl.opsm", b, adv, corrected{clip{}, off_policy_sequence_mask{.delta = 0.1}}, token_mean{});
    std::printf("\"batch\":%d}\n", k);
  }
}
