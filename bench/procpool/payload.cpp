// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Large values: 256 MiB there and back, and what a task costs as its argument grows.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <procpool.hpp>

#include "procpool/tasks.hpp"
#include "support/program.hpp"
#include "support/shapes.hpp"

namespace bench {
namespace {

void check(std::vector<std::uint64_t> const& values, std::uint64_t sum) {
  if (sum != sum_of_pages(values)) throw std::logic_error("the vector arrived changed");
}

Add const argument("argument_256MiB", ours, "GB/s", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  Witness witness;
  auto const bytes = payload_bytes(measure);
  measure_bandwidth(measure, bytes, [&] {
    std::vector<std::uint64_t> const values(bytes / sizeof(std::uint64_t), 1);
    auto const begin = now_ns();
    auto const seen = pool.call<look_at>(values);
    auto const seconds = seconds_since(begin);
    witness.saw(seen.maker);
    check(values, seen.sum);
    return seconds;
  });
});

// What the worker needs to make the vector is not counted.
Add const result("result_256MiB", ours, "GB/s", [](Measure const& measure) {
  procpool::ProcessPool pool{two};
  Witness witness;
  auto const bytes = payload_bytes(measure);
  measure_bandwidth(measure, bytes, [&] {
    auto const begin = now_ns();
    auto const values = pool.call<make_vector>(bytes);
    auto const seconds = seconds_since(begin);
    witness.saw(static_cast<pid_t>(values[0]));
    if (values.size() * sizeof values[0] != bytes || values.back() != 1) {
      throw std::logic_error("the vector arrived changed");
    }
    return seconds - static_cast<double>(values[1]) / 1e9;
  });
});

void add_growth(std::string const& name, std::size_t bytes) {
  Add("argument_" + name, ours, "us", [bytes](Measure const& measure) {
    if (measure.tiny() && bytes > MiB) {
      measure.report(0);
      return;
    }
    procpool::ProcessPool pool{two};
    Witness witness;
    std::vector<std::uint64_t> const values(bytes / sizeof(std::uint64_t), 1);
    measure_roundtrip(measure, [&] {
      auto const seen = pool.call<look_at>(values);
      witness.saw(seen.maker);
      if (seen.sum != (bytes + 4095) / 4096) throw std::logic_error("the vector arrived changed");
    });
  });
}

[[maybe_unused]] bool const growth = [] {
  add_growth("8B", 8);
  add_growth("1KiB", 1 << 10);
  add_growth("16KiB", 16 << 10);
  add_growth("128KiB", 128 << 10);
  add_growth("1MiB", MiB);
  add_growth("16MiB", 16 * MiB);
  add_growth("128MiB", 128 * MiB);
  add_growth("1GiB", 1024 * MiB);
  return true;
}();

}  // namespace
}  // namespace bench
