// The worker's end of a channel as it ships: nobody is told of its steps.
#include "channel/worker_end.hpp"

#include "channel/worker_end_body.hpp"

namespace procpool::inline v0::channel {

template class BasicWorkerEnd<detail::NoSyncPoints>;

}  // namespace procpool::inline v0::channel
