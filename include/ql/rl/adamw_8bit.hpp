// SPDX-License-Identifier: Apache-2.0
#pragma once

// AdamW with moments of one byte: "8-bit optimizers via block-wise quantization" (arXiv 2110.02861), with the code
// maps and the rule of nearest codes that bitsandbytes publishes.

#include <ql/context.hpp>
#include <ql/detail/wide.hpp>
#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/tensor.hpp>
#include <ql/tensor/view.hpp>

#include <array>
#include <cstdint>
#include <string_view>

namespace ql::rl {

// 256 numbers in ascending order, most of them near 0, and the nearest of them to a number.
struct dynamic_code {
  std::array<float, 256> value{};
  std::array<float, 256> middle{};  // between value[i - 1] and value[i]

  // "Dynamic tree quantization": for e = 0..6, the middles of 2^e (unsigned: 2^(e + 1)) equal parts of [0.1, 1], times
  // 10^(e - 6); with both signs where signed; and 0 and 1.
  static constexpr dynamic_code make(bool with_sign) {
    dynamic_code c;
    const std::size_t zero = with_sign ? 127 : 0;
    std::size_t n = zero + 1;  // already in ascending order
    double scale = 1e-6;
    for (int e = 0; e < 7; ++e, scale *= 10) {
      const int parts = 1 << (with_sign ? e : e + 1);
      for (int k = 0; k < parts; ++k, ++n) {
        c.value[n] = static_cast<float>(scale * (0.1 + 0.9 * (k + 0.5) / parts));
        if (with_sign) c.value[2 * zero - n] = -c.value[n];
      }
    }
    c.value[n] = 1.0f;
    for (std::size_t i = 1; i < 256; ++i) c.middle[i] = 0.5f * (c.value[i - 1] + c.value[i]);
    return c;
  }
  // The index of the number nearest to x in [-1, 1]; the lower of two that are as near.
  template <class T>
  QL_INLINE constexpr std::uint8_t nearest(T x) const {
    unsigned i = 0;
    for (unsigned step = 128; step > 0; step /= 2)
      if (x > static_cast<T>(middle[i + step])) i += step;
    return static_cast<std::uint8_t>(i);
  }
};
inline constexpr dynamic_code signed_code = dynamic_code::make(true), unsigned_code = dynamic_code::make(false);

// adamw with m and v kept as one byte each and a scale (the largest magnitude) for every block of 256: 2.03 bytes a
// weight instead of 8. A step decodes a block, updates it as adamw does, and encodes what comes out. Unlike
// bitsandbytes, a second moment above 0 is never encoded as 0: a first moment over it would be divided by eps alone.
struct adamw_8bit {
  adamw rule{};
  static constexpr std::int64_t block = 256;

  friend constexpr bool operator==(const adamw_8bit&, const adamw_8bit&) = default;
  constexpr void validate(rule_book& r) const { rule.validate(r); }

  template <class T, execution_context C>
  struct state {
    std::int64_t steps = 0;
    tensor<std::uint8_t, 1, C> m, v;
    tensor<T, 1, C> m_scale, v_scale;  // (blocks)
    template <class F>
    void visit(F&& f) {
      f(std::string_view("m"), m.view());
      f(std::string_view("v"), v.view());
      f(std::string_view("m_scale"), m_scale.view());
      f(std::string_view("v_scale"), v_scale.view());
    }
  };
  template <class T, execution_context C>
  state<T, C> init(C& ctx, view<T, 1, typename C::memory_space> w) const {
    const std::int64_t n = w.size(), blocks = (n + block - 1) / block;
    state<T, C> s{0, detail::zeros<std::uint8_t>(ctx, n), detail::zeros<std::uint8_t>(ctx, n),
                  detail::zeros<T>(ctx, blocks), detail::zeros<T>(ctx, blocks)};
    constexpr std::uint8_t zero = signed_code.nearest(0.0f);
    for (std::int64_t i = 0; i < n; ++i) s.m.data()[i] = zero;
    return s;
  }
  template <class T, execution_context C>
  void step(C&, view<T, 1, typename C::memory_space> w, view<const T, 1, typename C::memory_space> g, state<T, C>& s,
            double lr) const {
    expects_valid(*this);
    detail::expects_update<T, 1>("adamw_8bit", w, g, s.m.size());
    const std::int64_t blocks = s.m_scale.size();
    ql::detail::wide([n = w.size(), blocks, c = rule.at<T>(s.steps + 1, lr), pw = w.data_handle(), pg = g.data_handle(),
                      m = s.m.data(), v = s.v.data(), m_scale = s.m_scale.data(), v_scale = s.v_scale.data()] {
      for (std::int64_t k = 0; k < blocks; ++k) {
        const std::int64_t at = k * block, count = n - at < block ? n - at : block;
        T first[block] = {}, second[block] = {};
        T m_most = 0, v_most = 0;
        for (std::int64_t i = 0; i < count; ++i) {
          first[i] = m_scale[k] * static_cast<T>(signed_code.value[m[at + i]]);
          second[i] = v_scale[k] * static_cast<T>(unsigned_code.value[v[at + i]]);
        }
        for (std::int64_t i = 0; i < count; ++i) adamw::update(c, pw[at + i], pg[at + i], first[i], second[i]);
        for (std::int64_t i = 0; i < block; ++i) {
          m_most = math::max(math::abs(first[i]), m_most);
          v_most = math::max(second[i], v_most);
        }
        m_scale[k] = m_most, v_scale[k] = v_most;
        for (std::int64_t i = 0; i < count; ++i) {
          m[at + i] = signed_code.nearest(m_most > T(0) ? first[i] / m_most : T(0));
          const std::uint8_t q = unsigned_code.nearest(v_most > T(0) ? second[i] / v_most : T(0));
          v[at + i] = q == 0 && second[i] > T(0) ? std::uint8_t{1} : q;
        }
      }
    });
    ++s.steps;
  }
};

}  // namespace ql::rl
