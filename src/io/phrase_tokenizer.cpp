// SPDX-License-Identifier: Apache-2.0
#include <ql/data/phrase_vocabulary.hpp>
#include <ql/io/json.hpp>

#include <utility>

namespace ql::data {

std::string phrase_vocabulary::tokenizer_json() {
  using io::json::value;
  value::object_type vocab;
  value::array_type added;
  for (token t = 0; t < size; ++t) {
    const std::string s(text(t));
    vocab.emplace_back(s, value(t));
    // The pre-tokenizer would cut phrases and (a) apart; added tokens are found before it, the longest first.
    if (!is_special(t) && s.find_first_of(" (") == std::string::npos) continue;
    added.push_back(value::object_type{{"id", t},
                                       {"content", s},
                                       {"single_word", !is_special(t) && s[0] != '('},
                                       {"lstrip", false},
                                       {"rstrip", false},
                                       {"normalized", !is_special(t)},
                                       {"special", is_special(t)}});
  }
  const value file = value::object_type{
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", std::move(added)},
      {"normalizer", value::object_type{{"type", "Lowercase"}}},
      {"pre_tokenizer", value::object_type{{"type", "Whitespace"}}},
      {"post_processor", nullptr},
      {"decoder", nullptr},
      {"model", value::object_type{
                    {"type", "WordLevel"}, {"vocab", std::move(vocab)}, {"unk_token", std::string(text(unknown))}}}};
  return io::json::dump(file, {.indent = 2}) + "\n";
}

std::string phrase_vocabulary::tokenizer_config_json() {
  using io::json::value;
  const value file =
      value::object_type{{"tokenizer_class", "PreTrainedTokenizerFast"}, {"eos_token", std::string(text(eos))},
                         {"pad_token", std::string(text(eos))},          {"unk_token", std::string(text(unknown))},
                         {"bos_token", std::string(text(document))},     {"add_bos_token", false},
                         {"clean_up_tokenization_spaces", false},        {"model_max_length", 65536}};
  return io::json::dump(file, {.indent = 2}) + "\n";
}

}  // namespace ql::data
