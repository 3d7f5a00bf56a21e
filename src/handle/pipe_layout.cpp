// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "handle/pipe_layout.hpp"

#include <procpool/errors.hpp>

namespace procpool::inline v0_1::handle {

void refuse_torn_end() {
  throw PipeClosed("an earlier owner of this end of a pipe has died in the middle of a message");
}

void refuse_destroyed_memory() {
  throw PipeClosed("the other end of this pipe has destroyed its memory");
}

}  // namespace procpool::inline v0_1::handle
