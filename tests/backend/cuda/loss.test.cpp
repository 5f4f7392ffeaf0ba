// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cuda/body/loss.hpp>
#include <ql/rl/policy_loss.hpp>

#include "backend/cuda/operations.hpp"

#include <limits>

namespace ql::test::device {
namespace {

// Each token's value and derivatives are those of the same function object on the host, times its weight.
template <class Loss>
void same_as_on_the_host(const Loss& loss) {
  numbers r(8);
  const std::int64_t n = 777;
  auto ctx = device_context();
  auto logp = normals<float>(r, n), advantage = normals<float>(r, n), weight = normals<float>(r, n);
  auto old = logp;
  for (auto& x : old) x += static_cast<float>(0.3 * r.normal());
  for (std::size_t i = 0; i < weight.size(); i += 5) weight[i] = 0;
  logp[5] = std::numeric_limits<float>::quiet_NaN();  // left out
  mirror<float> dlogp(ctx, logp), dold(ctx, old), dadvantage(ctx, advantage), dweight(ctx, weight), value(ctx, logp),
      slope(ctx, logp), entropy_slope(ctx, logp);
  ctx.launch<cuda::element_body<cuda::loss_element<Loss>>>(
      {{loss, dlogp.data(), dold.data(), nullptr, nullptr, nullptr, dadvantage.data(), dweight.data(), value.data(),
        slope.data(), entropy_slope.data()},
       n});
  std::vector<float> values, slopes, zeros(logp.size(), 0.0f);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t i = 0; i < logp.size(); ++i) {
    const auto e = loss(rl::token_term<float>{logp[i], old[i], nan, nan, nan, advantage[i]});
    values.push_back(weight[i] == 0 ? 0.0f : e.value);
    slopes.push_back(weight[i] == 0 ? 0.0f : e.dlogp * weight[i]);
  }
  EXPECT_EQ(difference(value.host(), values), "");
  EXPECT_EQ(difference(slope.host(), slopes), "");
  EXPECT_EQ(distance(entropy_slope.host(), zeros), 0);
}

TEST(CudaLosses, AreThoseOfTheHost) {
  same_as_on_the_host(rl::clip{});
  same_as_on_the_host(rl::dual_clip{});
  same_as_on_the_host(rl::reinforce{});
}

}  // namespace
}  // namespace ql::test::device
