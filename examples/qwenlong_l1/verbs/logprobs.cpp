// SPDX-License-Identifier: Apache-2.0
#include "policy.hpp"
#include "records.hpp"
#include "verb.hpp"

namespace ql::tool {
namespace {

struct settings {
  std::string model, in = "-", out = "-", dtype = "auto";
  int threads = 0;
  bool last_logits = false;
};

void declare(options& o, settings& s) {
  o.required("--model", s.model, "model folder (Hugging Face layout)")
      .optional("--in", s.in, "JSON Lines, also .gz; - is standard input")
      .optional("--out", s.out, "JSON Lines, gzip where it ends in .gz; - is standard output")
      .flag("--last-logits", s.last_logits, "also \"last_logits\": the row of logits after the last id")
      .choice("--dtype", s.dtype, {"auto", "float", "bf16"}, "compute in this type; auto: that of the weights")
      .optional("--threads", s.threads, "0: all cores")
      .footer("Each line's \"ids\" get \"logprobs\": of each id given those before it, 0 for the first.");
}

io::json::value list(const std::vector<float>& values) {
  io::json::value::array_type a;
  for (const float x : values) a.emplace_back(static_cast<double>(x));
  return a;
}

int run(const settings& s) {
  const auto policy = load_policy(s.model, s.dtype, s.threads);
  io::text_writer out(s.out);
  for_each_record(s.in, [&](record& r) {
    const auto ids = token_list(r.at("ids"));
    std::vector<float> logits;
    r.put("logprobs", list(policy->logprobs(ids, s.last_logits ? &logits : nullptr)));
    if (s.last_logits) r.put("last_logits", list(logits));
    write_record(out, r.fields);
  });
  if (!interrupted()) out.commit();
  return 0;
}

}  // namespace

verb logprobs_verb() {
  return {"logprobs", "log-probabilities of token sequences under a model", bind<settings, declare, run>};
}

}  // namespace ql::tool
