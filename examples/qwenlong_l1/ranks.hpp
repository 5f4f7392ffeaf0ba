// SPDX-License-Identifier: Apache-2.0
#pragma once

// Processes that a launcher (mpirun, srun) started, as the ranks of one run.

#include <ql/comm/any.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace ql {
enum class update_split : std::uint8_t;  // data_parallel.hpp
}

namespace ql::tool {

// The option --split of verbs that know ranks: its words, what it says of itself, and what a word means.
inline constexpr auto split_words = {"lanes", "rows", "heads"};
inline constexpr const char* split_help =
    "how ranks share an update: lanes (data parallel), rows (context parallel, keys are gathered), heads (context "
    "parallel, attention by heads)";
update_split split_of(std::string_view word);

// f(the ranks, or nothing where this process is alone); what it returns is the exit code. When a rank is dead or frozen
// the others say which and end with 75. Throws argument_error where processes were started together and cannot be:
// without MPI in the program, or by a launcher that this MPI does not know.
int on_ranks(const std::function<int(std::optional<comm::any>)>& f);

// Throws argument_error where other processes do the same beside this one.
void expect_alone();

// f() on all ranks, and none goes on where it throws on one. What fails alike on all of them rank 0 says alone.
void together(const std::optional<comm::any>& ranks, const std::function<void()>& f);

}  // namespace ql::tool
