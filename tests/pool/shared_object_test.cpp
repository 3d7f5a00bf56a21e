// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// SharedObject in pools: the same memory everywhere, however it travels; nobody writes to it, and no
// process follows what another could have written.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <boost/interprocess/containers/map.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/containers/vector.hpp>
#include <boost/unordered_map.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <numeric>
#include <optional>
#include <procpool.hpp>
#include <procpool/shared_object.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/descriptors.hpp"
#include "support/errors.hpp"
#include "support/few_descriptors.hpp"
#include "support/in_child.hpp"
#include "support/processes.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::ObjectAllocator;
using procpool::ObjectBuilder;
using procpool::share_object;
using procpool::SharedObject;

namespace {

namespace bip = boost::interprocess;

using ObjectText = bip::basic_string<char, std::char_traits<char>, ObjectAllocator<char>>;
using Squares = boost::unordered_map<long, long, boost::hash<long>, std::equal_to<>,
                                     ObjectAllocator<std::pair<long const, long>>>;
using NumbersByName = bip::map<
    ObjectText, bip::vector<long, ObjectAllocator<long>>, std::less<>,
    ObjectAllocator<std::pair<ObjectText const, bip::vector<long, ObjectAllocator<long>>>>>;

struct SquareTable {
  explicit SquareTable(ObjectBuilder& build)
      : squares(build.get_allocator<Squares::value_type>()),
        names(build.get_allocator<NumbersByName::value_type>()) {}

  Squares squares;
  NumbersByName names;
  long count = 0;
};
using TableHandle = SharedObject<SquareTable>;

template <class T, class... Args>
T& made_in(ObjectBuilder& build, Args&&... args) {
  return *build.construct<T>(bip::anonymous_instance)(std::forward<Args>(args)...);
}

SquareTable& build_table(ObjectBuilder& build, long count) {
  auto& table = made_in<SquareTable>(build, build);
  for (long i = 0; i < count; ++i) table.squares.emplace(i, i * i);
  auto const chars = build.get_allocator<char>();
  auto const numbers = build.get_allocator<long>();
  for (char const* const name : {"primes", "evens"}) {
    table.names.emplace(ObjectText(name, chars), bip::vector<long, ObjectAllocator<long>>(numbers));
  }
  table.names.find("primes")->second.assign({2, 3, 5, 7});
  table.count = count;
  return table;
}

TableHandle square_table(long count, std::size_t bytes = std::size_t{1} << 30) {
  return share_object<SquareTable>(
      bytes, [count](ObjectBuilder& build) -> SquareTable& { return build_table(build, count); });
}

long square_of(SquareTable const& table, long number) { return table.squares.at(number); }
long sum_of_table(SquareTable const& table) {
  long sum = 0;
  for (auto const& [number, square] : table.squares) sum += square;
  for (long const prime : table.names.find("primes")->second) sum += prime;
  return sum;
}
long sum_of_handle(TableHandle const& table) { return table.valid() ? sum_of_table(*table) : -1; }
constexpr long wanted_sum(long n) { return (n - 1) * n * (2 * n - 1) / 6 + 17; }

std::pair<pid_t, std::uint64_t> place_of(SquareTable const& table) {
  return {::getpid(), support::inode_at(&table)};
}

struct NamedTable {
  std::string name;
  TableHandle table;
};
class SerializedTable {
 public:
  SerializedTable() = default;
  explicit SerializedTable(TableHandle table) : table_(std::move(table)) {}
  long sum() const { return sum_of_table(*table_); }

 private:
  friend class boost::serialization::access;
  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & table_;
  }

  TableHandle table_;
};
struct SquareTimes {
  TableHandle table;
  long operator()(long times) const { return times * sum_of_table(*table); }
};
long sum_of_named_table(NamedTable const& named) { return sum_of_table(*named.table); }
long sum_of_tables(std::vector<TableHandle> const& tables) {
  long sum = 0;
  for (auto const& table : tables) sum += sum_of_table(*table);
  return sum;
}
long sum_of_optional_table(std::optional<TableHandle> const& table) {
  return table ? sum_of_table(**table) : -1;
}
long sum_of_serialized_table(SerializedTable const& table) { return table.sum(); }
long sum_in_a_pool_within(TableHandle const& table) {
  procpool::ProcessPool pool{1};
  return pool.call<sum_of_table>(table);
}
// The same handle, from a task of a pool within a task.
TableHandle same_table(TableHandle const& table) { return table; }
TableHandle same_table_from_within(TableHandle const& table) {
  procpool::ProcessPool pool{1};
  TableHandle back = pool.call<same_table>(table);
  if (&*back != &*table) throw std::logic_error("this is another object");
  return back;
}
long sum_of_own_table_within(long count) {
  procpool::ProcessPool pool{1};
  return pool.call<sum_of_table>(square_table(count, 1 << 20));
}
TableHandle own_table(long count) { return square_table(count, 1 << 20); }

void write_to_table(SquareTable const& table) { const_cast<SquareTable&>(table).count = 7; }

std::size_t object_files() {
  std::size_t count = 0;
  for (auto const& [number, target] : support::descriptors_of(::getpid())) {
    count += target.find("procpool shared object") != std::string::npos ? 1 : 0;
  }
  return count;
}
std::size_t object_mappings() {
  auto const all = support::mappings_of(::getpid());
  return static_cast<std::size_t>(std::ranges::count_if(all, [](std::string const& line) {
    return line.find("procpool shared object") != std::string::npos;
  }));
}

// KiB of one process, in the lines of the object's mapping.
struct ObjectMemoryUse {
  pid_t pid = 0;
  long resident = 0;
  long proportional = 0;
  long own = 0;
};
ObjectMemoryUse object_memory_use() {
  ObjectMemoryUse use;
  use.pid = ::getpid();
  std::ifstream smaps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    if (line.find(" r") != std::string::npos && line.find('-') < line.find(' ')) {
      inside = line.find("procpool shared object") != std::string::npos;
    }
    if (!inside) continue;
    auto const value = [&line](std::string_view name, long& into) {
      if (line.starts_with(name)) into += std::strtol(line.c_str() + name.size(), nullptr, 10);
    };
    value("Rss:", use.resident);
    value("Pss:", use.proportional);
    value("Anonymous:", use.own);
  }
  return use;
}

class SharedObjectsByStart : public testing::TestWithParam<procpool::Start> {
 protected:
  procpool::ProcessPool pool_{procpool::PoolOptions{.workers = 2, .start = {.method = GetParam()}}};
};

INSTANTIATE_TEST_SUITE_P(SharedObjects, SharedObjectsByStart,
                         testing::Values(procpool::Start::spawn, procpool::Start::forkserver,
                                         procpool::Start::in_process),
                         [](auto const& test) {
                           switch (test.param) {
                             case procpool::Start::spawn: return "Spawn";
                             case procpool::Start::forkserver: return "ForkServer";
                             default: return "InProcess";
                           }
                         });

}  // namespace

// ---- without a pool

TEST(SharedObjects, AreBuiltAndRead) {
  TableHandle const table = square_table(1000);
  ASSERT_TRUE(table.valid());
  EXPECT_EQ(table->count, 1000);
  EXPECT_EQ(square_of(table, 31), 961);
  EXPECT_EQ(sum_of_table(*table), wanted_sum(1000));
  TableHandle const copy = table;
  EXPECT_EQ(&copy.get(), &*table);
  EXPECT_EQ(
      *share_object<long>(100,
                          [](auto& build) -> long& {
                            return *build.template construct<long>(bip::anonymous_instance)(5);
                          }),
      5)
      << "also of a size below a page";
}

TEST(SharedObjects, ThatReferToNothingSaySo) {
  TableHandle table = square_table(1);
  TableHandle const other = std::move(table);
  EXPECT_TRUE(other.valid());
  EXPECT_FALSE(table.valid());  // NOLINT(bugprone-use-after-move): that is asked
  EXPECT_FALSE(TableHandle().valid());
  EXPECT_THROW(table.get(), std::logic_error);  // NOLINT(bugprone-use-after-move)
  EXPECT_THROW(static_cast<void>(*TableHandle()), std::logic_error);
  EXPECT_THROW(static_cast<void>(TableHandle()->count), std::logic_error);
}

TEST(SharedObjects, TakeMemoryAsTheyGrow) {
  TableHandle const table = square_table(10, std::size_t{64} << 30);
  EXPECT_EQ(square_of(table, 3), 9);
  EXPECT_LT(object_memory_use().resident, 256);
}

TEST(SharedObjects, ThatNeedMoreBytesSaySo) {
  std::size_t const before = object_files();
  auto const error = support::thrown_by<std::length_error>([] { square_table(100'000, 100'000); });
  EXPECT_TRUE(support::says(error, "more than the 100000 bytes")) << error.what();
  EXPECT_THROW(square_table(1000, 1), std::length_error);
  using Numbers = bip::vector<long, ObjectAllocator<long>>;
  auto const at_once = [](ObjectBuilder& build) -> Numbers& {
    auto& numbers = made_in<Numbers>(build, ObjectAllocator<long>(build.get_segment_manager()));
    numbers.resize(1'000'000);
    return numbers;
  };
  EXPECT_THROW(share_object<Numbers>(1 << 20, at_once), std::length_error);
  EXPECT_THROW(square_table(1, 0), std::invalid_argument);
  EXPECT_THROW(share_object<long>(-1, [](auto& build) -> long& { return made_in<long>(build, 5); }),
               std::invalid_argument);
  // More than any address space.
  EXPECT_THROW(square_table(1, std::size_t{1} << 60), procpool::SetupError);
  EXPECT_EQ(object_files(), before);
}

TEST(SharedObjects, WithoutDescriptorsAreRefusedWithASentence) {
  std::vector<TableHandle> all;
  std::string const text = support::refusal_with_few_descriptors(64, [&] {
    for (;;) all.push_back(square_table(1, 1 << 16));
  });
  EXPECT_NE(text.find("RLIMIT_NOFILE, is 64; ulimit -n raises it"), std::string::npos) << text;
  EXPECT_EQ(all.front()->count, 1);
}

TEST(SharedObjects, WhoseBuilderThrowsLeaveNothing) {
  std::size_t const files = object_files();
  std::size_t const mappings = object_mappings();
  auto const building = [](auto const& error) {
    share_object<SquareTable>(1 << 20, [&](ObjectBuilder& build) -> SquareTable& {
      build_table(build, 100);
      throw error;
    });
  };
  EXPECT_THROW(building(std::range_error("no")), std::range_error);
  EXPECT_THROW(building(std::bad_alloc()), std::bad_alloc);
  EXPECT_THROW(building(std::system_error(EIO, std::generic_category())), std::system_error)
      << "as itself";
  EXPECT_THROW(building(7), int);
  EXPECT_EQ(object_files(), files);
  EXPECT_EQ(object_mappings(), mappings);
}

TEST(SharedObjects, LeaveNothing) {
  TableHandle const first = square_table(1, 1 << 16);
  std::size_t const files = object_files();
  std::size_t const mappings = object_mappings();
  for (int i = 0; i < 1000; ++i) {
    TableHandle const table = square_table(1, 1 << 16);
    ASSERT_EQ(square_of(table, 0), 0);
  }
  EXPECT_EQ(object_files(), files);
  EXPECT_EQ(object_mappings(), mappings);
}

TEST(SharedObjects, ElsewhereThanInTheirMemoryAreRefused) {
  static long outside = 5;
  EXPECT_THROW(share_object<long>(1 << 16, [](auto&) -> long& { return outside; }),
               std::invalid_argument);
  std::vector<std::byte> heap(1 << 16);
  EXPECT_THROW(share_object<std::byte>(1 << 16, [&](auto&) -> std::byte& { return heap[100]; }),
               std::invalid_argument);
}

// A class with private members is not looked into by the compiler.
namespace {
class Secretive {
 public:
  explicit Secretive(long* target) : target_(target) {}
  long sum() const { return target_ == nullptr ? number_ : number_ + *target_; }

 private:
  long number_ = 4;
  long* target_;
};
}  // namespace

TEST(SharedObjects, TellOfARawPointerWhenAsked) {
  std::ptrdiff_t place = 0;
  auto const with = share_object<Secretive>(1 << 20, [&](ObjectBuilder& build) -> Secretive& {
    auto& number = made_in<long>(build, 5);
    auto& secretive = made_in<Secretive>(build, &number);
    place =
        reinterpret_cast<std::byte*>(&secretive) - static_cast<std::byte*>(build.get_address()) + 8;
    return secretive;
  });
  EXPECT_EQ(with.find_raw_pointer(), place);
  auto const without = share_object<Secretive>(1 << 20, [](ObjectBuilder& build) -> Secretive& {
    return made_in<Secretive>(build, nullptr);
  });
  EXPECT_FALSE(without.find_raw_pointer());
  EXPECT_EQ(without->sum(), 4);
  EXPECT_FALSE(SharedObject<Secretive>().find_raw_pointer());
  procpool::ProcessPool pool{1};
  EXPECT_EQ(
      pool.call([](SharedObject<Secretive> const& object) { return object.find_raw_pointer(); },
                with),
      place);
}

// A short string that is moved brings the rest of its buffer along, whatever was there.
TEST(SharedObjects, MayHoldBytesThatLookLikeAPointer) {
  auto const object = share_object<Secretive>(1 << 20, [](ObjectBuilder& build) -> Secretive& {
    auto& number = made_in<long>(build, 0);
    number = static_cast<long>(reinterpret_cast<std::intptr_t>(&number));
    return made_in<Secretive>(build, nullptr);
  });
  EXPECT_EQ(object->sum(), 4);
  EXPECT_TRUE(object.find_raw_pointer());
}

// Nor by means of the system.
TEST(SharedObjects, CannotBeWritten) {
  TableHandle const table = square_table(100);
  bool tried = false;
  for (auto const& [number, target] : support::descriptors_of(::getpid())) {
    if (target.find("procpool shared object") == std::string::npos) continue;
    tried = true;
    int const again = ::open(("/proc/self/fd/" + std::to_string(number)).c_str(), O_RDWR);
    ASSERT_GE(again, 0);
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0), MAP_FAILED);
    char const byte = 1;
    EXPECT_LT(::pwrite(again, &byte, 1, 64), 0);
    EXPECT_NE(::ftruncate(again, 0), 0);
    ::close(again);
  }
  EXPECT_TRUE(tried);
  EXPECT_EQ(sum_of_table(*table), wanted_sum(100));
}

TEST(SharedObjects, AreReadByAForkedChild) {
  TableHandle const table = square_table(100);
  EXPECT_EQ(support::in_child([&] {
              if (sum_of_table(*table) != wanted_sum(100)) throw std::logic_error("wrong");
            }),
            'v');
}

// ---- on their way

TEST_P(SharedObjectsByStart, AreTheSameMemoryEverywhere) {
  TableHandle const table = square_table(1000);
  auto const [pid, file] = pool_.call<place_of>(table);
  EXPECT_EQ(file, support::inode_at(&*table));
  EXPECT_EQ(pid == ::getpid(), GetParam() == procpool::Start::in_process);
  EXPECT_EQ(pool_.call<square_of>(table, 12), 144);
}

TEST_P(SharedObjectsByStart, TravelByEachWay) {
  TableHandle const table = square_table(200);
  long const wanted = wanted_sum(200);
  EXPECT_EQ(pool_.call<sum_of_table>(table), wanted);
  EXPECT_EQ(pool_.call<sum_of_handle>(table), wanted);
  EXPECT_EQ(pool_.call<sum_of_handle>(TableHandle()), -1);
  EXPECT_EQ(pool_.call<sum_of_named_table>(NamedTable{"x", table}), wanted);
  EXPECT_EQ(pool_.call<sum_of_tables>(std::vector{table, square_table(2), table}), 2 * wanted + 18);
  EXPECT_EQ(pool_.call<sum_of_optional_table>(std::optional(table)), wanted);
  EXPECT_EQ(pool_.call<sum_of_optional_table>(std::optional<TableHandle>()), -1);
  EXPECT_EQ(pool_.call<sum_of_serialized_table>(SerializedTable(table)), wanted);
  EXPECT_EQ(pool_.call(SquareTimes{table}, 3L), 3 * wanted);
  EXPECT_EQ(pool_.call(procpool::bind_front(square_of, table), 5L), 25);
  EXPECT_EQ(pool_.call<sum_of_named_table>(pool_.share(NamedTable{"x", table})), wanted);
  EXPECT_EQ(pool_.call<sum_in_a_pool_within>(table), wanted);
  EXPECT_EQ(pool_.call<sum_of_own_table_within>(50L), wanted_sum(50));
  auto const squares = pool_.map(procpool::bind_front(square_of, table), std::vector<long>(200, 7));
  EXPECT_EQ(std::accumulate(squares.begin(), squares.end(), 0L), 200 * 49);
}

TEST_P(SharedObjectsByStart, ComeBackAsTheSame) {
  TableHandle const table = square_table(10);
  EXPECT_EQ(&*pool_.call<same_table>(table), &*table);
  EXPECT_EQ(&*pool_.call<same_table_from_within>(table), &*table);
  EXPECT_FALSE(pool_.call<same_table>(TableHandle()).valid());
  // Nobody here has it meanwhile but the task.
  TableHandle const back = pool_.call<same_table>(square_table(20));
  EXPECT_EQ(sum_of_table(*back), wanted_sum(20));
}

TEST_P(SharedObjectsByStart, GoInItemsOfQueuesAndPipes) {
  TableHandle const table = square_table(100);
  procpool::Queue<TableHandle> const queue;
  auto const pop = [](procpool::Queue<TableHandle> const& from) {
    return sum_of_table(*from.pop().value());
  };
  queue.push(table);
  EXPECT_EQ(pool_.call(pop, queue), wanted_sum(100));
  queue.push(square_table(50));
  if (GetParam() != procpool::Start::in_process) {
    EXPECT_EQ(pool_.call(pop, queue), wanted_sum(50)) << "of which only the item is left";
  } else {
    EXPECT_THROW(pool_.call(pop, queue), procpool::SerializationError);
  }
  auto [here, there] = procpool::make_pipe<TableHandle, TableHandle>();
  here.send(table);
  pool_.call([](procpool::PipeEnd<TableHandle, TableHandle> end) { end.send(*end.receive()); },
             std::move(there));
  EXPECT_EQ(&**here.receive(), &*table);
}

TEST(SharedObjects, GoToAProcess) {
  procpool::Process process{sum_of_handle, square_table(100)};
  EXPECT_EQ(process.get(), wanted_sum(100));
}

TEST(SharedObjects, AreThereWhileATaskHasThem) {
  procpool::ProcessPool pool{1};
  procpool::SharedValue<bool> const gate(false);
  std::optional<TableHandle> table = square_table(1000);
  auto sum = pool.submit(
      [](TableHandle const& given, procpool::SharedValue<bool> const& open) {
        open.wait(false);
        return sum_of_table(*given);
      },
      *table, gate);
  table.reset();
  gate.store(true);
  EXPECT_EQ(sum.get(), wanted_sum(1000));
}

TEST(SharedObjects, AreLetGoByAnIdleWorker) {
  procpool::ProcessPool pool{1};
  pid_t const worker = pool.call([] { return ::getpid(); });
  {
    TableHandle const table = square_table(10);
    pool.call<sum_of_table>(table);
    EXPECT_TRUE(support::maps(worker, "procpool shared object"));
  }
  EXPECT_TRUE(support::until([&] { return !support::maps(worker, "procpool shared object"); }));
  EXPECT_TRUE(support::until([&] { return !support::holds(worker, "procpool shared object"); }));
}

// ---- in one direction

// Its offsets would be followed here.
TEST(SharedObjects, ThatATaskHasBuiltAreNoResults) {
  procpool::ProcessPool pool{1};
  pid_t const worker = pool.call([] { return ::getpid(); });
  auto const error =
      support::thrown_by<procpool::SerializationError>([&] { pool.call<own_table>(10L); });
  EXPECT_TRUE(support::says(error, "a shared object that the program does not share"));
  EXPECT_EQ(pool.call([] { return ::getpid(); }), worker) << "an error of that task alone";
  EXPECT_EQ(pool.call<sum_of_own_table_within>(10L), wanted_sum(10));
}

TEST(SharedObjects, ThatATaskHasBuiltAreNotTakenFromItems) {
  procpool::ProcessPool pool{1};
  procpool::Queue<TableHandle> const queue;
  pool.call([](procpool::Queue<TableHandle> const& to) { to.push(own_table(10)); }, queue);
  auto const error = support::thrown_by<procpool::SerializationError>([&] { queue.pop(); });
  EXPECT_TRUE(support::says(error, "a shared object came from a worker"));
  TableHandle const table = square_table(10);
  queue.push(table);
  EXPECT_EQ(&**queue.pop(), &*table);
}

// A task keeps the handle. Later the program has nothing that it could follow.
TEST(SharedObjects, ThatTheProgramHasLetGoDoNotComeBack) {
  procpool::ProcessPool pool{1};
  auto const keep = [](TableHandle const& given) {
    static TableHandle kept;
    if (given.valid()) kept = given;
    return given.valid() ? TableHandle() : kept;
  };
  {
    TableHandle const table = square_table(10);
    pool.call(keep, table);
    EXPECT_EQ(&*pool.call(keep, TableHandle()), &*table);
  }
  EXPECT_THROW(pool.call(keep, TableHandle()), procpool::SerializationError);
  EXPECT_EQ(pool.stats().worker_deaths, 0U);
}

// ---- reading only

TEST(SharedObjects, EndTheTaskThatWrites) {
  procpool::ProcessPool pool{2};
  TableHandle const table = square_table(100);
  std::vector<procpool::Future<long>> others;
  for (int i = 0; i < 20; ++i) others.push_back(pool.submit<sum_of_table>(table));
  auto const died =
      support::thrown_by<procpool::WorkerDied>([&] { pool.call<write_to_table>(table); });
  EXPECT_EQ(died.signal(), SIGSEGV);
  for (auto& other : others) EXPECT_EQ(other.get(), wanted_sum(100));
  EXPECT_EQ(table->count, 100);
  EXPECT_EQ(pool.call<sum_of_table>(table), wanted_sum(100));
}

TEST(SharedObjects, AreInMemoryOnce) {
  if (support::sanitized) GTEST_SKIP() << "a sanitizer maps memory of its own";
  constexpr int workers = 8;
  procpool::ProcessPool pool{workers};
  TableHandle const table = square_table(200'000);
  sum_of_table(*table);
  ObjectMemoryUse const here = object_memory_use();
  ASSERT_GT(here.resident, 8 * 1024);
  // Each worker reads all of it, and says what it has while the others still have it.
  procpool::SharedValue<int> const arrived(0);
  std::vector<procpool::Future<ObjectMemoryUse>> uses;
  for (std::uint64_t i = 0; i < workers; ++i) {
    uses.push_back(pool.with({.key = i})
                       .submit(
                           [](TableHandle const& given, procpool::SharedValue<int> const& count) {
                             sum_of_table(*given);
                             count.fetch_add(1);
                             for (int now = count.load(); now < workers;) now = count.wait(now);
                             ObjectMemoryUse const use = object_memory_use();
                             count.fetch_add(1);
                             for (int now = count.load(); now < 2 * workers;) now = count.wait(now);
                             return use;
                           },
                           table, arrived));
  }
  long proportional = 0;
  std::set<pid_t> pids;
  for (auto& each : uses) {
    ObjectMemoryUse const use = each.get();
    pids.insert(use.pid);
    EXPECT_GT(use.resident, here.resident * 9 / 10);
    EXPECT_EQ(use.own, 0);
    proportional += use.proportional;
  }
  EXPECT_EQ(pids.size(), static_cast<std::size_t>(workers));
  // With the program's ninth part: the object, once.
  EXPECT_LT(proportional, here.resident);
  EXPECT_GT(proportional, here.resident * 7 / 10);
}
