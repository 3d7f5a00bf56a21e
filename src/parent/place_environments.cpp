// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/place_environments.hpp"

#include <exception>
#include <map>

#include <procpool/errors.hpp>

#include "engine/describe.hpp"
#include "engine/worker_options.hpp"

namespace procpool::inline v0_1::parent {

void PlaceEnvironments::grow(std::size_t places) {
  if (!options_.start.worker_environment) return;
  std::size_t place = 0;
  {
    detail::Lock const lock(mutex_);
    place = places_.size();
  }
  for (; place < places; ++place) {
    auto variables = ask(place);
    detail::Lock const lock(mutex_);
    // Another thread may have been faster: its answer may be in use.
    if (places_.size() == place) places_.push_back(std::move(variables));
  }
}

std::vector<std::string> PlaceEnvironments::variables_of(std::size_t place) const {
  detail::Lock const lock(mutex_);
  return place < places_.size() ? places_[place] : std::vector<std::string>();
}

std::vector<std::string> PlaceEnvironments::ask(std::size_t place) const {
  std::map<std::string, std::string> environment;
  try {
    environment = options_.start.worker_environment(static_cast<int>(place));
  } catch (...) {
    throw SetupError("PoolOptions::start.worker_environment of pool \"" + options_.name +
                     "\" failed for worker " + std::to_string(place) + ": " +
                     describe(std::current_exception()));
  }
  check_environment(environment, "PoolOptions::start.worker_environment");
  std::vector<std::string> variables;
  variables.reserve(environment.size());
  for (auto const& [name, value] : environment) variables.push_back(name + "=" + value);
  return variables;
}

}  // namespace procpool::inline v0_1::parent
