// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// What is known of an element is given by the operations alone.
// expect: no matching function for call to
// expect: Outcome<int>
#include <procpool.hpp>
auto make(procpool::detail::OutcomeDetails details) {
  return procpool::Outcome<int>(details, std::in_place, 1);
}
