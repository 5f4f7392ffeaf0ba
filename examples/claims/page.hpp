// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runs.hpp"

namespace claims {

// Writes claims.json, claims.md and claims.html into the folder of all runs, from what has ended.
void write_page(const plan& p, const std::vector<arm>& arms);

}  // namespace claims
