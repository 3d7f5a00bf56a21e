// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <algorithm>
#include <utility>

#include <procpool/compose.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0_1::detail {

class Join::PartEnded final : public Callback {
 public:
  std::shared_ptr<Join> whole;
  std::size_t part = 0;

  void ended() noexcept override { whole->part_ended(part); }
  // Relaxed: a callback that is seen to be stale later is dropped later.
  bool stale() const noexcept override {
    return whole->missing_.load(std::memory_order_relaxed) == 0;
  }
};

Join::Join(std::shared_ptr<CallContext const> context, std::size_t parts, std::size_t wanted)
    : Composed(std::move(context)), any_(wanted < parts), missing_(wanted) {
  end_callbacks_.reserve(parts);
  for (std::size_t i = 0; i < parts; ++i) end_callbacks_.push_back(std::make_unique<PartEnded>());
  if (wanted == 0) end();
}

void Join::keep(std::weak_ptr<void> kept, Enumerate enumerate) noexcept {
  Lock const lock(mutex_);
  kept_ = std::move(kept);
  enumerate_ = enumerate;
}

void Join::add(std::shared_ptr<Join> const& join, Completion& part) noexcept {
  std::size_t const index = join->added_++;
  auto callback = std::move(join->end_callbacks_[index]);
  if (join->added_ == join->end_callbacks_.size()) join->end_callbacks_.clear();
  static_cast<PartEnded&>(*callback).whole = join;
  static_cast<PartEnded&>(*callback).part = index;
  part.on_end(std::move(callback));
}

void Join::taken() noexcept {
  Lock const lock(mutex_);
  kept_.reset();
}

Outcome<std::size_t> Join::take_any() {
  taken();
  if (!cancelled_) return Outcome<std::size_t>(last_);
  return Failure(
      std::make_exception_ptr(TaskCancelled("cancelled before one of several futures had ended")));
}

// The parts are cancelled one after the other. One of them may end by itself meanwhile, and be the
// first part then.
bool Join::ask() noexcept {
  Lock const lock(mutex_);
  if (!any_ || decided()) return false;
  ++asked_;
  return true;
}

bool Join::unask() noexcept {
  Lock const lock(mutex_);
  if (decided()) return cancelled_;
  --asked_;
  return false;
}

bool Join::awaited(List& all) {
  std::shared_ptr<void> kept;  // if this is the last owner, the end comes behind the lock
  // After taken() the parts belong to their new owner.
  Lock const lock(mutex_);
  kept = kept_.lock();
  if (!kept) return false;
  enumerate_(kept.get(), all);
  return true;
}

// Empty: they are taken, or there is no memory for the list.
Composed::List Join::all_parts() const noexcept {
  List parts;
  std::shared_ptr<void> kept;  // if this is the last owner, the end comes behind the lock
  try {
    Lock const lock(mutex_);
    kept = kept_.lock();
    if (kept) enumerate_(kept.get(), parts);
  } catch (...) {
    parts.clear();
  }
  return parts;
}

bool Join::needs_thread(Callbacks::OfThread const& thread, int levels) const noexcept {
  List const all = decided() ? List() : all_parts();
  auto const needs = [&](auto const& part) {
    return detail::needs_thread(*part, thread, levels - 1);
  };
  if (all.empty()) return false;
  return any_ ? std::ranges::all_of(all, needs) : std::ranges::any_of(all, needs);
}

bool Join::may_have_failed(int levels) const noexcept {
  if (any_) return cancelled_;
  List const all = all_parts();
  return all.empty() || std::ranges::any_of(all, [levels](auto const& part) {
           return detail::may_have_failed(*part, levels - 1);
         });
}

void Join::part_ended(std::size_t index) noexcept {
  std::size_t before = missing_.load(std::memory_order_relaxed);
  do {
    if (before == 0) return;
    // Acquire and release: the part that ends the join comes after all others.
  } while (!missing_.compare_exchange_weak(before, before - 1, std::memory_order_acq_rel));
  if (before != 1) return;
  last_ = index;
  if (any_) {
    Lock const lock(mutex_);
    decide();
    cancelled_ = asked_ != 0;
  }
  end();
}

std::exception_ptr all_failed(std::vector<ElementError> failures) noexcept {
  try {
    std::ranges::sort(failures, {}, &ElementError::element);
    auto const is_cancelled = [](ElementError const& failure) {
      return failure.error.kind() == FailureKind::cancelled;
    };
    if (std::ranges::all_of(failures, is_cancelled)) return failures.front().error.exception();
    return std::make_exception_ptr(ElementErrors(std::move(failures)));
  } catch (...) {  // no memory for the text
    return std::current_exception();
  }
}

namespace {

void take_value_of_nothing(Completion& join, void* extra) { take_nothing(join, extra).value(); }

}  // namespace

Future<void> future_of_nothing(std::shared_ptr<Join> join,
                               std::shared_ptr<std::vector<Future<void>>> kept) {
  return {std::move(join), std::move(kept), &take_value_of_nothing, &take_nothing};
}

Outcome<void> take_nothing(Completion& join, void* extra) {
  static_cast<Join&>(join).taken();
  auto& parts = *static_cast<std::vector<Future<void>>*>(extra);
  std::vector<Future<void>> open;
  auto const add = [&open](std::vector<Future<void>>& more) {
    for (auto each = more.rbegin(); each != more.rend(); ++each) open.push_back(std::move(*each));
  };
  add(parts);
  struct Forget {
    std::vector<Future<void>>& all;
    ~Forget() {
      for (auto& each : all) HandleAccess::forget(each);
    }
  } const forget{open};
  while (!open.empty()) {
    Future<void> one = std::move(open.back());
    open.pop_back();
    if (!HandleAccess::takes(one, &take_value_of_nothing)) {
      Outcome<void> outcome = outcome_of<void>(one);
      if (!outcome.has_value()) return outcome;
      continue;
    }
    static_cast<Join&>(HandleAccess::completion(one)).taken();
    add(*static_cast<std::vector<Future<void>>*>(HandleAccess::extra(one).get()));
    HandleAccess::forget(one);
  }
  return Outcome<void>(std::in_place);
}

}  // namespace procpool::inline v0_1::detail
