// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/tally.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "engine/patience.hpp"
#include "parent/exit_report.hpp"

namespace procpool::inline v0_1::parent {

void Tally::resize(std::size_t workers) {
  workers_.reserve(workers);
  for (std::size_t i = workers_.size(); i < workers; ++i) {
    workers_.emplace_back().index = static_cast<unsigned>(i);
  }
}

void Tally::count_answered(std::size_t worker, std::uint64_t elements,
                           std::uint64_t nanoseconds) noexcept {
  workers_[worker].done += elements;
  // 0: the time is not known.
  if (nanoseconds != 0) stats_.ran.add(std::chrono::nanoseconds(nanoseconds / elements), elements);
  // The worker says so: lies must not overflow it.
  constexpr std::uint64_t most = std::uint64_t{1} << 62;
  auto& busy = workers_[worker].busy;
  auto const room = most - static_cast<std::uint64_t>(busy.count());
  busy += std::chrono::nanoseconds(std::min(nanoseconds, room));
}

void Tally::count_start(std::size_t worker, pid_t pid) noexcept {
  ++stats_.worker_starts;
  ++workers_[worker].starts;
  workers_[worker].pid = pid;
}

bool Tally::count_exit(std::size_t worker, ExitReport const& report, std::string const& text,
                       bool killing) noexcept {
  using When = ExitReport::When;
  workers_[worker].pid = 0;
  detail::if_possible([&] { workers_[worker].last_end = text; });
  bool const died = report.when == When::ready && !killing;
  if (died) ++stats_.worker_deaths;
  if (report.when != When::ready && report.when != When::leaving) return false;
  if (report.forced) ++summary_.forced;
  switch (report.leave_reason) {
    case LeaveReason::recycled: ++stats_.workers_recycled; break;
    case LeaveReason::idle: ++stats_.workers_left_idle; break;
    case LeaveReason::resized: ++stats_.workers_resized; break;
    case LeaveReason::none:
    case LeaveReason::with_pool:
    case LeaveReason::hung_up:
    case LeaveReason::for_element: break;
  }
  return died;
}

void Tally::amend_last_end(std::size_t worker, std::string_view from, std::string_view to) {
  std::string& last_end = workers_[worker].last_end;
  if (last_end.starts_with(from)) last_end.replace(0, from.size(), to);
}

}  // namespace procpool::inline v0_1::parent
