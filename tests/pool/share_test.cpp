// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Shared values in pools: sent once to a worker and decoded once there, however they are used; gone
// when nobody has them any more.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <procpool.hpp>
#include <ranges>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;
using procpool::Shared;

namespace {

constexpr char const* file_name = "procpool shared value";

// Knows how often values of it were loaded in this process.
struct Table {
  std::vector<int> rows;
  bool broken = false;  // its loading throws
  static inline int loads = 0;

  template <class Archive>
  void serialize(Archive& archive, unsigned) {
    archive & rows & broken;
    if constexpr (Archive::is_loading::value) {
      ++loads;
      if (broken) throw std::runtime_error("a broken table");
    }
  }
};

Table table_of(std::size_t rows) {
  Table table;
  table.rows.resize(rows);
  for (std::size_t i = 0; i < rows; ++i) table.rows[i] = static_cast<int>(3 * i);
  return table;
}

struct Look {
  pid_t pid = 0;
  int loads = 0;
  int row = 0;
};

Look look(Table const& table, int i) {
  return {::getpid(), Table::loads, table.rows[static_cast<std::size_t>(i)]};
}
Look look_through(Shared<Table> const& table, int i) {
  int const row = table->rows[static_cast<std::size_t>(i)];
  return {::getpid(), Table::loads, row};
}
int loads_here() { return Table::loads; }

struct LookUp {
  Shared<Table> table;
  Look operator()(int i) const { return look(table, i); }
};

struct Request {
  std::string name;
  std::vector<Shared<Table>> tables;
};

bool file_mapped() { return support::maps(::getpid(), file_name); }

// Every worker that looked had loaded so many values by then, and read right.
void expect_loads(std::vector<Look> const& looks, int loads) {
  for (std::size_t i = 0; i < looks.size(); ++i) {
    ASSERT_EQ(looks[i].row, static_cast<int>(3 * i));
    ASSERT_EQ(looks[i].loads, loads);
  }
}

using tasks::numbers;

constexpr std::size_t four_mebibytes = std::size_t{1} << 20;  // rows

}  // namespace

TEST(SharedValue, LoadedOncePerWorkerHoweverManyElements) {
  for (std::size_t const rows : {std::size_t{1000}, four_mebibytes}) {
    procpool::ProcessPool pool{2};
    auto const table = pool.share(table_of(rows));
    auto const bound = procpool::bind_front(look, table);
    expect_loads(pool.map(bound, numbers(1000)), 1);
    expect_loads(pool.map(bound, numbers(1000)), 1);
    expect_loads(pool.map(LookUp{table}, numbers(1000)), 1);
    std::vector const tables(1000, table);
    expect_loads(pool.map<look>(tables, numbers(1000)), 1);
    expect_loads(pool.map<look_through>(tables, numbers(1000)), 1);
    EXPECT_EQ(pool.submit<look>(table, 3).get().loads, 1);
    EXPECT_EQ(pool.call<look_through>(table, 3).row, 9);
    EXPECT_EQ(Table::loads, 0);  // nobody has looked here
  }
}

TEST(SharedValue, ManyElementsDoNotMultiplyTheirBytes) {
  procpool::ProcessPool pool{1};
  auto const table = pool.share(table_of(four_mebibytes));
  std::vector const tables(1000, table);
  pool.with({.chunk = 1}).map<look>(tables, numbers(1000));
  auto const count_maps = [](pid_t pid) {
    auto const lines = support::mappings_of(pid);
    return std::ranges::count_if(
        lines, [](std::string const& line) { return line.find("memfd:") != std::string::npos; });
  };
  auto const worker = pool.call<look>(table, 0).pid;
  // Two rings that are mapped twice, their control pages, the value.
  EXPECT_LE(count_maps(worker), 7);
  EXPECT_TRUE(support::maps(worker, file_name));
}

TEST(SharedValue, TwoValuesAndTwoPools) {
  procpool::ProcessPool one{1};
  procpool::ProcessPool other{1};
  auto const first = one.share(table_of(10));
  auto const second = other.share(table_of(20'000));
  for (auto* const pool : {&one, &other}) {
    EXPECT_EQ(pool->call<look>(first, 2).loads, 1);
    EXPECT_EQ(pool->call<look>(second, 2).loads, 2);
    EXPECT_EQ(pool->call<look>(first, 2).loads, 2);
  }
}

TEST(SharedValue, InStructsContainersAndOtherSharedValues) {
  procpool::ProcessPool pool{1};
  auto const table = pool.share(table_of(10));
  auto const sum = [](Request const& request, int i) {
    int rows = 0;
    for (auto const& one : request.tables) rows += one->rows[static_cast<std::size_t>(i)];
    return rows;
  };
  Request const request{"twice", {table, table}};
  EXPECT_EQ(pool.call(sum, request, 1), 6);
  auto const shared = pool.share(request);
  EXPECT_EQ(pool.call(sum, shared, 2), 12);
  EXPECT_EQ(pool.call<loads_here>(), 1);
}

// A worker that has only the whole gets its parts as well.
TEST(SharedValue, PartsComeAlong) {
  procpool::ProcessPool pool{1};
  auto const shared = [&] {
    return pool.share(Request{"once", {pool.share(table_of(50'000)), pool.share(table_of(3))}});
  }();
  auto const rows = [](Request const& request) {
    return request.tables[0]->rows[40'000] + request.tables[1]->rows[2];
  };
  EXPECT_EQ(pool.call(rows, shared), 120'006);
  EXPECT_EQ(rows(shared), 120'006);
  Table::loads = 0;
}

TEST(SharedValue, SixtyFourMebibytes) {
  procpool::ProcessPool pool{2};
  auto const text = pool.share(std::string(std::size_t{64} << 20, 'x'));
  auto const at = [](std::string const& all, std::size_t i) {
    return std::pair(all[i], all.size());
  };
  auto const indices = std::views::iota(0, 100) | std::views::transform([](int i) {
                         return static_cast<std::size_t>(i) * 600'000;
                       });
  for (auto const& [character, size] : pool.map(procpool::bind_front(at, text), indices)) {
    EXPECT_EQ(character, 'x');
    EXPECT_EQ(size, std::size_t{64} << 20);
  }
}

// In one chunk: more bytes than its ring and more descriptors than its socket hold.
TEST(SharedValue, ManyAtOnce) {
  for (std::size_t const size : {10'000u, 20'000u}) {
    procpool::ProcessPool pool{1};
    std::vector<Shared<std::string>> texts;
    for (int i = 0; i < 400; ++i) texts.push_back(pool.share(std::string(size, 't')));
    auto const total = [](std::vector<Shared<std::string>> const& all) {
      std::size_t sum = 0;
      for (auto const& one : all) sum += one->size();
      return sum;
    };
    auto const begin = std::chrono::steady_clock::now();
    EXPECT_EQ(pool.call(total, texts), 400 * size);
    EXPECT_EQ(pool.call(total, texts), 400 * size);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
  }
}

TEST(SharedValue, AReplacementGetsItAgain) {
  procpool::ProcessPool pool{1};
  auto const table = pool.share(table_of(100'000));
  auto const small = pool.share(table_of(10));
  auto const before = pool.call<look>(table, 7);
  pool.call<look>(small, 7);
  auto const crash = [](Table const&, Table const&) { ::raise(SIGKILL); };
  EXPECT_THROW(pool.call(crash, table, small), procpool::WorkerDied);
  auto const after = pool.call<look>(table, 7);
  EXPECT_NE(after.pid, before.pid);
  EXPECT_EQ(after.row, 21);
  EXPECT_EQ(after.loads, 1);
  EXPECT_EQ(pool.call<look>(small, 7).loads, 2);
}

TEST(SharedValue, TheTaskKeepsItWhenTheHandleIsGone) {
  procpool::ProcessPool pool{1};
  auto blocker = pool.submit([] { std::this_thread::sleep_for(100ms); });
  std::vector<procpool::Future<Look>> futures;
  for (int i = 0; i < 10; ++i) {
    futures.push_back(pool.submit<look>(pool.share(table_of(100'000)), i));
    futures.push_back(pool.submit(LookUp{pool.share(table_of(10))}, i));
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(futures[static_cast<std::size_t>(2 * i)].get().row, 3 * i);
    EXPECT_EQ(futures[static_cast<std::size_t>(2 * i + 1)].get().row, 3 * i);
  }
}

// However it was used: as an argument, bound, or in a functor.
TEST(SharedValue, IsForgottenWithTheNextTask) {
  procpool::ProcessPool pool{1};
  auto const use_once = [&pool](auto const& use) {
    auto const table = pool.share(table_of(100'000));
    use(table);
    EXPECT_TRUE(pool.call(file_mapped));
    EXPECT_TRUE(file_mapped());
  };
  auto const expect_gone = [&pool] {
    // The pool's thread may have the task in hand for a moment longer.
    EXPECT_TRUE(support::until([] { return !file_mapped(); }));
    EXPECT_FALSE(support::holds(::getpid(), file_name));
    EXPECT_FALSE(pool.call(file_mapped));
  };
  pool.call(file_mapped);
  use_once([&](auto const& table) { EXPECT_EQ(pool.call<look>(table, 1).loads, 1); });
  expect_gone();
  use_once([&](auto const& table) {
    expect_loads(pool.map(procpool::bind_front(look, table), numbers(100)), 2);
  });
  expect_gone();
  use_once([&](auto const& table) { expect_loads(pool.map(LookUp{table}, numbers(100)), 3); });
  expect_gone();
}

// A destructor belongs to the task too.
TEST(SharedValue, IsDestroyedWhileAnElementRuns) {
  struct Deadly {
    pid_t maker = 0;
    Deadly() = default;
    explicit Deadly(pid_t pid) : maker(pid) {}
    Deadly(Deadly&& other) noexcept : maker(std::exchange(other.maker, 0)) {}
    ~Deadly() {
      if (maker != 0 && maker != ::getpid()) ::raise(SIGKILL);
    }
    void serialize(procpool::OutputArchive& archive, unsigned) { archive & maker; }
    void serialize(procpool::InputArchive& archive, unsigned) { archive & maker; }
  };
  procpool::ProcessPool pool{1};
  {
    auto const deadly = pool.share(Deadly(::getpid()));
    EXPECT_NE(pool.call([](Shared<Deadly> const& value) { return value->maker; }, deadly), 0);
  }
  std::this_thread::sleep_for(50ms);  // as above
  EXPECT_THROW(pool.call<loads_here>(), procpool::WorkerDied);
  EXPECT_EQ(pool.call<loads_here>(), 0);
}

TEST(SharedValue, ALoadThatThrowsIsTheElementsError) {
  procpool::ProcessPool pool{1};
  Table broken = table_of(10);
  broken.broken = true;
  auto const bad = pool.share(broken);
  auto const good = pool.share(table_of(10));
  std::vector const tables{good, bad, good, bad};
  auto const outcomes = pool.outcomes().map<look>(tables, numbers(4));
  EXPECT_TRUE(outcomes[0].has_value());
  EXPECT_TRUE(outcomes[2].has_value());
  for (std::size_t const i : {1u, 3u}) {
    ASSERT_FALSE(outcomes[i].has_value());
    EXPECT_THROW(outcomes[i].error().rethrow(), std::runtime_error);
  }
  EXPECT_EQ(pool.stats().worker_deaths, 0u);
  EXPECT_EQ(pool.call<loads_here>(), 3);  // once for the good one, each time for the bad one
}

TEST(SharedValue, NotLookedAtItIsNotLoaded) {
  procpool::ProcessPool pool{1};
  auto const table = pool.share(table_of(10));
  EXPECT_TRUE(pool.call([](Shared<Table> const& given) { return given.valid(); }, table));
  EXPECT_EQ(pool.call<loads_here>(), 0);
}

TEST(SharedValue, AnEmptyHandleTravels) {
  procpool::ProcessPool pool{1};
  EXPECT_FALSE(
      pool.call([](Shared<Table> const& given) { return given.valid(); }, Shared<Table>()));
  EXPECT_THROW(pool.call<look>(Shared<Table>(), 1), std::logic_error);
}

TEST(SharedValue, ComesBackFromATask) {
  procpool::ProcessPool pool{2};
  auto const same = [](Shared<std::string> const& text) { return std::pair(text, *text); };
  auto text = pool.share(std::string("abc"));
  auto const [again, content] = pool.call(same, text);
  EXPECT_EQ(content, "abc");
  EXPECT_EQ(&again.get(), &text.get());
  // Nobody but the future keeps it meanwhile.
  for (int i = 0; i < 50; ++i) {
    auto future = pool.submit(same, pool.share(std::to_string(i)));
    future.wait();
    EXPECT_EQ(*future.get().first, std::to_string(i));
  }
  // The program does not know a value that only a worker has shared.
  auto const foreign = [] {
    procpool::ProcessPool inner{1};
    return inner.share(std::string("mine"));
  };
  auto const error = support::thrown_by<procpool::SerializationError>([&] { pool.call(foreign); });
  EXPECT_TRUE(support::says(error, "return the value itself"));
}

TEST(SharedValue, PassedOnByAPoolInATask) {
  procpool::ProcessPool pool{1};
  for (std::size_t const rows : {std::size_t{10}, std::size_t{100'000}}) {
    auto const table = pool.share(table_of(rows));
    auto const outer = [](Shared<Table> const& given) {
      procpool::ProcessPool inner{2};
      auto const own = inner.share(table_of(20));
      int sum = 0;
      for (auto const& seen : inner.map(procpool::bind_front(look, given), numbers(10))) {
        sum += seen.loads == 1 ? seen.row : -1000;
      }
      for (auto const& seen : inner.map<look>(std::vector(10, own), numbers(10))) sum += seen.row;
      return std::pair(sum, Table::loads);
    };
    EXPECT_EQ(pool.call(outer, table), std::pair(270, 0));
  }
  // A value with parts that the task itself has never looked into.
  auto const whole = pool.share(Request{"", {pool.share(table_of(100'000))}});
  auto const outer = [](Shared<Request> const& given) {
    procpool::ProcessPool inner{1};
    return inner.call([](Request const& request) { return request.tables[0]->rows[5]; }, given);
  };
  EXPECT_EQ(pool.call(outer, whole), 15);
}

// The inbox takes them in some hundred goes. No outcome says that it has room again, so somebody has to look:
// at the 100 ms of a sleep that nothing ends, this would take half a minute.
TEST(SharedValue, MoreOfOneCallThanTheInboxHoldsAreSentWithoutPauses) {
  procpool::ProcessPool pool{1};
  ASSERT_EQ(pool.call(tasks::square, 3), 9);  // the worker is there, and its dispatcher sleeps
  std::vector<Shared<std::string>> texts;
  for (int i = 0; i < 1000; ++i) texts.push_back(pool.share(std::string(60'000, 't')));
  auto const size_of_all = [](std::vector<Shared<std::string>> const& given) {
    std::size_t sum = 0;
    for (auto const& text : given) sum += text->size();
    return sum;
  };
  auto const begin = std::chrono::steady_clock::now();
  std::vector const half(texts.begin(), texts.begin() + 500);
  EXPECT_EQ(pool.call(size_of_all, half), 500 * 60'000u);
  // And behind an element that runs meanwhile.
  auto const slow = pool.submit([] { std::this_thread::sleep_for(50ms); });
  EXPECT_EQ(pool.call(size_of_all, texts), 1000 * 60'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 12s);
}

TEST(SharedValue, InProcess) {
  procpool::ProcessPool pool{
      procpool::PoolOptions{.start = {.method = procpool::Start::in_process}}};
  Table::loads = 0;
  auto const table = pool.share(table_of(50'000));
  expect_loads(pool.map(procpool::bind_front(look, table), numbers(100)), 1);
  expect_loads(pool.map<look>(std::vector(100, table), numbers(100)), 1);
  EXPECT_EQ(table->rows[2], 6);
  EXPECT_EQ(Table::loads, 1);
  Table::loads = 0;
}

TEST(SharedValue, LookedAtInAForkedChild) {
  procpool::ProcessPool pool{1};
  auto const text = pool.share(std::string(100'000, 'f'));
  auto const fork_and_look = [](Shared<std::string> const& given) {
    pid_t const child = ::fork();
    if (child == 0) ::_exit(given->size() == 100'000 ? 42 : 1);
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  EXPECT_EQ(pool.call(fork_and_look, text), 42);
  EXPECT_EQ(fork_and_look(text), 42);
}

TEST(SharedValue, FromManyThreads) {
  procpool::ProcessPool pool{2};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool] {
      for (int i = 0; i < 30; ++i) {
        auto const table = pool.share(table_of(i % 3 == 0 ? 20'000u : 100u));
        EXPECT_EQ(pool.call<look>(table, i).row, 3 * i);
        EXPECT_EQ(pool.map(LookUp{table}, numbers(20))[19].row, 57);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}
