// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ListedExceptions: PoolOptions::exceptions in the process that runs elements. A worker gets them
// as (module, offset), and finds them at the first exception of an element. Finding may open a
// module, whose code then runs within that element. For the thread that runs elements. A crash
// leaves nothing.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <procpool/detail/codec/exception_types.hpp>

namespace procpool::inline v0_1 {

class ListedExceptions {
 public:
  ListedExceptions() = default;
  explicit ListedExceptions(ExceptionTypes types)
      : functions_(types.functions().begin(), types.functions().end()) {}
  // From the result of text_of() in another process.
  explicit ListedExceptions(std::string told) : told_(std::move(told)) {}

  // Throws std::runtime_error if one of them lies in no module.
  static std::string text_of(ExceptionTypes types);

  // In their order. Null: this process has no such exception. May run static constructors.
  std::span<detail::ExceptionFunction const> functions();

 private:
  std::string told_;  // from the other process; empty once functions_ is filled
  std::vector<detail::ExceptionFunction> functions_;
};

}  // namespace procpool::inline v0_1
