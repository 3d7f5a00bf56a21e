// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// bound: a call with its arguments that a pool makes later, for StartOptions::initializer and
// StartOptions::exit_handler. Any thread.

#include <memory>
#include <utility>

#include <procpool/callable.hpp>
#include <procpool/detail/call/call.hpp>
#include <procpool/detail/call/trampoline.hpp>
#include <procpool/options.hpp>

namespace procpool::inline v0_1 {

/// A call of the callable with these arguments: bound(connect, "host", 80), or
/// bound<connect>("host", 80). The arguments are encoded now. The result of the call is dropped.
/// Throws the exceptions of the encoding.
template <class C, class... Args>
BoundCall bound(C callable, Args&&... args) {
  auto const whole = detail::bind<true>(std::move(callable), std::forward<Args>(args)...);
  using Whole = std::remove_const_t<decltype(whole)>;
  if constexpr (detail::Call<Whole>::check()) {
    return detail::BoundCallAccess::make(std::make_shared<detail::Function const>(
        detail::make_function(whole, detail::Parameters<>{})));
  } else {
    return detail::BoundCallAccess::make(nullptr);
  }
}
template <auto F, class... Args>
BoundCall bound(Args&&... args) {
  return bound(fn<F>, std::forward<Args>(args)...);
}

}  // namespace procpool::inline v0_1
