#pragma once

// One run of a chunk's elements in a worker: as many as the open outbox record has room for, gone through by
// their trampoline. For functions whose arguments and results have fixed sizes and that are loaded
// already. The worker's loop only; user code runs inside. What a crash at any point leaves is what the
// channel's marks say: see Run.

#include <cstdint>

#include <procpool/detail/engine/bytes.hpp>

#include "channel/worker_end.hpp"
#include "engine/elements.hpp"
#include "engine/loaded_callable.hpp"
#include "worker/worker_context.hpp"

namespace procpool::inline v0::worker {

struct RunEnd {
  std::uint64_t done;  // elements whose results are in the open record
  bool thrown;         // the one behind them threw; its outcome is the caller's to append
  bool revoked;        // the rest of the chunk was
};

// Runs elements from the index-th of the channel's record on. `elements` stands there, and behind what has
// ended afterwards. `thrown` gets the encoded exception.
RunEnd run_elements(channel::WorkerEnd& channel, WorkerContext& context, LoadedCallable& callable,
                    ListedExceptions& listed, std::uint64_t index, std::size_t result_size,
                    ElementReader& elements, detail::Bytes& thrown);

}  // namespace procpool::inline v0::worker
