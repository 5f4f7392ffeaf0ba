// SPDX-License-Identifier: Apache-2.0
#include <ql/io/weights.hpp>

#include <algorithm>
#include <cstring>
#include <set>

namespace ql::io {
namespace detail {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return ql::detail::show_shape(std::span<const std::int64_t>(shape));
}

}  // namespace

void check_weights(const checkpoint& c, const std::vector<weight_place>& places) {
  std::set<std::string_view> known;
  for (const auto& place : places) {
    known.insert(*place.name);
    const auto& t = c.at(*place.name);
    if (t.shape != place.shape)
      throw format_error("weights: \"" + t.name + "\": expected shape " + shape_text(place.shape) +
                         " (config.json), got " + shape_text(t.shape));
  }
  for (const auto* t : c.tensors()) {
    if (known.contains(t->name) || t->name.ends_with(".rotary_emb.inv_freq")) continue;
    if (t->name != head_name)
      throw format_error("weights: \"" + t->name.substr(0, 200) +
                         "\" is not a tensor of this model; config.json and the weights do not belong together");
    const auto& e = c.at(embedding_name);
    if (t->type != e.type || t->shape != e.shape || std::memcmp(t->bytes.data(), e.bytes.data(), e.bytes.size()) != 0)
      throw format_error(
          "weights: \"lm_head.weight\" differs from the embeddings, but config.json says "
          "tie_word_embeddings; set that to false, or remove the tensor");
  }
}

}  // namespace detail

void values_to_bytes(std::span<const float> values, dtype type, std::vector<std::byte>& out) {
  if (type != dtype::f32 && type != dtype::bf16 && type != dtype::f16)
    throw argument_error("weights: expected type F32, F16 or BF16, got " + std::string(dtype_name(type)));
  out.resize(values.size() * dtype_size(type));
  if (type == dtype::f32) {
    std::memcpy(out.data(), values.data(), out.size());
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits =
        type == dtype::bf16 ? __builtin_bit_cast(std::uint16_t, bf16(values[i])) : float_to_half(values[i]);
    std::memcpy(out.data() + 2 * i, &bits, 2);
  }
}

}  // namespace ql::io
