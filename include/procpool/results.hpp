// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Results: the results of a map_async or starmap_async, in the order of the inputs, as one handle.

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/call_options.hpp>
#include <procpool/detail/async/handle.hpp>
#include <procpool/detail/operations/collect.hpp>
#include <procpool/future.hpp>

namespace procpool::inline v0_1 {

namespace detail {

template <class R>
using results_t = std::conditional_t<std::is_void_v<R>, void, std::vector<R>>;

}  // namespace detail

/// The results of all elements, after their ends. get() returns the std::vector<R> (nothing for
/// void functions) or throws as map would. See detail::Handle for the other members. One thread
/// uses it at a time. The members below throw std::logic_error if it refers to nothing.
template <class R>
class [[nodiscard]] Results : public detail::Handle<Results<R>, detail::results_t<R>> {
  using Value = detail::results_t<R>;
  using Base = detail::Handle<Results<R>, Value>;

 public:
  /// Refers to nothing: valid() is false.
  Results() = default;
  /// For the operations.
  Results(std::shared_ptr<detail::Task> task, OnError on_error)
      : Base(std::move(task),
             on_error == OnError::collect ? &take<OnError::collect> : &take<OnError::finish>,
             on_error == OnError::collect ? &take_outcome<OnError::collect>
                                          : &take_outcome<OnError::finish>) {}

  /// The number of elements. Does not block.
  std::uint64_t total() const { return this->counts().announced; }

  /// The number of elements that have ended, with values or errors. Does not block.
  std::uint64_t done() const { return this->counts().delivered; }

  /// The elements that run at this moment, in the order of their workers, and how far they have come,
  /// see Future::progress. Does not block.
  std::vector<RunningElement> progress() const { return this->running(); }

  /// The output of element `index`, see Future::output. Blocks until all have ended.
  std::string output(std::uint64_t index) const { return this->output_of(index); }

  /// The number of elements that ended with an error of their own. Does not block.
  std::uint64_t failed() const { return this->counts().failed; }

 private:
  template <OnError How>
  static Value take(detail::Completion& completion, void*) {
    return detail::collect_values<R>(told(completion), How);
  }
  template <OnError How>
  static Outcome<Value> take_outcome(detail::Completion& completion, void*) {
    return detail::collect_outcome<R>(told(completion), How);
  }

  static detail::Task& told(detail::Completion& completion) {
    auto& task = static_cast<detail::Task&>(completion);
    if (detail::ProgressReport* const report = task.progress()) report->wait_until_told();
    return task;
  }
};

}  // namespace procpool::inline v0_1
