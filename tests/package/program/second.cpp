// SPDX-License-Identifier: Apache-2.0
#include <ql/comm/threads.hpp>
#include <ql/io/json.hpp>
#include <ql/ql.hpp>
#include <ql/trainer.hpp>

#include <vector>

std::vector<float> second();

std::vector<float> second() {
  ql::cpu::context ctx({.threads = 2});
  ql::model::decoder_config shape;
  shape.vocabulary = 32, shape.hidden = 16, shape.layers = 1, shape.heads = 2, shape.kv_heads = 1, shape.ffn = 32;
  ql::model::decoder<float, ql::cpu::context> policy(ctx, shape);
  policy.initialise(ctx, 7);
  ql::token_tree tree;
  const auto prompt = tree.add_root(std::vector<ql::token>{1, 2});
  tree.add(prompt, std::vector<ql::token>{3, 4}, ql::role::action);
  std::vector<float> logp(4);
  policy.score(ctx, tree, {}, {logp, {}});
  return logp;
}
