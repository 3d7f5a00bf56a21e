#pragma once

// Stream: the result of imap and imap_unordered, an input range of results. The inputs are read as the
// results are taken, on the thread that takes them. For one thread at a time.
//
// It holds a window: after k results at most k + window inputs were read. Destroying it before its end
// cancels what has not begun; what runs goes on.

#include <cstddef>
#include <iterator>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <utility>

namespace procpool::inline v0 {

/// An element of imap_unordered: which input it is of, and the result.
template <class R>
struct Indexed {
  std::size_t index = 0;
  R value;
};
template <>
struct Indexed<void> {
  std::size_t index = 0;
};

/// The results of imap and imap_unordered. `*it` is an rvalue, as a generator's: for (auto result :
/// stream) moves it out. It throws where the element failed; ++it goes on with the next one. ++it
/// blocks until there is a result; at the end of the inputs it throws what they threw, if they did, and
/// PoolClosed if the pool's end kept further inputs from being taken.
template <class State>
class [[nodiscard]] Stream : public std::ranges::view_interface<Stream<State>> {
 public:
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

  /// Reads the first inputs and blocks until there is a result. Later calls give the same place.
  iterator begin() {
    if (!state_) throw std::logic_error("procpool: this stream was moved from");
    state_->begin();
    return iterator(*state_);
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  std::unique_ptr<State> state_;
};

}  // namespace procpool::inline v0
