// SPDX-License-Identifier: Apache-2.0
#include <ql/io/error_guide.hpp>

namespace ql::io {
namespace {

constexpr error_entry entries[] = {
    {"QL-E0001", "ql::error", "Something that ql does not tell apart from other errors.",
     "A component of your own threw the base class.",
     "Read the message; throw one of the types below where one fits, so that programs can tell them apart."},

    {"QL-E0101", "ql::shape_error",
     "Extents or strides do not fit together. The message names the operation, the argument, and both shapes.",
     "An array was sized for another batch or model: one number a token, a sequence or a group were mixed up, or "
     "offsets "
     "do not end at the number of tokens.",
     "Compare the shape that is expected with the comment of the operation's declaration; a (rows, columns) pair the "
     "other way round is a transposed weight."},

    {"QL-E0102", "ql::argument_error",
     "A value lies outside its domain. The message names the operation, the argument, what is allowed and what was "
     "given.",
     "A token id beyond the vocabulary (another model's tokenizer), a temperature of 0, an empty prompt, an unknown "
     "option on the command line.",
     "Change the argument that is named; for token ids compare the tokenizer's size with the model's vocabulary "
     "(`qwenlong-l1 inspect MODEL`)."},

    {"QL-E0103", "ql::settings_error",
     "Settings break their rules. There is one line for each: key, value, rule, what to do. All of them are listed at "
     "once.",
     "A number out of range, parts that cannot be combined (GSPO with a token mean), phases whose lengths overlap, a "
     "misspelt key.",
     "Change each key that is named; a line may say the nearest key that exists."},

    {"QL-E0104", "ql::state_error",
     "A call came in the wrong order, or parts were brought together that were not made for each other.",
     "Weights were changed and not published, a state of another data set or model was restored, a tape was used "
     "twice, "
     "a scoring phase has no reference policy.",
     "The message names what is expected: publish after writing weights, restore a state together with its data, call "
     "set_reference before a curriculum that scores by the initial policy."},

    {"QL-E0105", "ql::stale_error",
     "A tape or cached keys belong to older weights. Using them would give gradients or samples of a policy that is no "
     "more.",
     "A session or tape was kept across an update of the policy.",
     "Make a new session after each update; score again before backward."},

    {"QL-E0106", "ql::starved_error", "For several steps in a row there was no group to train on, so the run stopped.",
     "Every group was all right or all wrong (the filter keeps mixed ones alone), or the judge abstained on all of "
     "them. "
     "The examples are too easy or too hard, the longest answer too short to be right, or no answer is recognised.",
     "Look at samples (`qwenlong-l1 sample RUN`): are right answers scored 1? Then choose examples of another "
     "difficulty, longer answers, a higher temperature, larger groups, or another filter. `skips` says how many steps "
     "are tolerated."},

    {"QL-E0201", "ql::numeric_error",
     "A number is NaN or infinite where a finite one is needed. The weights are those before the update.",
     "The learning rate is too high, an advantage was divided by a deviation near 0, or the checkpoint holds "
     "non-finite weights.",
     "Go on from the last checkpoint with a lower rate or a lower `max_norm`; `qwenlong-l1 inspect MODEL` tells "
     "whether "
     "the weights are finite."},

    {"QL-E0202", "ql::backend_error", "A backend cannot do what is asked of it on this machine.",
     "The processor or device lacks what the backend was compiled for, a driver is missing, or memory of the device is "
     "used up.",
     "The message says what is lacking; `ql::cpu::context` runs everywhere."},

    {"QL-E0301", "ql::io::file_error",
     "A file cannot be opened, read or written. The message names the path and the system's reason.",
     "The path is wrong or relative to another folder, permissions are missing, a folder stands where a file is "
     "expected, or another process holds the run directory.",
     "Check the path with `ls -l`. A run directory is held by one process at a time: stop the other one, or use "
     "another "
     "folder."},

    {"QL-E0302", "ql::io::disk_full_error",
     "There is no room on the disk. What could not be written is not there; what was there before still is.",
     "Checkpoints and logs have filled the disk.",
     "Make room and continue with the same command; a run waits by itself. Fewer checkpoints kept need less room."},

    {"QL-E0303", "ql::io::format_error",
     "Bytes are not what their format says. The message names the file, the place, the rule and the remedy.",
     "A download that ended early (Git LFS pointers are small text files), a file of another kind, a row of a data set "
     "without a field, a recipe that is no TOML.",
     "Compare the file's size and hash with its source and fetch it again; for rows and recipes correct the line that "
     "is named."},

    {"QL-E0304", "ql::io::checkpoint_error",
     "A checkpoint is damaged, is none, or holds something else than is wanted.",
     "Files were copied in part or changed by hand; or the program, the model or the optimizer is another one than the "
     "one that saved it.",
     "Go on from the checkpoint before it (each is whole or absent); do not mix files of two checkpoints."},

    {"QL-E0305", "ql::archive_error",
     "A saved state is not of the type that is to be restored. The message says which type was saved and which is "
     "wanted.",
     "The component behind a slot was exchanged or changed its members between saving and restoring.",
     "Restore with the components that saved it, or begin a new run."},

    {"QL-E0306", "ql::io::recipe_error",
     "A run directory belongs to another recipe. The message names the first key that differs, with both values.",
     "A setting was changed between starting a run and continuing it; the bits of the run would not be those of "
     "either.",
     "Take the change back to continue, or begin a new run in another folder."},

    {"QL-E0307", "ql::text::template_error",
     "A chat template is malformed, uses what is not supported, raises, or exceeds its budget.",
     "The template is for another kind of message (tools, images), or demands an order of roles that the messages "
     "lack.",
     "`qwenlong-l1 render` shows the line; give the messages in the order that the template wants, or another "
     "template."},

    {"QL-E0401", "ql::comm::comm_error",
     "A rank is dead, frozen, gone or out of step. The message names it and the operation.",
     "One process was killed (often for lack of memory), a network failed, or ranks were started with different "
     "recipes.",
     "Look at the end of that rank's output first. The last checkpoint stands: start all ranks again with the same "
     "command."},

    {"QL-E0501", "ql::interruption", "The user asked to stop, and the work stopped at a point from which it can go on.",
     "SIGINT, SIGTERM or SIGUSR1.", "Run the same command again to continue."},
};

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

}  // namespace

std::span<const error_entry> error_guide() { return entries; }

const error_entry* find_error(std::string_view id) {
  std::string wanted;
  for (const char c : id.substr(0, 16)) wanted += upper(c);
  if (!wanted.starts_with("QL-")) wanted.insert(0, "QL-");
  for (const auto& e : entries)
    if (wanted == e.id) return &e;
  return nullptr;
}

std::string text_of(const error_entry& e) {
  std::string s = "## ";
  s.append(e.id).append("\n\n`").append(e.type).append("`. ").append(e.what);
  s.append("\n\n*Likely cause.* ").append(e.cause).append("\n\n*What to do.* ").append(e.remedy).append("\n");
  return s;
}

std::string error_page() {
  std::string s =
      "# Errors\n\n"
      "Every error of ql has an id, `e.id()` in a program. A message says what happened and where; its id leads here: "
      "to\n"
      "likely causes and what to do. `qwenlong-l1 explain ID` prints an entry, `qwenlong-l1 explain --page` this "
      "page.\n";
  for (const auto& e : entries) s.append("\n").append(text_of(e));
  return s;
}

}  // namespace ql::io
