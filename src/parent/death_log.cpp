// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/death_log.hpp"

#include <utility>

#include "engine/patience.hpp"

namespace procpool::inline v0_1::parent {

void DeathLog::add(std::string const& how, TimePoint now) noexcept {
  flush(now);
  if (!since_ || now - *since_ >= interval) {
    since_ = now;
    lines_ = 0;
  }
  if (lines_ == max_lines) {
    ++untold_;
    return;
  }
  ++lines_;
  detail::if_possible([&] { log_("pool \"" + pool_ + "\": " + how); });
}

std::optional<DeathLog::TimePoint> DeathLog::flush(TimePoint now) noexcept {
  if (untold_ == 0) return std::nullopt;
  TimePoint const end = *since_ + interval;
  if (now < end) return end;
  finish();
  return std::nullopt;
}

void DeathLog::finish() noexcept {
  if (untold_ == 0) return;
  std::uint64_t const untold = std::exchange(untold_, 0);
  detail::if_possible([&] {
    log_("pool \"" + pool_ + "\": " + std::to_string(untold) + " more workers have died");
  });
}

}  // namespace procpool::inline v0_1::parent
