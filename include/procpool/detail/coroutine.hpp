#pragma once

// Coroutines: a handle can be awaited in any, and Future<T> can be what one returns:
//
//   procpool::Future<int> total(procpool::ProcessPool& pool) {
//     int const a = co_await pool.submit<f>(1);
//     co_return a + co_await pool.submit<f>(2);
//   }
//
// It begins at once, in its caller, and goes on where then() would call. Included by future.hpp.

#include <coroutine>
#include <exception>
#include <memory>
#include <utility>

#include <procpool/detail/handle.hpp>
#include <procpool/detail/local_state.hpp>
#include <procpool/detail/site.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0::detail {

class Resumption final : public SiteWork {
 public:
  Resumption(std::shared_ptr<CallSite const> site, std::coroutine_handle<> coroutine)
      : SiteWork(std::move(site)), coroutine_(coroutine) {}

 private:
  void perform() noexcept override {
    try {
      coroutine_.resume();
    } catch (...) {  // a coroutine type that lets errors out
      callbacks().log("a coroutine let out: " + describe(std::current_exception()));
    }
  }

  std::coroutine_handle<> const coroutine_;
};

template <class H>
struct Awaiter {
  H& handle;

  bool await_ready() const { return handle.ready(); }
  void await_suspend(std::coroutine_handle<> coroutine) const {
    Completion& completion = HandleAccess::completion(handle);
    auto work = std::make_shared<Resumption>(site_of(completion), coroutine);
    // Behind this line the coroutine may run already, elsewhere: nothing of it is touched any more.
    schedule_at_end(completion, std::move(work));
  }
  decltype(auto) await_resume() const { return handle.get(); }
};

template <class Derived, class T>
auto Handle<Derived, T>::operator co_await() {
  return Awaiter<Derived>{static_cast<Derived&>(*this)};
}

template <class T>
class FuturePromiseBase {
 public:
  Future<T> get_return_object() { return LocalState<T>::future(state_); }
  std::suspend_never initial_suspend() const noexcept { return {}; }
  // Here, not where the value is known: what the coroutine holds is gone when its result is there.
  std::suspend_never final_suspend() const noexcept {
    state_->finish();
    return {};
  }
  void unhandled_exception() noexcept { state_->set_error(std::current_exception()); }

 protected:
  std::shared_ptr<LocalState<T>> const state_ = std::make_shared<LocalState<T>>(nullptr);
};

template <class T>
struct FuturePromise : FuturePromiseBase<T> {
  template <class V>
  void return_value(V&& value) {
    this->state_->set_value(std::forward<V>(value));
  }
};
template <>
struct FuturePromise<void> : FuturePromiseBase<void> {
  void return_void() { this->state_->set_value(); }
};

}  // namespace procpool::inline v0::detail

template <class T, class... Args>
struct std::coroutine_traits<procpool::Future<T>, Args...> {
  using promise_type = procpool::detail::FuturePromise<T>;
};
