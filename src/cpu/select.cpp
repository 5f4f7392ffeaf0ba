// SPDX-License-Identifier: Apache-2.0
#include "tables.hpp"

#include <ql/error.hpp>

#include <string>

namespace ql::cpu {
namespace {

struct entry {
  std::string_view name;
  const detail::isa_tables* tables;
};
constexpr int most = 6;
struct registry {
  entry entries[most];
  std::string_view names[most];
  int count = 0;   // with the bits that all share
  int others = 0;  // behind them: with bits of their own
  const entry* best = nullptr;
  const entry* chosen = nullptr;
  void put(std::string_view name, const detail::isa_tables& t) {
    entries[count] = {name, &t};
    names[count++] = name;
  }
  registry() {
    put("portable", detail::portable_tables);
#if defined(__x86_64__)
    __builtin_cpu_init();
#if defined(QL_HAVE_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) put("avx2", detail::avx2_tables);
#endif
#if defined(QL_HAVE_AVX512)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
#if defined(QL_HAVE_AMX)
      put("amx-model", detail::amx_model_tables);
#endif
      put("avx512", detail::avx512_tables);
#if defined(QL_HAVE_AMX)
      if (detail::amx_usable()) put("amx", detail::amx_tables);
#endif
    }
#endif
#endif
#if defined(QL_HAVE_AVX512) && defined(QL_HAVE_AVX512BF16)
    if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
      entries[count + others++] = {"avx512-bf16", &detail::avx512bf16_tables};
#endif
    best = chosen = &entries[count - 1];
  }
};
registry& all() {
  static registry r;
  return r;
}
const entry& find(std::string_view name) {
  auto& r = all();
  std::string known;
  for (int i = 0; i < r.count + r.others; ++i) {
    if (r.entries[i].name == name) return r.entries[i];
    known += (i == 0 ? "" : ", ") + std::string(r.entries[i].name);
  }
  ql::detail::fail<backend_error>("cpu::kernels", "name", "one of " + known + " (what this build and machine have)",
                                  name);
}
template <class T>
const kernel_table<T>& of(const entry& e) {
  if constexpr (std::same_as<T, float>) {
    return *e.tables->of_float;
  } else if constexpr (std::same_as<T, double>) {
    return *e.tables->of_double;
  } else {
    return *e.tables->of_bf16;
  }
}

}  // namespace

template <class T>
const kernel_table<T>& kernels() {
  return of<T>(*all().chosen);
}
template <class T>
const kernel_table<T>& kernels(std::string_view name) {
  return of<T>(find(name));
}
template const kernel_table<float>& kernels<float>();
template const kernel_table<double>& kernels<double>();
template const kernel_table<bf16>& kernels<bf16>();
template const kernel_table<float>& kernels<float>(std::string_view);
template const kernel_table<double>& kernels<double>(std::string_view);
template const kernel_table<bf16>& kernels<bf16>(std::string_view);

std::span<const std::string_view> kernel_names() {
  auto& r = all();
  return {r.names, static_cast<std::size_t>(r.count)};
}
void use_kernels(std::string_view name) {
  auto& r = all();
  r.chosen = name.empty() ? r.best : &find(name);
}

}  // namespace ql::cpu
