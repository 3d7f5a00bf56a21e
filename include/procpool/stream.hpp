// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Stream: the result of imap and imap_unordered, an input range of results. The inputs are read as
// the results are taken, on the thread that takes them. For one thread at a time.
//
// It holds a window: after k results at most k + window inputs were read. Destroying it before its
// end cancels elements that have not begun. Running elements go on.

#include <cstddef>
#include <iterator>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <utility>

#include <procpool/detail/async/cancel.hpp>
#include <procpool/detail/async/next.hpp>

namespace procpool::inline v0_1 {

/// An element of imap_unordered: the result, and the index of its input. No value for void
/// functions.
template <class R>
struct Indexed {
  std::size_t index = 0;  ///< of the input
  R value;                ///< the result
};
/// The same of a function that returns nothing.
template <>
struct Indexed<void> {
  std::size_t index = 0;  ///< of the input
};

/// The results of imap and imap_unordered, an input range for one thread at a time.
template <class State>
class [[nodiscard]] Stream : public std::ranges::view_interface<Stream<State>> {
 public:
  /// The place in the stream. `*it` is an rvalue, as of a generator: for (auto result : stream)
  /// moves it out. `*it` throws if the element failed, and `++it` then goes on with the next one.
  /// `++it` blocks until there is a result. After the last result it throws the exception of the
  /// inputs, if there was one, and PoolClosed if the end of the pool kept further inputs from being
  /// taken.
  class iterator {
   public:
    using value_type = typename State::Value;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    value_type&& operator*() const { return state_->current(); }
    iterator& operator++() {
      state_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return state_->over(); }

   private:
    friend Stream;
    explicit iterator(State& state) : state_(&state) {}
    State* state_;
  };

  /// For the operations.
  explicit Stream(std::unique_ptr<State> state) : state_(std::move(state)) {}

  /// Reads the first inputs and blocks until there is a result. Later calls return the same place.
  /// Throws std::logic_error if the stream was moved from.
  iterator begin() {
    state().begin();
    return iterator(*state_);
  }
  /// The end: all results were taken.
  std::default_sentinel_t end() const noexcept { return {}; }

  /// `co_await stream.next()`: the next result, as a std::optional, which is empty at the end; throws
  /// as `*it` and `++it` do. No thread is blocked: the coroutine goes on on the thread on which
  /// then() would call, which reads the next inputs too. If it is cancelled while it waits, the
  /// elements that have been read are. One thread and one coroutine at a time; nobody iterates
  /// meanwhile.
  auto next() { return detail::Next(Source{&state()}); }

  /// Stops the stream: no further inputs are read, elements that have not ended end with
  /// TaskCancelled, and after those `++it` throws TaskCancelled. Does not block. Any thread may call
  /// it while another one takes results. Returns false if all that was read has ended already.
  bool request_stop() { return detail::request_stop(state().task()); }

  /// A source whose request_stop() is that of this stream, for any thread at any time. See
  /// Future::get_stop_source.
  std::stop_source get_stop_source() {
    std::stop_source source;
    detail::stop_with(state().task(), source.get_token());
    return source;
  }

 private:
  struct Source {
    bool advance() { return state->advance(); }
    auto take() { return state->take_next(); }
    bool call_at_next(std::unique_ptr<detail::Completion::Callback>&& callback) {
      return state->call_at_next(std::move(callback));
    }
    std::shared_ptr<detail::Completion> awaited() const { return state->task(); }
    std::shared_ptr<detail::CallContext const> context() const { return state->task()->context(); }

    State* state;
  };

  State& state() const {
    if (!state_) throw std::logic_error("procpool: this stream was moved from");
    return *state_;
  }

  std::unique_ptr<State> state_;
};

}  // namespace procpool::inline v0_1
