// SPDX-License-Identifier: Apache-2.0
// What each operation says of shapes, strides and ids that do not fit: operation, argument, expected, got.
#include <ql/backend/cpu/linear.hpp>
#include <ql/backend/cpu/parameters.hpp>
#include <ql/backend/cpu/rows.hpp>

#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace {

using ql::matrix;
using ql::shape_error;
using ql::token;
using ql::view;
using ql::cpu::context;

template <class Error, class F>
std::string message(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  } catch (const std::exception& e) {
    return std::string("another kind of error: ") + e.what();
  }
  return "nothing was thrown";
}

struct BadInput : testing::Test {
  using in = view<const float, 2>;
  using out = view<float, 2>;
  context ctx;
  // room enough for every view below, so that a missing check is a wrong message and no crash
  std::vector<float> a = std::vector<float>(4096), b = a, c = a, packed = a;
  const float* none = nullptr;
  matrix<float> w{8, 16, a.data(), packed.data()};  // y[m, 8] = x[m, 16] w^T
  in x{b.data(), {3, 16}}, dy{b.data(), {3, 8}};
  out y{c.data(), {3, 8}}, dx{c.data(), {3, 16}};
  in strided(std::int64_t rows, std::int64_t columns) { return {b.data(), {rows, columns}, {64, 2}}; }
  out strided_out(std::int64_t rows, std::int64_t columns) { return {c.data(), {rows, columns}, {64, 2}}; }
};

TEST_F(BadInput, Linear) {
  const auto text = [&](in v, matrix<float> m, out o) {
    return message<ql::error>([&] { ql::linear(ctx, v, m, none, o); });
  };
  EXPECT_EQ(text(dy, w, y), "linear: x: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(text(x, w, dx), "linear: y: expected shape (3, 8), got (3, 16)");
  EXPECT_EQ(text(x, w, y.rows(0, 2)), "linear: y: expected shape (3, 8), got (2, 8)");
  EXPECT_EQ(text(strided(3, 16), w, y), "linear: x: expected adjacent elements in a row, got a stride of 2");
  EXPECT_EQ(text(x, w, strided_out(3, 8)), "linear: y: expected adjacent elements in a row, got a stride of 2");
  auto unpacked = w;
  unpacked.packed = nullptr;
  EXPECT_EQ(message<ql::state_error>([&] { ql::linear(ctx, x, unpacked, none, y); }),
            "linear: weight: expected packed (published) weights, got none");
  EXPECT_EQ(message<shape_error>([&] { ql::linear_sum(ctx, dy, w, none, y); }),
            "linear_sum: x: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::linear_sum(ctx, x, w, none, strided_out(3, 8)); }),
            "linear_sum: y: expected adjacent elements in a row, got a stride of 2");
  EXPECT_EQ(message<shape_error>([&] { ql::linear_add(ctx, x, w, dx); }),
            "linear_add: y: expected shape (3, 8), got (3, 16)");
}

TEST_F(BadInput, LinearGradients) {
  EXPECT_EQ(message<shape_error>([&] { ql::linear_dx(ctx, x, w, dx, false); }),
            "linear_dx: dy: expected shape (3, 8), got (3, 16)");
  EXPECT_EQ(message<shape_error>([&] { ql::linear_dx(ctx, dy, w, y, false); }),
            "linear_dx: dx: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::linear_dx(ctx, strided(3, 8), w, dx, false); }),
            "linear_dx: dy: expected adjacent elements in a row, got a stride of 2");
  EXPECT_EQ(message<shape_error>([&] { ql::linear_dx(ctx, dy, w, strided_out(3, 16), true); }),
            "linear_dx: dx: expected adjacent elements in a row, got a stride of 2");
  auto no_master = w;
  no_master.master = nullptr;
  EXPECT_EQ(message<ql::state_error>([&] { ql::linear_dx(ctx, dy, no_master, dx, false); }),
            "linear_dx: weight: expected master weights, got none");
  const out dw(c.data(), {8, 16});
  EXPECT_EQ(message<shape_error>([&] { ql::linear_dw(ctx, dy.rows(0, 2), x, dw); }),
            "linear_dw: dy: expected shape (3, 8), got (2, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::linear_dw(ctx, dy, dy, dw); }),
            "linear_dw: x: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::linear_dw(ctx, strided(3, 8), x, dw); }),
            "linear_dw: dy: expected adjacent elements in a row, got a stride of 2");
  EXPECT_EQ(message<shape_error>([&] { ql::linear_dw(ctx, dy, strided(3, 16), dw); }),
            "linear_dw: x: expected adjacent elements in a row, got a stride of 2");
  EXPECT_EQ(message<shape_error>([&] { ql::linear_dw(ctx, dy, x, strided_out(8, 16)); }),
            "linear_dw: dw: expected adjacent elements in a row, got a stride of 2");
  EXPECT_EQ(message<shape_error>([&] { ql::column_sum(ctx, dy, view<float, 1>(c.data(), 9)); }),
            "column_sum: db: expected shape (8), got (9)");
  EXPECT_EQ(message<shape_error>([&] { ql::column_sum(ctx, strided(3, 8), view<float, 1>(c.data(), 8)); }),
            "column_sum: dy: expected adjacent elements in a row, got a stride of 2");
}

TEST_F(BadInput, TokenIds) {
  for (const token bad : {-1, 8, 1 << 30}) {
    const std::vector<token> ids{0, bad, 1};
    const auto got = "token id: expected 0 to 7, got " + std::to_string(bad);
    EXPECT_EQ(message<ql::argument_error>([&] { ql::embed(ctx, std::span<const token>(ids), w, dx); }),
              "embed: " + got);
    EXPECT_EQ(
        message<ql::argument_error>([&] { ql::embed_dw(ctx, std::span<const token>(ids), x, out(c.data(), {8, 16})); }),
        "embed_dw: " + got);
  }
  const std::vector<token> ids{0, 1, 2};
  EXPECT_EQ(message<shape_error>([&] { ql::embed(ctx, std::span<const token>(ids), w, y); }),
            "embed: x: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::embed(ctx, std::span<const token>(ids), w, strided_out(3, 16)); }),
            "embed: x: expected adjacent elements in a row, got a stride of 2");
  EXPECT_EQ(message<shape_error>([&] { ql::embed_dw(ctx, std::span<const token>(ids), dy, out(c.data(), {8, 16})); }),
            "embed_dw: dx: expected shape (3, 16), got (3, 8)");
}

TEST_F(BadInput, RmsNorm) {
  const float* const p = a.data();
  EXPECT_EQ(message<shape_error>([&] { ql::rms_norm(ctx, x, p, 1e-6f, y, c.data() + 2000); }),
            "rms_norm: y: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::rms_norm(ctx, strided(3, 16), p, 1e-6f, dx, c.data() + 2000); }),
            "rms_norm: x: expected adjacent elements in a row, got a stride of 2");
  EXPECT_EQ(message<shape_error>([&] { ql::rms_norm(ctx, x, p, 1e-6f, strided_out(3, 16), c.data() + 2000); }),
            "rms_norm: y: expected adjacent elements in a row, got a stride of 2");
  EXPECT_EQ(message<shape_error>([&] { ql::rms_norm_dx(ctx, dy, x, p, p, dx); }),
            "rms_norm_dx: dy: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::rms_norm_dx(ctx, x, x, p, p, y); }),
            "rms_norm_dx: dx: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::rms_norm_dw(ctx, dy, x, p, c.data()); }),
            "rms_norm_dw: dy: expected shape (3, 16), got (3, 8)");
}

TEST_F(BadInput, Swiglu) {
  EXPECT_EQ(message<shape_error>([&] { ql::swiglu(ctx, x, dy, dx); }),
            "swiglu: up: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::swiglu(ctx, x, x, y); }), "swiglu: y: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::swiglu(ctx, x, strided(3, 16), dx); }),
            "swiglu: up: expected adjacent elements in a row, got a stride of 2");
  EXPECT_EQ(message<shape_error>([&] { ql::swiglu_dx(ctx, x, x, dy, dx, dx); }),
            "swiglu_dx: dy: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::swiglu_dx(ctx, x, dy, x, dx, dx); }),
            "swiglu_dx: up: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::swiglu_dx(ctx, x, x, x, y, dx); }),
            "swiglu_dx: dgate: expected shape (3, 16), got (3, 8)");
  EXPECT_EQ(message<shape_error>([&] { ql::swiglu_dx(ctx, x, x, x, dx, y); }),
            "swiglu_dx: dup: expected shape (3, 16), got (3, 8)");
}

TEST_F(BadInput, NoRowsIsNoError) {
  const std::vector<token> ids;
  const in none_in(b.data(), {0, 16}), none_dy(b.data(), {0, 8});
  const out none_y(c.data(), {0, 8}), none_x(c.data(), {0, 16});
  EXPECT_NO_THROW(ql::linear(ctx, none_in, w, none, none_y));
  EXPECT_NO_THROW(ql::linear_dx(ctx, none_dy, w, none_x, false));
  EXPECT_NO_THROW(ql::linear_dw(ctx, none_dy, none_in, out(c.data(), {8, 16})));
  EXPECT_NO_THROW(ql::embed(ctx, std::span<const token>(ids), w, none_x));
  EXPECT_NO_THROW(ql::rms_norm(ctx, none_in, static_cast<const float*>(a.data()), 1e-6f, none_x, c.data()));
  EXPECT_NO_THROW(ql::swiglu(ctx, none_in, none_in, none_x));
}

}  // namespace
