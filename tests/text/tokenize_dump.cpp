// SPDX-License-Identifier: Apache-2.0
// Encodes texts for scripts/compare_tokenizers.py. Usage: tokenize_dump tokenizer.json[.gz]
// Input: for each text its size in bytes as a little-endian uint32, then the bytes. Output: for each text the number
// of tokens as uint32, then three uint32 a token: id, begin and end of its bytes. At the end, seconds spent in encode()
// alone go to the standard error output.
#include <ql/text/tokenizer.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fprintf(stderr, "usage: tokenize_dump tokenizer.json[.gz]\n");
    return 2;
  }
  const auto t = ql::text::tokenizer::from_file(argv[1]);
  double seconds = 0;
  std::string text;
  std::vector<std::uint32_t> out;
  for (std::uint32_t size = 0; std::fread(&size, sizeof size, 1, stdin) == 1;) {
    text.resize(size);
    if (std::fread(text.data(), 1, size, stdin) != size) return 1;
    const auto start = std::chrono::steady_clock::now();
    const auto ids = t.encode(text);
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    const auto e = t.encode_with_offsets(text);
    if (e.ids != ids) {
      std::fprintf(stderr, "encode and encode_with_offsets differ\n");
      return 1;
    }
    out.assign(1, static_cast<std::uint32_t>(ids.size()));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      out.push_back(static_cast<std::uint32_t>(ids[i]));
      out.push_back(e.offsets[i].begin);
      out.push_back(e.offsets[i].end);
    }
    std::fwrite(out.data(), sizeof out[0], out.size(), stdout);
    std::fflush(stdout);
  }
  std::fprintf(stderr, "%.6f\n", seconds);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "tokenize_dump: %s\n", e.what());
  return 1;
}
