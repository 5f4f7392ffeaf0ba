// SPDX-License-Identifier: Apache-2.0
#pragma once

// Every operation on CUDA. Include before the first use; link ql::cuda for a device, nothing for its emulation.

#include <ql/backend/cuda/attention.hpp>
#include <ql/backend/cuda/context.hpp>
#include <ql/backend/cuda/linear.hpp>
#include <ql/backend/cuda/parameters.hpp>
#include <ql/backend/cuda/rows.hpp>
#include <ql/backend/cuda/vocabulary.hpp>
