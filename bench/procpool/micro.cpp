// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The hot pieces of the path inside one process, by Google Benchmark: the codec on a struct of an
// int, a double and a string, on a vector, and the call of an empty task.

#include <benchmark/benchmark.h>

#include <array>
#include <bitset>
#include <cstdint>
#include <list>
#include <string>
#include <vector>

#include <procpool.hpp>
#include <procpool/detail/codec/codec.hpp>

#include "procpool/tasks.hpp"
#include "support/program.hpp"

namespace bench {
namespace {

struct Record {
  int number = 7;
  double weight = 0.5;
  std::string name = "sixteen letters.";
};

template <class T>
void there_and_back(benchmark::State& state, T const& value) {
  procpool::detail::Bytes bytes;
  for (auto _ : state) {
    bytes.clear();
    procpool::detail::encode(bytes, value);
    benchmark::DoNotOptimize(procpool::detail::decode<T>(bytes));
  }
}

template <class T>
void encode(benchmark::State& state, T const& value) {
  procpool::detail::Bytes bytes;
  for (auto _ : state) {
    bytes.clear();
    procpool::detail::encode(bytes, value);
    benchmark::DoNotOptimize(bytes.data());
    benchmark::ClobberMemory();
  }
}

template <class T>
void decode(benchmark::State& state, T const& value) {
  procpool::detail::Bytes bytes;
  procpool::detail::encode(bytes, value);
  for (auto _ : state) benchmark::DoNotOptimize(procpool::detail::decode<T>(bytes));
}

// What there_and_back is to be held against.
template <class T>
void copy(benchmark::State& state, T const& value) {
  for (auto _ : state) {
    T copy = value;
    benchmark::DoNotOptimize(copy);
  }
}

void call(benchmark::State& state) {
  procpool::ProcessPool pool{two};
  Witness witness;
  for (auto _ : state) witness.saw(pool.call<empty>());
}

// Hands what Google Benchmark measured to the case that asked for it.
class Reporter : public benchmark::BenchmarkReporter {
 public:
  explicit Reporter(Measure const& measure) : measure_(measure) {}
  bool ReportContext(Context const&) override { return true; }
  void ReportRuns(std::vector<Run> const& runs) override {
    for (auto const& run : runs) {
      if (run.run_type == Run::RT_Iteration) measure_.report(run.GetAdjustedRealTime());
    }
  }

 private:
  Measure const& measure_;
};

template <class Body>
void add(std::string const& name, Body body) {
  Add(name, ours, "ns", [name, body](Measure const& measure) {
    // Time passes while a worker has the task, so it is the wall's clock that counts.
    benchmark::RegisterBenchmark(name.c_str(), body)
        ->Unit(benchmark::kNanosecond)
        ->UseRealTime()
        ->MinTime(measure.slice())
        ->Repetitions(measure.rounds());
    Reporter reporter(measure);
    benchmark::RunSpecifiedBenchmarks(&reporter, name + "/.*");
    benchmark::ClearRegisteredBenchmarks();
  });
}

// The value is made when it is measured: each worker of this program, in each other case, would pay for
// one that is made before.
template <class Make>
void add_beside_a_copy(std::string const& name, Make make) {
  add(name, [make](benchmark::State& state) { there_and_back(state, make()); });
  add(name + "_copy", [make](benchmark::State& state) { copy(state, make()); });
}

[[maybe_unused]] bool const added = [] {
  using benchmark::State;
  add("micro_struct", [](State& state) { there_and_back(state, Record()); });
  add("micro_struct_encode", [](State& state) { encode(state, Record()); });
  add("micro_struct_decode", [](State& state) { decode(state, Record()); });
  add("micro_vector_8MB",
      [](State& state) { there_and_back(state, std::vector<double>(1'000'000)); });
  add_beside_a_copy("micro_vector_bool", [] { return std::vector<bool>(100'000, true); });
  add_beside_a_copy("micro_bitset", [] { return std::bitset<100'000>(); });
  add_beside_a_copy("micro_bools", [] { return std::array<bool, 10'000>(); });
  add_beside_a_copy("micro_long_doubles", [] { return std::vector<long double>(10'000, 1.5L); });
  add_beside_a_copy("micro_list_of_strings",
                    [] { return std::list<std::string>(10'000, "sixteen letters."); });
  add("micro_call", [](State& state) { call(state); });
  return true;
}();

}  // namespace
}  // namespace bench
