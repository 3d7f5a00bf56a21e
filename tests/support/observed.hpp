// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Included ahead of everything else, it shows a source the classes with their sync points, which
// observed_sources.cpp defines beside those of the library. Such a source must not include what the
// library builds on these classes.

#ifdef PROCPOOL_SYNC_POINT
#error "support/observed.hpp must be the first include"
#endif
#define PROCPOOL_SYNC_POINT(name) \
  ::procpool::sync_points::pass(::procpool::sync_points::SyncPoint::name)
#define PROCPOOL_SYNC_BUILD observed

#include "support/sync_points.hpp"
