// SPDX-License-Identifier: Apache-2.0
#include "bpe.hpp"

#include "unicode.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

namespace ql::text {
namespace {

constexpr std::size_t cache_slots = std::size_t{1} << 14;
constexpr std::size_t few = 48;  // symbols up to which a scan beats a heap
constexpr std::string_view space_mark = "\xe2\x96\x81";

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using wide = unsigned __int128;
  const wide p = static_cast<wide>(a) * b;
  return static_cast<std::uint64_t>(p) ^ static_cast<std::uint64_t>(p >> 64);
}

}  // namespace

std::uint64_t hash_bytes(std::string_view s) {
  std::uint64_t h = 0x9e3779b97f4a7c15ull ^ s.size();
  std::size_t i = 0;
  for (; i + 8 <= s.size(); i += 8) {
    std::uint64_t w;
    std::memcpy(&w, s.data() + i, 8);
    h = mix(h ^ w, 0xd6e8feb86659fd93ull);
  }
  if (i < s.size()) {
    std::uint64_t w = 0;
    std::memcpy(&w, s.data() + i, s.size() - i);
    h = mix(h ^ w, 0xa0761d6478bd642full);
  }
  return mix(h, 0xe7037ed1a0b428dbull);
}

byte_alphabet::byte_alphabet() {
  byte.fill(-1);
  char16_t other = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    const char16_t c = printable ? static_cast<char16_t>(b) : other++;
    letter[static_cast<std::size_t>(b)] = c;
    byte[c] = static_cast<std::int16_t>(b);
  }
}

bool byte_alphabet::decode(std::string_view s, std::string& out) const {
  out.clear();
  for (std::size_t i = 0; i < s.size();) {
    const char32_t c = unicode::next(s, i);
    if (c >= byte.size() || byte[c] < 0) return false;
    out += static_cast<char>(static_cast<unsigned char>(byte[c]));
  }
  return true;
}

std::string byte_alphabet::encode(std::string_view bytes) const {
  std::string out;
  for (char c : bytes) unicode::append(out, letter[static_cast<unsigned char>(c)]);
  return out;
}

const byte_alphabet& alphabet() {
  static const byte_alphabet a;
  return a;
}

vocabulary::vocabulary(bool bytes, std::size_t expected) : bytes_(bytes) {
  entries_.reserve(expected);
  slots_.resize(std::bit_ceil(std::max<std::size_t>(16, expected + expected / 2)));
}

bool vocabulary::add(std::string_view text, token id) {
  const auto at = static_cast<std::size_t>(id);
  if (at < entries_.size() && entries_[at].size != absent) return false;
  const bool plain = bytes_ && !alphabet().decode(text, scratch_);
  const std::string_view key = bytes_ && !plain ? std::string_view(scratch_) : text;
  if (plain) {
    if (!plain_.emplace(key, id).second) return false;
  } else {
    if (3 * (count_ + 1) > 2 * slots_.size()) grow();
    const auto h = static_cast<std::uint32_t>(hash_bytes(key));
    std::size_t i = h & (slots_.size() - 1);
    for (; slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1))
      if (slots_[i].hash == h && stored(slots_[i].id) == key) return false;
    slots_[i] = {h, id};
    ++count_;
  }
  if (at >= entries_.size()) entries_.resize(at + 1);
  entries_[at] = {static_cast<std::uint32_t>(arena_.size()), static_cast<std::uint32_t>(key.size()), plain};
  arena_.append(key);
  return true;
}

void vocabulary::grow() {
  std::vector<slot> old(slots_.size() * 2);
  old.swap(slots_);
  for (const slot& s : old) {
    if (s.id < 0) continue;
    std::size_t i = s.hash & (slots_.size() - 1);
    while (slots_[i].id >= 0) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = s;
  }
}

token vocabulary::find(std::string_view piece) const {
  const auto h = static_cast<std::uint32_t>(hash_bytes(piece));
  for (std::size_t i = h & (slots_.size() - 1); slots_[i].id >= 0; i = (i + 1) & (slots_.size() - 1))
    if (slots_[i].hash == h && stored(slots_[i].id) == piece) return slots_[i].id;
  return -1;
}

token vocabulary::find_name(std::string_view text) const {
  if (!bytes_) return find(text);
  std::string b;
  if (alphabet().decode(text, b)) return find(b);
  const auto p = plain_.find(std::string(text));
  return p == plain_.end() ? -1 : p->second;
}

std::string vocabulary::name(token id) const {
  return plain(id) ? std::string(stored(id)) : alphabet().encode(stored(id));
}

bpe::bpe(vocabulary words, const options& o, std::size_t expected_merges) : words_(std::move(words)), options_(o) {
  const std::size_t n = std::bit_ceil(std::max<std::size_t>(16, expected_merges + expected_merges / 2));
  slots_.resize(n);
  shift_ = 64 - std::countr_zero(n);
  cuts_ = !words_.bytes() && words_.find(space_mark) >= 0;
}

namespace {
std::uint64_t pair_key(token left, token right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
}
std::size_t pair_home(std::uint64_t key, int shift) {
  return static_cast<std::size_t>(((key ^ (key >> 29)) * 0x9e3779b97f4a7c15ull) >> shift);
}
}  // namespace

std::optional<std::string> bpe::add_merge(std::string_view left, std::string_view right) {
  const auto part = [&](std::string_view name, std::string& b) {
    if (words_.bytes() && !alphabet().decode(name, b)) return token{-1};
    if (!words_.bytes()) b = name;
    return words_.find(b);
  };
  const token l = part(left, left_);
  if (l < 0) return std::string(left);
  const token r = part(right, right_);
  if (r < 0) return std::string(right);
  left_ += right_;
  // Vocabularies list merged tokens in the order of the merges: the next id is the likely one.
  const token next = last_ + 1;
  const bool likely = words_.contains(next) && !(words_.bytes() && words_.plain(next)) && words_.stored(next) == left_;
  const token id = likely ? next : words_.find(left_);
  if (id < 0) return std::string(left).append(right);
  last_ = id;
  if (cuts_) {
    for (auto p = left_.find(space_mark, 1); p != std::string::npos && cuts_; p = left_.find(space_mark, p + 1))
      cuts_ = p >= 3 && std::string_view(left_).substr(p - 3, 3) == space_mark;
  }
  const std::uint64_t key = pair_key(l, r);
  if (2 * (merges_ + 1) > slots_.size() + slots_.size() / 2) {
    std::vector<slot> old(slots_.size() * 2);
    old.swap(slots_);
    --shift_;
    for (const slot& s : old) {
      if (s.m.id < 0) continue;
      std::size_t i = pair_home(s.key, shift_);
      while (slots_[i].m.id >= 0) i = (i + 1) & (slots_.size() - 1);
      slots_[i] = s;
    }
  }
  std::size_t i = pair_home(key, shift_);
  while (slots_[i].m.id >= 0 && slots_[i].key != key) i = (i + 1) & (slots_.size() - 1);
  if (slots_[i].m.id < 0) ++merges_;
  slots_[i] = {key, {next_rank_++, id}};  // of a pair that is listed twice, the later rank counts
  return std::nullopt;
}

bpe::merge bpe::find(token left, token right) const {
  const std::uint64_t key = pair_key(left, right);
  for (std::size_t i = pair_home(key, shift_); slots_[i].m.id >= 0; i = (i + 1) & (slots_.size() - 1))
    if (slots_[i].key == key) return slots_[i].m;
  return {};
}

void bpe::finish() {
  kind_ = std::make_unique<std::atomic<std::uint8_t>[]>(words_.size());
  byte_ids_.fill(-1);
  for (int b = 0; b < 256; ++b) {
    auto& id = byte_ids_[static_cast<std::size_t>(b)];
    if (words_.bytes()) {
      const char c = static_cast<char>(static_cast<unsigned char>(b));
      id = words_.find(std::string_view(&c, 1));
    } else if (options_.byte_fallback) {
      static constexpr char digits[] = "0123456789ABCDEF";
      const std::string name = {'<', '0', 'x', digits[b >> 4], digits[b & 15], '>'};
      id = words_.find(name);
    }
  }
  if (words_.bytes()) {
    byte_pairs_.resize(65536);
    for (std::size_t a = 0; a < 256; ++a)
      for (std::size_t b = 0; b < 256; ++b)
        if (byte_ids_[a] >= 0 && byte_ids_[b] >= 0) byte_pairs_[a << 8 | b] = find(byte_ids_[a], byte_ids_[b]);
  }
}

void bpe::symbols(std::string_view piece, scratch& s) const {
  s.ids.clear();
  s.sizes.clear();
  std::uint32_t unk = 0;  // bytes of unknown characters not yet written
  const auto add = [&](token id, std::uint32_t size) {
    s.ids.push_back(id);
    s.sizes.push_back(size);
  };
  const auto flush = [&] {
    if (unk != 0) add(options_.unk, unk);
    unk = 0;
  };
  const bool bytes = words_.bytes();
  for (std::size_t i = 0; i < piece.size();) {
    const std::size_t n = bytes ? 1 : unicode::length(piece[i]);
    const std::string_view c = piece.substr(i, n);
    i += n;
    const token id = bytes ? byte_ids_[static_cast<unsigned char>(c[0])] : words_.find(c);
    if (id >= 0) {
      flush();
      add(id, static_cast<std::uint32_t>(n));
      continue;
    }
    if (!bytes && options_.byte_fallback &&
        std::all_of(c.begin(), c.end(), [&](char b) { return byte_ids_[static_cast<unsigned char>(b)] >= 0; })) {
      for (char b : c) add(byte_ids_[static_cast<unsigned char>(b)], 1);
      continue;
    }
    if (options_.unk < 0) continue;
    if (!options_.fuse_unk) flush();
    unk += static_cast<std::uint32_t>(n);
  }
  flush();
}

// Always the pair of lowest rank, and of equal ones the first.
void bpe::merge_few(scratch& s) const {
  std::size_t n = s.ids.size();
  s.ranks.resize(n);
  token* ids = s.ids.data();
  std::uint32_t* sizes = s.sizes.data();
  std::uint32_t* ranks = s.ranks.data();
  token made[few];
  const auto look = [&](std::size_t i) {
    const merge m = find(ids[i], ids[i + 1]);
    ranks[i] = m.rank;
    made[i] = m.id;
  };
  for (std::size_t i = 0; i + 1 < n; ++i) look(i);
  while (n > 1) {
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < n; ++i)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == merge{}.rank) break;
    ids[best] = made[best];
    sizes[best] += sizes[best + 1];
    for (std::size_t i = best + 1; i + 1 < n; ++i) {
      ids[i] = ids[i + 1];
      sizes[i] = sizes[i + 1];
      ranks[i] = ranks[i + 1];
      made[i] = made[i + 1];
    }
    --n;
    if (best + 1 < n) look(best);
    if (best > 0) look(best - 1);
  }
  s.ids.resize(n);
  s.sizes.resize(n);
}

// The same by a heap of (rank, position): n log n for a word of any length.
void bpe::merge_many(scratch& s) const {
  const auto n = static_cast<std::uint32_t>(s.ids.size());
  constexpr std::uint32_t none = 0xffffffffu;
  s.ranks.assign(n, none);
  s.previous.resize(n);
  s.next.resize(n);
  s.heap.clear();
  const auto look = [&](std::uint32_t i) {
    s.ranks[i] = s.next[i] == none ? none : find(s.ids[i], s.ids[s.next[i]]).rank;
    return s.ranks[i] != none;
  };
  const auto entry = [&](std::uint32_t i) { return (static_cast<std::uint64_t>(s.ranks[i]) << 32) | i; };
  for (std::uint32_t i = 0; i < n; ++i) {
    s.previous[i] = i == 0 ? none : i - 1;
    s.next[i] = i + 1 == n ? none : i + 1;
    if (look(i)) s.heap.push_back(entry(i));
  }
  std::make_heap(s.heap.begin(), s.heap.end(), std::greater<>());
  while (!s.heap.empty()) {
    std::pop_heap(s.heap.begin(), s.heap.end(), std::greater<>());
    const std::uint64_t top = s.heap.back();
    s.heap.pop_back();
    const auto i = static_cast<std::uint32_t>(top);
    if (s.ids[i] < 0 || s.ranks[i] != top >> 32) continue;  // of a pair that is no more
    const std::uint32_t gone = s.next[i];
    s.ids[i] = find(s.ids[i], s.ids[gone]).id;
    s.sizes[i] += s.sizes[gone];
    s.ids[gone] = -1;
    s.next[i] = s.next[gone];
    if (s.next[i] != none) s.previous[s.next[i]] = i;
    for (const std::uint32_t k : {i, s.previous[i]}) {
      if (k == none || !look(k)) continue;
      s.heap.push_back(entry(k));
      std::push_heap(s.heap.begin(), s.heap.end(), std::greater<>());
    }
  }
  std::size_t kept = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    if (s.ids[i] < 0) continue;
    s.ids[kept] = s.ids[i];
    s.sizes[kept++] = s.sizes[i];
  }
  s.ids.resize(kept);
  s.sizes.resize(kept);
}

void bpe::encode(std::string_view piece, scratch& s, std::vector<token>& ids, std::vector<std::uint32_t>* sizes) const {
  const std::uint64_t h = hash_bytes(piece);
  const token word = words_.find(piece);
  if (word >= 0) {
    auto& kind = kind_[static_cast<std::size_t>(word)];
    auto k = options_.ignore_merges ? std::uint8_t{whole} : kind.load(std::memory_order_relaxed);
    if (k == unknown) {
      symbols(piece, s);
      s.ids.size() <= few ? merge_few(s) : merge_many(s);
      k = s.ids.size() == 1 && s.ids[0] == word ? whole : composite;
      kind.store(k, std::memory_order_relaxed);
    }
    if (k == whole) {
      ids.push_back(word);
      if (sizes) sizes->push_back(static_cast<std::uint32_t>(piece.size()));
      return;
    }
  }
  scratch::cached* c = nullptr;
  if (!sizes && piece.size() <= sizeof c->key) {
    if (s.cache.empty()) s.cache.resize(cache_slots);
    c = &s.cache[static_cast<std::size_t>(h >> 20) & (cache_slots - 1)];
    if (c->hash == h && c->size == piece.size() && std::memcmp(c->key, piece.data(), piece.size()) == 0) {
      ids.insert(ids.end(), c->ids, c->ids + c->count);
      return;
    }
  }
  symbols(piece, s);
  if (s.ids.size() > 1) s.ids.size() <= few ? merge_few(s) : merge_many(s);
  ids.insert(ids.end(), s.ids.begin(), s.ids.end());
  if (sizes) sizes->insert(sizes->end(), s.sizes.begin(), s.sizes.end());
  if (c && s.ids.size() <= std::size(c->ids)) {
    c->hash = h;
    c->size = static_cast<std::uint8_t>(piece.size());
    c->count = static_cast<std::uint8_t>(s.ids.size());
    std::memcpy(c->key, piece.data(), piece.size());
    std::copy(s.ids.begin(), s.ids.end(), c->ids);
  }
}

}  // namespace ql::text
