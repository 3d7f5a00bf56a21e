#pragma once

// Future: the result of one submit, for its one owner. Like std::future it may be moved to another
// thread, and used by one at a time. It outlives its pool: by then it has an outcome.

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <procpool/detail/collect.hpp>
#include <procpool/detail/task.hpp>

namespace procpool::inline v0 {

namespace detail {

// A point in time `wait` from now; none if it is too far to be told from for ever.
template <class Rep, class Period>
std::optional<Task::TimePoint> deadline_after(std::chrono::duration<Rep, Period> wait) {
  auto const now = std::chrono::steady_clock::now();
  // In seconds as they come, for what a TimePoint cannot hold; an hour is left for the rounding.
  std::chrono::duration<double> const seconds = wait;
  if (!(seconds.count() > 0)) return now;
  if (seconds >= Task::TimePoint::max() - now - std::chrono::hours(1)) return std::nullopt;
  return now + std::chrono::ceil<Task::TimePoint::duration>(wait);
}

}  // namespace detail

template <class T>
class [[nodiscard]] Future {
 public:
  /// Refers to nothing: valid() is false.
  Future() = default;
  /// For the verbs.
  explicit Future(std::shared_ptr<detail::Task> task) : task_(std::move(task)) {}

  Future(Future&&) noexcept = default;
  Future& operator=(Future&&) noexcept = default;

  /// Does it refer to a call? False after get() and after having been moved from.
  bool valid() const noexcept { return task_ != nullptr; }

  /// Has the call ended? Does not block.
  bool ready() const { return task().ended(); }

  /// Blocks until the call has ended.
  void wait() const { task().wait_until(std::nullopt); }

  /// Blocks until the call has ended or the time is over; says whether it has ended. The call goes on
  /// in any case.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> time) const {
    return task().wait_until(detail::deadline_after(time));
  }

  /// Blocks until the call has ended and gives its value, or throws the reason why there is none (see
  /// errors.hpp). Once: the future is not valid() after it.
  T get() {
    wait();
    std::shared_ptr<detail::Task> const task = std::exchange(task_, nullptr);
    if constexpr (std::is_void_v<T>) {
      detail::collect_values<void>(*task);
    } else {
      return std::move(detail::collect_values<T>(*task).front());
    }
  }

 private:
  detail::Task& task() const {
    if (!task_) throw std::logic_error("procpool: this Future refers to no call");
    return *task_;
  }

  std::shared_ptr<detail::Task> task_;
};

}  // namespace procpool::inline v0
