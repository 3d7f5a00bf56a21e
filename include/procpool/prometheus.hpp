// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The counters of pools as text for Prometheus, and for whatever else reads its format.

#include <string>
#include <vector>

#include <procpool/detail/export.hpp>
#include <procpool/fwd.hpp>

namespace procpool::inline v0_1 {

/// All of stats() and worker_stats() in the text format of Prometheus, version 0.0.4. A handler of an
/// HTTP server returns it as "text/plain; version=0.0.4". Each sample has the label `pool`, the name
/// of the pool. Any thread. Does not block. Throws what stats() throws.
PROCPOOL_API std::string prometheus_text(ProcessPool const& pool);
/// The same for several pools, in one text: prometheus_text({&images, &texts}). A pool that has the name
/// of an earlier one is told apart by a number: "images#2".
PROCPOOL_API std::string prometheus_text(std::vector<ProcessPool const*> const& pools);

}  // namespace procpool::inline v0_1
