// SPDX-License-Identifier: Apache-2.0
#pragma once

// The vocabulary of ql: scalars, math, random numbers, views, trees, the declarations of operations. Standard library
// only. The algorithms stand in ql/rl/, one header a subject, and need nothing else.

#include <ql/config.hpp>
#include <ql/context.hpp>
#include <ql/dispatch.hpp>
#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/random.hpp>
#include <ql/scalar.hpp>
#include <ql/tensor/distribution.hpp>
#include <ql/tensor/numerics.hpp>
#include <ql/tensor/operations.hpp>
#include <ql/tensor/tensor.hpp>
#include <ql/tensor/token_tree.hpp>
#include <ql/tensor/view.hpp>
#include <ql/version.hpp>
