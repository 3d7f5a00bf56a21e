// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "protocol/worker_limits.hpp"

#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>

#include "os/affinity.hpp"

namespace procpool::inline v0_1::protocol {

std::vector<Hello::Limit> limits_of(Limits const& limits) {
  std::vector<Hello::Limit> list;
  auto const add = [&list](int resource, std::optional<std::uint64_t> value,
                           std::uint64_t grace = 0) {
    if (value) list.push_back({resource, *value, *value + grace});
  };
  add(RLIMIT_DATA, limits.memory);
  add(RLIMIT_AS, limits.address_space);
  // The kernel counts it in nanoseconds, and does not mind when they overflow.
  constexpr std::chrono::hours ever{24 * 365 * 100};
  if (limits.cpu_time && *limits.cpu_time < ever) {
    // The signal comes at the soft limit, the end at the hard one.
    add(RLIMIT_CPU, static_cast<std::uint64_t>(limits.cpu_time->count()), 1);
  }
  add(RLIMIT_NOFILE, limits.open_files);
  add(RLIMIT_CORE, limits.core_size);
  return list;
}

std::optional<std::string> apply(std::vector<Hello::Limit> const& limits) {
  for (Hello::Limit const& limit : limits) {
    rlimit const wanted{limit.soft, limit.hard};
    if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &wanted) != 0) {
      return "a limit of its resources (number " + std::to_string(limit.resource) +
             ") cannot be set to " + std::to_string(limit.soft) + ": " + ::strerror(errno);
    }
  }
  return std::nullopt;
}

std::optional<std::string> apply_scheduling(Hello const& hello) {
  if (!hello.cpus.empty() && !os::run_only_on(hello.cpus)) {
    std::string const why = ::strerror(errno);
    std::string names;
    for (std::int32_t const cpu : hello.cpus) {
      names += (names.empty() ? "" : ", ") + std::to_string(cpu);
    }
    return "it cannot be pinned to CPU " + names + ": " + why;
  }
  if (hello.nice != 0) {
    errno = 0;  // -1 may be the new value
    if (::nice(hello.nice) == -1 && errno != 0) {
      return "its nice value cannot be raised by " + std::to_string(hello.nice) + ": " +
             ::strerror(errno);
    }
  }
  return std::nullopt;
}

std::optional<std::string> harden() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return std::string("it cannot be hardened: ") + ::strerror(errno);
  }
  return std::nullopt;
}

}  // namespace procpool::inline v0_1::protocol
