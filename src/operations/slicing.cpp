// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <algorithm>

#include <procpool/detail/operations/slicing.hpp>

namespace procpool::inline v0_1::detail {

Slices::Slices(std::size_t count, std::size_t wanted)
    : number(std::min(count, wanted)),
      each(number == 0 ? 0 : count / number),
      longer(number == 0 ? 0 : count % number) {}

void add_place(std::vector<SliceTiming>& places, Slices const& slices, std::size_t index) {
  places.push_back({slices.begin(index), slices.size(index), -1, {}});
}

}  // namespace procpool::inline v0_1::detail
