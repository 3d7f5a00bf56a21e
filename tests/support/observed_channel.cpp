// The sources of the channel once more, with their sync points.
#include "support/observed.hpp"

#include "channel/doorbell.cpp"
#include "channel/incoming_payloads.cpp"
#include "channel/outbox.cpp"
#include "channel/parent_end.cpp"
#include "channel/worker_end.cpp"
