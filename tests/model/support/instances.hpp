// SPDX-License-Identifier: Apache-2.0
#pragma once

// The decoder and the session of each scalar type, compiled once for all tests of this folder (instances/*.test.cpp):
// a test that compiled them itself would take seconds longer. What is inline in the library is wrapped here, because
// a compiler may compile inline members again in spite of an extern template.

#include <ql/backend/cpu/context.hpp>
#include <ql/model/session.hpp>
#include <ql/rl/sampler.hpp>

#include <cstdint>
#include <memory>
#include <span>

namespace ql::test {

template <class T>
using decoder_of = model::decoder<T, cpu::context>;
template <class T>
using tape_of = typename decoder_of<T>::tape;
template <class T>
using options_of = typename decoder_of<T>::score_options;

template <class T>
struct dispose {
  void operator()(decoder_of<T>* policy) const;
};
template <class T>
using decoder_ptr = std::unique_ptr<decoder_of<T>, dispose<T>>;

// A decoder with random weights. `deviation` is large by default: attention and entropy then vary from token to token.
// Norms and biases are random too, so that nothing hides behind ones and zeros.
template <class T>
decoder_ptr<T> make_decoder(cpu::context& ctx, const model::decoder_config& config, lane_options lanes = {},
                            std::uint64_t seed = 7, double deviation = 0.15);
template <class T>
void publish(cpu::context& ctx, decoder_of<T>& policy);
template <class T>
void zero_gradients(cpu::context& ctx, decoder_of<T>& policy);
template <class T>
void finish_gradients(cpu::context& ctx, decoder_of<T>& policy);

// Any sampler of rows of A, by reference.
template <class A>
class any_sampler {
 public:
  template <rl::sampler<A> S>
    requires(!std::same_as<S, any_sampler>)
  any_sampler(S& s)  // NOLINT: implicit by design
      : object_(&s),
        distribution_(&s.distribution()),
        draw_([](void* object, const logits_row<A>& row, double u) { return (*static_cast<S*>(object))(row, u); }) {}
  const ql::distribution& distribution() const { return *distribution_; }
  rl::draw operator()(const logits_row<A>& row, double u) { return draw_(object_, row, u); }

 private:
  void* object_;
  const ql::distribution* distribution_;
  rl::draw (*draw_)(void*, const logits_row<A>&, double);
};

// model::session with members that are not inline.
template <class T>
class grower {
 public:
  using A = accumulate_t<T>;
  grower(cpu::context& ctx, decoder_of<T>& policy, std::int64_t prefill_chunk = 512);
  ~grower();
  std::int32_t add_root(std::span<const token> tokens);
  std::int32_t add_segment(std::int32_t parent, std::span<const token> tokens, role what = role::prompt);
  std::int32_t add_leaf(std::int32_t parent, std::int64_t capacity, const random_key& key);
  std::int64_t live() const;
  std::int64_t forwarded() const;
  std::int64_t step(any_sampler<A> sampler, const model::stop_tokens& stop);
  model::rollout<A> finish();

 private:
  std::unique_ptr<model::session<T, cpu::context>> session_;
};

}  // namespace ql::test

namespace ql::model {

extern template decoder<float, cpu::context>::tape decoder<float, cpu::context>::score(
    cpu::context&, const token_tree&, const lane_plan&, unit_range, const decoder<float, cpu::context>::score_options&,
    scores<float>);
extern template void decoder<float, cpu::context>::backward(cpu::context&, tape&, scores<const float>);
extern template void decoder<float, cpu::context>::unit_forward(cpu::context&, tape&, unit_work&, keep, bool, bool);
extern template void decoder<float, cpu::context>::unit_backward(cpu::context&, tape&, unit_work&, scores<const float>);
extern template void decoder<float, cpu::context>::layer_backward(cpu::context&, tape&, unit_work&, std::int64_t,
                                                                  float*, const layer_state&, key_store, float* const*,
                                                                  const own_pages<float>&);
extern template decoder<float, cpu::context>::layer_state decoder<float, cpu::context>::recomputed(
    cpu::context&, tape&, unit_work&, std::int64_t, const own_pages<float>&, cpu::context::scratch_scope&);
extern template void decoder<float, cpu::context>::attend_by_heads(cpu::context&, tape&, const unit_work&, std::int64_t,
                                                                   const own_pages<float>&, const layer_state&, bool);
extern template void decoder<float, cpu::context>::attend_by_heads_dx(cpu::context&, tape&, const unit_work&,
                                                                      std::int64_t, const layer_state&, const float*,
                                                                      float*, float* const*, const own_pages<float>&);
extern template decoder<double, cpu::context>::tape decoder<double, cpu::context>::score(
    cpu::context&, const token_tree&, const lane_plan&, unit_range, const decoder<double, cpu::context>::score_options&,
    scores<double>);
extern template void decoder<double, cpu::context>::backward(cpu::context&, tape&, scores<const double>);
extern template void decoder<double, cpu::context>::unit_forward(cpu::context&, tape&, unit_work&, keep, bool, bool);
extern template void decoder<double, cpu::context>::unit_backward(cpu::context&, tape&, unit_work&,
                                                                  scores<const double>);
extern template void decoder<double, cpu::context>::layer_backward(cpu::context&, tape&, unit_work&, std::int64_t,
                                                                   double*, const layer_state&, key_store,
                                                                   double* const*, const own_pages<double>&);
extern template decoder<double, cpu::context>::layer_state decoder<double, cpu::context>::recomputed(
    cpu::context&, tape&, unit_work&, std::int64_t, const own_pages<double>&, cpu::context::scratch_scope&);
extern template void decoder<double, cpu::context>::attend_by_heads(cpu::context&, tape&, const unit_work&,
                                                                    std::int64_t, const own_pages<double>&,
                                                                    const layer_state&, bool);
extern template void decoder<double, cpu::context>::attend_by_heads_dx(cpu::context&, tape&, const unit_work&,
                                                                       std::int64_t, const layer_state&, const double*,
                                                                       double*, double* const*,
                                                                       const own_pages<double>&);
extern template decoder<bf16, cpu::context>::tape decoder<bf16, cpu::context>::score(
    cpu::context&, const token_tree&, const lane_plan&, unit_range, const decoder<bf16, cpu::context>::score_options&,
    scores<float>);
extern template void decoder<bf16, cpu::context>::backward(cpu::context&, tape&, scores<const float>);
extern template void decoder<bf16, cpu::context>::unit_forward(cpu::context&, tape&, unit_work&, keep, bool, bool);
extern template void decoder<bf16, cpu::context>::unit_backward(cpu::context&, tape&, unit_work&, scores<const float>);
extern template void decoder<bf16, cpu::context>::layer_backward(cpu::context&, tape&, unit_work&, std::int64_t, float*,
                                                                 const layer_state&, key_store, float* const*,
                                                                 const own_pages<float>&);
extern template decoder<bf16, cpu::context>::layer_state decoder<bf16, cpu::context>::recomputed(
    cpu::context&, tape&, unit_work&, std::int64_t, const own_pages<bf16>&, cpu::context::scratch_scope&);
extern template void decoder<bf16, cpu::context>::attend_by_heads(cpu::context&, tape&, const unit_work&, std::int64_t,
                                                                  const own_pages<bf16>&, const layer_state&, bool);
extern template void decoder<bf16, cpu::context>::attend_by_heads_dx(cpu::context&, tape&, const unit_work&,
                                                                     std::int64_t, const layer_state&, const float*,
                                                                     float*, float* const*, const own_pages<float>&);

}  // namespace ql::model

namespace ql::test {

extern template decoder_ptr<float> make_decoder<float>(cpu::context&, const model::decoder_config&, lane_options,
                                                       std::uint64_t, double);
extern template void publish<float>(cpu::context&, decoder_of<float>&);
extern template void zero_gradients<float>(cpu::context&, decoder_of<float>&);
extern template void finish_gradients<float>(cpu::context&, decoder_of<float>&);
extern template class grower<float>;
extern template struct dispose<float>;
extern template decoder_ptr<double> make_decoder<double>(cpu::context&, const model::decoder_config&, lane_options,
                                                         std::uint64_t, double);
extern template void publish<double>(cpu::context&, decoder_of<double>&);
extern template void zero_gradients<double>(cpu::context&, decoder_of<double>&);
extern template void finish_gradients<double>(cpu::context&, decoder_of<double>&);
extern template class grower<double>;
extern template struct dispose<double>;
extern template decoder_ptr<bf16> make_decoder<bf16>(cpu::context&, const model::decoder_config&, lane_options,
                                                     std::uint64_t, double);
extern template void publish<bf16>(cpu::context&, decoder_of<bf16>&);
extern template void zero_gradients<bf16>(cpu::context&, decoder_of<bf16>&);
extern template void finish_gradients<bf16>(cpu::context&, decoder_of<bf16>&);
extern template class grower<bf16>;
extern template struct dispose<bf16>;

}  // namespace ql::test
