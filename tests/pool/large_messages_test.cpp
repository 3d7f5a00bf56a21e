// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Messages of every size, both ways: none, around the sizes at which the way of travelling changes,
// and far beyond what a ring holds.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdint>
#include <procpool.hpp>
#include <string>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/memory.hpp"
#include "support/tasks.hpp"

namespace {

using support::kib;
using support::mib;

// Bytes that tell where they belong.
char byte_at(std::size_t i) { return static_cast<char>(i * 131 + i / 251); }

std::string text_of(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = byte_at(i);
  return text;
}

bool right(std::string const& text, std::size_t size) {
  if (text.size() != size) return false;
  for (std::size_t i = 0; i < size; ++i) {
    if (text[i] != byte_at(i)) return false;
  }
  return true;
}

using tasks::echo;
std::uint64_t length_if_right(std::string const& text) {
  return right(text, text.size()) ? text.size() : ~std::uint64_t{0};
}
std::vector<double> half_numbers(std::size_t count) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<double>(i) / 2;
  return values;
}

void expect_all_ways(procpool::ProcessPool& pool, std::size_t size) {
  std::string const text = text_of(size);
  EXPECT_TRUE(right(pool.call<echo>(text), size)) << size;
  EXPECT_EQ(pool.call<length_if_right>(text), size);
  EXPECT_TRUE(right(pool.call<text_of>(size), size)) << size;
}

}  // namespace

TEST(LargeMessage, OfEveryCriticalSize) {
  procpool::ProcessPool pool{1};
  for (std::size_t const size :
       {std::size_t{0}, std::size_t{1}, std::size_t{4095}, std::size_t{4096}, std::size_t{4097},
        mib - 1, mib, mib + 1, 3 * mib + 7}) {
    expect_all_ways(pool, size);
  }
}

// A quarter of the ring and the whole of it, less and more the bytes of any header.
TEST(LargeMessage, AroundTheSizesOfTheRing) {
  procpool::ProcessPool pool{1};
  int const step = support::rounds(1, 16);
  for (std::size_t const middle : {16 * kib, 32 * kib, 64 * kib, 128 * kib}) {
    for (std::size_t size = middle - 160; size <= middle + 32;
         size += static_cast<std::size_t>(step)) {
      expect_all_ways(pool, size);
    }
  }
}

TEST(LargeMessage, OfEverySizeUpToSome) {
  procpool::ProcessPool pool{1};
  std::vector<std::size_t> sizes;
  for (std::size_t size = 0; size < 3'000;
       size += static_cast<std::size_t>(support::rounds(1, 7))) {
    sizes.push_back(size);
  }
  std::vector<std::string> texts;
  for (std::size_t const size : sizes) texts.push_back(text_of(size));
  for (int const chunk : {1, 50}) {
    EXPECT_EQ(pool.with({.chunk = chunk}).map<echo>(texts), texts);
  }
  EXPECT_EQ(pool.map<text_of>(sizes), texts);
}

TEST(LargeMessage, Of64MiB) {
  procpool::ProcessPool pool{1};
  expect_all_ways(pool, 64 * mib);
}

TEST(LargeMessage, OfNumbers) {
  procpool::ProcessPool pool{1};
  for (std::size_t const count : {std::size_t{2'000}, std::size_t{2'049}, mib}) {
    EXPECT_EQ(pool.call<half_numbers>(count), half_numbers(count));
  }
}

TEST(LargeMessage, ManyInARow) {
  procpool::ProcessPool pool{2};
  std::size_t const size = static_cast<std::size_t>(support::rounds(8, 2)) * mib;
  std::vector<std::string> const texts(20, text_of(size));
  for (int const chunk : {1, 3, 20}) {
    auto const results = pool.with({.chunk = chunk}).map<echo>(texts);
    ASSERT_EQ(results.size(), 20u);
    for (auto const& result : results) EXPECT_EQ(result, texts.front());
  }
}

// Large and small ones alternate, so that records with and without descriptors stand in one ring.
TEST(LargeMessage, AmongSmallOnes) {
  procpool::ProcessPool pool{2};
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i < 200; ++i) sizes.push_back(i % 3 == 0 ? 40'000 + i : i);
  for (int const chunk : {1, 7, 200}) {
    auto const results = pool.with({.chunk = chunk}).map<text_of>(sizes);
    ASSERT_EQ(results.size(), sizes.size());
    for (std::size_t i = 0; i < sizes.size(); ++i) EXPECT_TRUE(right(results[i], sizes[i])) << i;
    auto const lengths = pool.with({.chunk = chunk}).map<length_if_right>(results);
    for (std::size_t i = 0; i < sizes.size(); ++i) EXPECT_EQ(lengths[i], sizes[i]);
  }
}

// Many large results that nobody takes yet must neither stop the pool nor be lost.
TEST(LargeMessage, ManyResultsNotYetTaken) {
  procpool::ProcessPool pool{1};
  std::vector<procpool::Future<std::string>> futures;
  for (std::size_t i = 0; i < 64; ++i) futures.push_back(pool.submit<text_of>(mib + i));
  for (std::size_t i = 64; i-- > 0;) {
    EXPECT_TRUE(right(futures[i].get(), mib + i)) << i;
  }
}

// The worker's memory for a large message goes when it is taken. A worker that has no number left
// for a descriptor cannot take what comes in a file: that is the error of the element which needs
// it, and the next one is run by another worker.
TEST(LargeMessage, ToAWorkerWithoutADescriptor) {
  if (support::sanitized) GTEST_SKIP() << "sanitizers need descriptors to look at a type";
  auto const take_all = [] {
    while (::open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) {
    }
  };
  std::vector<int> const table(100'000, 7);
  auto const size_of = [](std::vector<int> const& values) { return values.size(); };
  procpool::PoolOptions options;
  options.workers = 1;
  options.limits.open_files = 200;
  procpool::ProcessPool pool{options};
  auto const expect_refusal = [](auto&& call) {
    try {
      call();
      ADD_FAILURE() << "it was taken";
    } catch (procpool::SetupError const& error) {
      EXPECT_NE(std::string(error.what()).find("descriptor"), std::string::npos) << error.what();
    }
  };
  pool.call(take_all);
  expect_refusal([&] { pool.call(size_of, table); });
  EXPECT_EQ(pool.call(size_of, table), table.size());
  pool.call(take_all);
  auto const shared = pool.share(table);
  expect_refusal([&] { pool.call(size_of, shared); });
  EXPECT_EQ(pool.call(size_of, shared), table.size());
  EXPECT_EQ(pool.stats().worker_starts, 3u);
}

// The value is missing in that worker, and the calls that have come there meanwhile are not its.
TEST(LargeMessage, ToAWorkerWithoutADescriptorCostsOneOfManyCalls) {
  if (support::sanitized) GTEST_SKIP() << "sanitizers need descriptors to look at a type";
  std::vector<int> const table(100'000, 7);
  auto const size_of = [](std::vector<int> const& values) { return values.size(); };
  procpool::PoolOptions options;
  options.workers = 1;
  options.limits.open_files = 200;
  procpool::ProcessPool pool{options};
  pool.call([] {
    while (::open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) {
    }
  });
  auto const shared = pool.share(table);
  std::vector<procpool::Future<std::size_t>> futures;
  for (int i = 0; i < 20; ++i) futures.push_back(pool.submit(size_of, shared));
  int refused = 0;
  for (auto& future : futures) {
    try {
      EXPECT_EQ(future.get(), table.size());
    } catch (procpool::SetupError const&) {
      ++refused;
    }
  }
  EXPECT_EQ(refused, 1);
  EXPECT_EQ(pool.stats().worker_starts, 2u);
}

TEST(LargeMessage, FromAWorkerThatDiesNext) {
  procpool::ProcessPool pool{1};
  for (int i = 0; i < 5; ++i) {
    auto large = pool.submit<text_of>(4 * mib);
    auto death = pool.submit([] { ::raise(SIGKILL); });
    EXPECT_TRUE(right(large.get(), 4 * mib));
    EXPECT_THROW(death.get(), procpool::WorkerDied);
  }
}
