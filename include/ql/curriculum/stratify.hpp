// SPDX-License-Identifier: Apache-2.0
#pragma once

// A data set thinned out to an even spread over difficulty.

#include <ql/curriculum/rules.hpp>
#include <ql/curriculum/shuffle.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ql::curriculum {

// Which items an even spread over difficulty keeps, and what there was to choose from.
struct strata {
  std::vector<std::uint32_t> kept;        // ascending
  std::vector<std::int64_t> found, took;  // row-major: source, bin
};

// Stratification by pass@k (QwenLong-L1.5): within each source the rates in [0, 1] fall into `bins` bins of equal width
// (1 belongs to the last), and `per_bin` items are drawn from each, all of a smaller one; per_bin 0: as many as the
// source's smallest bin that is not empty has.
template <int = 0>
strata stratify(std::span<const double> rate, std::span<const std::int32_t> source, std::int64_t bins,
                std::int64_t per_bin, std::uint64_t seed) {
  constexpr const char* me = "stratify";
  detail::expects(bins >= 1, me, "bins", "at least 1", bins);
  detail::expects(per_bin >= 0, me, "per_bin", "at least 0", per_bin);
  detail::expects<shape_error>(source.empty() || source.size() == rate.size(), me, "source", rate.size(),
                               source.size());
  std::int32_t sources = 1;
  for (const auto x : source) {
    detail::expects(x >= 0 && x < (1 << 16), me, "source", "from 0 to 65535", x);
    sources = std::max(sources, x + 1);
  }
  const auto width = static_cast<std::size_t>(bins);
  std::vector<std::vector<std::uint32_t>> cell(width * static_cast<std::size_t>(sources));
  for (std::size_t i = 0; i < rate.size(); ++i) {
    detail::expects(rate[i] >= 0 && rate[i] <= 1, me, "rate", "in [0, 1]", rate[i]);
    const auto bin = std::min(static_cast<std::int64_t>(rate[i] * static_cast<double>(bins) + 1e-9), bins - 1);
    const auto row = source.empty() ? std::size_t{0} : static_cast<std::size_t>(source[i]);
    cell[row * width + static_cast<std::size_t>(bin)].push_back(static_cast<std::uint32_t>(i));
  }
  strata out;
  out.found.resize(cell.size());
  out.took.resize(cell.size());
  for (std::size_t row = 0; row < cell.size(); row += width) {
    std::size_t wanted = static_cast<std::size_t>(per_bin);
    if (per_bin == 0) {
      wanted = 0;
      for (std::size_t b = 0; b < width; ++b)
        if (const auto n = cell[row + b].size(); n > 0 && (wanted == 0 || n < wanted)) wanted = n;
    }
    for (std::size_t b = 0; b < width; ++b) {
      auto& in = cell[row + b];
      out.found[row + b] = static_cast<std::int64_t>(in.size());
      shuffle(std::span(in), shuffle_key(seed, stream::strata, static_cast<std::uint32_t>(row + b), 0));
      in.resize(std::min(in.size(), wanted));
      out.took[row + b] = static_cast<std::int64_t>(in.size());
      out.kept.insert(out.kept.end(), in.begin(), in.end());
    }
  }
  std::sort(out.kept.begin(), out.kept.end());
  return out;
}

}  // namespace ql::curriculum
