// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Next: a coroutine waits for the next item of a source, a stream or futures in the order of
// their ends. It goes on on the thread on which then() of the source's calls would call, or in place
// if there is an item. One coroutine at a time.

#include <coroutine>
#include <memory>
#include <type_traits>
#include <utility>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/composed.hpp>
#include <procpool/future.hpp>

namespace procpool::inline v0_1::detail {

// A Source is a small value that refers to the source:
//   bool advance();    does not wait; true: there is an item, or the end
//   auto take();       that item
//   bool call_at_next(std::unique_ptr<Completion::Callback>&&);   false: it has come meanwhile
//   std::shared_ptr<Completion> awaited();   is cancelled with the coroutine; null: nothing is
//   std::shared_ptr<CallContext const> context();
template <class Source>
class NextAwaiter {
 public:
  explicit NextAwaiter(Source source) : source_(std::move(source)) {}
  NextAwaiter(NextAwaiter const&) = delete;
  NextAwaiter& operator=(NextAwaiter const&) = delete;
  ~NextAwaiter() {
    if (work_) work_->forget();
  }

  bool await_ready() { return source_.advance(); }

  template <class P>
  bool await_suspend(std::coroutine_handle<P> coroutine) {
    if constexpr (!std::is_void_v<P>) whose_ = PromiseAccess::state(coroutine.promise());
    auto const context = source_.context();
    if (whose_ != nullptr) whose_->found_context(context);
    auto const work = std::make_shared<Resumption>(context, " of an element", coroutine);
    auto callback = ScheduleCallback::of(work);
    work_ = work;
    if (whose_ != nullptr) {
      if (auto const awaited = source_.awaited()) {
        whose_->waits_for(awaited, Composed::Then::coroutine);
      }
    }
    Source source = source_;
    // Behind this line the coroutine may run in another thread: its frame is not used any more.
    if (source.call_at_next(std::move(callback))) return true;
    work->forget();
    return false;
  }

  auto await_resume() {
    if (whose_ != nullptr) whose_->waits_no_more();
    return source_.take();
  }

 private:
  Source source_;
  Composed* whose_ = nullptr;  // the state of the coroutine's future
  std::shared_ptr<Resumption> work_;
};

// What next() of a source returns, to be awaited.
template <class Source>
class [[nodiscard]] Next {
 public:
  explicit Next(Source source) : source_(std::move(source)) {}
  auto operator co_await() const { return NextAwaiter<Source>(source_); }

 private:
  Source source_;
};

}  // namespace procpool::inline v0_1::detail
