// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/error.hpp>
#include <ql/io/shared.hpp>
#include <ql/scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ql::text {

struct added_token {
  token id = 0;
  std::string content;
  bool special = false;      // left out of decode() on request
  bool normalized = false;   // searched for after normalization
  bool single_word = false;  // not within a word
  bool lstrip = false;       // swallows white space to its left
  bool rstrip = false;       // and to its right
};

struct encode_options {
  bool add_special_tokens = false;  // what the post-processor adds, such as BOS
  bool special_in_text = true;      // false: the names of special tokens are ordinary text (for untrusted documents)
};

// Bytes [begin, end) of the text that was given to encode.
struct byte_range {
  std::uint32_t begin = 0, end = 0;
  friend bool operator==(const byte_range&, const byte_range&) = default;
};

struct encoding {
  std::vector<token> ids;
  // Where each token stands. A token that holds a part of a character has that part's bytes; where normalization or
  // repair changed characters, all of theirs; what the post-processor adds has an empty range.
  std::vector<byte_range> offsets;
};

class stream_decoder;

// A tokenizer of a Hugging Face model, with the ids of the tokenizers library (truncation and padding sections of the
// file are ignored, as transformers does). Reads byte-level BPE, BPE with byte fallback and word-level vocabularies;
// throws io::format_error, naming the file and the part, for anything else or damaged. A value that is cheap to copy;
// every member may be called from several threads at once.
//   auto t = ql::text::tokenizer::from_file("tokenizer.json");
//   t.decode(t.encode("Hello"))   is "Hello"
class tokenizer {
 public:
  // tokenizer.json, or tokenizer.json.gz.
  static tokenizer from_file(const std::string& path);
  static tokenizer from_json(std::string_view text, std::string_view what = "tokenizer.json");
  // GPT-2's vocab.json and merges.txt, with GPT-2's splitting rule; <|endoftext|> is special.
  static tokenizer from_gpt2(const std::string& vocab, const std::string& merges);
  // tokenizer.json of a model folder, or else its vocab.json and merges.txt; either may end in .gz.
  static tokenizer from_directory(const std::string& directory);

  // Ill-formed UTF-8 is read as U+FFFD, one for each maximal subpart. Texts of 4 GiB and more are refused.
  std::vector<token> encode(std::string_view text, const encode_options& options = {}) const;
  encoding encode_with_offsets(std::string_view text, const encode_options& options = {}) const;
  // One list for each text, on up to `threads` threads (0: as many as the machine has).
  std::vector<std::vector<token>> encode_batch(std::span<const std::string_view> texts, unsigned threads = 0,
                                               const encode_options& options = {}) const;

  // Text of the ids; bytes that are not UTF-8 become U+FFFD. Ids without a token (a padded vocabulary) add nothing;
  // negative ids throw argument_error.
  std::string decode(std::span<const token> ids, bool skip_special = false) const;

  // The id of a token by its text in the file, <think> say.
  std::optional<token> id_of(std::string_view content) const;
  // The text in the file of a token, or nothing where the id has none.
  std::optional<std::string> token_text(token id) const;
  bool is_special(token id) const;
  // One more than the largest id.
  std::int64_t vocab_size() const;
  // In order of their ids.
  std::span<const added_token> added_tokens() const;

  struct parts;

 private:
  friend class stream_decoder;
  explicit tokenizer(io::detail::shared<parts> p);
  io::detail::shared<parts> parts_;
};

// Turns ids into text as they arrive, never a part of a character. All that push() and finish() return together is
// decode() of all ids, with one exception: of a run of byte-fallback tokens that is ill-formed as a whole, decode()
// replaces each byte, a stream only the bytes that follow its well-formed characters.
class stream_decoder {
 public:
  explicit stream_decoder(const tokenizer& t, bool skip_special = false);
  // What is certain after one more id; may be empty.
  std::string push(token id);
  // What was held back.
  std::string finish();

 private:
  io::detail::shared<tokenizer::parts> parts_;
  bool skip_special_;
  bool first_ = true;
  std::size_t to_strip_;
  std::string pending_;
};

// The tokens around a model's reasoning, looked up in its vocabulary.
struct thinking_tokens {
  std::optional<token> open, close;
};
thinking_tokens find_thinking_tokens(const tokenizer& t, std::string_view open = "<think>",
                                     std::string_view close = "</think>");

}  // namespace ql::text
