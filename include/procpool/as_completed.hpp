#pragma once

// as_completed: several futures, Future and Results alike, in the order in which they end.

#include <condition_variable>
#include <cstddef>
#include <iterator>
#include <memory>
#include <mutex>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/compose.hpp>

namespace procpool::inline v0 {

/// The futures of a range in the order in which they end: an input range that may be iterated once, on
/// one thread; it blocks until the next one has ended. Its elements are the futures themselves, ready
/// to get(). Made by as_completed().
template <detail::AnyHandle H>
class AsCompleted : public std::ranges::view_interface<AsCompleted<H>> {
  struct Order {
    std::mutex mutex;
    std::condition_variable more;
    std::vector<std::size_t> ended;  // guarded by mutex; has room for all from the beginning
  };
  struct Ended final : detail::Completion::Hook {
    Ended(std::shared_ptr<Order> order, std::size_t index)
        : whose_(std::move(order)), index_(index) {}
    void ended() noexcept override {
      std::lock_guard const lock(whose_->mutex);
      whose_->ended.push_back(index_);
      whose_->more.notify_all();
    }
    std::shared_ptr<Order> const whose_;
    std::size_t const index_;
  };

 public:
  class iterator {
   public:
    using value_type = H;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    H& operator*() const { return *range_->handles_[range_->current_]; }
    iterator& operator++() {
      ++range_->seen_;
      range_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const {
      return range_->seen_ == range_->handles_.size();
    }

   private:
    friend AsCompleted;
    explicit iterator(AsCompleted& range) : range_(&range) {}
    AsCompleted* range_;
  };

  AsCompleted(std::vector<H*> handles, std::unique_ptr<std::vector<H>> owned)
      : handles_(std::move(handles)), owned_(std::move(owned)) {
    for (H* const handle : handles_) detail::HandleAccess::completion(*handle);
    order_->ended.reserve(handles_.size());
    for (std::size_t i = 0; i < handles_.size(); ++i) {
      detail::HandleAccess::completion(*handles_[i]).on_end(std::make_unique<Ended>(order_, i));
    }
  }
  AsCompleted(AsCompleted&&) noexcept = default;
  AsCompleted& operator=(AsCompleted&&) noexcept = default;

  iterator begin() {
    if (!begun_) next();
    begun_ = true;
    return iterator(*this);
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  void next() {
    if (seen_ == handles_.size()) return;
    std::unique_lock lock(order_->mutex);
    order_->more.wait(lock, [this] { return order_->ended.size() > seen_; });
    current_ = order_->ended[seen_];
  }

  std::vector<H*> handles_;
  std::unique_ptr<std::vector<H>> owned_;
  std::shared_ptr<Order> order_ = std::make_shared<Order>();
  std::size_t seen_ = 0;
  std::size_t current_ = 0;
  bool begun_ = false;
};

/// Iterates over futures in the order in which they end. Of a named range it refers to its elements,
/// which must stay where they are; a temporary one is kept. Throws std::logic_error if one refers to
/// nothing.
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

}  // namespace procpool::inline v0
