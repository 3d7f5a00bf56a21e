// The parent's end of a channel as it ships: nobody is told of its steps.
#include "channel/parent_end.hpp"

#include "channel/parent_end_body.hpp"

namespace procpool::inline v0::channel {

template class BasicParentEnd<detail::NoSyncPoints>;

}  // namespace procpool::inline v0::channel
