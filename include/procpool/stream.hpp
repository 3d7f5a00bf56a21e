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
#include <utility>

namespace procpool::inline v0 {

/// An element of imap_unordered: the result, and the index of its input. No value for void
/// functions.
template <class R>
struct Indexed {
  std::size_t index = 0;  ///< of the input
  R value;                ///< the result
};
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
    if (!state_) throw std::logic_error("procpool: this stream was moved from");
    state_->begin();
    return iterator(*state_);
  }
  /// The end: all results were taken.
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  std::unique_ptr<State> state_;
};

}  // namespace procpool::inline v0
