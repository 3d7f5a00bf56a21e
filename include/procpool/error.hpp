// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The base classes of the errors of procpool. Plain values: any thread may make, copy and throw
// them. The destructors are compiled once, in the library. So the type is the same one in every
// module of a program, and `catch` works across shared libraries.

#include <stdexcept>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

/// The base of every error that procpool itself reports.
class PROCPOOL_API Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~Error() override;
};

/// A value could not be turned into bytes, or bytes could not be turned into a value.
class PROCPOOL_API SerializationError : public Error {
 public:
  using Error::Error;
  ~SerializationError() override;
};

}  // namespace procpool::inline v0_1
