// SPDX-License-Identifier: Apache-2.0
// The peer to compare with is PyPI's tokenizers (scripts/compare_tokenizers.py times it on the same machine).
// QL_BENCH_DATA names the test data's folder.
#include <ql/io/file.hpp>
#include <ql/text/tokenizer.hpp>

#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>

namespace {

std::string data(const std::string& relative) {
  const char* root = std::getenv("QL_BENCH_DATA");
  return std::string(root ? root : "../shared/data") + "/" + relative;
}

void encode(benchmark::State& state, const std::string& name, const std::string& file) {
  const auto t = ql::text::tokenizer::from_directory(data("tokenizers/" + name));
  std::string text = ql::io::read_file(data("haystack/" + file));
  if (text.size() > 1'000'000) text.resize(1'000'000);
  std::size_t tokens = 0;
  for (auto _ : state) tokens = t.encode(text).size();
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
  state.counters["tokens"] = static_cast<double>(tokens);
}
BENCHMARK_CAPTURE(encode, qwen3_english, "qwen3", "debian_handbook_en-US.txt.gz")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, qwen3_chinese, "qwen3", "debian_handbook_zh-CN.txt.gz")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, deepseek_v3_english, "deepseek_v3", "debian_handbook_en-US.txt.gz")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, deepseek_v3_chinese, "deepseek_v3", "debian_handbook_zh-CN.txt.gz")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, mistral_english, "mistral_v0_1_spm", "debian_handbook_en-US.txt.gz")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, mistral_chinese, "mistral_v0_1_spm", "debian_handbook_zh-CN.txt.gz")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, gpt2_english, "gpt2", "debian_handbook_en-US.txt.gz")->Unit(benchmark::kMillisecond);

void load(benchmark::State& state) {
  const std::string text = ql::io::read_file(data("tokenizers/qwen3/tokenizer.json.gz"));
  for (auto _ : state) benchmark::DoNotOptimize(ql::text::tokenizer::from_json(text).vocab_size());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}
BENCHMARK(load)->Unit(benchmark::kMillisecond);

}  // namespace
