// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The operations that run once in every worker. See operations.hpp.

#include <type_traits>

#include <procpool/callable.hpp>
#include <procpool/detail/call/call.hpp>
#include <procpool/detail/operations/call_options.hpp>
#include <procpool/detail/operations/caller.hpp>
#include <procpool/detail/operations/collect.hpp>
#include <procpool/outcome.hpp>
#include <procpool/results.hpp>

namespace procpool::inline v0_1::detail {

inline constexpr unsigned each_worker_options =
    (use_on_error | use_executor | use_when_full | use_always) & ~use_key;

template <class Derived, template <class> class Given = std::type_identity_t>
class WorkerOperations {
 public:
  /// Calls the callable once in each worker, with copies of these arguments, and returns the results
  /// in the order of the workers' places: one for each place that the pool has now, see size(). A
  /// worker that has not started is started for it. Workers that come later, also as replacements,
  /// are not covered: an initializer is the thing for those. A call waits for what its worker has
  /// begun. A worker that dies gives its failure, and so does a place that resize() takes away
  /// before the call has begun. The failure of the first place is thrown when all have ended, unless
  /// CallOptions::on_error says otherwise. Counts as one call with so many elements: element i runs
  /// at place i. With Start::in_process once. Blocks until all have ended. Any thread; throws as
  /// submit does.
  template <class C, class... Args>
  auto on_each_worker(C callable, Args const&... args) {
    using Checked = Call<C, Args const&...>;
    if constexpr (Checked::check()) {
      Caller const made = caller("on_each_worker");
      auto const task = made.start_on_each_worker(callable, args...);
      Caller::finish(*task);
      return collect_values<Given<result_t<C, Args const&...>>>(*task, made.on_error());
    }
  }
  template <auto F, class... Args>
  auto on_each_worker(Args const&... args) {
    return on_each_worker(fn<F>, args...);
  }

  /// As on_each_worker, but returns as soon as the arguments are encoded.
  template <class C, class... Args>
  auto on_each_worker_async(C callable, Args const&... args)
      -> Results<Given<result_t<C, Args const&...>>> {
    using Checked = Call<C, Args const&...>;
    if constexpr (Checked::check()) {
      Caller const made = caller("on_each_worker_async");
      return {made.start_on_each_worker(callable, args...), made.on_error()};
    } else {
      return {};
    }
  }
  template <auto F, class... Args>
  auto on_each_worker_async(Args const&... args) {
    return on_each_worker_async(fn<F>, args...);
  }

 private:
  // All workers are called: none is the cause of another's failure.
  Caller caller(char const* operation) {
    return static_cast<Derived&>(*this)
        .make_caller(each_worker_options, operation)
        .finishing_on_error();
  }
};

}  // namespace procpool::inline v0_1::detail
