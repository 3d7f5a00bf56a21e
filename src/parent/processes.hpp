// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The hidden pool of all Process objects of this process: one engine whose workers are dedicated.
// It begins with the first Process, ends itself a second after the last one, and begins again. A
// forked child gets one of its own.
//
// Any thread, at any time. At the end of the program a pool without a Process is ended.

#include <cstddef>
#include <memory>
#include <utility>

#include "parent/dedicated_worker.hpp"
#include "parent/local_engine.hpp"

namespace procpool::inline v0_1::parent {

// Gives the worker a slot of its own, and returns the engine and the slot. Throws SetupError.
std::pair<std::shared_ptr<LocalEngine>, std::size_t> dedicate(
    std::shared_ptr<DedicatedWorker> const& worker);

}  // namespace procpool::inline v0_1::parent
