// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A crash at element j of a chunk: the crash is attributed to j, those before it keep their
// results, those after it run elsewhere, nothing that was begun runs twice, and the chunk has
// travelled as one record. Each element notes that it was begun; the notes are what is counted.
//
// In a plain build every position of chunks of 1, 7 and 4,096 is tried, in shares that are tests of
// their own; under a sanitizer only every 173rd of the 4,096, with both ends, their neighbours and
// those of the powers of two.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <csignal>
#include <cstdint>
#include <procpool.hpp>
#include <string>
#include <vector>

#include "support/build.hpp"
#include "support/duration.hpp"
#include "support/errors.hpp"
#include "support/trace.hpp"
#include "support/until.hpp"

namespace {

using Id = std::int64_t;

// Elements are numbered from 1; a negative one dies.
Id work_on(Id x) {
  Id const id = x < 0 ? -x : x;
  support::Trace::note(id);
  if (x < 0) {
    if (id % 3 == 0) std::raise(SIGKILL);
    if (id % 3 == 1) std::raise(SIGSEGV);
    ::_exit(0);
  }
  return 3 * x + 1;
}

std::vector<Id> inputs_dying_at(std::size_t size, std::vector<std::size_t> const& positions) {
  std::vector<Id> inputs(size);
  for (std::size_t i = 0; i < size; ++i) inputs[i] = static_cast<Id>(i) + 1;
  for (std::size_t const j : positions) inputs[j] = -inputs[j];
  return inputs;
}

void expect_death(procpool::Outcome<Id> const& outcome, std::size_t j) {
  auto const died = support::error_of<procpool::WorkerDied>(outcome);
  EXPECT_EQ(died.element(), j) << died.what();
  Id const id = static_cast<Id>(j) + 1;
  if (id % 3 == 2) {
    EXPECT_EQ(died.exit_status(), 0) << died.what();
  } else {
    EXPECT_EQ(died.signal(), id % 3 == 0 ? SIGKILL : SIGSEGV) << died.what();
  }
}

// Runs the inputs in chunks and checks every promise but the number of records.
void run(procpool::ProcessPool& pool, support::Trace& trace, std::vector<Id> const& inputs,
         std::size_t chunk) {
  trace.clear();
  auto const outcomes = pool.with({.chunk = chunk}).outcomes().map<work_on>(inputs);
  ASSERT_EQ(outcomes.size(), inputs.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] < 0) {
      expect_death(outcomes[i], i);
    } else {
      wrong += !outcomes[i].has_value() || outcomes[i].value() != 3 * inputs[i] + 1;
    }
  }
  EXPECT_EQ(wrong, 0u);

  std::vector<int> executions(inputs.size(), 0);
  for (Id const id : trace.numbers()) {
    ASSERT_GE(id, 1);
    ASSERT_LE(id, static_cast<Id>(inputs.size()));
    ++executions[static_cast<std::size_t>(id) - 1];
  }
  EXPECT_TRUE(std::ranges::all_of(executions, [](int n) { return n == 1; }))
      << std::ranges::count(executions, 0) << " never begun, "
      << std::ranges::count_if(executions, [](int n) { return n > 1; }) << " begun twice or more";
}

// In the short form: some, and those at the edges.
bool wanted(std::size_t j, std::size_t size) {
  if (size <= 100 || support::long_form()) return true;
  auto const near_power = [](std::size_t x) {
    return std::has_single_bit(x) || std::has_single_bit(x + 1);
  };
  return j % (support::sanitized ? 173 : 17) == 0 || j + 2 >= size ||
         (near_power(j) && (j < 3 || j > 500));
}

struct Share {
  std::size_t chunk;
  std::size_t begin;
  std::size_t end;
};

std::string name_of(testing::TestParamInfo<Share> const& info) {
  return "Of" + std::to_string(info.param.chunk) + "From" + std::to_string(info.param.begin);
}

class CrashAtEveryPosition : public testing::TestWithParam<Share> {};

}  // namespace

TEST_P(CrashAtEveryPosition, OfAChunk) {
  auto const [chunk, begin, end] = GetParam();
  support::Trace trace;
  procpool::ProcessPool pool{1};
  for (std::size_t j = begin; j < end; ++j) {
    if (!wanted(j, chunk)) continue;
    SCOPED_TRACE("crash at element " + std::to_string(j) + " of " + std::to_string(chunk));
    std::uint64_t const before = pool.stats().records;
    std::uint64_t const deaths = pool.stats().worker_deaths;
    run(pool, trace, inputs_dying_at(chunk, {j}), chunk);
    // The chunk, and what was left of it.
    std::uint64_t const wanted = before + (j + 1 < chunk ? 2 : 1);
    EXPECT_TRUE(
        support::until([&] { return pool.stats().records == wanted; }, std::chrono::seconds(2)))
        << pool.stats().records - before << " records";
    EXPECT_EQ(pool.stats().worker_deaths, deaths + 1);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Small, CrashAtEveryPosition,
                         testing::Values(Share{1, 0, 1}, Share{7, 0, 7}), name_of);
INSTANTIATE_TEST_SUITE_P(Large, CrashAtEveryPosition,
                         testing::Values(Share{4096, 0, 512}, Share{4096, 512, 1024},
                                         Share{4096, 1024, 1536}, Share{4096, 1536, 2048},
                                         Share{4096, 2048, 2560}, Share{4096, 2560, 3072},
                                         Share{4096, 3072, 3584}, Share{4096, 3584, 4096}),
                         name_of);

// With other chunks behind it, in the same worker and in another.
TEST(Crash, AmongOtherChunks) {
  support::Trace trace;
  for (int const workers : {1, 2}) {
    procpool::ProcessPool pool{workers};
    for (std::size_t const chunk : {1, 7}) {
      std::size_t const size = 4 * chunk + 1;
      for (std::size_t j = 0; j < size; ++j) {
        SCOPED_TRACE("crash at element " + std::to_string(j) + " of " + std::to_string(size) +
                     " in chunks of " + std::to_string(chunk) + " on " + std::to_string(workers));
        run(pool, trace, inputs_dying_at(size, {j}), chunk);
      }
    }
  }
}

TEST(Crash, AtEachElementOfAChunkInTurn) {
  support::Trace trace;
  procpool::ProcessPool pool{1};
  std::uint64_t const before = pool.stats().records;
  run(pool, trace, inputs_dying_at(7, {0, 1, 2, 3, 4, 5, 6}), 7);
  EXPECT_TRUE(support::until([&] { return pool.stats().records == before + 7; }));
  EXPECT_EQ(pool.stats().worker_deaths, 7u);
}

TEST(Crash, AtSeveralElementsWithChunksThatThePoolChooses) {
  support::Trace trace;
  procpool::ProcessPool pool{2};
  std::size_t const size = 3'000;
  auto const inputs =
      inputs_dying_at(size, {0, 1, 2, 17, 499, 500, 501, 1'000, 2'222, 2'998, 2'999});
  trace.clear();
  auto const outcomes = pool.outcomes().map<work_on>(inputs);
  ASSERT_EQ(outcomes.size(), size);
  for (std::size_t i = 0; i < size; ++i) {
    if (inputs[i] < 0) {
      expect_death(outcomes[i], i);
    } else {
      ASSERT_TRUE(outcomes[i].has_value()) << i << ": " << support::text_of(outcomes[i]);
      ASSERT_EQ(outcomes[i].value(), 3 * inputs[i] + 1);
    }
  }
  auto const counts = trace.counts();
  EXPECT_EQ(counts.size(), size);
  for (auto const& [id, count] : counts) EXPECT_EQ(count, 1) << "element " << id - 1;
}
