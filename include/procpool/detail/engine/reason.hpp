// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Why an element has no value, as the error that its owner gets. Any thread.

#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>

#include <procpool/detail/codec/exception_types.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0_1::detail {

// The reason that several elements share, as each of them gets it: an error that tells its element
// does.
class PROCPOOL_API SharedReason {
 public:
  explicit SharedReason(std::exception_ptr reason);
  std::exception_ptr of(std::uint64_t task, std::uint64_t element) const;

 private:
  // The error as that of an element.
  using Tell = std::exception_ptr (*)(void const* error, std::uint64_t task, std::uint64_t element);

  std::exception_ptr reason_;
  std::shared_ptr<void const> error_;  // null: all elements have the same
  Tell tell_ = nullptr;
};

// In a handler of what encoding an argument threw, on the thread that makes the call: throws it
// again, as the error of that element.
[[noreturn]] PROCPOOL_API void throw_of_element(std::uint64_t task, std::uint64_t element);

PROCPOOL_API Origin origin_of(OutcomeBlock const& block, std::uint64_t task);

// Of a block that is not of values. Of a type that is `listed`, as itself: that runs the type's own
// code. `earlier`: the attempts at the element before.
PROCPOOL_API std::exception_ptr reason_of(OutcomeBlock const& block, std::uint64_t task,
                                          ExceptionTypes listed = {}, Attempts const& earlier = {},
                                          std::string_view label = {});

}  // namespace procpool::inline v0_1::detail
