// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Limits on a worker's resources: from the options to the handshake, and from there to the process.

#include <optional>
#include <string>
#include <vector>

#include <procpool/options.hpp>

#include "protocol/handshake.hpp"

namespace procpool::inline v0_1::protocol {

std::vector<Hello::Limit> limits_of(Limits const& limits);

// In the worker. Returns a sentence if a limit cannot be set.
std::optional<std::string> apply(std::vector<Hello::Limit> const& limits);

// In the worker, before its first thread: sets its CPU and its nice value. Returns a sentence on
// failure.
std::optional<std::string> apply_scheduling(Hello const& hello);

// In the worker: forbids new privileges, and looks into the process. Returns a sentence on failure.
std::optional<std::string> harden();

}  // namespace procpool::inline v0_1::protocol
