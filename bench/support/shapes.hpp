// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The shapes that measurements have, the same for every C++ system: a call over and over, a call
// after everyone has gone to sleep, as many tasks as fill a slice. What is called is the system's.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "support/clock.hpp"
#include "support/measure.hpp"

namespace bench {

// Microseconds per call, one after the other.
template <class Call>
void measure_roundtrip(Measure const& measure, Call call) {
  auto const slice = measure.slice();
  for (auto const begin = now_ns(); seconds_since(begin) < slice / 2;) call();
  for (int round = 0; round < measure.rounds(); ++round) {
    std::uint64_t calls = 0;
    auto const begin = now_ns();
    do {
      call();
      ++calls;
    } while (seconds_since(begin) < slice);
    measure.report(seconds_since(begin) * 1e6 / static_cast<double>(calls));
  }
}

// Microseconds of a call that finds everyone asleep; the median of some.
template <class Call>
void measure_parked(Measure const& measure, Call call) {
  using namespace std::chrono_literals;
  call();
  for (int round = 0; round < measure.rounds(); ++round) {
    std::vector<double> values;
    for (int i = 0; i < (measure.tiny() ? 2 : 15); ++i) {
      std::this_thread::sleep_for(20ms);
      auto const begin = now_ns();
      call();
      values.push_back(seconds_since(begin) * 1e6);
    }
    measure.report(median(std::move(values)));
  }
}

// So many tasks that run(tasks) takes a slice. Finding that out warms the caches.
template <class Run>
std::size_t tasks_for_slice(Measure const& measure, Run run, std::size_t first = 256,
                            std::size_t most = std::size_t{1} << 22) {
  if (measure.tiny()) return first;
  run(first);  // a first call may start the workers
  for (std::size_t tasks = first;; tasks *= 2) {
    auto const begin = now_ns();
    run(tasks);
    if (seconds_since(begin) * 2 > measure.slice() || tasks * 2 > most) return tasks;
  }
}

// Tasks per second of run(tasks).
template <class Run>
void measure_throughput(Measure const& measure, Run run, std::size_t first = 256) {
  auto const tasks = tasks_for_slice(measure, run, first);
  for (int round = 0; round < measure.rounds(); ++round) {
    auto const begin = now_ns();
    run(tasks);
    measure.report(static_cast<double>(tasks) / seconds_since(begin));
  }
}

// How much of `workers` cores went into tasks of so many nanoseconds, in percent.
template <class Run>
void measure_efficiency(Measure const& measure, std::uint64_t nanoseconds, int workers, Run run) {
  double const work = calibrate([&] { spin(nanoseconds); }, nanoseconds) / 1e9;
  auto const tasks = tasks_for_slice(measure, run, 64);
  for (int round = 0; round < measure.rounds(); ++round) {
    auto const begin = now_ns();
    run(tasks);
    measure.report(100 * work * static_cast<double>(tasks) / workers / seconds_since(begin));
  }
}

// Gigabytes per second: `once` says how long the bytes took, in seconds.
template <class Once>
void measure_bandwidth(Measure const& measure, std::size_t bytes, Once once) {
  once();  // the first one warms memory that is kept
  for (int round = 0; round < measure.rounds(); ++round) {
    measure.report(static_cast<double>(bytes) / 1e9 / once());
  }
}

// Milliseconds of something done once.
template <class Once>
void measure_once(Measure const& measure, Once once) {
  for (int round = 0; round < measure.rounds(); ++round) {
    auto const begin = now_ns();
    once();
    measure.report(seconds_since(begin) * 1e3);
  }
}

inline constexpr std::size_t MiB = std::size_t{1} << 20;
inline std::size_t payload_bytes(Measure const& measure) {
  return measure.tiny() ? MiB : 256 * MiB;
}

}  // namespace bench
