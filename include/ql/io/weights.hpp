// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/safetensors.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ql::io {

// The bytes of values in a type of f32, bf16 or f16, rounded to nearest even: read_values() the other way.
void values_to_bytes(std::span<const float> values, dtype type, std::vector<std::byte>& out);

namespace detail {

inline constexpr std::string_view embedding_name = "model.embed_tokens.weight", head_name = "lm_head.weight";

// A parameter as a file sees it.
struct weight_place {
  const std::string* name;
  std::vector<std::int64_t> shape;
  std::int64_t size;
};
// Every parameter is there in the right shape, and nothing is there that no parameter takes; otherwise throws
// format_error naming what is missing, misshapen or left over.
void check_weights(const checkpoint& c, const std::vector<weight_place>& places);

template <class Parameters>
std::vector<weight_place> places_of(const Parameters& parameters) {
  std::vector<weight_place> all;
  for (const auto& p : parameters) {
    std::vector<std::int64_t> shape{p.columns};
    if (!p.vector()) shape = {p.rows, p.columns};
    all.push_back({&p.name, static_cast<std::vector<std::int64_t>&&>(shape), p.size()});
  }
  return all;
}

// The values of p in float, in `store` where they are not float already.
template <class Parameter>
std::span<const float> float_values(const Parameter& p, std::vector<float>& store) {
  const auto n = static_cast<std::size_t>(p.size());
  if constexpr (requires(const float* f) { f = p.master.data(); }) {
    return {p.master.data(), n};
  } else {
    store.assign(p.master.data(), p.master.data() + n);
    return store;
  }
}

}  // namespace detail

// Copies a checkpoint's values into a policy's master weights and publishes them. Tensors of F32, F16 and BF16; a head
// stored beside tied embeddings must equal them. Throws format_error naming the first tensor that is missing, of
// another shape, or not the policy's.
template <class Policy, class Context>
void load_weights(Context& ctx, const checkpoint& c, Policy& policy) {
  detail::check_weights(c, detail::places_of(policy.parameters()));
  std::vector<float> values;
  for (auto& p : policy.parameters()) {
    const auto n = static_cast<std::size_t>(p.size());
    if constexpr (requires(float* f) { f = p.master.data(); }) {
      read_values(c.at(p.name), std::span<float>(p.master.data(), n));
    } else {
      values.resize(n);
      read_values(c.at(p.name), std::span<float>(values));
      for (std::size_t i = 0; i < n; ++i) p.master.data()[i] = values[i];
    }
  }
  policy.publish(ctx);
}

// Writes a policy's master weights as a new checkpoint of type f32, bf16 (rounded to nearest even) or f16.
template <class Policy>
void save_weights(const Policy& policy, const file_path& directory, dtype type, const save_options& options = {}) {
  std::vector<tensor_entry> tensors;
  for (const auto& place : detail::places_of(policy.parameters()))
    tensors.push_back({*place.name, type, place.shape, {}});
  std::vector<float> values;
  std::vector<std::byte> bytes;
  save(
      static_cast<std::vector<tensor_entry>&&>(tensors), directory,
      [&](const tensor_entry& t) -> std::span<const std::byte> {
        for (const auto& p : policy.parameters())
          if (p.name == t.name) values_to_bytes(detail::float_values(p, values), type, bytes);
        return bytes;
      },
      options);
}

// Writes a policy over the checkpoint `like` that it was loaded from: the same files, headers, order and types, so that
// weights that did not change come out byte for byte.
template <class Policy>
void save_weights(const Policy& policy, const checkpoint& like, const file_path& directory) {
  detail::check_weights(like, detail::places_of(policy.parameters()));
  std::vector<float> values;
  std::vector<std::byte> bytes;
  save(like, directory, [&](const tensor_entry& t) -> std::span<const std::byte> {
    const auto write = [&](std::string_view name) {
      for (const auto& p : policy.parameters())
        if (p.name == name) {
          values_to_bytes(detail::float_values(p, values), t.type, bytes);
          return true;
        }
      return false;
    };
    // a head stored beside tied embeddings stays equal to them
    if (write(t.name) || (t.name == detail::head_name && write(detail::embedding_name))) return bytes;
    return t.bytes;  // rotation tables of old checkpoints
  });
}

}  // namespace ql::io
