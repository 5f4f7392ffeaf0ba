// SPDX-License-Identifier: Apache-2.0
#include <ql/comm/launch.hpp>
#include <ql/comm/threads.hpp>
#include <ql/testing/communicator.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace {
using namespace ql::comm;
namespace laws = ql::testing::laws;
using ::testing::HasSubstr;

TEST(Communicator, SoloKeepsTheLaws) {
  solo c;
  EXPECT_EQ(laws::communicator(c), "");
}
TEST(CommunicatorThreads, KeepTheLaws) {
  for (const int size : {1, 2, 3, 8})
    on_threads(size, [](threads& c) { EXPECT_EQ(laws::communicator(c, 5000), "") << c.rank(); });
}
TEST(CommunicatorThreads, SumsAreFoldedByRank) {
  // ((1 + 1e8) - 1e8) + 1 in float: 1e8 swallows the first 1 and leaves the last
  on_threads(4, [](threads& c) {
    constexpr float of[] = {1.0f, 1e8f, -1e8f, 1.0f};
    std::vector<float> x(5, of[c.rank()]);
    all_reduce_sum<threads, float>(c, x);
    EXPECT_EQ(x, std::vector<float>(5, 1.0f));
  });
}
TEST(CommunicatorThreads, ARankThatLeavesIsNamed) {
  std::atomic<int> told = 0;
  on_threads(4, [&](threads& c) {
    barrier(c);
    if (c.rank() == 2) return;
    try {
      barrier(c);
    } catch (const comm_error& e) {
      EXPECT_EQ(e.rank(), 2) << e.what();
      EXPECT_THAT(e.what(), HasSubstr("rank 2, which has left"));
      ++told;
    }
  });
  EXPECT_EQ(told, 3);
}
TEST(CommunicatorThreads, ARankThatFailsIsTheOneWhoseExceptionIsSeen) {
  const auto run = [](threads& c) {
    if (c.rank() == 1) throw std::runtime_error("the cause");
    barrier(c);
  };
  try {
    on_threads(3, run);
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "the cause");
  }
}
TEST(CommunicatorThreads, ASilentRankIsNamed) {
  thread_group group(2, 0.01);
  threads here(group, 0), silent(group, 1);
  try {
    barrier(here);
    FAIL();
  } catch (const comm_error& e) {
    EXPECT_EQ(e.rank(), 1);
    EXPECT_THAT(e.what(), HasSubstr("rank 1, which is silent"));
  }
}
TEST(CommunicatorThreads, RanksAtDifferentPlacesAreNoticed) {
  std::atomic<int> told = 0;
  on_threads(3, [&](threads& c) {
    std::vector<std::int32_t> all(c.rank() == 1 ? 6 : 3), own(all.size() / 3);
    try {
      all_gather<threads, std::int32_t>(c, own, all);
    } catch (const comm_error& e) {
      EXPECT_THAT(e.what(), HasSubstr("not at the same place"));
      ++told;
    }
  });
  EXPECT_EQ(told, 3);
}
TEST(Communicator, Misuse) {
  solo c;
  std::vector<float> two(2), one(1);
  EXPECT_THROW((all_gather<solo, float>(c, two, one)), ql::shape_error);
  const volatile int beyond = 1;  // g++ 12 warns of what the check forbids
  EXPECT_THROW((broadcast<solo, float>(c, two, beyond)), ql::argument_error);
  EXPECT_THROW(thread_group(0), ql::argument_error);
  thread_group group(2);
  EXPECT_THROW(threads(group, 2), ql::argument_error);
}
TEST(Communicator, SharesAreConsecutiveAndEven) {
  for (const std::int64_t n : {0, 1, 7, 8, 100})
    for (const int size : {1, 2, 3, 8}) {
      std::int64_t at = 0;
      for (int r = 0; r < size; ++r) {
        const auto s = share_of(n, r, size);
        EXPECT_EQ(s.begin, at);
        EXPECT_TRUE(s.size() == n / size || s.size() == n / size + 1);
        at = s.end;
      }
      EXPECT_EQ(at, n);
    }
}

using variables = std::map<std::string, std::string>;
launch with(const variables& environment) {
  return find_launch([&](const char* name) -> const char* {
    const auto at = environment.find(name);
    return at == environment.end() ? nullptr : at->second.c_str();
  });
}
TEST(Launch, Conventions) {
  EXPECT_EQ(with({}), launch{});
  const variables torchrun = {
      {"RANK", "3"}, {"WORLD_SIZE", "8"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "n7"}, {"MASTER_PORT", "29500"}};
  EXPECT_EQ(with(torchrun),
            (launch{.rank = 3, .size = 8, .local_rank = 1, .master = "n7", .port = 29500, .by = "torchrun"}));
  EXPECT_EQ(with({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "0"}}),
            (launch{.rank = 0, .size = 2, .by = "mpirun (Open MPI)"}));
  EXPECT_EQ(with({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}),
            (launch{.rank = 1, .size = 2, .local_rank = 1, .by = "mpirun (PMI)"}));
  EXPECT_EQ(with({{"SLURM_PROCID", "5"}, {"SLURM_STEP_NUM_TASKS", "6"}, {"SLURM_LOCALID", "2"}}),
            (launch{.rank = 5, .size = 6, .local_rank = 2, .by = "srun"}));
  // a batch script is no step; an mpirun within a step counts
  EXPECT_EQ(with({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "6"}}), launch{});
  EXPECT_EQ(with({{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "1"}, {"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}).rank, 1);
  EXPECT_EQ(with({{"RANK", "gold"}}), launch{});  // somebody else's variable
}
TEST(Launch, BadEnvironmentsAreNamed) {
  const auto complaint = [](const variables& environment) -> std::string {
    try {
      with(environment);
    } catch (const ql::argument_error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_THAT(complaint({{"RANK", "x"}, {"WORLD_SIZE", "2"}}),
              HasSubstr("RANK: expected an integer, 0 or more, got x"));
  EXPECT_THAT(complaint({{"RANK", "2"}, {"WORLD_SIZE", "2"}}), HasSubstr("RANK: expected below WORLD_SIZE = 2, got 2"));
  EXPECT_THAT(complaint({{"RANK", "0"}, {"WORLD_SIZE", "0"}}), HasSubstr("WORLD_SIZE"));
  EXPECT_THAT(complaint({{"RANK", "1 "}, {"WORLD_SIZE", "2"}}), HasSubstr("RANK"));
  EXPECT_THAT(complaint({{"RANK", "99999999999"}, {"WORLD_SIZE", "2"}}), HasSubstr("RANK"));
  EXPECT_THAT(complaint({{"PMI_RANK", "1"}}), HasSubstr("PMI_SIZE: expected to be set"));
  EXPECT_THAT(complaint({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}),
              HasSubstr("expected rank 0 of 2 as torchrun says, got 1 of 2"));
  EXPECT_THAT(complaint({{"RANK", "0"}, {"WORLD_SIZE", "2"}, {"MASTER_PORT", "70000"}}), HasSubstr("MASTER_PORT"));
}

}  // namespace
