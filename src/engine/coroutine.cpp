// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/async/coroutine.hpp>

#include <functional>
#include <memory>
#include <new>
#include <utility>

namespace procpool::inline v0_1::detail {

Resumption::Resumption(std::shared_ptr<CallContext const> context, std::string whose,
                       std::coroutine_handle<> coroutine)
    : ContextWork(std::move(context)), whose_(std::move(whose)), coroutine_(coroutine.address()) {}

std::string Resumption::what() const { return "a coroutine that went on at the end" + whose_; }

void Resumption::perform() noexcept {
  // Relaxed: the code that destroys a coroutine makes sure that it does not run at the same time.
  void* const address = coroutine_.exchange(nullptr, std::memory_order_relaxed);
  if (address == nullptr) return;  // destroyed while it waited
  try {
    std::coroutine_handle<>::from_address(address).resume();
  } catch (...) {  // a coroutine type that lets errors out
    callbacks().log("a coroutine let out: " + describe(std::current_exception()));
  }
}

namespace {

struct Destroyed {
  void const* promise;
  std::shared_ptr<void> state;
  void (*finish)(std::shared_ptr<void>) noexcept;
  Destroyed* outer;
};

// The frames that this thread is destroying. The destructor of a parameter may destroy another
// frame, which comes first.
constinit thread_local Destroyed* destroyed = nullptr;

bool lies_in(void const* place, void* frame, std::size_t size) noexcept {
  auto const* const begin = static_cast<std::byte const*>(frame);
  auto const* const there = static_cast<std::byte const*>(place);
  std::less<> const before;
  return !before(there, begin) && before(there, begin + size);
}

}  // namespace

void end_with_frame(void const* promise, std::shared_ptr<void> state,
                    void (*finish)(std::shared_ptr<void>) noexcept) noexcept {
  auto* const one = new (std::nothrow) Destroyed{promise, nullptr, finish, destroyed};
  if (one == nullptr) {  // no memory: the parameters are destroyed a moment after the end
    finish(std::move(state));
    return;
  }
  one->state = std::move(state);
  destroyed = one;
}

void* new_frame(std::size_t size) { return ::operator new(size); }

void delete_frame(void* frame, std::size_t size) noexcept {
  std::unique_ptr<Destroyed> ends;
  if (destroyed != nullptr && lies_in(destroyed->promise, frame, size)) {
    ends.reset(std::exchange(destroyed, destroyed->outer));
  }
  ::operator delete(frame, size);
  if (ends) ends->finish(std::move(ends->state));
}

}  // namespace procpool::inline v0_1::detail
