// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// An empty task there and back: hot, when everyone is asleep, and when all cores are busy with
// others.

#include <procpool.hpp>

#include "procpool/tasks.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

Add const hot("roundtrip_hot", ours, "us", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  Witness witness;
  measure_roundtrip(measure, [&] { witness.saw(pool.call<empty>()); });
});

Add const parked("roundtrip_parked", ours, "us", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  Witness witness;
  measure_parked(measure, [&] { witness.saw(pool.call<empty>()); });
});

Add const busy("busy_roundtrip", ours, "us", [](Measure const& measure) {
  BusyCores const others;
  procpool::ProcessPool pool{two};
  Witness witness;
  measure_roundtrip(measure, [&] { witness.saw(pool.call<empty>()); });
});

}  // namespace
}  // namespace bench
