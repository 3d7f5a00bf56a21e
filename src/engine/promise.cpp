// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/promise.hpp>

#include <future>

namespace procpool::inline v0_1::detail {

std::exception_ptr broken_promise() noexcept {
  return std::make_exception_ptr(std::future_error(std::future_errc::broken_promise));
}

void throw_future_already_retrieved() {
  throw std::future_error(std::future_errc::future_already_retrieved);
}

void throw_promise_already_satisfied() {
  throw std::future_error(std::future_errc::promise_already_satisfied);
}

void throw_no_state() { throw std::future_error(std::future_errc::no_state); }

}  // namespace procpool::inline v0_1::detail
