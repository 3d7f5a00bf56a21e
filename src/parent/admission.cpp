// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/admission.hpp"

#include <algorithm>

#include <procpool/errors.hpp>

namespace procpool::inline v0_1::parent {

Admission::Admission(std::string pool, std::optional<std::size_t> queue_limit)
    : pool_(std::move(pool)), queue_limit_(queue_limit) {}

void Admission::check_call() const {
  if (hopeless_) std::rethrow_exception(hopeless_);
  if (closed_) throw PoolClosed("pool \"" + pool_ + "\" takes no more tasks: it was closed");
}

void Admission::check_stream() const {
  if (phase_ >= Phase::draining) {
    throw PoolClosed("pool \"" + pool_ + "\" is ending: this stream gets no more elements");
  }
}

bool Admission::has_room(std::uint64_t count, std::uint64_t running) const noexcept {
  if (!queue_limit_) return true;
  std::uint64_t const queued = accepted_ - resolved_ - running;
  return queued == 0 || queued + count <= *queue_limit_;
}

bool Admission::may_get_room(bool first) const noexcept { return goes_on() && !(first && closed_); }

void Admission::begin_end(Phase phase, std::optional<TimePoint> deadline) noexcept {
  closed_ = true;
  phase_ = std::max(phase_, phase);
  if (deadline) deadline_ = deadline_ ? std::min(*deadline_, *deadline) : *deadline;
}

Phase Admission::advance(TimePoint now) noexcept {
  if (deadline_ && now >= *deadline_) phase_ = Phase::killing;
  return phase_;
}

}  // namespace procpool::inline v0_1::parent
