// SPDX-License-Identifier: Apache-2.0
#pragma once

// Compiles kernel bodies for the emulated device. Included where bodies are instantiated (cmake/cuda.cmake writes such
// files for those of ql), and beside a body of one's own.

#include <ql/backend/cuda/emulated.hpp>
#include <ql/detail/flush_subnormals.hpp>

#include <type_traits>

namespace ql::cuda {

template <class Body>
void emulated_device::launch(const launch_shape& shape, const typename Body::arguments& a) {
  static_assert(std::is_trivially_copyable_v<typename Body::arguments>, "a kernel's arguments are copied by bytes");
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
  auto plain = a;
  __builtin_clear_padding(&plain);  // padding may hold anything
  expects_device_pointers(&plain, sizeof(plain));
#endif
#endif
  open o(*this);
  ql::detail::flush_subnormals scope;
  ++launches;
  for (std::int64_t i = 0; i < shape.blocks; ++i) {
    emulated_block block(how, how.backwards ? shape.blocks - 1 - i : i, shape.shared_bytes);
    Body::run(block, a);
  }
}

}  // namespace ql::cuda
