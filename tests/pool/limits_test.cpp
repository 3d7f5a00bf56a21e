// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// PoolOptions::limits: what a worker may use at most, and what happens when it wants more.

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <new>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/memory.hpp"

namespace {

using namespace std::chrono_literals;

std::size_t allocate(std::size_t bytes) {
  std::vector<char> const memory(bytes, 'x');
  return memory.size();
}
long spin_to(long x) {
  volatile long const forever = 1;
  while (forever == 1) ++x;
  return x;
}
int open_files(int count) {
  std::vector<int> descriptors;
  for (int i = 0; i < count; ++i) {
    int const fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0) break;
    descriptors.push_back(fd);
  }
  for (int const fd : descriptors) ::close(fd);
  return static_cast<int>(descriptors.size());
}
std::uint64_t core_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_CORE, &limit);
  return limit.rlim_cur;
}

procpool::PoolOptions with_limits(procpool::Limits limits) {
  procpool::PoolOptions options;
  options.workers = 1;
  options.limits = limits;
  return options;
}

TEST(Limits, MemoryEndsInBadAlloc) {
  if (support::sanitized) GTEST_SKIP() << "a sanitizer needs more memory than it should";
  procpool::ProcessPool pool{with_limits({.memory = std::uint64_t{64} << 20})};
  EXPECT_EQ(pool.call<allocate>(std::size_t{16} << 20), std::size_t{16} << 20);
  EXPECT_THROW(pool.call<allocate>(std::size_t{256} << 20), std::bad_alloc);
  EXPECT_EQ(pool.call<allocate>(std::size_t{16} << 20), std::size_t{16} << 20);
  EXPECT_EQ(pool.stats().worker_starts, 1u);
  EXPECT_EQ(allocate(std::size_t{256} << 20), std::size_t{256} << 20);  // here there is none
}

TEST(Limits, AddressSpaceToo) {
  if (support::sanitized) GTEST_SKIP() << "a sanitizer needs terabytes of it";
  procpool::ProcessPool pool{with_limits({.address_space = std::uint64_t{1} << 30})};
  EXPECT_EQ(pool.call<allocate>(1'000'000), 1'000'000u);
  EXPECT_THROW(pool.call<allocate>(std::size_t{2} << 30), std::bad_alloc);
}

// Also while an argument is decoded, or a result is encoded or finds no memory to travel in: the
// element's error, and the worker lives on.
TEST(Limits, MemoryMayRunOutOnTheWayInAndOut) {
  if (support::sanitized) GTEST_SKIP() << "a sanitizer needs more memory than it should";
  using support::mib;
  auto const take = [](std::string const& text) { return text.size(); };
  auto const make = [](std::size_t size) { return std::string(size, 'm'); };
  auto const twice = [](std::string text) { return text + text; };
  for (auto const& limits :
       {procpool::Limits{.memory = 32 * mib}, procpool::Limits{.address_space = 300 * mib}}) {
    SCOPED_TRACE(limits.memory ? "memory" : "address space");
    procpool::ProcessPool pool{with_limits(limits)};
    std::string const much((limits.memory ? 48 : 320) * mib, 'm');
    for (int i = 0; i < 2; ++i) {
      // The argument's memory is shared, and counts as address space only.
      if (limits.memory) {
        EXPECT_THROW(pool.call(take, much), std::bad_alloc);
      } else {
        EXPECT_THROW(pool.call(take, much), procpool::Error);
      }
      EXPECT_THROW(pool.call(make, much.size()), std::bad_alloc);
      EXPECT_EQ(pool.call(take, make(mib)), mib);
      EXPECT_EQ(pool.call(make, mib), make(mib));
    }
    // There is enough for one, and not for what is made of it.
    std::string const some((limits.memory ? 20 : 110) * mib, 's');
    EXPECT_THROW(pool.call(twice, some), std::exception);
    EXPECT_EQ(pool.call(twice, std::string("a")), "aa");
    EXPECT_EQ(pool.stats().worker_starts, 1u);
  }
}

TEST(Limits, CpuTimeEndsTheWorker) {
  procpool::ProcessPool pool{with_limits({.cpu_time = 1s})};
  auto const died = support::thrown_by<procpool::WorkerDied>([&] { pool.call<spin_to>(1); });
  EXPECT_EQ(died.signal(), SIGXCPU);
  EXPECT_EQ(pool.call<open_files>(1), 1);
}

TEST(Limits, OpenFiles) {
  procpool::ProcessPool pool{with_limits({.open_files = 20})};
  int const some = pool.call<open_files>(100);
  EXPECT_GT(some, 5);
  EXPECT_LE(some, 20);
  // Large messages need descriptors, in the worker as here.
  EXPECT_EQ(
      pool.call([](std::vector<int> xs) { return xs; }, std::vector<int>(1'000'000, 7)).size(),
      1'000'000u);
}

TEST(Limits, CoreFiles) {
  procpool::ProcessPool none{1};
  EXPECT_EQ(none.call<core_limit>(), 0u);
  rlimit here{};
  ::getrlimit(RLIMIT_CORE, &here);
  if (here.rlim_max < 4096) GTEST_SKIP() << "no core files are allowed here";
  procpool::ProcessPool some{with_limits({.core_size = 4096})};
  EXPECT_EQ(some.call<core_limit>(), 4096u);
}

TEST(Limits, ThatMakeNoSenseAreRefused) {
  EXPECT_THROW(procpool::ProcessPool{with_limits({.memory = 0})}, std::invalid_argument);
  EXPECT_THROW(procpool::ProcessPool{with_limits({.cpu_time = -1s})}, std::invalid_argument);
  EXPECT_THROW(procpool::ProcessPool{with_limits({.open_files = 1})}, std::invalid_argument);
}

}  // namespace
