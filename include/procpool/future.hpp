// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Future: the result of one submit, or of several futures. Made by the operations, by then(),
// when_all() and when_any(), and by a coroutine that returns one.

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <procpool/detail/async/handle.hpp>
#include <procpool/detail/operations/collect.hpp>

namespace procpool::inline v0_1 {

/// The result of one call, once, for one owner: see detail::Handle for get(), wait(), cancel(),
/// then() and co_await. One thread uses it at a time. It may outlive its pool. Dropping it does not
/// stop its call; an error that was never seen is logged.
template <class T>
class [[nodiscard]] Future : public detail::Handle<Future<T>, T> {
  using Base = detail::Handle<Future<T>, T>;

 public:
  /// Refers to nothing: valid() is false.
  Future() = default;
  /// For the operations: of a task with one element.
  explicit Future(std::shared_ptr<detail::Task> task) : Base(std::move(task), &take_only) {}
  /// For code that composes futures: `take` takes the value out of the ended completion, and gets
  /// the object that the future keeps. `take_outcome` does the same without a throw.
  Future(std::shared_ptr<detail::Completion> completion, std::shared_ptr<void> extra,
         typename Base::Take take, typename Base::TakeOutcome take_outcome)
      : Base(std::move(completion), std::move(extra), take, take_outcome) {}

  /// The standard output and error of the task, with Output::capture: the end of it, see
  /// OutputOptions::limit. Blocks until the call has ended; to be called before get(). Empty
  /// for a future that was composed of other calls. Throws std::logic_error if it refers to
  /// nothing.
  std::string output() const { return this->output_of(0); }

  /// How far the running call has come, as it says by this_task::progress. Nothing: no worker runs
  /// it at this moment, or the future was composed of other calls. Does not block. Throws
  /// std::logic_error if it refers to nothing.
  std::optional<RunningElement> progress() const {
    auto running = this->running();
    if (running.empty()) return std::nullopt;
    return std::move(running.front());
  }

 private:
  static T take_only(detail::Completion& completion, void*) {
    return detail::collect_value<T>(static_cast<detail::Task&>(completion));
  }
};

}  // namespace procpool::inline v0_1

#include <procpool/detail/async/continuation.hpp>
#include <procpool/detail/async/coroutine.hpp>
#include <procpool/detail/async/within.hpp>
