// SPDX-License-Identifier: Apache-2.0
#pragma once

// Other texts around the evidence, up to a length in tokens.

#include <ql/data/document_qa.hpp>
#include <ql/io/file.hpp>
#include <ql/scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ql::data {

struct passage {
  std::string title, text;
  friend bool operator==(const passage&, const passage&) = default;
};

// JSON Lines of {title, text}. Throws io::format_error at the first row that is something else.
std::vector<passage> read_passages(const io::file_path& path);
// A plain text, cut between lines into passages of some `bytes` each, without titles.
std::vector<passage> cut_passages(const io::file_path& path, std::size_t bytes = 1000);

// "Passage 1:\ntitle\ntext\n\nPassage 2:\n..." as passages; a context of another form is one passage without a title.
std::vector<passage> split_context(std::string_view context);
std::string join_context(const std::vector<passage>& passages);

struct lengthened {
  qa_example example;
  std::int64_t tokens = 0;        // of its context
  std::int32_t inserted = 0;      // passages
  std::vector<std::int32_t> own;  // where the example's own passages stand, from 0, in their old order
};

// Passages to hide contexts among, with their lengths in tokens.
class haystack {
 public:
  // Throws argument_error where there is no passage.
  haystack(std::vector<passage> passages, const text::tokenizer& tokenizer);

  // The example with other passages among its own, all in an order of their own, so that its context has at most
  // `tokens` and as nearly so as whole passages allow. Left out are passages with a title of the example's own or of
  // its meta's supporting_titles, and those that hold one of its answers (of four bytes and more). Its own are all
  // kept: a context that is longer already comes back as it is. A function of example, seed, index and `tokens`.
  lengthened surround(const qa_example& e, std::int64_t tokens, std::uint64_t seed, std::uint32_t index) const;

  std::size_t size() const { return passages_.size(); }

 private:
  std::vector<passage> passages_;
  std::vector<std::int64_t> tokens_;
  const text::tokenizer* tokenizer_;
};

}  // namespace ql::data
