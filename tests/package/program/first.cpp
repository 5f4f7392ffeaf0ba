// SPDX-License-Identifier: Apache-2.0
// A stranger's program of two translation units that both include all of ql: a small policy scores a prompt here and in
// second.cpp, and each compiled part of ql is called.
#include <ql/comm/threads.hpp>
#include <ql/io/json.hpp>
#include <ql/ql.hpp>
#include <ql/trainer.hpp>

#include <vector>

std::vector<float> second();

int main() {
  ql::cpu::context ctx;
  ql::model::decoder_config shape;
  shape.vocabulary = 32, shape.hidden = 16, shape.layers = 1, shape.heads = 2, shape.kv_heads = 1, shape.ffn = 32;
  ql::model::decoder<float, ql::cpu::context> policy(ctx, shape);
  policy.initialise(ctx, 7);
  ql::token_tree tree;
  const auto prompt = tree.add_root(std::vector<ql::token>{1, 2});
  tree.add(prompt, std::vector<ql::token>{3, 4}, ql::role::action);
  std::vector<float> logp(4);
  policy.score(ctx, tree, {}, {logp, {}});
  const auto recipe = ql::recipe(ql::slot::loss = ql::rl::clip_higher, ql::slot::aggregation = ql::rl::token_mean{});
  if (!recipe[ql::slot::aggregation].split_invariant) return 2;
  if (ql::io::json::dump(ql::io::json::parse("[1,2]")).empty()) return 3;
  int ranks = 0;
  ql::comm::on_threads(2, [&](ql::comm::threads& c) {
    if (c.rank() == 0) ranks = c.size();
  });
  return logp == second() && logp[3] < 0 && ranks == 2 ? 0 : 1;
}
