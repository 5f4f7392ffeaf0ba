// SPDX-License-Identifier: Apache-2.0
#pragma once

// Every operation on the CPU. Include before the first use; link ql::cpu.

#include <ql/backend/cpu/attention.hpp>
#include <ql/backend/cpu/context.hpp>
#include <ql/backend/cpu/linear.hpp>
#include <ql/backend/cpu/parameters.hpp>
#include <ql/backend/cpu/rows.hpp>
#include <ql/backend/cpu/vocabulary.hpp>
