// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Calls of an actor: one there and back, and many that are given before the first one has ended;
// beside them, calls of the pool that one worker runs because of their key.

#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <procpool.hpp>

#include "procpool/tasks.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

// Every result carries the process that made it.
struct Counter {
  std::uint64_t calls = 0;
  pid_t count() {
    ++calls;
    return ::getpid();
  }
};

template <class Give>
void give_and_get(std::size_t tasks, Witness& witness, Give const& give) {
  std::vector<procpool::Future<pid_t>> futures;
  futures.reserve(tasks);
  for (std::size_t i = 0; i < tasks; ++i) futures.push_back(give());
  for (auto& future : futures) witness.saw(future.get());
}

Add const call("actor_call", ours, "us", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  auto counter = pool.actor<Counter>();
  Witness witness;
  measure_roundtrip(measure, [&] { witness.saw(counter.call<&Counter::count>().get()); });
});

Add const pipelined("actor_pipelined", ours, "tasks/s", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  auto counter = pool.actor<Counter>();
  Witness witness;
  measure_throughput(measure, [&](std::size_t tasks) {
    give_and_get(tasks, witness, [&] { return counter.call<&Counter::count>(); });
  });
});

Add const keyed("keyed_throughput", ours, "tasks/s", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  Witness witness;
  measure_throughput(measure, [&](std::size_t tasks) {
    auto with_key = pool.with({.key = 1});
    give_and_get(tasks, witness, [&] { return with_key.submit<empty>(); });
  });
});

}  // namespace
}  // namespace bench
