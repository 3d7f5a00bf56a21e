#pragma once

// Limits on what a worker may use: from the options to the handshake, and there to the process.

#include <optional>
#include <string>
#include <vector>

#include <procpool/options.hpp>

#include "protocol/handshake.hpp"

namespace procpool::inline v0::protocol {

std::vector<Hello::Limit> limits_of(Limits const& limits);

// In the worker. A sentence, if one cannot be set.
std::optional<std::string> apply(std::vector<Hello::Limit> const& limits);

// In the worker. To be done before its first thread: where it runs, and how urgently. Else: why not.
std::optional<std::string> apply_scheduling(Hello const& hello);

// In the worker. No new privileges, and nobody may look into it. Else: why not.
std::optional<std::string> harden();

}  // namespace procpool::inline v0::protocol
