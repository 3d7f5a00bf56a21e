// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// as_completed: several futures, Future and Results alike, in the order in which they end.

#include <cstddef>
#include <iterator>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/compose.hpp>
#include <procpool/detail/async/end_order.hpp>
#include <procpool/detail/async/next.hpp>

namespace procpool::inline v0_1 {

/// The futures of a range in the order in which they end: an input range that one thread may
/// iterate once. Its elements are the futures themselves, ready to get(). Made by as_completed().
template <detail::AnyHandle H>
class AsCompleted : public std::ranges::view_interface<AsCompleted<H>> {
 public:
  /// The place in the range. `*it` is a future that has ended. `++it` blocks until the next one
  /// has, and throws as begin() does.
  class iterator {
   public:
    using value_type = H;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    H& operator*() const { return *range_->handles_[range_->current_]; }
    iterator& operator++() {
      ++range_->seen_;
      range_->step();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return range_->at_end(); }

   private:
    friend AsCompleted;
    explicit iterator(AsCompleted& range) : range_(&range) {}
    AsCompleted* range_;
  };

  /// For as_completed().
  AsCompleted(std::vector<H*> handles, std::unique_ptr<std::vector<H>> owned)
      : handles_(std::move(handles)), owned_(std::move(owned)) {
    for (H* const handle : handles_) detail::check_part(*handle);
    order_ = std::make_shared<detail::EndOrder>(handles_.size());
    if (!handles_.empty()) {
      context_ = detail::context_of(detail::HandleAccess::completion(*handles_.front()));
    }
    for (H* const handle : handles_) {
      detail::EndOrder::add(order_, detail::HandleAccess::shared(*handle));
    }
  }
  /// The range that was moved from can only be assigned to and destroyed.
  AsCompleted(AsCompleted&&) noexcept = default;
  AsCompleted& operator=(AsCompleted&& other) noexcept {
    if (this == &other) return *this;
    if (order_) order_->leave();
    handles_ = std::move(other.handles_);
    owned_ = std::move(other.owned_);
    order_ = std::move(other.order_);
    context_ = std::move(other.context_);
    seen_ = other.seen_;
    current_ = other.current_;
    begun_ = other.begun_;
    return *this;
  }
  /// Does not block. Futures that the range owns are dropped.
  ~AsCompleted() {
    if (order_) order_->leave();
  }

  /// Blocks until the first future has ended. Later calls return the place that was reached. Throws
  /// std::logic_error if the range was moved from, and SetupError in a forked child if the next
  /// future can never end there. On the callback thread, throws std::system_error of
  /// std::errc::resource_deadlock_would_occur if all futures that are left need that thread.
  iterator begin() {
    if (!begun_) step();
    begun_ = true;
    return iterator(*this);
  }
  /// The end: all futures were seen.
  std::default_sentinel_t end() const noexcept { return {}; }

  /// `co_await range.next()`: a pointer to the next future that has ended, null at the end. No thread
  /// is blocked: the coroutine goes on on the thread on which then() of the first future would call.
  /// Cancelling it cancels none of the futures. One thread and one coroutine at a time; nobody
  /// iterates meanwhile.
  auto next() {
    check();
    return detail::Next(Source{this});
  }

 private:
  struct Source {
    bool advance() { return range->at_end() || range->order_->has(range->seen_); }
    H* take() {
      if (range->at_end()) return nullptr;
      return range->handles_[range->order_->wait(range->seen_++)];
    }
    bool call_at_next(std::unique_ptr<detail::Completion::Callback>&& callback) {
      return range->order_->call_at(range->seen_, std::move(callback));
    }
    std::shared_ptr<detail::Completion> awaited() const { return nullptr; }
    std::shared_ptr<detail::CallContext const> context() const { return range->context_; }

    AsCompleted* range;
  };

  bool at_end() const noexcept { return seen_ == handles_.size(); }
  void check() const {
    if (!order_) throw std::logic_error("procpool: this as_completed() was moved from");
  }

  void step() {
    check();
    if (!at_end()) current_ = order_->wait(seen_);
  }

  std::vector<H*> handles_;
  std::unique_ptr<std::vector<H>> owned_;
  std::shared_ptr<detail::EndOrder> order_;
  std::shared_ptr<detail::CallContext const> context_;  // where a coroutine goes on
  std::size_t seen_ = 0;
  std::size_t current_ = 0;
  bool begun_ = false;
};

/// Iterates over futures in the order in which they end. Does not block. The result refers to the
/// elements of a named range, which must stay where they are, and owns those of a temporary one.
/// Throws std::logic_error if a future refers to nothing, and SetupError in a forked child if one
/// can never end there. Nothing is taken then.
template <std::ranges::forward_range R>
  requires(detail::AnyHandle<std::ranges::range_value_t<R>> && std::is_lvalue_reference_v<R>)
auto as_completed(R&& handles) {
  using H = std::ranges::range_value_t<R>;
  std::vector<H*> places;
  for (H& handle : handles) places.push_back(&handle);
  return AsCompleted<H>(std::move(places), nullptr);
}
template <std::ranges::input_range R>
  requires(detail::AnyHandle<std::ranges::range_value_t<R>> && !std::is_lvalue_reference_v<R>)
auto as_completed(R&& handles) {
  using H = std::ranges::range_value_t<R>;
  auto owned = std::make_unique<std::vector<H>>(detail::to_vector(handles));
  std::vector<H*> places;
  for (H& handle : *owned) places.push_back(&handle);
  return AsCompleted<H>(std::move(places), std::move(owned));
}

}  // namespace procpool::inline v0_1
