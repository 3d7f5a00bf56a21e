#pragma once

// Included ahead of everything else, it shows a source the channel with its sync points: the classes
// that observed_channel.cpp defines, beside those of the library. Such a source must not include
// what the library builds on the channel.

#ifdef PROCPOOL_SYNC_POINT
#error "support/observed.hpp must be the first include"
#endif
#define PROCPOOL_SYNC_POINT(name) \
  ::procpool::sync_points::pass(::procpool::sync_points::SyncPoint::name)
#define PROCPOOL_SYNC_BUILD observed

#include "support/sync_points.hpp"
