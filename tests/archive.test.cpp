// SPDX-License-Identifier: Apache-2.0
#include <ql/archive.hpp>

#include "io/folder.hpp"

#include <gtest/gtest.h>

namespace {

enum class colour : std::uint8_t { red, green };
struct inner {
  double mean = 0;
  std::optional<std::int32_t> last;
  friend bool operator==(const inner&, const inner&) = default;
};
struct outer {
  std::int64_t step = 0;
  bool done = false;
  colour c = colour::red;
  std::string name;
  std::vector<inner> items;
  std::vector<float> weights;
  std::vector<bool> bits;
  std::array<std::uint32_t, 3> key{};
  std::map<std::string, std::vector<std::int32_t>> by_name;
  std::variant<std::monostate, inner, std::string> choice;
  std::pair<int, double> two;
  std::optional<std::vector<std::string>> maybe;
  friend bool operator==(const outer&, const outer&) = default;
};
class guarded {
 public:
  explicit guarded(int n = 0) : n_(n) {}
  int n() const { return n_; }
  template <class F>
  void each_member(F&& f) {
    f(n_);
  }
  template <class F>
  void each_member(F&& f) const {
    f(n_);
  }

 private:
  int n_;
};

outer example() {
  return {7,
          true,
          colour::green,
          std::string("a\0b", 3),
          {{0.5, 3}, {1.5, {}}},
          {1, 2.5f},
          {true, false, true},
          {1, 2, 3},
          {{"x", {1, 2}}, {"y", {}}},
          std::string("s"),
          {4, 0.25},
          std::vector<std::string>{"p", ""}};
}

static_assert(ql::detail::arity<outer> == 12 && ql::detail::arity<inner> == 2);

TEST(Archive, EveryKindComesBack) {
  const outer a = example();
  EXPECT_EQ(ql::from_bytes<outer>(ql::to_bytes(a)), a);
  EXPECT_EQ(ql::from_bytes<outer>(ql::to_bytes(outer{})), outer{});
  EXPECT_EQ(ql::from_bytes<guarded>(ql::to_bytes(guarded(9))).n(), 9);
  EXPECT_EQ(ql::to_bytes(a), ql::to_bytes(example()));
  std::vector<double> special{0.0, -0.0, std::numeric_limits<double>::quiet_NaN()};
  const auto back = ql::from_bytes<std::vector<double>>(ql::to_bytes(special));
  EXPECT_EQ(std::memcmp(back.data(), special.data(), sizeof(double) * 3), 0);
}

TEST(Archive, LayoutIsSpelled) {
  EXPECT_EQ(ql::layout_of<inner>(), "{f64,?i32}");
  EXPECT_EQ(ql::layout_of<outer>(),
            "{i64,b,eu8,s,[{f64,?i32}],[f32],[b],u32*3,[s:[i32]],<{}|{f64,?i32}|s>,{i32,f64},?[s]}");
  EXPECT_EQ(ql::layout_of<ql::bf16>(), "bf16");
}

TEST(Archive, AnotherLayoutIsRefused) {
  QL_EXPECT_MESSAGE(ql::from_bytes<std::vector<double>>(ql::to_bytes(inner{})), ql::archive_error,
                    "saved as {f64,?i32}, wanted as [f64]");
}

TEST(Archive, EveryTruncationIsFound) {
  const std::string whole = ql::to_bytes(example());
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_THROW(ql::from_bytes<outer>(std::string_view(whole).substr(0, n)), ql::archive_error) << n;
  EXPECT_THROW(ql::from_bytes<outer>(whole + "x"), ql::archive_error);
}

TEST(Archive, DamageNeverAsksForMoreThanThereIs) {
  const std::string whole = ql::to_bytes(example());
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      try {
        const outer o = ql::from_bytes<outer>(damaged);
        EXPECT_LE(o.weights.size() + o.items.size() + o.name.size(), whole.size());
      } catch (const ql::archive_error&) {
      }
    }
  }
}

}  // namespace
