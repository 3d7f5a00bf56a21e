#pragma once

// LocalState: the completion of a value that is made in this process: by a continuation, or by a
// coroutine. One sets it, once; one takes it, once it has ended. Included by future.hpp.

#include <exception>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

#include <procpool/detail/completion.hpp>
#include <procpool/detail/handle.hpp>

namespace procpool::inline v0::detail {

template <class T>
class LocalState final : public Completion {
  using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  struct Nothing {};

 public:
  explicit LocalState(std::shared_ptr<CallSite const> site) : Completion(std::move(site)) {}

  static Future<T> future(std::shared_ptr<LocalState> state) {
    return Future<T>(std::move(state), nullptr, [](Completion& completion, void*) -> T {
      return static_cast<LocalState&>(completion).take();
    });
  }

  template <class... Args>
  void set_value(Args&&... args) {
    state_.template emplace<1>(std::forward<Args>(args)...);
  }
  void set_error(std::exception_ptr error) noexcept {
    state_.template emplace<2>(std::move(error));
  }
  // After one of these.
  void finish() noexcept { end(); }
  // Becomes what another handle becomes, when it does.
  template <class H>
  static void follow(std::shared_ptr<LocalState> const& state, H handle) {
    struct Follow final : Hook {
      explicit Follow(std::shared_ptr<LocalState> follower) : follower_(std::move(follower)) {}
      void ended() noexcept override { follower_->end(); }
      std::shared_ptr<LocalState> const follower_;
    };
    auto hook = std::make_unique<Follow>(state);
    Completion& completion = HandleAccess::completion(handle);
    auto followed = std::make_shared<H>(std::move(handle));
    state->followed_ = [](void* kept) -> T { return static_cast<H*>(kept)->get(); };
    state->state_.template emplace<3>(std::move(followed));
    completion.on_end(std::move(hook));
  }

 private:
  T take() {
    switch (state_.index()) {
      case 1:
        if constexpr (std::is_void_v<T>) {
          return;
        } else {
          return std::get<1>(std::move(state_));
        }
      case 3: return followed_(std::get<3>(state_).get());
      default: std::rethrow_exception(std::get<2>(state_));
    }
  }

  std::variant<Nothing, Value, std::exception_ptr, std::shared_ptr<void>> state_;
  T (*followed_)(void*) = nullptr;
};

}  // namespace procpool::inline v0::detail
