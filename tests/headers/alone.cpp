// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Compiled once for each public header.

#include PROCPOOL_HEADER

#include <procpool/fwd.hpp>
#include PROCPOOL_HEADER

// The declarations suffice for a header that only names types.
procpool::Future<int> begin(procpool::ProcessPool& pool, procpool::CallOptions const& options);
void look(procpool::Outcome<void> const& outcome, procpool::PipeEnd<int> const* end);
procpool::Start start_for(procpool::PoolOptions const& options);
