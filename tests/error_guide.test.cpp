// SPDX-License-Identifier: Apache-2.0
#include <ql/archive.hpp>
#include <ql/backend/cpu/kernels.hpp>
#include <ql/checkpoint.hpp>
#include <ql/comm/threads.hpp>
#include <ql/io/error_guide.hpp>
#include <ql/io/file.hpp>
#include <ql/io/json.hpp>
#include <ql/io/run_directory.hpp>
#include <ql/model/session.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/sampler.hpp>
#include <ql/text/chat_template.hpp>

#include "io/folder.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <vector>

// tests/error_guide_trainer.test.cpp: the two that need a trainer.
void train_on_nothing();
void interrupt_a_wait();

namespace {

using namespace ql;

struct policy_at_work {
  cpu::context ctx;
  model::decoder<float, cpu::context> policy;
  token_tree tree;
  std::vector<float> logp = std::vector<float>(4), dlogp = std::vector<float>(4, -1.0f);

  policy_at_work() : policy(ctx, shape()) {
    policy.initialise(ctx, 7);
    tree.add(tree.add_root(std::vector<token>{1, 2}), std::vector<token>{3, 4}, role::action);
    policy.zero_gradients(ctx);
  }
  static model::decoder_config shape() {
    model::decoder_config c;
    c.vocabulary = 32, c.hidden = 16, c.layers = 1, c.heads = 2, c.kv_heads = 1, c.ffn = 32;
    return c;
  }
  auto score() { return policy.score(ctx, tree, {}, {logp, {}}); }
};

struct provocation {
  const char* id;
  void (*act)();
};

// What a user does to meet each error.
const provocation provocations[] = {
    {"QL-E0001", [] { throw error("a component of the user's own"); }},
    {"QL-E0101",
     [] {
       policy_at_work p;
       auto tape = p.score();
       p.policy.backward(p.ctx, tape, {std::span<const float>(p.dlogp).first(3), {}});
     }},
    {"QL-E0102", [] { rl::ratio_cap(0.2); }},
    {"QL-E0103", [] { rl::expects_valid(rl::clip{.low = -0.1, .high = 0.2}); }},
    {"QL-E0104",
     [] {
       policy_at_work p;
       auto tape = p.score();
       p.policy.backward(p.ctx, tape, {p.dlogp, {}});
       p.policy.backward(p.ctx, tape, {p.dlogp, {}});
     }},
    {"QL-E0105",
     [] {
       policy_at_work p;
       auto tape = p.score();
       p.policy.publish(p.ctx);
       p.policy.backward(p.ctx, tape, {p.dlogp, {}});
     }},
    {"QL-E0106", train_on_nothing},
    {"QL-E0201",
     [] {
       policy_at_work p;
       p.policy.parameter("model.norm.weight").master.data()[0] = std::numeric_limits<float>::quiet_NaN();
       p.policy.publish(p.ctx);
       model::session<float, cpu::context> s(p.ctx, p.policy);
       s.add_leaf(s.add_root(std::vector<token>{1, 2}), 2, {});
       rl::stochastic sampler;
       s.step(sampler, model::stop_tokens{{0}});
     }},
    {"QL-E0202", [] { (void)cpu::kernels<float>("abacus"); }},
    {"QL-E0301",
     [] {
       const test::folder f;
       checkpoint_reader((f / "nothing").string());
     }},
    {"QL-E0302",
     [] {
       const test::folder f;
       checkpoint_store store(f / "c");
       store.save(1, [](checkpoint_writer& out) {
         out.array("huge", std::span<const float>(static_cast<const float*>(nullptr), std::size_t{1} << 50));
       });
     }},
    {"QL-E0303", [] { (void)io::json::parse("{\"open\": "); }},
    {"QL-E0304",
     [] {
       const test::folder f;
       {
         checkpoint_store store(f / "c");
         const std::vector<float> w(16, 1.0f);
         store.save(1, [&](checkpoint_writer& out) { out.array("w", std::span<const float>(w)); });
       }
       checkpoint_store store(f / "c");
       std::vector<double> w(16);
       store.newest()->array("w", std::span<double>(w));
     }},
    {"QL-E0305", [] { (void)from_bytes<std::vector<double>>(to_bytes(3)); }},
    {"QL-E0306",
     [] {
       const test::folder f;
       {
         const io::run_directory run(f / "r", io::json::parse("{\"lr\": 1}"));
       }
       io::run_directory(f / "r", io::json::parse("{\"lr\": 2}"));
     }},
    {"QL-E0307", [] { text::chat_template("{% if %}", "template"); }},
    {"QL-E0401",
     [] {
       comm::on_threads(2, [](comm::threads& c) {
         const char byte = 0;
         char got[2] = {};
         const auto mine = std::as_bytes(std::span(&byte, 1));
         const std::span<const std::byte> send[2] = {mine, mine};
         const auto room = std::as_writable_bytes(std::span(got));
         const std::span<std::byte> receive[2] = {room.first(1), room.subspan(1)};
         if (c.rank() == 0) c.exchange(send, receive);  // the other one is gone
       });
     }},
    {"QL-E0501", interrupt_a_wait},
};

TEST(ErrorGuide, EveryIdIsThatOfAnErrorSomebodyCanMeet) {
  std::set<std::string> provoked, told;
  for (const auto& p : provocations) {
    provoked.insert(p.id);
    try {
      p.act();
      ADD_FAILURE() << p.id << ": nothing was thrown";
    } catch (const error& e) {
      EXPECT_STREQ(e.id(), p.id) << e.what();
      EXPECT_NE(std::string(e.what()), "");
    }
  }
  for (const auto& e : io::error_guide()) told.insert(e.id);
  EXPECT_EQ(provoked, told);
  EXPECT_EQ(told.size(), io::error_guide().size());
}

TEST(ErrorGuide, EntriesAreWholeAndFoundByTheirIds) {
  std::string before;
  for (const auto& e : io::error_guide()) {
    EXPECT_LT(before, e.id);
    before = e.id;
    for (const char* part : {e.type, e.what, e.cause, e.remedy}) EXPECT_NE(std::string(part), "") << e.id;
    EXPECT_EQ(io::find_error(e.id), &e);
    EXPECT_NE(io::error_page().find(io::text_of(e)), std::string::npos) << e.id;
  }
  EXPECT_EQ(io::find_error("e0302"), io::find_error("QL-E0302"));
  for (const char* nothing : {"", "QL-", "QL-E9999", "E03021", "QL-QL-E0302"})
    EXPECT_EQ(io::find_error(nothing), nullptr);
}

}  // namespace
