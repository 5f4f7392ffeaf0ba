// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a run tells: events are plain aggregates, an observer is a function object overloaded on the events it wants.
//
//   struct loudest { double best = 0; void operator()(const ql::step_finished& e) { best = std::max(best, *e.accuracy);
//   } }; auto observe = ql::observers(progress, files, mine);   // by reference; events nobody wants cost nothing
//   observe(ql::warning{.what = "a batch was clamped"});
//
// The observers below write the files of a run directory (docs/run_directory.md): metric_files, run_log, progress_line.

#include <ql/io/error.hpp>
#include <ql/io/file.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace ql {

// A process begins or continues a run.
struct run_started {
  std::string name = {};                        // of the recipe
  std::string directory = {};                   // of the run
  std::optional<std::int64_t> resumed_at = {};  // the step of the checkpoint it continues from
  std::int64_t total_steps = 0;                 // of all phases; 0: not known beforehand
  std::string device = {};                      // "cpu, 2 threads"
  std::int64_t parameters = 0;
};

struct phase_started {
  std::int64_t phase = 0, step = 0;     // `step`: optimizer steps done before
  std::string stage = {};               // "sft" or "rl"
  std::string name = {};                // "documents of 129 to 256 tokens"
  std::int64_t steps = 0;               // planned; 0: until a plateau
  std::int64_t max_length = 0;          // of input, in tokens
  std::int64_t pool = 0, retained = 0;  // examples to draw from, and those of earlier phases among them
};

// Seconds and bytes: everything that two runs of the same recipe may differ in.
struct step_time {
  double total = 0;  // seconds of the step
  double rollout = 0, reward = 0, update = 0, other = 0;
  double tokens_per_second = 0;  // generated and trained tokens by `total`
  std::int64_t memory_peak_bytes = 0;
  double wall = 0;  // seconds since 1970 at the step's end

  friend bool operator==(const step_time&, const step_time&) = default;
};

// One step of training. What a stage does not have stays empty.
struct step_finished {
  std::int64_t phase = 0, step = 0;                         // the row's identity; steps count from 1 through all phases
  std::string stage = "rl";                                 // "sft" or "rl"
  std::optional<double> reward_mean = {}, reward_std = {};  // after shaping
  std::optional<double> score_mean = {};                    // of the task, before shaping
  std::optional<double> accuracy = {};                      // share of answers with full score
  std::optional<double> entropy = {};                       // nats per token
  std::optional<double> kl = {};                            // of the monitor, where it looked at this step
  std::optional<double> length_mean = {};                   // of answers, in tokens
  std::optional<std::int64_t> length_max = {};
  std::optional<double> truncated = {};  // share of answers cut by the limit
  std::optional<std::int64_t> groups_wrong = {}, groups_mixed = {},
                              groups_right = {};  // all wrong, both kinds, all right
  std::optional<std::int64_t> groups_kept = {}, groups_abstained = {}, refills = {};
  std::optional<std::int64_t> retained_groups = {},
                              retained_mixed = {};                 // of retained examples; and those with both kinds
  std::optional<double> clip_fraction = {}, ratio_deviation = {};  // share of clipped tokens; largest |ratio - 1|
  std::optional<double> gradient_norm = {};                        // before clipping, the largest of the step's updates
  double learning_rate = 0;
  std::optional<double> loss = {};
  bool skipped = false;  // nothing was kept, or a gradient was not finite: no update
  std::int64_t tokens_generated = 0, tokens_trained = 0;
  std::int64_t mismatch_compared = 0, mismatch_found = 0;  // log-probs compared with the training forward; unequal bits
  std::optional<std::int64_t> pool = {}, retained = {};
  step_time time = {};
};

// Accuracy on documents of one length, with its interval.
struct length_accuracy {
  std::int64_t length = 0;  // the upper bound, in tokens
  double accuracy = 0, low = 0, high = 0;
  std::int64_t items = 0;
};

// Another number of a validation: "pass@4", "grounding".
struct named_measure {
  std::string name = {};
  double value = 0;
};

struct validation_finished {
  std::int64_t phase = 0, step = 0;
  std::string moment = "step";  // "before", "step", "phase" (at a phase's end) or "final"
  std::string set = "validation";
  double accuracy = 0, low = 0, high = 0;  // over all items
  std::int64_t items = 0;
  std::vector<length_accuracy> by_length = {};
  std::vector<named_measure> measures = {};
  double seconds = 0;
};

// Scoring of examples at a change of phase (retrospective sampling), or another long pass.
struct scoring_progress {
  std::string what = "scoring";
  std::int64_t done = 0, total = 0;
};

struct scoring_finished {
  std::int64_t phase = 0, step = 0;  // the phase that begins
  std::int64_t scored = 0, retained = 0;
  std::vector<std::int64_t> histogram = {};  // of mean scores, equal bins from 0 to 1
  std::vector<std::int64_t> retained_histogram = {};
  std::int64_t tokens = 0;
  double seconds = 0;
};

struct checkpoint_saved {
  std::int64_t step = 0;
  std::string name = {};
  std::int64_t bytes = 0;
  double seconds = 0;
  bool best = false;
};

// One sampled answer with everything that was decided about it.
struct sample_logged {
  std::int64_t phase = 0, step = 0, group = 0, sample = 0;
  std::string example = {};   // its id
  std::string document = {};  // or an excerpt; once a group is enough
  std::string question = {}, gold = {};
  std::string response = {};
  std::string answer = {};                      // extracted from the response
  std::optional<double> rule = {}, judge = {};  // scores; empty: not asked
  std::string why = {};                         // the verifier's or judge's reason
  std::optional<double> score = {};             // of the task; empty: abstained
  double reward = 0, advantage = 0;
  std::int64_t length = 0;  // in tokens
  bool truncated = false, kept = true;
  std::string dropped = {};            // why its group is not trained on
  std::vector<std::int32_t> ids = {};  // tokens of the response, their texts and log-probs; empty: not logged
  std::vector<std::string> pieces = {};
  std::vector<float> logp = {};
};

struct warning {
  std::string what = {};
  std::int64_t step = 0;
};

struct run_finished {
  std::string reason = "finished";  // "finished", "interrupted" or "failed"
  std::string detail = {};
  std::int64_t step = 0;
  double seconds = 0;
};

namespace detail {
template <class O, class... Events>
inline constexpr bool wants_any = (... || std::invocable<O&, const Events&>);
}  // namespace detail

// Takes at least one of the events above.
template <class O>
concept observer =
    detail::wants_any<O, run_started, phase_started, step_finished, validation_finished, scoring_progress,
                      scoring_finished, checkpoint_saved, sample_logged, warning, run_finished>;

// A list of observers, by reference, that is an observer of any event: each is called in order if it wants it.
template <class... O>
class observers {
  static_assert((... && observer<O>), "ql: an observer in the list takes none of ql's events");

 public:
  explicit observers(O&... o) : all_(o...) {}
  template <class Event>
  void operator()(const Event& e) const {
    std::apply([&](auto&... o) { (tell(o, e), ...); }, all_);
  }
  template <class Event>
  static constexpr bool wants = (... || std::invocable<O&, const Event&>);

 private:
  template <class One, class Event>
  static void tell(One& o, const Event& e) {
    if constexpr (std::invocable<One&, const Event&>) o(e);
  }
  std::tuple<O&...> all_;
};

// How far the files of a run are written; part of a checkpoint.
struct metric_files_state {
  std::uint64_t metrics = 0, table = 0, tensorboard = 0, events = 0, samples = 0;  // bytes
  std::int64_t phase = -1, step = -1;                                              // of the last row

  friend bool operator==(const metric_files_state&, const metric_files_state&) = default;
};

// Writes metrics.jsonl and metrics.csv (a row a step), TensorBoard scalars, events.jsonl (phases, validations, scoring)
// and samples.jsonl. All are cut back to `state` when a run continues, so that no row is there twice and the files are
// those of a run that was never stopped, but for times.
class metric_files {
 public:
  // A new run: files of an earlier one in this folder are emptied.
  explicit metric_files(const io::file_path& directory) : metric_files(directory, metric_files_state{}) {}
  // Continues from a checkpoint. Throws io::file_error where a file is shorter than it was then.
  metric_files(const io::file_path& directory, const metric_files_state& state);
  ~metric_files();
  metric_files(const metric_files&) = delete;
  metric_files& operator=(const metric_files&) = delete;

  // Throws argument_error for a row that does not follow the last one; io::disk_full_error where the disk is full:
  // then the row is in none of the files and may be written again.
  void operator()(const step_finished& e);
  void operator()(const phase_started& e);
  void operator()(const validation_finished& e);
  void operator()(const scoring_finished& e);
  void operator()(const sample_logged& e);

  // Syncs the files and says how long they are: call it before a checkpoint and save the result in it.
  metric_files_state sync();

 private:
  struct files;
  files* files_;
};

// Appends every event but steps, samples and progress to log.jsonl, with its time; never cut back.
class run_log {
 public:
  explicit run_log(const io::file_path& directory);
  ~run_log();
  run_log(const run_log&) = delete;
  run_log& operator=(const run_log&) = delete;

  void operator()(const run_started& e);
  void operator()(const phase_started& e);
  void operator()(const validation_finished& e);
  void operator()(const scoring_finished& e);
  void operator()(const checkpoint_saved& e);
  void operator()(const warning& e);
  void operator()(const run_finished& e);

 private:
  std::string path_;
  int descriptor_ = -1;
};

struct progress_options {
  int descriptor = 2;               // where to: standard error
  std::optional<bool> live = {};    // one line that is rewritten; default: where it is a terminal
  std::optional<bool> colour = {};  // default: where live and NO_COLOR is not set
  int width = 0;                    // columns; 0: the terminal's, or no limit where it is none
};

// One line a step: step, phase, reward, accuracy, entropy, KL, length, tokens/s, time left. Rewritten in place on a
// terminal, plain lines elsewhere.
//   step 12/160  phase 1  reward 0.62  acc 0.58  entropy 0.041  len 21  18.2k tok/s  left 4m 10s
class progress_line {
 public:
  explicit progress_line(const progress_options& options = {});

  void operator()(const run_started& e);
  void operator()(const phase_started& e);
  void operator()(const step_finished& e);
  void operator()(const validation_finished& e);
  void operator()(const scoring_progress& e);
  void operator()(const scoring_finished& e);
  void operator()(const checkpoint_saved& e);
  void operator()(const warning& e);
  void operator()(const run_finished& e);

 private:
  int columns() const;
  void print(const std::string& text, bool passing);
  std::string coloured(std::string_view text, const char* code) const;

  progress_options options_;
  bool live_, colour_, open_ = false;  // a passing line stands
  std::int64_t total_ = 0, done_here_ = 0, last_step_ = 0, shown_tenth_ = -1;
  std::int64_t phase_ = -1, phase_first_ = 0, phase_steps_ = 0;  // of the phase that was told last
  double seconds_ = 0;
};

}  // namespace ql
