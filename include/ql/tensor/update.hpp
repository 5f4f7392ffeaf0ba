// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace ql {

// One update, everything resolved to numbers.
struct adamw_args {
  double lr = 0, beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0;
  double correction1 = 1, correction2 = 1;  // 1 - beta^t
  double gradient_scale = 1;                // clipping
};
struct sgd_args {
  double lr = 0, momentum = 0, weight_decay = 0;
  bool nesterov = false;
  double gradient_scale = 1;
};

}  // namespace ql
