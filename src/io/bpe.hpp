// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/scalar.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ql::text {

std::uint64_t hash_bytes(std::string_view s);

// GPT-2's printable stand-ins for bytes: code points below 0x144.
struct byte_alphabet {
  std::array<char16_t, 256> letter{};
  std::array<std::int16_t, 0x144> byte{};  // -1: not a stand-in
  byte_alphabet();
  // The bytes that s stands for; false where some character is no stand-in (out is then unspecified).
  bool decode(std::string_view s, std::string& out) const;
  std::string encode(std::string_view bytes) const;
};
const byte_alphabet& alphabet();

// Texts and ids, both ways. In a vocabulary of bytes, texts of stand-ins are kept as the bytes they stand for; texts
// with any other character can be looked up by name alone.
class vocabulary {
 public:
  explicit vocabulary(bool bytes = false, std::size_t expected = 0);
  // False: the text or the id is there already.
  bool add(std::string_view text_in_file, token id);
  // By the bytes of a piece of text.
  token find(std::string_view piece) const;
  // By the text in the file.
  token find_name(std::string_view text_in_file) const;
  bool contains(token id) const {
    return id >= 0 && static_cast<std::size_t>(id) < entries_.size() &&
           entries_[static_cast<std::size_t>(id)].size != absent;
  }
  // The stored text: bytes, or the text in the file where plain(id).
  std::string_view stored(token id) const {
    const auto& e = entries_[static_cast<std::size_t>(id)];
    return std::string_view(arena_).substr(e.begin, e.size);
  }
  bool bytes() const { return bytes_; }
  bool plain(token id) const { return !bytes_ || entries_[static_cast<std::size_t>(id)].plain; }
  std::string name(token id) const;
  std::size_t size() const { return entries_.size(); }
  std::size_t count() const { return count_; }

 private:
  static constexpr std::uint32_t absent = 0xffffffffu;
  struct entry {
    std::uint32_t begin = 0, size = absent;
    bool plain = false;
  };
  struct slot {
    std::uint32_t hash = 0;
    token id = -1;
  };
  void grow();
  bool bytes_;
  std::string arena_, scratch_;
  std::vector<entry> entries_;
  std::vector<slot> slots_;
  std::size_t count_ = 0;
  std::unordered_map<std::string, token> plain_;
};

class bpe {
 public:
  struct options {
    bool byte_fallback = false;
    bool fuse_unk = false;
    bool ignore_merges = false;
    token unk = -1;
  };
  struct scratch {
    struct cached {
      std::uint64_t hash = 0;
      std::uint8_t size = 0, count = 0;
      char key[30];
      token ids[8];
    };
    std::vector<cached> cache;
    std::vector<token> ids;
    std::vector<std::uint32_t> sizes, ranks, previous, next;
    std::vector<std::uint64_t> heap;
  };

  bpe(vocabulary words, const options& o, std::size_t expected_merges);
  // Adds the next merge by the names of its parts. On failure: what is not in the vocabulary.
  std::optional<std::string> add_merge(std::string_view left, std::string_view right);
  // After the last merge.
  void finish();

  // Appends the ids of one piece (not empty, valid UTF-8), and each id's length in bytes of the piece.
  void encode(std::string_view piece, scratch& s, std::vector<token>& ids, std::vector<std::uint32_t>* sizes) const;

  const vocabulary& words() const { return words_; }
  // No token of several characters has U+2581 behind another character: text may be cut before it.
  bool cuts_at_space_mark() const { return cuts_; }

 private:
  struct merge {
    std::uint32_t rank = 0xffffffffu;
    token id = -1;
  };
  struct slot {
    std::uint64_t key = ~std::uint64_t{0};
    merge m;
  };
  enum : std::uint8_t { unknown, whole, composite };
  merge find(token left, token right) const;
  void symbols(std::string_view piece, scratch& s) const;
  void merge_few(scratch& s) const;
  void merge_many(scratch& s) const;

  vocabulary words_;
  options options_;
  std::vector<slot> slots_;
  std::size_t merges_ = 0;
  std::uint32_t next_rank_ = 0;
  int shift_ = 0;
  std::array<token, 256> byte_ids_{};
  std::vector<merge> byte_pairs_;
  bool cuts_ = false;
  std::string left_, right_;
  token last_ = -2;  // that a merge made
  // Per token: whether its own text encodes to it. Found out when first needed.
  std::unique_ptr<std::atomic<std::uint8_t>[]> kind_;
};

}  // namespace ql::text
