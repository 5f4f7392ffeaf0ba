// SPDX-License-Identifier: Apache-2.0
// sources: safetensors file json
#include <ql/io/safetensors.hpp>

#include <cstdint>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto s = ql::io::safetensors::view(std::as_bytes(std::span(data, size)));
    std::size_t total = 0;
    for (const auto& t : s.tensors()) {
      total += t.bytes.size();
      if (s.find(t.name) != &t) __builtin_trap();
      if (t.type != ql::io::dtype::f32 && t.type != ql::io::dtype::f16 && t.type != ql::io::dtype::bf16) continue;
      std::vector<float> values(static_cast<std::size_t>(t.size()));
      ql::io::read_values(t, values);
    }
    if (total + s.header().size() + 8 != size) __builtin_trap();
  } catch (const ql::error&) {
  }
  return 0;
}
