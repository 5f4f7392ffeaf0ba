// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/eval/evaluate.hpp>
#include <ql/io/json.hpp>
#include <ql/model/session.hpp>
#include <ql/rl/sampler.hpp>
#include <ql/text/chat_template.hpp>
#include <ql/text/tokenizer.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ql::eval {

// A decoder of this process as a generator: chat template, tokenizer, session. What the prompts of one call have in
// common at their beginning (the document) goes through the layers once, for all questions and samples. An answer is a
// function of weights, prompt, protocol and the item's place alone: not of what else is in the call.
template <scalar T, execution_context Context>
class local_policy {
 public:
  struct options {
    std::vector<token> stop{};                       // ids that end an answer
    bool add_special_tokens = false;                 // when encoding: without a chat template, mostly BOS
    std::int64_t key_bytes = std::int64_t{2} << 30;  // for the keys of answers that grow together; one always may
    std::int64_t prefill_chunk = 512;                // tokens
  };

  // `chat` may be null: the prompt is then given to the model as it is. All four must outlive the policy.
  local_policy(Context& ctx, model::decoder<T, Context>& decoder, const text::tokenizer& tokenizer,
               const text::chat_template* chat, options o)
      : ctx_(&ctx), decoder_(&decoder), tokenizer_(&tokenizer), chat_(chat), options_(std::move(o)) {
    detail::expects(options_.key_bytes >= 1, "local_policy", "key_bytes", "1 or more", options_.key_bytes);
  }

  std::vector<std::vector<generation>> operator()(std::span<const generation_request> requests, const protocol& p) {
    std::vector<std::vector<token>> prompts;
    for (const auto& r : requests) prompts.push_back(encoded(r.prompt));
    if (p.temperature > 0) {
      rl::stochastic draw({.temperature = p.temperature, .top_p = p.top_p});
      return generate(draw, requests, prompts, p);
    }
    rl::greedy draw;
    return generate(draw, requests, prompts, p);
  }

 private:
  using sampled = std::vector<std::vector<generation>>;

  // In the prompt the name of a special token is text like any other: no document ends its own turn.
  std::vector<token> encoded(std::string_view prompt) const {
    std::string whole(prompt);
    if (chat_ != nullptr) {
      const io::json::value messages(io::json::value::array_type{
          io::json::value::object_type{{"role", "user"}, {"content", std::string(prompt)}}});
      whole = chat_->render(messages).text;
    }
    const bool begin = chat_ == nullptr && options_.add_special_tokens;
    bool special = false;
    for (const auto& t : tokenizer_->added_tokens())
      special = special || (t.special && prompt.find(t.content) != std::string_view::npos);
    const auto at = special ? whole.find(prompt) : std::string::npos;
    if (at == std::string::npos) return tokenizer_->encode(whole, {.add_special_tokens = begin});
    std::vector<token> ids;
    const auto put = [&](std::string_view part, const text::encode_options& how) {
      const auto some = tokenizer_->encode(part, how);
      ids.insert(ids.end(), some.begin(), some.end());
    };
    if (at > 0) put(std::string_view(whole).substr(0, at), {});
    put(prompt, {.add_special_tokens = begin, .special_in_text = false});
    if (at + prompt.size() < whole.size()) put(std::string_view(whole).substr(at + prompt.size()), {});
    return ids;
  }

  template <class Sampler>
  sampled generate(Sampler& draw, std::span<const generation_request> requests,
                   const std::vector<std::vector<token>>& prompts, const protocol& p) {
    sampled out(requests.size());
    std::vector<std::size_t> able;  // that leave room for an answer
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const auto n = static_cast<std::int64_t>(prompts[i].size());
      if (n >= 1 && n < decoder_->max_context()) {
        able.push_back(i);
        continue;
      }
      const std::string why = n < 1 ? std::string("an empty prompt")
                                    : "a prompt of " + std::to_string(n) + " tokens leaves no room in a window of " +
                                          std::to_string(decoder_->max_context());
      out[i].assign(static_cast<std::size_t>(p.samples), generation{.stopped = false, .failure = why});
    }
    if (able.empty()) return out;

    // as many answers in one session as there is room for their keys
    const auto pages = std::min(p.max_output, decoder_->max_context()) / key_block + 2;
    const auto most = static_cast<std::size_t>(
        std::max<std::int64_t>(1, options_.key_bytes / (pages * decoder_->pool().page_bytes())));
    std::vector<job> jobs;
    for (auto i : able)
      for (std::int32_t s = 0; s < p.samples; ++s) jobs.push_back({i, static_cast<std::uint32_t>(s)});
    for (std::size_t first = 0; first < jobs.size(); first += most)
      grow(draw, std::span(jobs).subspan(first, std::min(most, jobs.size() - first)), requests, prompts, p, out);
    return out;
  }

  struct job {
    std::size_t request;
    std::uint32_t sample;
  };

  template <class Sampler>
  void grow(Sampler& draw, std::span<const job> jobs, std::span<const generation_request> requests,
            const std::vector<std::vector<token>>& prompts, const protocol& p, sampled& out) {
    const auto& one = prompts[jobs.front().request];
    std::size_t shared = one.size() - 1;  // each question keeps a token of its own
    for (const auto& j : jobs) {
      const auto& other = prompts[j.request];
      std::size_t same = 0;
      while (same < shared && same + 1 < other.size() && one[same] == other[same]) ++same;
      shared = same;
    }
    model::session<T, Context> session(*ctx_, *decoder_, {.prefill_chunk = options_.prefill_chunk});
    const bool several = jobs.front().request != jobs.back().request && shared > 0;
    const std::int32_t root = several ? session.add_root(std::span(one).first(shared)) : -1;
    std::vector<std::int32_t> leaves;
    std::int32_t parent = -1;
    for (std::size_t k = 0; k < jobs.size(); ++k) {
      const auto& prompt = prompts[jobs[k].request];
      if (k == 0 || jobs[k].request != jobs[k - 1].request)
        parent = several ? session.add_segment(root, std::span(prompt).subspan(shared)) : session.add_root(prompt);
      const random_key key{.seed = p.seed,
                           .what = purpose::evaluate,
                           .example = requests[jobs[k].request].example,
                           .sample = jobs[k].sample};
      const auto room = decoder_->max_context() - static_cast<std::int64_t>(prompt.size());
      leaves.push_back(session.add_leaf(parent, std::min(p.max_output, room), key));
    }
    const model::stop_tokens stop{options_.stop};
    while (session.step(draw, stop) > 0) {
    }
    for (std::size_t k = 0; k < jobs.size(); ++k) {
      const auto ids = session.tree().ids(leaves[k]);
      const bool stopped = session.tree()[leaves[k]].finish == finish_reason::stop;
      out[jobs[k].request].push_back({tokenizer_->decode(ids.first(ids.size() - (stopped ? 1u : 0u))),
                                      static_cast<std::int64_t>(ids.size()), stopped, ""});
    }
  }

  Context* ctx_;
  model::decoder<T, Context>* decoder_;
  const text::tokenizer* tokenizer_;
  const text::chat_template* chat_;
  options options_;
};

}  // namespace ql::eval
