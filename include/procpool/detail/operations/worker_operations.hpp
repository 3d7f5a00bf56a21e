// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The operation that runs once in every worker. See operations.hpp.

#include <cstddef>
#include <utility>
#include <vector>

#include <procpool/callable.hpp>
#include <procpool/detail/call/call.hpp>
#include <procpool/detail/operations/call_options.hpp>
#include <procpool/detail/operations/caller.hpp>
#include <procpool/detail/operations/collect.hpp>
#include <procpool/outcome.hpp>

namespace procpool::inline v0_1::detail {

inline constexpr unsigned each_worker_options = (use_when_full | use_always) & ~use_key;

template <class Derived>
class WorkerOperations {
 public:
  /// Calls the callable once in each worker, with copies of these arguments, and returns the outcomes
  /// in the order of the workers' places: one for each place that the pool has now, see size(). A
  /// worker that has not started is started for it. Workers that come later, also as replacements,
  /// are not covered: an initializer is the thing for those. A call waits for what its worker has
  /// begun. A worker that dies gives its failure, and so does a place that resize() takes away
  /// before the call has begun. Counts as one call with so many elements: element i runs at place i.
  /// With Start::in_process once. Blocks until all have ended. Any thread; throws as submit does.
  template <class C, class... Args>
  auto on_each_worker(C callable, Args const&... args)
      -> std::vector<Outcome<result_t<C, Args const&...>>> {
    using Checked = Call<C, Args const&...>;
    if constexpr (Checked::check()) {
      auto const task = static_cast<Derived&>(*this)
                            .make_caller(each_worker_options, "on_each_worker")
                            .start_on_each_worker(callable, args...);
      Caller::finish(*task);
      return collect_outcomes<Outcome<result_t<C, Args const&...>>>(*task);
    } else {
      return {};
    }
  }
  template <auto F, class... Args>
  auto on_each_worker(Args const&... args) {
    return on_each_worker(fn<F>, args...);
  }
};

}  // namespace procpool::inline v0_1::detail
