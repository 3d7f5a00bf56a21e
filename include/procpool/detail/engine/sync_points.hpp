// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Sync points of the channel's protocol. A point stands behind each store that the other process
// can see, and behind each system call that notifies it.
//
// The macro is empty in the library. Tests compile the sources of the channel a second time, with
// the macro defined and in a namespace of their own (tests/support/observed.hpp). They end or stop
// a process at each point. tests/support/sync_points.hpp lists the points.

#ifndef PROCPOOL_SYNC_POINT
#define PROCPOOL_SYNC_POINT(name) static_cast<void>(0)
#define PROCPOOL_SYNC_BUILD shipped
#endif
