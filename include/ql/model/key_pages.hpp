// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/tensor/operations.hpp>
#include <ql/tensor/tensor.hpp>

#include <algorithm>
#include <vector>

namespace ql::model {

// A pool of key pages. Pages are zero when handed out, so that keys not yet written are finite.
template <class T, class Context>
class page_pool {
 public:
  page_pool(Context& ctx, const attention_shape& shape, std::int64_t layers)
      : ctx_(&ctx), shape_(shape), layers_(layers), elements_(layers * shape.page_elements()) {}

  // Makes room so that `pages` more can be taken without an allocation.
  void reserve(std::int64_t pages) {
    pages -= static_cast<std::int64_t>(free_.size());
    if (pages <= 0) return;
    storage_.emplace_back(*ctx_, std::array{pages * elements_});
    for (std::int64_t i = 0; i < pages; ++i) {
      base_.push_back(storage_.back().data() + i * elements_);
      free_.push_back(static_cast<std::int32_t>(base_.size()) - 1);
    }
    free_.reserve(base_.size());
  }
  std::int32_t take() {
    if (free_.empty())
      reserve(std::max<std::int64_t>(1, std::min<std::int64_t>(64, static_cast<std::int64_t>(base_.size()))));
    const auto p = free_.back();
    free_.pop_back();
    clear(*ctx_, base_[static_cast<std::size_t>(p)], elements_);
    return p;
  }
  void give(std::int32_t page) { free_.push_back(page); }

  // The first `keys` positions of `from`, all layers, into `to`.
  void copy(std::int32_t from, std::int32_t to, std::int64_t keys) {
    copy_keys(*ctx_, shape_, layers_, static_cast<const T*>(base_[static_cast<std::size_t>(from)]),
              base_[static_cast<std::size_t>(to)], keys);
  }
  void copy(std::int32_t from, std::int32_t to, std::int64_t keys, std::int64_t layer) {
    const auto offset = layer * shape_.page_elements();
    copy_keys(*ctx_, shape_, 1, static_cast<const T*>(base_[static_cast<std::size_t>(from)] + offset),
              base_[static_cast<std::size_t>(to)] + offset, keys);
  }
  T* const* base() const { return base_.data(); }
  std::int64_t layer_elements() const { return shape_.page_elements(); }
  std::int64_t pages() const { return static_cast<std::int64_t>(base_.size()); }
  std::int64_t pages_in_use() const { return pages() - static_cast<std::int64_t>(free_.size()); }
  std::int64_t page_bytes() const { return elements_ * static_cast<std::int64_t>(sizeof(T)); }

 private:
  Context* ctx_;
  attention_shape shape_;
  std::int64_t layers_;
  std::int64_t elements_;
  std::vector<tensor<T, 1, Context>> storage_;
  std::vector<T*> base_;
  std::vector<std::int32_t> free_;
};

// The pages of each segment's path: block b of a token's path is pages(segment)[b]. Ancestors' full blocks are shared;
// the block a segment starts in the middle of is its own page, with the ancestors' part copied in.
template <class T, class Context>
class key_pages {
 public:
  // The pool must outlive the pages.
  explicit key_pages(page_pool<T, Context>& pool) : pool_(&pool) {}
  key_pages(key_pages&& o) noexcept : pool_(o.pool_), segments_(std::move(o.segments_)) { o.segments_.clear(); }
  key_pages& operator=(key_pages&& o) noexcept {
    if (this != &o) {
      release();
      pool_ = o.pool_;
      segments_ = std::move(o.segments_);
      o.segments_.clear();
    }
    return *this;
  }
  ~key_pages() { release(); }

  struct segment_pages {
    bool open = false;
    std::int32_t parent = -1;
    std::int64_t start = 0;   // path position of the first token
    std::int64_t shared = 0;  // leading pages that belong to ancestors
    std::int64_t copied = 0;  // ancestors' keys in the first own page
    std::vector<std::int32_t> pages;
  };

  bool has(std::int32_t s) const {
    return static_cast<std::size_t>(s) < segments_.size() && segments_[static_cast<std::size_t>(s)].open;
  }
  const segment_pages& operator[](std::int32_t s) const { return segments_[static_cast<std::size_t>(s)]; }
  page_pool<T, Context>& pool() { return *pool_; }
  const page_pool<T, Context>& pool() const { return *pool_; }

  // Opens segment s at path position `start`. Its ancestors' keys must be complete by the time it is grown.
  void open(std::int32_t s, std::int32_t parent, std::int64_t start, std::int64_t expected_tokens = 0) {
    if (segments_.size() <= static_cast<std::size_t>(s)) segments_.resize(static_cast<std::size_t>(s) + 1);
    segment_pages n;
    n.open = true;
    n.parent = parent;
    n.start = start;
    n.shared = start / key_block;
    n.pages.reserve(static_cast<std::size_t>((start + expected_tokens + key_block) / key_block + 1));
    if (parent >= 0) {
      const auto& p = (*this)[parent].pages;
      n.pages.assign(p.begin(), p.begin() + n.shared);
    }
    segments_[static_cast<std::size_t>(s)] = std::move(n);
  }
  // Pages for path positions below `end`. The ancestors' keys in the first own page are the caller's to copy.
  void grow(std::int32_t s, std::int64_t end) {
    auto& g = segments_[static_cast<std::size_t>(s)];
    if (end <= g.start) return;  // no tokens, no page: what follows an empty segment continues its ancestors' page
    while (static_cast<std::int64_t>(g.pages.size()) * key_block < end) {
      if (static_cast<std::int64_t>(g.pages.size()) == g.shared && g.parent >= 0) g.copied = g.start % key_block;
      g.pages.push_back(pool_->take());
    }
  }
  // Copies the ancestors' keys of segment s's first own page: of all layers, or of one.
  void copy_prefix(std::int32_t s) {
    const auto& g = (*this)[s];
    if (g.copied > 0) pool_->copy(prefix_source(s), g.pages[static_cast<std::size_t>(g.shared)], g.copied);
  }
  void copy_prefix(std::int32_t s, std::int64_t layer) {
    const auto& g = (*this)[s];
    if (g.copied > 0) pool_->copy(prefix_source(s), g.pages[static_cast<std::size_t>(g.shared)], g.copied, layer);
  }
  // The ancestors' page that segment s's first own page continues.
  std::int32_t prefix_source(std::int32_t s) const {
    const auto& g = (*this)[s];
    return (*this)[source(g.parent, g.shared)].pages[static_cast<std::size_t>(g.shared)];
  }
  // The nearest ancestor-or-self of s that has a page for `block`.
  std::int32_t source(std::int32_t s, std::int64_t block) const {
    while (static_cast<std::int64_t>((*this)[s].pages.size()) <= block) s = (*this)[s].parent;
    return s;
  }
  void close(std::int32_t s) {
    if (!has(s)) return;
    auto& g = segments_[static_cast<std::size_t>(s)];
    for (auto i = g.shared; i < static_cast<std::int64_t>(g.pages.size()); ++i)
      pool_->give(g.pages[static_cast<std::size_t>(i)]);
    g = {};
  }

 private:
  void release() noexcept {
    for (std::size_t s = 0; s < segments_.size(); ++s) close(static_cast<std::int32_t>(s));
    segments_.clear();
  }
  page_pool<T, Context>* pool_;
  std::vector<segment_pages> segments_;
};

}  // namespace ql::model
