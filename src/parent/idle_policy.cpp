// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/idle_policy.hpp"

namespace procpool::inline v0_1::parent {

IdlePolicy::Sleep IdlePolicy::next_sleep(std::size_t outcomes, bool in_sight) noexcept {
  if (outcomes >= many_outcomes) return Sleep::short_poll;
  return in_sight ? Sleep::watching : Sleep::deep;
}

}  // namespace procpool::inline v0_1::parent
