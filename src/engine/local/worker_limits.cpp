#include "engine/local/worker_limits.hpp"

#include <string.h>
#include <sys/resource.h>

#include <cerrno>

namespace procpool::inline v0::local {

std::vector<Hello::Limit> limits_of(Limits const& limits) {
  std::vector<Hello::Limit> list;
  auto const add = [&list](int resource, std::optional<std::uint64_t> value,
                           std::uint64_t grace = 0) {
    if (value) list.push_back({resource, *value, *value + grace});
  };
  add(RLIMIT_DATA, limits.memory);
  add(RLIMIT_AS, limits.address_space);
  if (limits.cpu_time) {
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

}  // namespace procpool::inline v0::local
