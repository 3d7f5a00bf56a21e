// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/worker_services.hpp"

#include <bit>
#include <chrono>

#include <procpool/errors.hpp>

#include "engine/patience.hpp"

namespace procpool::inline v0_1::parent {

void WorkerServices::start_failed(std::size_t worker, SpawnBackoff::Failure failure,
                                  std::string const& reason,
                                  std::exception_ptr const& error) noexcept {
  auto const now = std::chrono::steady_clock::now();
  // The memory and the descriptors that are kept for messages may be those that are missing.
  detail::if_possible([&] { core.buffer_pool->trim(now + memory_is_kept); });
  bool const hopeless = backoff.start_failed(now, failure);
  unsigned const in_a_row = backoff.failed_starts();
  std::exception_ptr broken;
  if (hopeless) {
    broken = error ? error : detail::patiently([&] {
      return std::make_exception_ptr(SetupError("pool \"" + core.name +
                                                "\" cannot start workers; the last of " +
                                                std::to_string(in_a_row) + " attempts: " + reason));
    });
  }
  if (!core.is_killing()) {
    core.tell(EventKind::start_failed, [&](Event& event) {
      event.worker = static_cast<int>(worker);
      event.text = reason;
    });
  }
  // The first of a row is told, the second, the fourth, and so on.
  if (!core.start_failed(broken) || !std::has_single_bit(in_a_row)) return;
  detail::if_possible([&] { core.log("pool \"" + core.name + "\": " + reason); });
}

}  // namespace procpool::inline v0_1::parent
