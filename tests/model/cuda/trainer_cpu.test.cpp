// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/device_trainer.hpp"
#include "model/support/instances.hpp"

namespace ql::test {

trained_run train_on_cpu() {
  cpu::context ctx;
  return train_on(ctx);
}

}  // namespace ql::test
