// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// PlaceEnvironments: the variables that the worker at each place of a pool has beside those of all,
// from StartOptions::worker_environment. The worker that replaces another one has the same.
//
// Any thread. The program's function is called on the thread of grow(), without a lock, and never
// by the dispatcher.

#include <cstddef>
#include <string>
#include <vector>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/options.hpp>

namespace procpool::inline v0_1::parent {

class PlaceEnvironments {
 public:
  // The options live as long as this object.
  explicit PlaceEnvironments(PoolOptions const& options) noexcept : options_(options) {}

  // Asks the program for the variables of all places below this one that it was not asked for.
  // Throws SetupError if it throws, and std::invalid_argument for variables that cannot be. What was
  // asked for is kept then.
  void grow(std::size_t places);

  // "NAME=value" each. The place is below one that grow() was called with.
  std::vector<std::string> variables_of(std::size_t place) const;

 private:
  std::vector<std::string> ask(std::size_t place) const;

  PoolOptions const& options_;
  mutable detail::Mutex mutex_;
  std::vector<std::vector<std::string>> places_ PROCPOOL_GUARDED_BY(mutex_);
};

}  // namespace procpool::inline v0_1::parent
