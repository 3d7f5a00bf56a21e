// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Shared memory: arrays passed to a worker and back, and the lock of a value.

#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include <procpool.hpp>

#include "procpool/tasks.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

using Array = procpool::SharedArray<std::uint64_t>;

Array pass_on(Array const& values) {
  values[1] = values[0] + 1;
  values[2] = static_cast<std::uint64_t>(empty());
  return values;
}

// There and back, with a look at its first page on each side. It costs the same at every size.
void add_array(std::string const& name, std::size_t bytes) {
  Add("shared_array_" + name, ours, "us", [bytes](Measure const& measure) {
    procpool::ProcessPool pool{two};
    Witness witness;
    Array const values((measure.tiny() ? MiB : bytes) / sizeof(std::uint64_t));
    measure_roundtrip(measure, [&] {
      ++values[0];
      Array const back = pool.call<pass_on>(values);
      witness.saw(static_cast<pid_t>(back[2]));
      if (back[1] != values[0] + 1) throw std::logic_error("this is another array");
    });
  });
}

[[maybe_unused]] bool const arrays = [] {
  add_array("1KiB", 1 << 10);
  add_array("1MiB", MiB);
  add_array("1GiB", 1024 * MiB);
  return true;
}();

// Nobody else wants the lock.
Add const with_lock("with_lock", ours, "ns", [](Measure const& measure) {
  procpool::SharedValue<std::uint64_t> const value;
  std::uint64_t const calls = measure.tiny() ? 1000 : 1'000'000;
  std::uint64_t done = 0;
  for (int round = 0; round < measure.rounds(); ++round) {
    auto const begin = now_ns();
    for (std::uint64_t i = 0; i < calls; ++i) value.with_lock([](std::uint64_t& x) { ++x; });
    done += calls;
    measure.report(seconds_since(begin) * 1e9 / static_cast<double>(calls));
  }
  if (value.get() != done) throw std::logic_error("the lock let two in");
});

}  // namespace
}  // namespace bench
