// SPDX-License-Identifier: Apache-2.0
// Times operations of the CUDA backend at the shapes of a 1.5B model and writes JSON that bench/peers/torch_gpu.py
// completes. Values are random: zeros are faster. Usage: figures OUT.json
#include <ql/backend/cuda/device.hpp>
#ifdef QL_BENCH_CUBLASLT
#include <ql/backend/cuda/fast.hpp>
#endif
#include <ql/backend/cuda/kernels.hpp>
#include <ql/random.hpp>
#include <ql/tensor/tensor.hpp>

#include <chrono>
#include <concepts>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace {

using namespace ql;

struct figure {
  std::string name;
  std::vector<std::int64_t> shape;
  double seconds = 0, flops = 0, bytes = 0;
};

tensor<bf16, 1, cuda::context> random_values(cuda::context& ctx, std::int64_t n, std::uint32_t which) {
  std::vector<bf16> host(static_cast<std::size_t>(n));
  const random_key key{.seed = 1, .what = purpose::test, .example = which};
  for (std::size_t i = 0; i < host.size(); i += 2) {
    const auto bits = random_bits(key, i);
    host[i] = bf16(static_cast<float>(uniform(bits, 0) - 0.5));
    if (i + 1 < host.size()) host[i + 1] = bf16(static_cast<float>(uniform(bits, 1) - 0.5));
  }
  tensor<bf16, 1, cuda::context> t(ctx, {n});
  ctx.copy_in(host.data(), n, t.data());
  return t;
}

// The least of some repetitions, in seconds.
template <class F>
double least(cuda::context& ctx, F&& f) {
  double best = 1e30;
  f();
  ctx.synchronize();
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    ctx.synchronize();
    const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = s < best ? s : best;
  }
  return best;
}

template <class Context>
figure product(Context& ctx, std::int64_t rows, std::int64_t depth, std::int64_t columns) {
  auto x = random_values(ctx, rows * depth, 1), w = random_values(ctx, columns * depth, 2);
  tensor<bf16, 2, cuda::context> y(ctx, {rows, columns});
  const matrix<bf16> weight{columns, depth, nullptr, w.data()};
  const float* none = nullptr;
  const cuda::device_view<const bf16, 2> in(x.data(), {rows, depth});
  figure f{std::same_as<Context, cuda::context> ? "product" : "product, cuBLASLt", {rows, depth, columns}};
  f.seconds = least(ctx, [&] { linear(ctx, in, weight, none, y.view()); });
  f.flops = 2.0 * static_cast<double>(rows * depth * columns);
  f.bytes = 2.0 * static_cast<double>(rows * depth + columns * depth + rows * columns);
  return f;
}

// Causal, `tokens` of training or the last `rows` of it as decoding.
figure attend(cuda::context& ctx, std::int64_t tokens, std::int64_t rows, const attention_shape& s) {
  const auto blocks = (tokens + key_block - 1) / key_block, first = tokens - rows;
  auto pages = random_values(ctx, blocks * s.page_elements(), 3);
  auto q = random_values(ctx, rows * s.heads * s.head_dim, 4);
  tensor<bf16, 1, cuda::context> out(ctx, {q.size()});
  tensor<float, 1, cuda::context> lse(ctx, {rows * s.heads});
  std::vector<bf16*> base;
  std::vector<std::int32_t> ids;
  std::vector<std::int64_t> position, path(static_cast<std::size_t>(rows), 0);
  std::vector<query_run> runs;
  for (std::int64_t b = 0; b < blocks; ++b) {
    base.push_back(pages.data() + b * s.page_elements());
    ids.push_back(static_cast<std::int32_t>(b));
  }
  for (std::int64_t i = 0; i < rows; ++i) position.push_back(first + i);
  for (std::int64_t i = 0; i < rows;) {
    const auto n = std::min(rows - i, query_tile - (first + i) % query_tile);
    runs.push_back({i, static_cast<std::int32_t>(n), static_cast<std::int32_t>((first + i) / key_block + 1)});
    i += n;
  }
  attention_args<bf16> a;
  a.shape = s;
  a.places = {rows, runs, position.data(), path.data(), ids.data()};
  a.q = q.data();
  a.out = out.data();
  a.lse = lse.data();
  a.page_base = base.data();
  figure f{rows == tokens ? "attention" : "attention, last rows", {tokens, rows, s.heads, s.kv_heads, s.head_dim}};
  f.seconds = least(ctx, [&] { attention(ctx, a); });
  const double seen = 0.5 * static_cast<double>(first + tokens) * static_cast<double>(rows);
  f.flops = 4.0 * seen * static_cast<double>(s.heads * s.head_dim);
  f.bytes = 4.0 * static_cast<double>(tokens * s.kv_heads * s.head_dim);
  return f;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: figures OUT.json\n");
    return 2;
  }
  const auto have = cuda::available();
  if (!have) {
    std::printf("skipped: %s\n", have.why.c_str());
    return 77;
  }
  cuda::context ctx;
  std::vector<figure> all;
  for (const std::int64_t rows : {1, 64, 4096}) {
    all.push_back(product(ctx, rows, 1536, 8960));
    all.push_back(product(ctx, rows, 8960, 1536));
  }
#ifdef QL_BENCH_CUBLASLT
  {
    cuda::fast_context fast;
    for (const std::int64_t rows : {1, 64, 4096}) {
      all.push_back(product(fast, rows, 1536, 8960));
      all.push_back(product(fast, rows, 8960, 1536));
    }
  }
#endif
  const attention_shape heads{12, 2, 128};
  for (const std::int64_t tokens : {4096, 16384}) all.push_back(attend(ctx, tokens, tokens, heads));
  all.push_back(attend(ctx, 61440, 1, heads));
  std::ofstream out(argv[1]);
  out << "{\"device\": \"" << ctx.device().name() << "\", \"figures\": [\n";
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto& f = all[i];
    out << "  {\"name\": \"" << f.name << "\", \"shape\": [";
    for (std::size_t j = 0; j < f.shape.size(); ++j) out << (j > 0 ? ", " : "") << f.shape[j];
    out << "], \"seconds\": " << f.seconds << ", \"flops\": " << f.flops << ", \"bytes\": " << f.bytes << "}"
        << (i + 1 < all.size() ? "," : "") << "\n";
    std::printf("%-22s %10.3f ms %9.2f TFLOP/s %9.1f GB/s\n", f.name.c_str(), f.seconds * 1e3,
                f.flops / f.seconds / 1e12, f.bytes / f.seconds / 1e9);
  }
  out << "]}\n";
  out.close();
  return out.good() ? 0 : 1;
}
