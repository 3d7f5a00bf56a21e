#pragma once

// Future: the result of one submit, or of several futures. Made by the operations, by then(),
// when_all() and when_any(), and by a coroutine that returns one.

#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <procpool/detail/async/handle.hpp>
#include <procpool/detail/operations/collect.hpp>

namespace procpool::inline v0 {

template <class T>
class [[nodiscard]] Future : public detail::Handle<Future<T>, T> {
  using Base = detail::Handle<Future<T>, T>;

 public:
  /// Refers to nothing: valid() is false.
  Future() = default;
  /// For the operations: of a task with one element.
  explicit Future(std::shared_ptr<detail::Task> task) : Base(std::move(task), &take_only) {}
  /// For what composes: `take` gets the value out of the completion once that has ended, with what else
  /// the future keeps.
  Future(std::shared_ptr<detail::Completion> completion, std::shared_ptr<void> extra,
         typename Base::Take take)
      : Base(std::move(completion), std::move(extra), take) {}

  /// What the task wrote to its standard output and error, with Output::capture: the end of it, see
  /// PoolOptions::output_limit. Blocks until the call has ended; to be called before get(). Empty for what was
  /// composed of other calls.
  std::string output() const { return this->output_of(0); }

 private:
  static T take_only(detail::Completion& completion, void*) {
    return detail::collect_value<T>(static_cast<detail::Task&>(completion));
  }
};

}  // namespace procpool::inline v0

#include <procpool/detail/async/continuation.hpp>
#include <procpool/detail/async/coroutine.hpp>
