// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// SharedArray in pools: the same memory everywhere, however it travels; its lock, and its end.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <map>
#include <numeric>
#include <optional>
#include <procpool.hpp>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/descriptors.hpp"
#include "support/errors.hpp"
#include "support/few_descriptors.hpp"
#include "support/processes.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::SharedArray;
using support::inode_at;

namespace {

struct Seen {
  pid_t pid;
  std::uint64_t inode;
};

Seen fill(std::span<int> numbers) {
  std::iota(numbers.begin(), numbers.end(), 1);
  return {::getpid(), inode_at(numbers.data())};
}
Seen see(std::span<int const> numbers) { return {::getpid(), inode_at(numbers.data())}; }
long sum(std::span<int const> numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0L);
}
long sum_of_array(SharedArray<int const> const& numbers) { return sum(numbers); }

SharedArray<int> counted_to(std::size_t size) {
  SharedArray<int> numbers(size);
  std::iota(numbers.begin(), numbers.end(), 1);
  return numbers;
}

constexpr long sum_to(long n) { return n * (n + 1) / 2; }

struct Named {
  std::string name;
  SharedArray<int> numbers;
};

class Serialized {
 public:
  Serialized() = default;
  explicit Serialized(SharedArray<int> numbers) : numbers_(std::move(numbers)) {}
  long sum() const { return ::sum(numbers_); }

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & numbers_;
  }

  SharedArray<int> numbers_;
};

struct SumTimes {
  SharedArray<int const> numbers;
  long operator()(int times) const { return times * sum(numbers); }
};

long sum_of_named(Named const& named) { return sum(named.numbers); }
long sum_of_many(std::vector<SharedArray<int>> const& arrays) {
  long all = 0;
  for (auto const& array : arrays) all += sum(array);
  return all;
}
long sum_of_optional(std::optional<SharedArray<int>> const& array) {
  return array ? sum(*array) : -1;
}
long sum_of_serialized(Serialized const& value) { return value.sum(); }
long sum_in_a_nested_pool(SharedArray<int> const& numbers) {
  procpool::ProcessPool pool{1};
  return pool.call<sum>(numbers);
}
SharedArray<int> from_a_nested_pool(int size) {
  procpool::ProcessPool pool{1};
  return pool.call<counted_to>(static_cast<std::size_t>(size));
}

std::vector<procpool::PoolOptions> each_start() {
  std::vector<procpool::PoolOptions> all;
  for (auto const start :
       {procpool::Start::spawn, procpool::Start::forkserver, procpool::Start::in_process}) {
    procpool::PoolOptions options;
    options.workers = 2;
    options.start.method = start;
    all.push_back(options);
  }
  return all;
}

void add_one(SharedArray<long> const& numbers) {
  numbers.with_lock([](std::span<long> all) {
    for (long& number : all) ++number;
  });
}
void die_inside(SharedArray<long> const& numbers) {
  numbers.with_lock([](std::span<long> all) {
    all[0] = 7;
    ::raise(SIGKILL);
  });
}
bool is_poisoned(SharedArray<long> const& numbers) {
  try {
    numbers.with_lock([](std::span<long>) {});
    return false;
  } catch (procpool::HolderDied const&) {
    return true;
  }
}
void stop_inside(SharedArray<long> const& numbers) {
  numbers.with_lock([](std::span<long> all) {
    all[0] = ::getpid();
    ::raise(SIGSTOP);
  });
}
void write_to_const(std::span<int const> numbers) { const_cast<int&>(numbers[0]) = 99; }

}  // namespace

// ---- without a pool

TEST(SharedArrays, BeginWithZeros) {
  SharedArray<int> const numbers(10'000);
  EXPECT_EQ(numbers.size(), 10'000U);
  EXPECT_EQ(sum(numbers), 0);
  EXPECT_FALSE(numbers.empty());
  numbers[9'999] = 5;
  SharedArray<int> const copy = numbers;
  EXPECT_EQ(copy[9'999], 5);
  EXPECT_EQ(copy.data(), numbers.data());
}

TEST(SharedArrays, OfNoElements) {
  SharedArray<int> const none(0);
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.begin(), none.end());
  EXPECT_EQ(none.with_lock([](std::span<int> all) { return all.size(); }), 0U);
  SharedArray<int> const nothing;
  EXPECT_TRUE(nothing.empty());
  EXPECT_EQ(nothing.begin(), nothing.end());
  EXPECT_FALSE(nothing.frozen());
  SharedArray<int const> const reader = nothing;
  EXPECT_TRUE(reader.empty());
  EXPECT_THROW(nothing.with_lock([](std::span<int>) {}), std::logic_error);
  EXPECT_THROW(SharedArray<int>().freeze(), std::logic_error);
}

TEST(SharedArrays, ThatWereMovedFromAreEmpty) {
  SharedArray<int> numbers = counted_to(10);
  SharedArray<int> other = std::move(numbers);
  EXPECT_TRUE(numbers.empty());  // NOLINT(bugprone-use-after-move): that is asked
  EXPECT_EQ(numbers.data(), nullptr);
  numbers = std::move(other);
  EXPECT_EQ(sum(numbers), sum_to(10));
  EXPECT_TRUE(other.empty());  // NOLINT(bugprone-use-after-move)
  numbers = SharedArray<int>(numbers);
  EXPECT_EQ(sum(numbers), sum_to(10));
}

TEST(SharedArrays, AreRanges) {
  static_assert(std::ranges::contiguous_range<SharedArray<int>>);
  static_assert(std::ranges::sized_range<SharedArray<int const> const>);
  procpool::ProcessPool pool{2};
  EXPECT_EQ(pool.map([](int x) { return 2 * x; }, counted_to(3)), (std::vector{2, 4, 6}));
}

TEST(SharedArrays, OfAbsurdSizesAreRefused) {
  EXPECT_THROW(SharedArray<int>(-1), std::invalid_argument);
  EXPECT_THROW(SharedArray<int>(SIZE_MAX), std::length_error);
  EXPECT_THROW(SharedArray<int>(SIZE_MAX / sizeof(int)), std::length_error);
  EXPECT_THROW(SharedArray<int>(PTRDIFF_MAX / sizeof(int)), std::length_error);
  // 4 PiB: more than there is, and the machine is not brought to its knees.
  auto const error =
      support::thrown_by<procpool::SetupError>([] { SharedArray<int>(std::size_t{1} << 50); });
  EXPECT_NE(std::string(error.what()).find("4503599627370496 bytes"), std::string::npos)
      << error.what();
}

TEST(SharedArrays, WithoutDescriptorsAreRefusedWithASentence) {
  std::vector<SharedArray<int>> all;
  std::string const text = support::refusal_with_few_descriptors(64, [&] {
    for (;;) all.emplace_back(1);
  });
  EXPECT_NE(text.find("RLIMIT_NOFILE, is 64; ulimit -n raises it"), std::string::npos) << text;
}

TEST(SharedArrays, LeaveNothing) {
  SharedArray<int> const first(1);
  // Others are those of the heap and of sanitizers.
  auto const mapped = [] {
    auto const all = support::mappings_of(::getpid());
    return std::ranges::count_if(all, support::is_memory_of_a_pool);
  };
  auto const mapped_before = mapped();
  auto const before = support::open_resources();
  for (int i = 0; i < 1000; ++i) {
    SharedArray<int> const numbers(100);
    SharedArray<int const> const reader = numbers;
    numbers[1] = 1;
    ASSERT_EQ(reader[1], 1);
  }
  auto const after = support::open_resources();
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_EQ(mapped(), mapped_before);
}

TEST(SharedArrays, AreCutIntoSlices) {
  SharedArray<int> const numbers = counted_to(100);
  SharedArray<int> const part = numbers.slice(10, 20);
  EXPECT_EQ(part.size(), 20U);
  EXPECT_EQ(part[0], 11);
  EXPECT_EQ(part.slice(5, 3)[0], 16);
  EXPECT_EQ(numbers.slice(100, 0).size(), 0U);
  EXPECT_THROW(numbers.slice(101, 0), std::out_of_range);
  EXPECT_THROW(numbers.slice(90, 11), std::out_of_range);
  EXPECT_THROW(part.slice(0, 21), std::out_of_range);
  EXPECT_THROW(numbers.slice(1, SIZE_MAX), std::out_of_range);
  part[0] = 0;
  EXPECT_EQ(numbers[10], 0);
}

TEST(SharedArrays, LockedTwiceByOneThreadSaySo) {
  SharedArray<int> const numbers(3);
  try {
    numbers.with_lock(
        [&](std::span<int>) { numbers.slice(1, 1).with_lock([](std::span<int>) {}); });
    ADD_FAILURE() << "nothing was thrown";
  } catch (std::system_error const& error) {
    EXPECT_EQ(error.code(), std::errc::resource_deadlock_would_occur);
  }
  EXPECT_EQ(numbers.with_lock([](std::span<int> all) { return all.size(); }), 3U);
}

TEST(SharedArrays, MayLoseTheirLastHandleUnderTheLock) {
  SharedArray<int> numbers = counted_to(1'000);
  int const last = numbers.with_lock([&](std::span<int> all) {
    numbers = SharedArray<int>();
    all[0] = 7;
    return all.back();
  });
  EXPECT_EQ(last, 1'000);
  EXPECT_TRUE(numbers.empty());
}

TEST(SharedArrays, AreWholeAfterAnException) {
  SharedArray<int> const numbers(3);
  EXPECT_THROW(numbers.with_lock([](std::span<int>) { throw std::range_error("no"); }),
               std::range_error);
  EXPECT_NO_THROW(numbers.with_lock([](std::span<int>) {}));
  EXPECT_NO_THROW(numbers.with_lock([](std::span<int>) {},
                                    [](std::span<int>) { ADD_FAILURE() << "nothing to repair"; }));
}

TEST(SharedArrays, LockedByAThreadOfThisProcessAreWaitedFor) {
  SharedArray<int> const numbers(3);
  numbers.with_lock([&](std::span<int>) {
    std::thread([&] {
      bool called = false;
      EXPECT_FALSE(numbers.with_lock_for(20ms, [&](std::span<int>) { called = true; }));
      EXPECT_FALSE(called);
    }).join();
  });
  EXPECT_TRUE(numbers.with_lock_for(0ms, [](std::span<int> all) { all[0] = 1; }));
  EXPECT_EQ(numbers[0], 1);
}

// ---- on their way

TEST(SharedArrays, AreNotCopiedAsArguments) {
  for (auto const& options : each_start()) {
    procpool::ProcessPool pool{options};
    SharedArray<int> const numbers(100'000);
    Seen const there = pool.call<fill>(numbers);
    EXPECT_EQ(there.inode, inode_at(numbers.data()));
    EXPECT_EQ(there.pid == ::getpid(), options.start.method == procpool::Start::in_process);
    EXPECT_EQ(sum(numbers), sum_to(100'000));
    EXPECT_EQ(pool.call<see>(numbers).inode, there.inode);
    EXPECT_EQ(pool.call<sum>(numbers.slice(1, 2)), 5);
  }
}

TEST(SharedArrays, AreNotCopiedAsResults) {
  for (auto const& options : each_start()) {
    std::optional<procpool::ProcessPool> pool(options);
    SharedArray<int> const numbers = pool->call<counted_to>(std::size_t{100'000});
    EXPECT_EQ(sum(numbers), sum_to(100'000));
    EXPECT_EQ(pool->call<see>(numbers).inode, inode_at(numbers.data()));
    auto const many = pool->map<counted_to>(std::vector<std::size_t>(50, 10));
    pool.reset();
    EXPECT_EQ(sum(numbers), sum_to(100'000)) << "without the process that made it";
    for (auto const& each : many) EXPECT_EQ(sum(each), sum_to(10));
  }
}

TEST(SharedArrays, TravelInsideOfOtherThings) {
  for (auto const& options : each_start()) {
    procpool::ProcessPool pool{options};
    SharedArray<int> const numbers = counted_to(1000);
    long const wanted = sum_to(1000);
    EXPECT_EQ(pool.call<sum_of_array>(numbers), wanted);
    EXPECT_EQ(pool.call<sum_of_named>(Named{"x", numbers}), wanted);
    EXPECT_EQ(pool.call<sum_of_many>(std::vector{numbers, numbers.slice(0, 1), counted_to(2)}),
              wanted + 4);
    EXPECT_EQ(pool.call<sum_of_optional>(std::optional(numbers)), wanted);
    EXPECT_EQ(pool.call<sum_of_optional>(std::optional<SharedArray<int>>()), -1);
    EXPECT_EQ(pool.call<sum_of_serialized>(Serialized(numbers)), wanted);
    EXPECT_EQ(pool.call(SumTimes{numbers}, 2), 2 * wanted);
    EXPECT_EQ(pool.call(procpool::bind_front(sum, numbers)), wanted);
    EXPECT_EQ(pool.call<sum_of_named>(pool.share(Named{"x", numbers})), wanted);
    EXPECT_EQ(pool.call<sum_in_a_nested_pool>(numbers), wanted);
    EXPECT_EQ(sum(pool.call<from_a_nested_pool>(1000)), wanted);
    EXPECT_EQ(pool.call<sum>(SharedArray<int>()), 0);
    auto const sums = pool.map<sum>(std::vector(200, numbers));
    EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), 0L), 200 * wanted);
  }
}

TEST(SharedArrays, AreCutIntoHandlesByParallelize) {
  procpool::ProcessPool pool{2};
  SharedArray<int> const numbers(1001);
  auto const inode = inode_at(numbers.data());
  for (Seen const& slice : pool.parallelize<fill>(numbers)) EXPECT_EQ(slice.inode, inode);
  EXPECT_EQ(numbers[500], 501) << "the first slice is longer";
  EXPECT_EQ(numbers[501], 1);
  auto const sums = pool.with({.slices = 7}).parallelize<sum>(numbers);
  EXPECT_EQ(sums.size(), 7U);
  EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), 0L), sum_to(501) + sum_to(500));
  auto const sizes = pool.parallelize(
      [](SharedArray<int> const& slice) { return static_cast<int>(slice.size()); }, numbers);
  EXPECT_EQ(sizes, (std::vector{501, 500}));
  auto const unknown = pool.parallelize(
      [](auto const& slice) { return static_cast<int>(slice.slice(0, 1)[0]); }, numbers);
  EXPECT_EQ(unknown, (std::vector{1, 1}));
  auto const copies = pool.parallelize([](std::vector<int> slice) { return slice; }, numbers);
  EXPECT_EQ(copies, std::vector<int>(numbers.begin(), numbers.end()));
}

// ---- for reading only

TEST(SharedArrays, OfConstElementsEndTheTaskThatWrites) {
  procpool::ProcessPool pool{1};
  SharedArray<int> const numbers = counted_to(10);
  auto const died =
      support::thrown_by<procpool::WorkerDied>([&] { pool.call<write_to_const>(numbers); });
  EXPECT_EQ(died.signal(), SIGSEGV);
  EXPECT_EQ(numbers[0], 1);
  SharedArray<int const> const reader = numbers;
  EXPECT_NE(::mprotect(reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(reader.data()) &
                                               ~std::uintptr_t{4095}),
                       4096, PROT_READ | PROT_WRITE),
            0)
      << "a view for reading stays one";
  numbers[0] = 77;
  EXPECT_EQ(reader[0], 77) << "but shows what others write";
}

// ---- the lock

TEST(SharedArrays, LetOneProcessAtATimeIn) {
  procpool::ProcessPool pool{3};
  SharedArray<long> const numbers(10);
  pool.map<add_one>(std::vector(2000, numbers));
  for (long const number : numbers) EXPECT_EQ(number, 2000);
}

TEST(SharedArrays, ArePoisonedByADeathInside) {
  procpool::ProcessPool pool{2};
  SharedArray<long> const numbers(2);
  EXPECT_THROW(pool.call<die_inside>(numbers), procpool::WorkerDied);
  EXPECT_THROW(numbers.with_lock([](std::span<long>) { FAIL(); }), procpool::HolderDied);
  EXPECT_THROW(numbers.with_lock_for(1s, [](std::span<long>) { FAIL(); }), procpool::HolderDied);
  EXPECT_TRUE(pool.call<is_poisoned>(numbers)) << "in every process";
  EXPECT_THROW(pool.call<add_one>(numbers), procpool::HolderDied) << "as itself";
  EXPECT_THROW(numbers.with_lock([](std::span<long>) { FAIL(); },
                                 [](std::span<long>) { throw std::range_error("cannot"); }),
               std::range_error);
  EXPECT_TRUE(pool.call<is_poisoned>(numbers)) << "it was not repaired";
  EXPECT_EQ(numbers.with_lock([](std::span<long> all) { return all[0]; },
                              [](std::span<long> all) { all[0] += 1; }),
            8);
  EXPECT_FALSE(pool.call<is_poisoned>(numbers));
  EXPECT_FALSE(is_poisoned(numbers));
  EXPECT_THROW(pool.call<die_inside>(numbers), procpool::WorkerDied);
  EXPECT_EQ(numbers.with_lock([](std::span<long> all) { return all[0]; }, procpool::keep), 7);
}

// Nobody may look into such a worker.
TEST(SharedArrays, OfAHardenedPoolAreNoOthers) {
  procpool::PoolOptions options;
  options.workers = 1;
  options.harden = true;
  procpool::ProcessPool pool{options};
  EXPECT_EQ(pool.call<sum>(counted_to(100)), sum_to(100));
  SharedArray<long> const numbers(2);
  EXPECT_THROW(pool.call<die_inside>(numbers), procpool::WorkerDied);
  EXPECT_TRUE(pool.call<is_poisoned>(numbers));
  EXPECT_TRUE(is_poisoned(numbers));
}

TEST(SharedArrays, LockedByAStoppedProcessAreWaitedFor) {
  procpool::ProcessPool pool{1};
  SharedArray<long> const numbers(2);
  auto task = pool.submit<stop_inside>(numbers);
  auto const stopped = [&] {
    long const pid = numbers.atomic(0).load();
    return pid != 0 && support::stat_of(static_cast<pid_t>(pid)).state == 'T';
  };
  ASSERT_TRUE(support::until(stopped));
  EXPECT_FALSE(numbers.with_lock_for(50ms, [](std::span<long>) {}));
  ::kill(static_cast<pid_t>(numbers.atomic(0).load()), SIGCONT);
  EXPECT_TRUE(numbers.with_lock_for(20s, [](std::span<long>) {}));
  task.get();
}

// ---- frozen

TEST(SharedArrays, AreFrozenForEverybody) {
  procpool::ProcessPool pool{2};
  SharedArray<int> numbers = pool.call<counted_to>(std::size_t{1000});
  pool.map<fill>(std::vector(10, numbers.slice(0, 10)));
  EXPECT_FALSE(numbers.frozen());
  SharedArray<int const> const before = numbers;  // is in nobody's way
  SharedArray<int const> const frozen = std::move(numbers).freeze();
  EXPECT_TRUE(frozen.frozen());
  EXPECT_TRUE(before.frozen());
  EXPECT_TRUE(numbers.empty());  // NOLINT(bugprone-use-after-move): says that it was moved from
  EXPECT_EQ(sum(frozen), sum_to(1000));
  EXPECT_EQ(pool.call<sum>(frozen), sum_to(1000));
  EXPECT_THROW(pool.call<write_to_const>(frozen), procpool::WorkerDied);
  // Nor by means of the system.
  bool tried = false;
  for (auto const& [number, target] : support::descriptors_of(::getpid())) {
    if (target.find("procpool shared memory") == std::string::npos) continue;
    tried = true;
    int const again = ::open(("/proc/self/fd/" + std::to_string(number)).c_str(), O_RDWR);
    ASSERT_GE(again, 0);
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0), MAP_FAILED);
    char const byte = 1;
    EXPECT_LT(::pwrite(again, &byte, 1, 5000), 0);
    ::close(again);
  }
  EXPECT_TRUE(tried);
}

TEST(SharedArrays, ThatSomebodyHasForWritingAreNotFrozen) {
  SharedArray<int> numbers = counted_to(100);
  SharedArray<int> const other = numbers;
  support::Stopwatch const watch;
  EXPECT_THROW(std::move(numbers).freeze(50ms), procpool::StillShared);
  EXPECT_GE(watch.passed(), 50ms);
  ASSERT_EQ(numbers.size(), 100U) << "as before";  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(numbers.data(), other.data());
  numbers[0] = 5;
  EXPECT_EQ(other[0], 5);
  EXPECT_FALSE(numbers.frozen());
}

TEST(SharedArrays, AreFrozenWhenTheLastWriterHasLetThemGo) {
  SharedArray<int> numbers = counted_to(100);
  auto other = std::optional(numbers);
  std::thread writer([&] {
    std::this_thread::sleep_for(30ms);  // whenever that is: the freezing waits
    other.reset();
  });
  EXPECT_EQ(sum(std::move(numbers).freeze(20s)), sum_to(100));
  writer.join();
}

TEST(SharedArrays, ThatATaskWritesToAreFrozenAfterIt) {
  procpool::ProcessPool pool{1};
  SharedArray<long> numbers(2);
  auto task = pool.submit<stop_inside>(numbers);
  ASSERT_TRUE(support::until([&] {
    long const pid = numbers.atomic(0).load();
    return pid != 0 && support::stat_of(static_cast<pid_t>(pid)).state == 'T';
  }));
  auto const pid = static_cast<pid_t>(numbers[0]);
  EXPECT_THROW(std::move(numbers).freeze(50ms), procpool::StillShared);
  ::kill(pid, SIGCONT);
  task.get();
  EXPECT_EQ(std::move(numbers).freeze(20s)[0], pid);  // NOLINT(bugprone-use-after-move)
}
