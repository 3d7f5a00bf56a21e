// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// LocalState: the completion of a value that is made in this process, by a continuation or by a
// coroutine. One thread makes the value, once. One thread takes it, after the end. Included by
// future.hpp.
//
// The maker may name another future instead, whose value the state is to get. Then the state
// becomes the *heir* of that future's state. That one passes its outcome straight on, or the future
// that it is to follow in turn. So a loop of continuations, each of which returns the future of the
// next, has one state that waits and one at work, for any number of rounds.

#include <exception>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

#include <procpool/detail/async/composed.hpp>
#include <procpool/detail/async/handle.hpp>
#include <procpool/detail/engine/mutex.hpp>

namespace procpool::inline v0_1::detail {

// See continuation.hpp.
template <class T, class H>
Outcome<T> outcome_of(H& handle);

template <class T>
class LocalState final : public Composed {
  using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  using State = std::shared_ptr<LocalState>;
  struct Nothing {};

 public:
  explicit LocalState(std::shared_ptr<CallContext const> context,
                      std::shared_ptr<CallContext const> likely_context = nullptr)
      : Composed(std::move(context), std::move(likely_context)) {}
  ~LocalState() override {
    if (auto* const followed = std::get_if<3>(&state_)) let_go(std::move(*followed));
    let_go(std::move(heir_));  // maybe the end of a long chain
  }

  static Future<T> future(State state) {
    return Future<T>(std::move(state), nullptr, &take_from, &outcome_from);
  }

  template <class... Args>
  void set_value(Args&&... args) {
    state_.template emplace<1>(std::forward<Args>(args)...);
  }
  void set_error(std::exception_ptr error) noexcept {
    state_.template emplace<2>(std::move(error));
  }
  // Ends the state, and its heirs. After set_value() or set_error().
  static void finish(State state) noexcept {
    while (state) {
      State heir = state->close();
      if (heir) heir->inherit(*state);
      state->end();
      state = std::move(heir);
    }
  }

  // Gets the outcome of another handle when that ends. Throws if the handle refers to nothing or
  // can never end here; nothing has changed then.
  template <class H>
  static void follow(State const& given, H handle) {
    HandleAccess::completion(handle).check_usable();
    if constexpr (std::is_same_v<H, Future<T>>) {
      if (HandleAccess::takes(handle, &take_from)) {
        State const source = std::static_pointer_cast<LocalState>(HandleAccess::shared(handle));
        HandleAccess::forget(handle);
        State const state = last_heir(given);
        if (source->bequeath(state)) {
          state->waits_for(source, Then::its_end);
        } else {  // the source has its outcome already
          state->inherit(*source);
          finish(state);
        }
        return;
      }
    }
    struct Follow final : Callback {
      void ended() noexcept override { finish(std::move(follower)); }
      State follower;
    };
    auto callback = std::make_unique<Follow>();
    std::shared_ptr<Completion> const completion = HandleAccess::shared(handle);
    auto followed = std::make_shared<H>(std::move(handle));
    State const state = last_heir(given);
    state->followed_ = &followed_by<H>;
    state->state_.template emplace<3>(std::move(followed));
    state->waits_for(completion, Then::its_end);
    callback->follower = state;
    completion->on_end(std::move(callback));
  }

  bool may_have_failed(int levels) const noexcept override {
    auto const* const followed = std::get_if<3>(&state_);
    if (followed == nullptr) return state_.index() == 2;
    return detail::may_have_failed(followed_->completion(followed->get()), levels - 1);
  }

 private:
  // What is done with the handle of another future, which this one follows.
  struct Followed {
    T (*value)(void* handle);
    Outcome<T> (*outcome)(void* handle);
    Completion& (*completion)(void* handle);
  };
  template <class H>
  static constexpr Followed followed_by{
      [](void* handle) -> T { return static_cast<H*>(handle)->get(); },
      [](void* handle) { return outcome_of<T>(*static_cast<H*>(handle)); },
      [](void* handle) -> Completion& {
        return HandleAccess::completion(*static_cast<H*>(handle));
      }};

  static T take_from(Completion& completion, void*) {
    auto& self = static_cast<LocalState&>(completion);
    switch (self.state_.index()) {
      case 1:
        if constexpr (std::is_void_v<T>) {
          return;
        } else {
          return std::get<1>(std::move(self.state_));
        }
      case 3: {
        Kept const kept = self.take_followed();
        return self.followed_->value(kept.handle.get());
      }
      default: std::rethrow_exception(std::get<2>(self.state_));
    }
  }
  static Outcome<T> outcome_from(Completion& completion, void*) {
    auto& self = static_cast<LocalState&>(completion);
    switch (self.state_.index()) {
      case 1:
        if constexpr (std::is_void_v<T>) {
          return Outcome<T>(std::in_place);
        } else {
          return Outcome<T>(std::in_place, std::get<1>(std::move(self.state_)));
        }
      case 3: {
        Kept const kept = self.take_followed();
        return self.followed_->outcome(kept.handle.get());
      }
      default: return Failure(std::get<2>(self.state_));
    }
  }

  struct Kept {
    std::shared_ptr<void> handle;
    ~Kept() { let_go(std::move(handle)); }
  };
  Kept take_followed() { return {std::get<3>(std::move(state_))}; }

  std::exception_ptr error() const noexcept override {
    auto const* const error = std::get_if<2>(&state_);
    return error == nullptr ? nullptr : *error;
  }

  // Fixes the outcome; a value is dropped if the state was cancelled meanwhile. Returns the heir.
  State close() noexcept {
    State heir;
    bool cancelled = false;
    {
      Lock const lock(mutex_);
      cancelled = decide();
      heir = std::move(heir_);
    }
    if (cancelled && state_.index() != 2) {
      if (auto* const followed = std::get_if<3>(&state_)) let_go(std::move(*followed));
      set_error(cancelled_meanwhile());
    }
    return heir;
  }

  // Sets the heir. False: too late, the outcome is fixed.
  bool bequeath(State const& heir) noexcept {
    Lock const lock(mutex_);
    if (decided()) return false;
    heir_ = heir;
    return true;
  }

  void inherit(LocalState& other) noexcept {
    try {
      switch (other.state_.index()) {
        case 1: state_.template emplace<1>(std::get<1>(std::move(other.state_))); break;
        case 2: state_.template emplace<2>(std::get<2>(std::move(other.state_))); break;
        case 3:
          followed_ = other.followed_;
          state_.template emplace<3>(std::get<3>(std::move(other.state_)));
          break;
        default: break;
      }
    } catch (...) {  // moving the value threw
      set_error(std::current_exception());
    }
  }

  // The state that gets the outcome in the end. A kept request moves on to it: the states before it
  // have no part in the outcome any more.
  static State last_heir(State state) noexcept {
    for (;;) {
      State heir;
      bool requested = false;
      {
        Lock const lock(state->mutex_);
        heir = state->heir_;
        if (heir) requested = state->decide();
      }
      if (!heir) return state;
      if (requested) heir->request();
      state = std::move(heir);
    }
  }

  std::variant<Nothing, Value, std::exception_ptr, std::shared_ptr<void>> state_;
  Followed const* followed_ = nullptr;
  State heir_ PROCPOOL_GUARDED_BY(mutex_);
};

}  // namespace procpool::inline v0_1::detail
