// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace ql::detail {

// A merge sort. Unlike std::sort it stays within bounds whatever `less` answers (templates may order NaNs), and unlike
// std::stable_sort it needs no temporary buffer, which clang 19 warns about in libstdc++ 12, in a consumer's build too.
template <class Iterator, class Less>
void stable_sort(Iterator first, Iterator last, const Less& less) {
  using value_type = typename std::iterator_traits<Iterator>::value_type;
  std::vector<value_type> from(std::make_move_iterator(first), std::make_move_iterator(last));
  std::vector<value_type> to(from.size());
  const std::size_t n = from.size();
  for (std::size_t width = 1; width < n; width *= 2) {
    for (std::size_t begin = 0; begin < n; begin += 2 * width) {
      const std::size_t middle = std::min(begin + width, n), end = std::min(begin + 2 * width, n);
      std::size_t a = begin, b = middle;
      for (std::size_t k = begin; k < end; ++k) {
        const bool second = b < end && (a == middle || less(from[b], from[a]));
        to[k] = std::move(from[second ? b++ : a++]);
      }
    }
    from.swap(to);
  }
  std::move(from.begin(), from.end(), first);
}

}  // namespace ql::detail
