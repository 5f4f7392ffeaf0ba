// SPDX-License-Identifier: Apache-2.0
// The decoder on a GPU: decoded rows against rows of training bit for bit, a tree against its sequences, gradients
// twice, and the CPU's numbers. Ends with 77 (skipped) where there is no device. Usage: gpu [tiny]
//   tiny   small enough for compute-sanitizer
#include <ql/backend/cpu/kernels.hpp>
#include <ql/backend/cuda/device.hpp>
#include <ql/backend/cuda/kernels.hpp>
#include <ql/model/session.hpp>
#include <ql/policy_update.hpp>
#include <ql/rl/sampler.hpp>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace ql;
int failures = 0;

void expect(bool ok, const char* what, double figure, double bound) {
  std::printf("%-4s %-60s %.4g (at most %.4g)\n", ok ? "ok" : "FAIL", what, figure, bound);
  failures += ok ? 0 : 1;
}

template <class T, class Context>
struct run {
  using A = accumulate_t<T>;
  model::decoder<T, Context> policy;
  run(Context& ctx, const model::decoder_config& c) : policy(ctx, c) { policy.initialise(ctx, 3, 0.15); }
  std::vector<std::vector<A>> gradients(Context& ctx, const token_tree& tree, const distribution& d,
                                        std::vector<A>& logp, std::vector<A>& entropy) {
    const auto n = static_cast<std::size_t>(tree.tokens());
    logp.assign(n, A(0)), entropy.assign(n, A(0));
    std::vector<A> dlogp(n), dentropy(n);
    for (std::size_t i = 0; i < n; ++i)
      dlogp[i] = static_cast<A>(i % 7) - A(3), dentropy[i] = A(0.01) * static_cast<A>(i % 5);
    policy.zero_gradients(ctx);
    auto tape =
        policy.score(ctx, tree, {.distribution = d, .keep = model::keep::inputs_and_attention}, {logp, entropy});
    policy.backward(ctx, tape, {dlogp, dentropy});
    policy.finish_gradients(ctx);
    std::vector<std::vector<A>> all;
    for (auto& p : policy.parameters()) {
      all.emplace_back(static_cast<std::size_t>(p.size()));
      copy_out(ctx, static_cast<const A*>(p.gradient.data()), p.size(), all.back().data());
    }
    return all;
  }
};

template <class T>
void test(const model::decoder_config& c, std::int64_t prompt_tokens, std::int64_t answer, double logp_bound,
          double gradient_bound) {
  using A = accumulate_t<T>;
  std::printf("-- %s, head_dim %lld, prompt %lld\n", std::string(scalar_name<T>).c_str(),
              static_cast<long long>(c.head_dim), static_cast<long long>(prompt_tokens));
  cuda::context ctx;
  cpu::context host({.threads = 8});
  run<T, cuda::context> device(ctx, c);
  run<T, cpu::context> reference(host, c);
  const distribution d{.temperature = 0.8};
  model::rollout<A> rollout;
  {
    model::session<T, cuda::context> session(ctx, device.policy, {.prefill_chunk = 100});
    std::vector<token> prompt;
    for (std::int64_t i = 0; i < prompt_tokens; ++i) prompt.push_back(static_cast<token>(i * 37 % c.vocabulary));
    const auto root = session.add_root(prompt);
    for (std::uint32_t g = 0; g < 5; ++g) session.add_leaf(root, 3 + answer * g / 4, {.seed = 1, .sample = g});
    rl::stochastic sampler(d);
    while (session.step(sampler, model::stop_tokens{{0}}) > 0) {
    }
    rollout = session.finish();
  }
  std::vector<A> logp, entropy, again, entropy_again, expected, expected_entropy;
  const auto g = device.gradients(ctx, rollout.tree, d, logp, entropy);
  const auto g2 = device.gradients(ctx, rollout.tree, d, again, entropy_again);
  const auto r = reference.gradients(host, rollout.tree, d, expected, expected_entropy);
  std::int64_t different = 0, sampled = 0, repeated = 0;
  double apart = 0, worst = 0;
  for (std::size_t i = 0; i < logp.size(); ++i) {
    if (rollout.logp[i] == 0) continue;
    ++sampled;
    different += std::memcmp(&logp[i], &rollout.logp[i], sizeof(A)) != 0;
    apart = std::max(apart, std::fabs(static_cast<double>(logp[i] - expected[i])));
  }
  for (std::size_t i = 0; i < g.size(); ++i) {
    double e = 0, n = 1e-30;
    for (std::size_t j = 0; j < g[i].size(); ++j) {
      e += std::pow(static_cast<double>(g[i][j]) - static_cast<double>(r[i][j]), 2);
      n += std::pow(static_cast<double>(r[i][j]), 2);
    }
    worst = std::max(worst, std::sqrt(e / n));
    repeated += std::memcmp(g[i].data(), g2[i].data(), g[i].size() * sizeof(A)) != 0;
  }
  expect(sampled > 0 && different == 0, "decoded log-probs that differ from training's", static_cast<double>(different),
         0);
  expect(repeated == 0, "gradients that differ when computed again", static_cast<double>(repeated), 0);
  expect(apart <= logp_bound, "|log-prob - CPU|", apart, logp_bound);
  expect(worst <= gradient_bound, "gradients, relative distance from the CPU", worst, gradient_bound);
}

// Tokens drawn on the device against those of the host's sampler on the same logits.
void draws(std::int64_t rows, std::int64_t columns) {
  cuda::context ctx;
  const std::int64_t parts = (columns + 15) / 16, depth = 64;
  const auto normals = [](std::int64_t n, std::uint32_t sample) {
    std::vector<float> x(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i)
      x[static_cast<std::size_t>(i)] = static_cast<float>(
          uniform({.seed = 5, .what = purpose::test, .sample = sample}, static_cast<std::uint64_t>(i)) - 0.5);
    return x;
  };
  auto scope = ctx.scratch();
  const auto weights = normals(columns * depth, 0), inputs = normals(rows * depth, 1);
  auto* packed = scope.take<float>(columns * depth);
  const matrix<float> head{columns, depth, scope.copy(std::span<const float>(weights)), packed};
  pack(ctx, head, packed);
  view<float, 2, cuda::device_space> z(scope.take<float>(rows * columns), {rows, columns}),
      partial(scope.take<float>(rows * parts), {rows, parts});
  std::vector<logit_row<float>> state(static_cast<std::size_t>(rows));
  logits(ctx, head, view<const float, 2, cuda::device_space>(scope.copy(std::span<const float>(inputs)), {rows, depth}),
         2.0f, z, std::span(state), partial);
  std::vector<float> seen(static_cast<std::size_t>(rows * columns)), sums(static_cast<std::size_t>(rows * parts));
  ctx.copy_out(static_cast<const float*>(z.data_handle()), rows * columns, seen.data());
  ctx.copy_out(static_cast<const float*>(partial.data_handle()), rows * parts, sums.data());
  std::int64_t different = 0;
  for (const distribution& d : {distribution{}, distribution{.top_k = 40}, distribution{.top_p = 0.9},
                                distribution{.top_k = 500, .top_p = 0.8, .min_p = 0.01}}) {
    std::vector<double> u;
    for (std::int64_t r = 0; r < rows; ++r) u.push_back((static_cast<double>(r) + 0.5) / static_cast<double>(rows));
    std::vector<drawn_row<float>> drawn(static_cast<std::size_t>(rows));
    draw_rows(ctx, d, view<const float, 2, cuda::device_space>(z), view<const float, 2, cuda::device_space>(partial),
              std::span<const logit_row<float>>(state), std::span<const double>(u), std::span(drawn),
              std::span<token>(), std::span<float>());
    rl::stochastic sampler(d);
    for (std::size_t r = 0; r < drawn.size(); ++r) {
      const auto width = static_cast<std::size_t>(columns), pieces = static_cast<std::size_t>(parts);
      const auto expected =
          sampler(logits_row<float>{std::span<const float>(seen).subspan(r * width, width), state[r].max, state[r].sum,
                                    std::span<const float>(sums).subspan(r * pieces, pieces)},
                  u[r]);
      different += drawn[r].id != expected.id || drawn[r].kept_mass != expected.kept_mass;
    }
  }
  expect(different == 0, "tokens that the device draws otherwise than the host", static_cast<double>(different), 0);
}

}  // namespace

int main(int argc, char** argv) {
  const bool tiny = argc > 1 && std::string(argv[1]) == "tiny";
  const auto have = cuda::available();
  if (!have) {
    std::printf("skipped: %s\n", have.why.c_str());
    return 77;
  }
  model::decoder_config c{
      .vocabulary = 530, .hidden = 48, .layers = 2, .heads = 6, .kv_heads = 2, .ffn = 80, .rope = {}};
  c.head_dim = 16;
  c.qk_norm = true;
  test<float>(c, 75, 12, 2e-5, 1e-5);
  test<bf16>(c, 75, 12, 1e-2, 3e-2);
  draws(3, 530);
  if (!tiny) {
    draws(64, 151936);
    c.head_dim = 128;
    c.vocabulary = 20000;
    c.hidden = 512;
    c.ffn = 1024;
    test<float>(c, 2040, 100, 1e-4, 1e-4);  // over the end of a split
    test<bf16>(c, 2040, 100, 5e-2, 6e-2);
  }
  std::printf("%d failed\n", failures);
  return failures == 0 ? 0 : 1;
}
