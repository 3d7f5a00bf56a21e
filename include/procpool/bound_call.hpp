#pragma once

// bound: a call with its arguments, to be made by a pool when its time has come: what
// PoolOptions::initializer is. Any thread.

#include <memory>
#include <utility>

#include <procpool/callable.hpp>
#include <procpool/detail/call/call.hpp>
#include <procpool/detail/call/trampoline.hpp>
#include <procpool/options.hpp>

namespace procpool::inline v0 {

/// A call of the callable with these arguments, which are encoded now: bound(connect, "host", 80), or
/// bound<connect>("host", 80). What it returns is dropped. Throws what the encoding throws.
template <class C, class... Args>
BoundCall bound(C callable, Args&&... args) {
  auto const whole = detail::bind<true>(std::move(callable), std::forward<Args>(args)...);
  using Whole = std::remove_const_t<decltype(whole)>;
  if constexpr (detail::Call<Whole>::check()) {
    return BoundCall(std::make_shared<detail::Function const>(
        detail::make_function(whole, detail::Parameters<>{})));
  } else {
    return BoundCall(nullptr);
  }
}
template <auto F, class... Args>
BoundCall bound(Args&&... args) {
  return bound(fn<F>, std::forward<Args>(args)...);
}

}  // namespace procpool::inline v0
