// SPDX-License-Identifier: Apache-2.0
// Tiny random models that transformers made, with its logits and greedy ids (tests/golden/transformers_models.py).
#include <ql/io/file.hpp>
#include <ql/io/json.hpp>
#include <ql/io/model_config.hpp>
#include <ql/io/weights.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <iostream>

#include "model/support/instances.hpp"
#include "support/source.hpp"

using namespace ql;
using namespace ql::test;
namespace fs = std::filesystem;

namespace {

// A decoder as load_weights() and save_weights() see it; its members are compiled elsewhere.
struct loadable {
  decoder_of<float>& decoder;
  auto& parameters() { return decoder.parameters(); }
  const auto& parameters() const { return decoder.parameters(); }
  void publish(cpu::context& ctx) { test::publish<float>(ctx, decoder); }
};

class keeping_greedy {
 public:
  const ql::distribution& distribution() const { return greedy_.distribution(); }
  rl::draw operator()(const logits_row<float>& row, double u) {
    if (first.empty()) first.assign(row.z.begin(), row.z.end());
    return greedy_(row, u);
  }
  std::vector<float> first;

 private:
  rl::greedy greedy_;
};

std::vector<token> ids_of(const io::json::value& v) {
  std::vector<token> ids;
  for (const auto& x : v.array()) ids.push_back(static_cast<token>(x.integer()));
  return ids;
}

std::string bytes_of(const fs::path& p) {
  const io::mapped_file f(p);
  return {reinterpret_cast<const char*>(f.bytes().data()), f.size()};
}

class Transformers : public testing::TestWithParam<const char*> {};

TEST_P(Transformers, SameLogitsSameGreedyIds) {
  const fs::path folder = source_file("tests/golden/transformers") / GetParam();
  const auto config = io::model_config::read(folder);
  const auto weights = io::checkpoint::open(folder);
  cpu::context ctx;
  const auto policy = make_decoder<float>(ctx, io::decoder_of(config));
  loadable all{*policy};
  io::load_weights(ctx, weights, all);
  double logits = 0, logprobs = 0;
  std::int64_t greedy = 0, longest = 0;
  const std::string text = io::read_file(folder / "golden.jsonl");
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    const auto line = io::json::parse(std::string_view(text).substr(at, end - at));
    at = end + 1;
    const auto ids = ids_of(line.at("ids")), wanted = ids_of(line.at("greedy_ids"));
    longest = std::max(longest, static_cast<std::int64_t>(ids.size()));

    token_tree tree;
    tree.add_root(ids, role::action, true);
    std::vector<float> logp(ids.size());
    policy->score(ctx, tree, {}, {logp, {}});
    for (std::size_t i = 1; i < logp.size(); ++i)
      logprobs = std::max(logprobs, std::abs(static_cast<double>(logp[i]) - line.at("logprobs").array()[i].real()));

    grower<float> session(ctx, *policy);
    session.add_leaf(session.add_root(ids), static_cast<std::int64_t>(wanted.size()), {});
    keeping_greedy sampler;
    while (session.step(sampler, model::stop_tokens{config.eos_token_ids}) > 0) {
    }
    const auto rollout = session.finish();
    const auto said = rollout.tree.ids(1);
    EXPECT_EQ(std::vector<token>(said.begin(), said.end()), wanted);
    greedy += static_cast<std::int64_t>(wanted.size());
    ASSERT_EQ(sampler.first.size(), line.at("last_logits").array().size());
    for (std::size_t i = 0; i < sampler.first.size(); ++i)
      logits =
          std::max(logits, std::abs(static_cast<double>(sampler.first[i]) - line.at("last_logits").array()[i].real()));
  }
  std::cout << GetParam() << ": logits within " << logits << ", log-probs within " << logprobs << ", " << greedy
            << " greedy ids the same" << std::endl;
  EXPECT_LE(logits, 1e-4);
  EXPECT_LE(logprobs, 1e-4);
  EXPECT_GE(greedy, 3);
  EXPECT_GT(longest, 32);  // past the context that the scaled ropes were trained on
}

TEST_P(Transformers, ListOfTensorsIsTheDecoders) {
  const fs::path folder = source_file("tests/golden/transformers") / GetParam();
  const auto config = io::model_config::read(folder);
  cpu::context ctx;
  const auto policy = make_decoder<float>(ctx, io::decoder_of(config));
  const auto tensors = io::tensors_of(config);
  ASSERT_EQ(tensors.size(), policy->parameters().size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& p = policy->parameters()[i];
    EXPECT_EQ(tensors[i].name, p.name);
    EXPECT_EQ(tensors[i].shape,
              p.vector() ? std::vector<std::int64_t>{p.columns} : (std::vector<std::int64_t>{p.rows, p.columns}));
  }
}

TEST_P(Transformers, AnUnchangedModelIsSavedByteForByte) {
  const fs::path folder = source_file("tests/golden/transformers") / GetParam();
  const auto config = io::model_config::read(folder);
  const auto weights = io::checkpoint::open(folder);
  cpu::context ctx;
  const auto policy = make_decoder<float>(ctx, io::decoder_of(config));
  loadable all{*policy};
  io::load_weights(ctx, weights, all);
  std::string name = (fs::temp_directory_path() / "ql-test-XXXXXX").string();
  const fs::path out = ::mkdtemp(name.data());
  io::save_weights(all, weights, out);
  EXPECT_TRUE(bytes_of(out / "model.safetensors") == bytes_of(folder / "model.safetensors"));
  EXPECT_EQ(config.patched(), bytes_of(folder / "config.json"));
  fs::remove_all(out);
}

INSTANTIATE_TEST_SUITE_P(, Transformers,
                         testing::Values("qwen2", "qwen2_yarn", "qwen3", "llama_linear", "llama_yarn", "llama_llama3"),
                         [](const auto& i) { return std::string(i.param); });

}  // namespace
