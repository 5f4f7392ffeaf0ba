// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everything for the host.

#include <ql/backend/cpu/kernels.hpp>
#include <ql/core.hpp>
#include <ql/model/decoder.hpp>
#include <ql/model/session.hpp>
#include <ql/policy_update.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/aggregation.hpp>
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/correction.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/filter.hpp>
#include <ql/rl/kl.hpp>
#include <ql/rl/length.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/presets.hpp>
#include <ql/rl/reward.hpp>
#include <ql/rl/sampler.hpp>
#include <ql/rl/schedule.hpp>
#include <ql/rl/token_advantage.hpp>
#include <ql/tensor/lanes.hpp>
