// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Launch: what the environment says of the launcher that started this process, before MPI is asked.
// A program that nobody launched must not begin MPI at all: with Open MPI that takes most of a
// second and starts a process. Pure functions.

#include <cstddef>
#include <optional>
#include <string>

namespace procpool::inline v0_1::mpijob {

struct Launch {
  std::string variable;               // that gave the rank: "PMI_RANK"
  std::size_t rank = 0;               // among the processes that were started together
  std::optional<std::size_t> size{};  // how many these are, if the launcher says it
};

// `environment`: "NAME=value" each, ends with a null pointer. Nothing: this process was started by
// itself, or as the only one. A rank that is no number counts as none.
std::optional<Launch> launch_of(char const* const* environment);

// What is wrong if MPI then says that this process is one of `size`: a program that was built with
// one MPI and started by the launcher of another finds itself alone, once for each process.
std::optional<std::string> mismatch(Launch const& launch, std::size_t size);

}  // namespace procpool::inline v0_1::mpijob
