// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// run_host: the whole of a host. The thread that calls it is the thread of the link.

#include <chrono>

#include <procpool/detail/export.hpp>

#include "cluster/link.hpp"

namespace procpool::inline v0_1::cluster {

// Runs the pools of the client, until the link says that the client is down, or a client that was heard
// of has said nothing for `patience`. Then kills what is left, and returns when no worker is there any
// more. Decodes no value of the user. Throws std::bad_alloc.
PROCPOOL_API void run_host(Link& link,
                           std::chrono::milliseconds patience = std::chrono::minutes(1));

}  // namespace procpool::inline v0_1::cluster
