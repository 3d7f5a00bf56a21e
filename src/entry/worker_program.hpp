// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The program that new workers execute: this one, or a helper that opens the module of this library
// (procpool_worker.cpp). A helper is needed where main is not ours: in a library that an interpreter
// or a program in C has loaded.
//
// Any thread. Reads files.

#include <string>

#include "os/fd.hpp"

namespace procpool::inline v0_1::entry {

struct WorkerProgram {
  os::UniqueFd image;    // open for os::spawn()
  std::string module{};  // that a helper is to open; empty: this program is executed
};

// `given`: StartOptions::worker_program. Throws SetupError, which says what to do, if there is none,
// and std::system_error.
WorkerProgram open_worker_program(std::string const& given);

}  // namespace procpool::inline v0_1::entry
