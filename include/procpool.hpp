// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// procpool: ordinary functions in a pool of isolated worker processes. This header brings
// everything; the parts are in procpool/.

#include <procpool/actor.hpp>
#include <procpool/as_completed.hpp>
#include <procpool/bound_call.hpp>
#include <procpool/call_options.hpp>
#include <procpool/callable.hpp>
#include <procpool/compose.hpp>
#include <procpool/count.hpp>
#include <procpool/cpu_count.hpp>
#include <procpool/engine.hpp>
#include <procpool/entry.hpp>
#include <procpool/errors.hpp>
#include <procpool/event.hpp>
#include <procpool/exceptions.hpp>
#include <procpool/failure.hpp>
#include <procpool/future.hpp>
#include <procpool/histogram.hpp>
#include <procpool/log.hpp>
#include <procpool/options.hpp>
#include <procpool/outcome.hpp>
#include <procpool/pipe.hpp>
#include <procpool/pool.hpp>
#include <procpool/process.hpp>
#include <procpool/progress.hpp>
#include <procpool/prometheus.hpp>
#include <procpool/promise.hpp>
#include <procpool/queue.hpp>
#include <procpool/results.hpp>
#include <procpool/serialize.hpp>
#include <procpool/shared.hpp>
#include <procpool/shared_array.hpp>
#include <procpool/shared_value.hpp>
#include <procpool/slices.hpp>
#include <procpool/stats.hpp>
#include <procpool/stream.hpp>
#include <procpool/this_task.hpp>
#include <procpool/worker_local.hpp>
