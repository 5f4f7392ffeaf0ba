// SPDX-License-Identifier: Apache-2.0
// The clip loss over 16 sequences of 4096 tokens, through apply_loss or through a loop written for it by hand; both are
// called as often as the second argument says. loss_instructions.py counts their instructions.
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/policy_loss.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {
using namespace ql::rl;
namespace math = ql::math;

constexpr std::int64_t sequences = 16, length = 4096;  // whole blocks: what is compared is the loop

struct work {
  std::vector<std::int64_t> offsets;
  std::vector<float> logp, old, advantage, dlogp;
};

double generic(work& w, std::int64_t& bad) {
  token_batch<float> b;
  b.offsets = w.offsets, b.logp = w.logp, b.old = w.old, b.sequence_advantage = w.advantage;
  const auto r = apply_loss(clip{}, b, token_mean{}, {w.dlogp, {}});
  bad += r.non_finite;
  return r.value;
}

// The same work for this one loss: no masks, no entropy, no other input.
struct by_hand {
  const float *logp, *old;
  float *dlogp, advantage, weight, low, high, limit;
  std::int64_t n;
  double* value;
  std::int64_t* bad;

  QL_INLINE void operator()() const {
    double sum[8] = {};
    std::int32_t wrong[8] = {};
    float v[256], d[256];
    for (std::int64_t i = 0; i < n; i += 256) {  // n is a multiple of 256
      for (std::int64_t j = 0; j < 256; ++j) {
        const float x = logp[i + j] - old[i + j], c = math::clamp(x, -limit, limit), r = math::exp(c);
        const float free = -(r * advantage), held = -(math::clamp(r, low, high) * advantage);
        v[j] = math::max(held, free);
        d[j] = math::keep_if(c == x, math::keep_if(!(held > free), free)) * weight;
      }
      for (std::int64_t k = 0; k < 256; k += 8) {
        for (std::int64_t j = 0; j < 8; ++j) {
          sum[j] += static_cast<double>(v[k + j]);
          wrong[j] += math::fma(v[k + j], 0.0f, d[k + j] * 0.0f) == 0.0f ? 0 : 1;
        }
      }
      for (std::int64_t j = 0; j < 256; ++j) dlogp[i + j] = d[j];
    }
    *value += ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
    for (auto k : wrong) *bad += k;
  }
};
double hand(work& w, std::int64_t& bad) {
  const double weight = 1.0 / static_cast<double>(w.logp.size());
  double total = 0;
  for (std::size_t i = 0; i + 1 < w.offsets.size(); ++i) {
    double value = 0;
    const auto first = w.offsets[i];
    ql::detail::widest(by_hand{w.logp.data() + first, w.old.data() + first, w.dlogp.data() + first, w.advantage[i],
                               static_cast<float>(weight), 0.8f, 1.2f, __builtin_inff(), w.offsets[i + 1] - first,
                               &value, &bad});
    total = math::fma(weight, value, total);
  }
  return total;
}
}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  work w;
  std::uint32_t state = 1;
  const auto draw = [&] { return static_cast<float>((state = state * 1664525u + 1013904223u) >> 8) * 0x1p-24f; };
  for (std::int64_t i = 0; i <= sequences; ++i) w.offsets.push_back(i * length);
  for (std::int64_t i = 0; i < sequences; ++i) w.advantage.push_back(2 * draw() - 1);
  for (std::int64_t t = 0; t < sequences * length; ++t) {
    w.old.push_back(-3 * draw());
    w.logp.push_back(w.old.back() + draw() - 0.5f);
  }
  w.dlogp.resize(w.logp.size());
  double value = 0;
  std::int64_t bad = 0;
  for (int k = 0; k < std::atoi(argv[2]); ++k)
    value = std::strcmp(argv[1], "hand") == 0 ? hand(w, bad) : generic(w, bad);
  std::uint64_t hash = 0xcbf29ce484222325u;  // of the gradient's bits
  for (float d : w.dlogp) hash = (hash ^ __builtin_bit_cast(std::uint32_t, d)) * 0x100000001b3u;
  std::printf("%.17g %lld %016llx\n", value, static_cast<long long>(bad), static_cast<unsigned long long>(hash));
}
