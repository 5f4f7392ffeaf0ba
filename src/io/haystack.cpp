// SPDX-License-Identifier: Apache-2.0
#include <ql/data/haystack.hpp>
#include <ql/io/json.hpp>
#include <ql/io/lines.hpp>
#include <ql/random.hpp>
#include <ql/text/tokenizer.hpp>

#include <algorithm>
#include <utility>

namespace ql::data {
namespace {

constexpr std::size_t largest_pool = std::size_t{1} << 30;  // bytes of text
constexpr std::uint32_t visit = 0x100;                      // apart from the splits of generated documents
constexpr std::string_view head = "Passage ";

void count_bytes(std::size_t& total, std::size_t more, const std::string& path) {
  total += more;
  if (total > largest_pool)
    throw io::format_error(path + ": more than " + std::to_string(largest_pool) +
                           " bytes of passages; use a part of it");
}

// The length of "Passage 12:\n" at `at`, 0 where there is none.
std::size_t header_at(std::string_view s, std::size_t at) {
  if (!s.substr(at).starts_with(head)) return 0;
  std::size_t i = at + head.size();
  const std::size_t digits = i;
  while (i < s.size() && s[i] >= '0' && s[i] <= '9') ++i;
  return i > digits && s.substr(i).starts_with(":\n") ? i + 2 - at : 0;
}

std::string block(const passage& p) { return p.title.empty() ? p.text : p.title + "\n" + p.text; }

std::vector<std::string> titles_of(const qa_example& e, const std::vector<passage>& own) {
  std::vector<std::string> out;
  for (const auto& p : own)
    if (!p.title.empty()) out.push_back(p.title);
  if (e.meta.empty()) return out;
  const auto meta = io::json::parse(e.meta, "meta of \"" + e.id + "\"");
  if (const auto* list = meta.find("supporting_titles"); list && list->is_array())
    for (const auto& t : list->array())
      if (t.is_string()) out.push_back(t.string());
  return out;
}

}  // namespace

std::vector<passage> read_passages(const io::file_path& path) {
  io::line_reader in(path);
  std::vector<passage> out;
  std::size_t total = 0;
  for (std::string line; in.next(line);) {
    if (line.empty() && !in.too_long()) continue;
    const std::string where = in.path() + ":" + std::to_string(in.number());
    if (in.too_long()) throw io::format_error(where + ": a line of more than 64 MiB");
    const auto row = io::json::parse(line, where);
    const auto *title = row.find("title"), *text = row.find("text");
    if (!text || !text->is_string() || text->string().empty() || (title && !title->is_string()))
      throw io::format_error(where + ": expected {\"title\": ..., \"text\": ...}");
    count_bytes(total, line.size(), in.path());
    out.push_back({title ? title->string() : "", text->string()});
  }
  return out;
}

std::vector<passage> cut_passages(const io::file_path& path, std::size_t bytes) {
  detail::expects(bytes > 0, "cut_passages", "bytes", "above 0", bytes);
  io::line_reader in(path);
  std::vector<passage> out;
  std::size_t total = 0;
  std::string text;
  const auto put = [&] {
    const auto last = text.find_last_not_of("\n\r\t ");
    text.resize(last == std::string::npos ? 0 : last + 1);
    if (!text.empty()) out.push_back({"", std::move(text)});
    text.clear();
  };
  for (std::string line; in.next(line);) {
    if (in.too_long())
      throw io::format_error(in.path() + ":" + std::to_string(in.number()) + ": a line of more than 64 MiB");
    count_bytes(total, line.size(), in.path());
    if (text.empty() && line.empty()) continue;
    text += line + "\n";
    if (text.size() >= bytes) put();
  }
  put();
  return out;
}

std::vector<passage> split_context(std::string_view context) {
  std::vector<passage> out;
  std::size_t n = header_at(context, 0);
  if (n == 0) return {{"", std::string(context)}};
  for (std::size_t at = 0; at < context.size();) {
    const std::size_t begin = at + n;
    // The next header stands behind an empty line; text of a passage may hold empty lines of its own.
    std::size_t end = begin;
    for (;;) {
      end = context.find("\n\n", end);
      if (end == std::string_view::npos) break;
      if ((n = header_at(context, end + 2)) > 0) break;
      end += 2;
    }
    const auto body = context.substr(begin, end == std::string_view::npos ? end : end - begin);
    const auto line = body.find('\n');
    out.push_back(line == std::string_view::npos
                      ? passage{"", std::string(body)}
                      : passage{std::string(body.substr(0, line)), std::string(body.substr(line + 1))});
    if (end == std::string_view::npos) break;
    at = end + 2;
  }
  return out;
}

std::string join_context(const std::vector<passage>& passages) {
  std::string s;
  for (std::size_t i = 0; i < passages.size(); ++i)
    s += (i == 0 ? "" : "\n\n") + std::string(head) + std::to_string(i + 1) + ":\n" + block(passages[i]);
  return s;
}

haystack::haystack(std::vector<passage> passages, const text::tokenizer& tokenizer)
    : passages_(std::move(passages)), tokenizer_(&tokenizer) {
  detail::expects(!passages_.empty() && passages_.size() < (std::size_t{1} << 31), "haystack", "passages",
                  "1 to 2^31 - 1 of them", passages_.size());
  // Each with the header that it will have, of a middling number.
  tokens_.reserve(passages_.size());
  constexpr std::size_t at_once = 1024;
  for (std::size_t from = 0; from < passages_.size(); from += at_once) {
    std::vector<std::string> texts;
    for (std::size_t i = from; i < std::min(passages_.size(), from + at_once); ++i)
      texts.push_back("\n\nPassage 50:\n" + block(passages_[i]));
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    for (const auto& ids : tokenizer.encode_batch(views)) tokens_.push_back(static_cast<std::int64_t>(ids.size()));
  }
}

lengthened haystack::surround(const qa_example& e, std::int64_t tokens, std::uint64_t seed, std::uint32_t index) const {
  detail::expects(tokens >= 0, "haystack", "tokens", "0 or more", tokens);
  const auto length = [&](std::string_view s) { return static_cast<std::int64_t>(tokenizer_->encode(s).size()); };
  const auto own = split_context(e.context);
  lengthened out{e, length(e.context), 0, {}};
  for (std::size_t i = 0; i < own.size(); ++i) out.own.push_back(static_cast<std::int32_t>(i));
  if (out.tokens >= tokens) return out;

  const random_key key{.seed = seed,
                       .what = purpose::generate,
                       .example = index,
                       .visit = visit,
                       .sample = static_cast<std::uint32_t>(tokens & 0xffff)};
  std::uint64_t position = 0;
  const auto below = [&](std::size_t n) {
    return static_cast<std::size_t>((std::uint64_t{random_bits(key, position++)[0]} * n) >> 32);
  };

  const auto titles = titles_of(e, own);
  const auto unfit = [&](const passage& p) {
    return (!p.title.empty() && std::find(titles.begin(), titles.end(), p.title) != titles.end()) ||
           std::any_of(e.answers.begin(), e.answers.end(), [&](const std::string& a) {
             return a.size() >= 4 && (p.text.find(a) != std::string::npos || p.title.find(a) != std::string::npos);
           });
  };
  // Passages in a random order, as far as they fit; the order is made while it is walked.
  std::vector<std::uint32_t> order(passages_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
  std::vector<std::uint32_t> chosen;
  std::int64_t expected = length(join_context(own));
  for (std::size_t i = 0, misses = 0; i < order.size() && misses < 200; ++i) {
    std::swap(order[i], order[i + below(order.size() - i)]);
    const auto which = order[i];
    if (expected + tokens_[which] > tokens) {
      ++misses;
    } else if (!unfit(passages_[which])) {
      chosen.push_back(which);
      expected += tokens_[which];
    }
  }

  // Where each stands: first the example's own, then the chosen ones, shuffled.
  std::vector<std::size_t> place(own.size() + chosen.size());
  for (std::size_t i = 0; i < place.size(); ++i) place[i] = i;
  for (std::size_t i = place.size(); i > 1; --i) std::swap(place[i - 1], place[below(i)]);
  for (;;) {
    std::vector<passage> all;
    std::vector<std::int32_t> at(own.size(), -1);
    for (const auto i : place) {
      if (i < own.size()) at[i] = static_cast<std::int32_t>(all.size());
      all.push_back(i < own.size() ? own[i] : passages_[chosen[i - own.size()]]);
    }
    if (chosen.empty()) return out;
    auto context = join_context(all);
    const auto n = length(context);
    if (n <= tokens) {
      out.example.context = std::move(context);
      out.tokens = n;
      out.inserted = static_cast<std::int32_t>(chosen.size());
      out.own = std::move(at);
      return out;
    }
    // Lengths of parts do not quite add up: the last one goes.
    std::erase(place, own.size() + chosen.size() - 1);
    chosen.pop_back();
  }
}

}  // namespace ql::data
