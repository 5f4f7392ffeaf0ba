// SPDX-License-Identifier: Apache-2.0
// Opening a sharded checkpoint: headers are read and checked, tensors are views of mapped pages. The time must not grow
// with the bytes of the weights, nor the resident memory.
#include <ql/io/safetensors.hpp>

#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace {

namespace fs = std::filesystem;

// Eight shards of sparse files: 290 tensors of the given number of elements.
fs::path made(std::int64_t elements) {
  const fs::path folder = fs::temp_directory_path() /
                          ("ql-bench-checkpoint-" + std::to_string(::getpid()) + "-" + std::to_string(elements));
  fs::create_directory(folder);
  std::vector<ql::io::tensor_entry> tensors;
  for (int i = 0; i < 290; ++i)
    tensors.push_back({"model.layers." + std::to_string(i) + ".weight", ql::io::dtype::bf16, {elements}, {}});
  const auto plan = ql::io::detail::plan_shards(tensors, static_cast<std::uint64_t>(elements) * 2 * 290 / 8 + 1,
                                                ql::io::detail::usual_metadata());
  for (const auto& s : plan) {
    std::string start(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) start[i] = static_cast<char>(s.header.size() >> (8 * i));
    ql::io::write_file(folder / s.name, start + s.header);
    fs::resize_file(folder / s.name, start.size() + s.header.size() + s.bytes);
  }
  ql::io::write_file(folder / "model.safetensors.index.json", ql::io::detail::index_of(plan));
  return folder;
}

void open_sharded(benchmark::State& state) {
  const auto folder = made(state.range(0));
  std::uint64_t bytes = 0;
  std::size_t resident = 0;
  for (auto _ : state) {
    const auto c = ql::io::checkpoint::open(folder);
    bytes = c.bytes();
    state.PauseTiming();
    resident = 0;
    for (const auto& s : c.shards()) {  // pages of this mapping that are in memory beyond the header
      const auto& last = s.file.tensors().back().bytes;
      unsigned char in = 0;
      auto* page = reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(last.data()) / 4096 * 4096);
      if (::mincore(page, 1, &in) == 0 && (in & 1) != 0) ++resident;
    }
    state.ResumeTiming();
  }
  state.counters["GB"] = static_cast<double>(bytes) / 1e9;
  state.counters["shards_read"] = static_cast<double>(resident);
  fs::remove_all(folder);
}
BENCHMARK(open_sharded)->Arg(1 << 16)->Arg(1 << 23)->Unit(benchmark::kMillisecond);

}  // namespace
