// SPDX-License-Identifier: Apache-2.0
#include <ql/io/weights.hpp>

#include "io/folder.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace {

using ql::io::dtype;
using ql::io::format_error;

// The members of a policy that weights are loaded into.
template <class A>
struct stub_parameter {
  std::string name;
  std::int64_t rows, columns;
  bool product;
  std::vector<A> master;
  std::int64_t size() const { return rows * columns; }
  bool vector() const { return rows == 1 && !product; }
};
template <class A>
struct stub_policy {
  std::vector<stub_parameter<A>> list;
  int published = 0;
  stub_policy& add(std::string name, std::int64_t rows, std::int64_t columns, bool product = true) {
    list.push_back({std::move(name), rows, columns, product, std::vector<A>(static_cast<std::size_t>(rows * columns))});
    return *this;
  }
  auto& parameters() { return list; }
  const auto& parameters() const { return list; }
  void publish(int&) { ++published; }
};
template <class A = float>
stub_policy<A> small() {
  stub_policy<A> p;
  p.add("model.embed_tokens.weight", 3, 2).add("model.norm.weight", 1, 2, false);
  return p;
}
template <class A>
void fill(stub_policy<A>& p, double from) {
  for (auto& w : p.list)
    for (auto& x : w.master) x = static_cast<A>(from += 0.3);
}
int context = 0;

TEST(Weights, AreWrittenAndReadAgainInEveryType) {
  for (const dtype type : {dtype::f32, dtype::bf16, dtype::f16}) {
    const ql::test::folder f;
    auto p = small();
    fill(p, 1.0);
    ql::io::save_weights(p, f.path(), type);
    const auto c = ql::io::checkpoint::open(f.path());
    EXPECT_EQ(c.at("model.norm.weight").shape, std::vector<std::int64_t>{2});
    EXPECT_EQ(c.at("model.embed_tokens.weight").type, type);
    auto q = small();
    ql::io::load_weights(context, c, q);
    EXPECT_EQ(q.published, 1);
    auto wide = small<double>();
    ql::io::load_weights(context, c, wide);
    for (std::size_t i = 0; i < p.list.size(); ++i)
      for (std::size_t k = 0; k < p.list[i].master.size(); ++k) {
        const float x = p.list[i].master[k];
        const float wanted = type == dtype::f32    ? x
                             : type == dtype::bf16 ? static_cast<float>(ql::bf16(x))
                                                   : ql::io::half_to_float(ql::io::float_to_half(x));
        EXPECT_EQ(q.list[i].master[k], wanted);
        EXPECT_EQ(wide.list[i].master[k], static_cast<double>(wanted));
      }
  }
}

TEST(Weights, UnchangedOnesComeOutByteForByte) {
  const ql::test::folder f, g;
  auto p = small();
  fill(p, -1.0);
  ql::io::save_options o;
  o.shard_bytes = 8;  // two files
  ql::io::save_weights(p, f.path(), dtype::bf16, o);
  const auto c = ql::io::checkpoint::open(f.path());
  EXPECT_EQ(c.shards().size(), 2u);
  auto q = small();
  ql::io::load_weights(context, c, q);
  ql::io::save_weights(q, c, g.path());
  for (const auto& entry : std::filesystem::directory_iterator(f.path()))
    EXPECT_EQ(ql::test::bytes_of(g / entry.path().filename().string()), ql::test::bytes_of(entry.path()));
  q.list[0].master[0] = 7.0f;
  const ql::test::folder h;
  ql::io::save_weights(q, c, h.path());
  const auto changed = ql::io::checkpoint::open(h.path());
  std::vector<float> values(6);
  ql::io::read_values(changed.at("model.embed_tokens.weight"), std::span<float>(values));
  EXPECT_EQ(values[0], 7.0f);
  EXPECT_EQ(values[1], q.list[0].master[1]);
}

TEST(Weights, MustBeThePolicys) {
  const ql::test::folder f, g, h;
  auto more = small();
  more.add("model.layers.0.extra", 1, 2);
  fill(more, 0);
  ql::io::save_weights(more, f.path(), dtype::f32);
  const auto c = ql::io::checkpoint::open(f.path());
  auto p = small();
  QL_EXPECT_MESSAGE(ql::io::load_weights(context, c, p), format_error,
                    "\"model.layers.0.extra\" is not a tensor of this model");
  auto missing = more;
  missing.add("model.layers.1.extra", 1, 2);
  QL_EXPECT_MESSAGE(ql::io::load_weights(context, c, missing), format_error,
                    "no tensor \"model.layers.1.extra\" (there is \"model.layers.0.extra\")");
  auto other = more;
  other.list[0].columns = 4, other.list[0].master.resize(12);
  QL_EXPECT_MESSAGE(ql::io::load_weights(context, c, other), format_error,
                    "expected shape (3, 4) (config.json), got (3, 2)");
  EXPECT_EQ(p.published + missing.published + other.published, 0);
}

TEST(Weights, AHeadBesideTiedEmbeddingsMustEqualThem) {
  const ql::test::folder f, g, h;
  auto untied = small();
  untied.add("lm_head.weight", 3, 2);
  fill(untied, 0);
  ql::io::save_weights(untied, f.path(), dtype::f32);
  auto tied = small();
  QL_EXPECT_MESSAGE(ql::io::load_weights(context, ql::io::checkpoint::open(f.path()), tied), format_error,
                    "differs from the embeddings");
  untied.list[2].master = untied.list[0].master;
  ql::io::save_weights(untied, g.path(), dtype::f32);
  const auto c = ql::io::checkpoint::open(g.path());
  ql::io::load_weights(context, c, tied);
  tied.list[0].master[5] = 9.0f;
  ql::io::save_weights(tied, c, h.path());
  const auto written = ql::io::checkpoint::open(h.path());
  std::vector<float> values(6);
  ql::io::read_values(written.at("lm_head.weight"), std::span<float>(values));
  EXPECT_EQ(values, tied.list[0].master);
}

}  // namespace
