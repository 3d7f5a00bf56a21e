#pragma once

// What the worker's end of a channel does, for every policy of steps: its source includes this to make what
// ships, and so do the tests that end or stop a worker at each step.

#include "channel/worker_inbox_body.hpp"
#include "channel/worker_messages_body.hpp"
#include "channel/worker_outbox_body.hpp"
