// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The sources that have sync points once more, with these points.
#include "support/observed.hpp"

#include "channel/doorbell.cpp"
#include "channel/incoming_payloads.cpp"
#include "channel/outbox.cpp"
#include "channel/parent_end.cpp"
#include "channel/worker_end.cpp"
#include "handle/byte_queue.cpp"
#include "handle/queue_hand.cpp"
#include "handle/queue_ring.cpp"
#include "handle/queue_seats.cpp"
#include "handle/shared_doorbell.cpp"
#include "os/process_lock.cpp"
