// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <type_traits>

#include "model/support/instances.hpp"
#include "model/support/shapes.hpp"
#include "support/random_tree.hpp"

namespace ql::test {

// "operation: argument: expected E, got G", where E and G hold these.
struct says {
  std::string_view operation, argument, expected, got;
};
struct action {
  void* object;
  void (*run)(void*);
};
template <class Error>
void refused_with(action a, const says& m) {
  try {
    a.run(a.object);
    ADD_FAILURE() << "nothing is thrown; expected: " << m.operation << ": " << m.argument;
  } catch (const Error& e) {
    const std::string what = e.what(), begin = std::string(m.operation).append(": ").append(m.argument) + ": expected ";
    const auto got = what.rfind(", got ");
    const bool good = what.starts_with(begin) && got != std::string::npos &&
                      what.substr(0, got).find(m.expected) != std::string::npos &&
                      what.substr(got).find(m.got) != std::string::npos;
    EXPECT_TRUE(good) << what << "\n  expected: " << begin << m.expected << ", got " << m.got;
  }
}
template <class Error, class F>
void refuses(F&& f, const says& m) {
  refused_with<Error>({&f, [](void* p) { (*static_cast<std::remove_reference_t<F>*>(p))(); }}, m);
}

// A decoder of 20 entries and paths of at most 80 tokens.
struct Misuse : testing::Test {
  static constexpr std::int64_t entries = 20;
  static model::decoder_config shape() {
    auto c = llama(entries, 16, 1);
    c.max_context = 80;
    return c;
  }
  token_tree group() {
    token_tree t;
    const auto root = t.add_root(d.ids(30, entries));
    t.add(root, d.ids(10, entries));
    t.add(root, d.ids(12, entries));
    return t;
  }
  void score(const token_tree& t) { policy->score(ctx, t, {}, {}); }

  cpu::context ctx;
  dice d{1};
  decoder_ptr<float> policy = make_decoder<float>(ctx, shape());
  std::vector<float> dlogp = std::vector<float>(52, 1.0f);
  model::stop_tokens never;
};

}  // namespace ql::test
