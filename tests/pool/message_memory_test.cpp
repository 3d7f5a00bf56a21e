// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The memory of large messages is used again and again: the values are right all the same, whoever
// crashes, scribbles or keeps his results, and after a while without use nothing is left of it.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <map>
#include <procpool.hpp>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/memory.hpp"
#include "support/processes.hpp"
#include "support/seed.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

using support::kib;
using support::mib;
constexpr char const* memory_name = "procpool message";

std::vector<std::uint64_t> seeded_numbers(std::size_t bytes, std::uint64_t seed) {
  std::vector<std::uint64_t> values(bytes / sizeof(std::uint64_t));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = seed * 0x9e3779b97f4a7c15 + i;
  return values;
}

std::uint64_t sum_of_numbers(std::vector<std::uint64_t> const& values) {
  std::uint64_t all = values.size();
  for (std::uint64_t const value : values) all = all * 31 + value;
  return all;
}

// Inodes of the message memory that a process has mapped.
std::set<std::string> memory_of(pid_t pid) {
  std::set<std::string> files;
  for (std::string const& line : support::mappings_of(pid)) {
    if (line.find(memory_name) == std::string::npos) continue;
    std::istringstream fields(line);
    std::string range, rights, offset, device, inode;
    fields >> range >> rights >> offset >> device >> inode;
    files.insert(inode);
  }
  return files;
}

std::size_t descriptors_of_memory(pid_t pid) {
  std::size_t count = 0;
  for (auto const& [number, target] : support::descriptors_of(pid)) {
    count += target.find(memory_name) != std::string::npos;
  }
  return count;
}

pid_t worker_of(procpool::ProcessPool& pool) {
  return pool.call([] { return ::getpid(); });
}

}  // namespace

// Looked at while it is in use: here, as long as nobody has taken the result; there, by the task.
TEST(MessageMemory, IsTheSameRoundAfterRound) {
  procpool::ProcessPool pool{1};
  auto const look = [](std::vector<std::uint64_t> const& values) {
    return std::pair(sum_of_numbers(values), memory_of(::getpid()));
  };
  for (std::size_t const size : {40 * kib, 100 * kib, 3 * mib}) {
    std::set<std::string> seen_here;
    std::set<std::string> seen_there;
    for (std::uint64_t round = 0; round < 20; ++round) {
      auto const values = seeded_numbers(size, round);
      auto [right, seen] = pool.call(look, values);
      ASSERT_EQ(right, sum_of_numbers(values));
      seen_there.merge(seen);
      auto future = pool.submit<seeded_numbers>(size, round);
      future.wait();
      seen_here.merge(memory_of(::getpid()));
      ASSERT_EQ(future.get(), values);
    }
    // Two blocks, for arguments and for results, and blocks that the sizes before may have left.
    EXPECT_LE(seen_here.size(), 6u) << size;
    EXPECT_LE(seen_there.size(), 6u) << size;
  }
}

TEST(MessageMemory, HoldsRightValuesOfMixedSizesInManyThreads) {
  procpool::ProcessPool pool{3};
  unsigned const seed = support::new_seed();
  std::atomic<int> wrong{0};
  auto const use = [&](unsigned thread) {
    std::mt19937_64 random(seed + thread);
    std::vector<std::pair<procpool::Future<std::vector<std::uint64_t>>, std::uint64_t>> kept;
    for (int round = 0; round < support::rounds(60, 25); ++round) {
      std::size_t const size = std::size_t{8} << random() % 19;  // to 2 MiB
      std::uint64_t const of = random();
      auto const values = seeded_numbers(size, of);
      if (pool.call<sum_of_numbers>(values) != sum_of_numbers(values)) ++wrong;
      auto future = pool.submit<seeded_numbers>(size, of);
      if (random() % 2 == 0) {
        if (future.get() != values) ++wrong;
      } else {  // looked at later, when much has happened to the memory of others
        kept.emplace_back(std::move(future), sum_of_numbers(values));
      }
      if (kept.size() > 5) {
        for (auto& [late, right] : kept) {
          if (sum_of_numbers(late.get()) != right) ++wrong;
        }
        kept.clear();
      }
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&use, &wrong, t] {
      try {
        use(t);
      } catch (std::exception const& error) {
        ++wrong;
        ADD_FAILURE() << error.what();
      }
    });
  }
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

// Not before the last one who refers to a result has let it go, however long that takes.
TEST(MessageMemory, OfAResultThatNobodyHasTakenStaysAsItIs) {
  procpool::ProcessPool pool{1};
  std::vector<procpool::Future<std::vector<std::uint64_t>>> kept;
  for (std::uint64_t i = 0; i < 20; ++i) {
    kept.push_back(pool.submit<seeded_numbers>(mib, i));
    EXPECT_EQ(pool.call<seeded_numbers>(mib, 1000 + i), seeded_numbers(mib, 1000 + i));
  }
  pid_t const worker = worker_of(pool);
  std::this_thread::sleep_for(1500ms);  // memory without use goes meanwhile
  ::kill(worker, SIGKILL);
  EXPECT_EQ(pool.call<seeded_numbers>(mib, 77), seeded_numbers(mib, 77));
  for (std::uint64_t i = 0; i < 20; ++i) {
    EXPECT_EQ(kept[i].get(), seeded_numbers(mib, i)) << i;
  }
}

TEST(MessageMemory, OfAnArgumentIsRightWhenItIsRunAgain) {
  procpool::ProcessPool pool{2};
  auto const crash_at_first = [](std::vector<std::uint64_t> const& values,
                                 std::string const& mark) {
    if (::access(mark.c_str(), F_OK) != 0) {
      std::fclose(std::fopen(mark.c_str(), "w"));
      ::raise(SIGKILL);
    }
    return sum_of_numbers(values);
  };
  for (int round = 0; round < support::rounds(10, 4); ++round) {
    std::string const mark = testing::TempDir() + "procpool_retry_" + std::to_string(::getpid());
    auto const values = seeded_numbers(2 * mib, static_cast<std::uint64_t>(round));
    auto retried = pool.with({.retries = {.times = 2}}).submit(crash_at_first, values, mark);
    // Others write to what memory there is.
    for (std::uint64_t i = 0; i < 5; ++i) {
      auto const other = seeded_numbers(2 * mib, 100 + i);
      EXPECT_EQ(pool.call<sum_of_numbers>(other), sum_of_numbers(other));
    }
    EXPECT_EQ(retried.get(), sum_of_numbers(values));
    ::unlink(mark.c_str());
  }
}

// A worker keeps its view of the memory of its arguments. The view shows only what is for this
// worker.
TEST(MessageMemory, OfAHardenedPoolIsNeverSharedBetweenWorkers) {
  procpool::ProcessPool pool{{.workers = 2, .harden = true}};
  std::map<pid_t, std::set<std::string>> seen;
  for (std::uint64_t round = 0; round < 200 && (round < 10 || seen.size() < 2); ++round) {
    std::vector<procpool::Future<std::pair<pid_t, std::set<std::string>>>> futures;
    for (std::uint64_t i = 0; i < 2; ++i) {
      futures.push_back(pool.submit(
          [](std::vector<std::uint64_t> const& values) {
            std::this_thread::sleep_for(std::chrono::milliseconds(values.empty() ? 0 : 5));
            return std::pair(::getpid(), memory_of(::getpid()));
          },
          seeded_numbers(round % 2 == 0 ? mib : 100 * kib, i)));
    }
    for (auto& future : futures) {
      auto [worker, files] = future.get();
      EXPECT_FALSE(files.empty());
      seen[worker].merge(files);
    }
  }
  ASSERT_EQ(seen.size(), 2u);
  for (std::string const& file : seen.begin()->second) {
    EXPECT_FALSE(seen.rbegin()->second.contains(file)) << "inode " << file;
  }
}

TEST(MessageMemory, OfArgumentsCannotBeWrittenByAWorker) {
  procpool::ProcessPool pool{1};
  auto const values = seeded_numbers(mib, 1);
  EXPECT_EQ(pool.call<sum_of_numbers>(values), sum_of_numbers(values));
  int const failed = pool.call(
      [](std::vector<std::uint64_t> const&) {
        for (std::string const& line : support::mappings_of(::getpid())) {
          if (line.find(memory_name) == std::string::npos) continue;
          unsigned long from = 0;
          std::sscanf(line.c_str(), "%lx", &from);
          return ::mprotect(reinterpret_cast<void*>(from), 4096, PROT_READ | PROT_WRITE) == 0
                     ? 0
                     : errno;
        }
        return -1;
      },
      values);
  EXPECT_EQ(failed, EACCES);
}

TEST(MessageMemory, GoesAfterASecondWithoutUse) {
  procpool::ProcessPool pool{2};
  for (std::uint64_t round = 0; round < 3; ++round) {
    std::vector<procpool::Future<std::vector<std::uint64_t>>> futures;
    for (std::uint64_t i = 0; i < 6; ++i) {
      futures.push_back(pool.submit([](std::vector<std::uint64_t> values) { return values; },
                                    seeded_numbers(3 * mib, i)));
    }
    for (std::uint64_t i = 0; i < 6; ++i) EXPECT_EQ(futures[i].get(), seeded_numbers(3 * mib, i));
    EXPECT_FALSE(memory_of(::getpid()).empty()) << "it is kept at first";
    auto workers = support::children_of(::getpid());
    EXPECT_TRUE(support::until([&] {
      bool none = memory_of(::getpid()).empty() && descriptors_of_memory(::getpid()) == 0;
      for (pid_t const worker : workers) {
        none = none && memory_of(worker).empty() && descriptors_of_memory(worker) == 0;
      }
      return none;
    }));
  }
}

TEST(MessageMemory, OfAWorkerThatIsKilledAtAnyTimeGoes) {
  procpool::ProcessPool pool{2};
  std::mt19937 random(support::new_seed());
  // In a slow build most messages would never arrive.
  auto const longest = static_cast<unsigned>(support::rounds(40, 200));
  std::atomic<int> kills_left{0};  // for one element: on a slow machine none would ever arrive
  std::jthread killer([&](std::stop_token const& end) {
    while (!end.stop_requested()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5 + random() % longest));
      std::vector<pid_t> workers;
      for (pid_t const pid : support::children_of(::getpid())) {
        // Not before its first word: a few of those in a row would be the pool's end.
        if (support::maps(pid, "procpool outbox")) workers.push_back(pid);
      }
      if (workers.empty() || kills_left-- <= 0) continue;
      ::kill(workers[random() % workers.size()], SIGKILL);
    }
  });
  auto const echo = [](std::vector<std::uint64_t> values) { return values; };
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(support::rounds(40, 20)); ++i) {
    auto const values = seeded_numbers((1 + i % 3) * mib, i);
    kills_left = 4;
    EXPECT_EQ(pool.with({.retries = {.times = 50}}).call(echo, values), values) << i;
  }
  killer.request_stop();
  killer.join();
  EXPECT_TRUE(support::until(
      [&] { return memory_of(::getpid()).empty() && descriptors_of_memory(::getpid()) == 0; }));
}

// A faulty task goes on writing to the memory of its result while the program decodes it.
TEST(MessageMemory, MayBeScribbledOverWhileItIsDecoded) {
  procpool::ProcessPool pool{2};
  auto const scribbler = [](unsigned of) {
    // A thread that writes over whatever message memory it finds, for the rest of the worker's
    // life.
    static bool const begun = [of] {
      std::thread([of] {
        std::mt19937_64 random(of);
        for (;;) {
          for (std::string const& line : support::mappings_of(::getpid())) {
            unsigned long from = 0;
            unsigned long to = 0;
            if (line.find(memory_name) == std::string::npos ||
                line.find("rw-s") == std::string::npos ||
                std::sscanf(line.c_str(), "%lx-%lx", &from, &to) != 2) {
              continue;
            }
            for (int i = 0; i < 2'000; ++i) {
              std::uint64_t const noise = random() >> random() % 64;
              std::memcpy(reinterpret_cast<void*>(from + random() % ((to - from) / 8) * 8), &noise,
                          sizeof noise);
            }
            // The lengths at the front, too.
            std::uint64_t const noise = random();
            std::memcpy(reinterpret_cast<void*>(from + 56), &noise, sizeof noise);
            std::memcpy(reinterpret_cast<void*>(from + 64), &noise, sizeof noise);
          }
        }
      }).detach();
      return true;
    }();
    std::vector<std::pair<std::string, std::vector<bool>>> result;
    for (int i = 0; begun && i < 3'000; ++i) {
      result.emplace_back(std::string(static_cast<std::size_t>(i % 100), 's'),
                          std::vector<bool>(static_cast<std::size_t>(i % 77)));
    }
    return result;
  };
  unsigned const seed = support::new_seed();
  auto const right = seeded_numbers(mib, 5);
  int values = 0;
  int refused = 0;
  for (unsigned round = 0; round < static_cast<unsigned>(support::rounds(300, 60)); ++round) {
    try {
      pool.call(scribbler, seed + round);
      ++values;
    } catch (procpool::Error const&) {  // no value, or its worker died of what it did
      ++refused;
    }
    if (round % 10 == 0) {
      for (pid_t const worker : support::children_of(::getpid())) ::kill(worker, SIGKILL);
      EXPECT_TRUE(support::until([&] { return pool.stats().workers == 0; }));
      EXPECT_EQ(pool.call<sum_of_numbers>(right), sum_of_numbers(right));
    }
  }
  EXPECT_GT(refused, 0) << values << " values came all the same";
}
