// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The worker of a trial: a real process with the real end of the channel. It runs the elements of a
// scenario and keeps the event log. It dies where the event log says, or leaves as a worker does.

#include <cstdint>

#include "os/event.hpp"
#include "os/memfd.hpp"
#include "scenario.hpp"

namespace procpool::steps {

// The argument of an element begins with its number, and its result with this.
constexpr std::uint64_t answer_of(std::uint64_t element) { return 7 * element + 3; }

// The life of the process. Takes `control` over.
[[noreturn]] void live(EventLog& event_log, Scenario const& scenario, os::Memfd const& inbox,
                       os::Memfd const& outbox, os::Event const& event, int control,
                       os::Event const& about_to_stop);

}  // namespace procpool::steps
