// SPDX-License-Identifier: Apache-2.0
#pragma once

// TensorBoard's event files: TFRecord framing (length, masked CRC32C, bytes, masked CRC32C) around protocol buffers of
// which three messages are needed: Event {1: wall_time, 2: step, 3: file_version, 5: summary}, Summary {1: value},
// Value {1: tag, 2: simple_value}.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql::io::tensorboard {

// Castagnoli's CRC (reflected polynomial 0x82f63b78).  crc32c("123456789") == 0xe3069283
std::uint32_t crc32c(std::string_view bytes);

// The record that opens a file.
std::string version_record(double wall);
// One event with a scalar per tag.
std::string scalars_record(double wall, std::int64_t step, const std::vector<std::pair<std::string, float>>& scalars);

}  // namespace ql::io::tensorboard
