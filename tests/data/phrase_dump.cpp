// SPDX-License-Identifier: Apache-2.0
// Writes generated documents for scripts/compare_phrase_tokenizer.py. Usage: phrase_dump FOLDER DOCUMENTS
// FOLDER receives tokenizer.json and tokenizer_config.json; the output is a JSON line for each text: {text, english,
// ids, special}, where special is true if the ids hold special tokens, which English leaves out.
#include <ql/data/generator.hpp>
#include <ql/io/file.hpp>
#include <ql/io/json.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>

int main(int argc, char** argv) try {
  using namespace ql::data;
  using v = phrase_vocabulary;
  if (argc != 3) {
    std::fprintf(stderr, "usage: phrase_dump FOLDER DOCUMENTS\n");
    return 2;
  }
  const std::string folder = argv[1];
  ql::io::write_file(folder + "/tokenizer.json", v::tokenizer_json());
  ql::io::write_file(folder + "/tokenizer_config.json", v::tokenizer_config_json());
  const auto put = [](const std::vector<ql::token>& ids) {
    ql::io::json::value::array_type list;
    for (auto t : ids) list.emplace_back(t);
    const ql::io::json::value line =
        ql::io::json::value::object_type{{"text", v::decode(ids)},
                                         {"english", v::english(ids)},
                                         {"ids", std::move(list)},
                                         {"special", std::any_of(ids.begin(), ids.end(), v::is_special)}};
    std::puts(ql::io::json::dump(line).c_str());
  };
  for (ql::token t = 0; t < v::size; ++t) put({t});
  generator_config c;
  c.kinds = {1, 1, 1, 1, 1, 1};
  c.questions = 8;
  c.min_tokens = 32, c.max_tokens = 2048;
  for (int i = 0; i < std::atoi(argv[2]); ++i) {
    const auto d = generate(c, {.seed = 17, .of = split::test, .index = static_cast<std::uint32_t>(i)});
    put(d.tokens);
    put({d.tokens.begin() + 1, d.tokens.end()});
    for (const auto& q : d.questions) {
      put(q.prompt);
      put(q.step_by_step());
      put(q.terse());
      put(q.reasoning);
    }
  }
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
