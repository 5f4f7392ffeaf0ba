// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/io/file.hpp>
#include <ql/io/sha256.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace ql::io {

// What a judge has decided, kept for ever: one JSON line per verdict and per dropped group, appended and synced before
// it is used, so that a run that is killed and resumed asks only what is missing and sees the same verdicts again.
//   {"key": "<64 hex digits>", "verdict": "yes", "model": "qwen", "template": "1"}
//   {"step": 12, "drop": 3, "why": "judge: connection refused"}
// Of lines with the same key the first counts. Without a path it is kept in memory alone.
class verdict_journal {
 public:
  struct verdict {
    sha256_digest key{};
    bool yes = false;
  };

  verdict_journal();
  // Opens or creates the file and locks it. A last line that was cut off, as by a crash, is removed; any other line
  // that is not a record throws format_error, with its number. Throws file_error where the file cannot be opened, is a
  // symbolic link, or is in use by another process.
  explicit verdict_journal(const file_path& path);
  ~verdict_journal();
  verdict_journal(verdict_journal&&) noexcept;
  verdict_journal& operator=(verdict_journal&&) noexcept;

  std::optional<bool> find(const sha256_digest& key) const;
  std::size_t size() const;

  // Appends verdicts whose keys are new, with one sync for all; they can be found when it returns. Throws file_error
  // where they cannot be kept (a full disk): then none of them can be found.
  void append(std::span<const verdict> verdicts, std::string_view model, std::string_view prompt);

  // A group that a trainer gave up at a step. append_drop of a known one does nothing.
  void append_drop(std::uint64_t step, std::uint64_t group, std::string_view why);
  bool dropped(std::uint64_t step, std::uint64_t group) const;
  std::size_t drops() const;

 private:
  struct state;
  state* s_ = nullptr;
};

// The key of a verdict: SHA-256 over the fields, each with its length.
sha256_digest verdict_key(std::string_view model, std::string_view prompt, std::string_view question,
                          std::span<const std::string_view> gold, std::string_view prediction);

}  // namespace ql::io
