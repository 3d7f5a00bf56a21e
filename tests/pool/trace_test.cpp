// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// PoolOptions::trace and PROCPOOL_TRACE: the trace as a strict reader of JSON sees it. Each element is there
// once, with its label, on the row of its worker. tests/trace/check.py reads the same with Python.

#include <gtest/gtest.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <procpool.hpp>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/src.hpp>

#include "support/gate.hpp"
#include "support/program.hpp"
#include "support/start.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace trace_test {
namespace {

namespace fs = std::filesystem;
using boost::json::object;
using support::wait_at;
using tasks::crash;
using tasks::fail;
using tasks::square;

struct Adder {
  int add(int x) { return sum += x; }
  int sum = 0;
};

std::string text_of(fs::path const& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// The events of a file. The format allows that the closing bracket is missing.
std::vector<object> events_of(fs::path const& file) {
  std::vector<object> events;
  boost::json::value const all = boost::json::parse(text_of(file) + "]");
  for (auto const& event : all.as_array()) events.push_back(event.as_object());
  return events;
}

std::uint64_t number_in(object const& event, char const* key) {
  return event.at("args").as_object().at(key).to_number<std::uint64_t>();
}

std::vector<object> some(std::vector<object> const& events, char const* key,
                         std::string const& value) {
  std::vector<object> found;
  std::ranges::copy_if(events, std::back_inserter(found), [&](object const& event) {
    auto const* const at = event.if_contains(key);
    return at != nullptr && at->is_string() && at->as_string() == value;
  });
  return found;
}

// Names of rows, by their number.
std::map<std::int64_t, std::string> rows_of(std::vector<object> const& events) {
  std::map<std::int64_t, std::string> rows;
  for (object const& event : some(events, "name", "thread_name")) {
    rows[event.at("tid").to_number<std::int64_t>()] = event.at("args").at("name").as_string();
  }
  return rows;
}

// How often each element of each task is there, as run or as not run.
std::map<std::pair<std::uint64_t, std::uint64_t>, int> elements_of(
    std::vector<object> const& events) {
  std::map<std::pair<std::uint64_t, std::uint64_t>, int> seen;
  for (object const& event : events) {
    auto const* const category = event.if_contains("cat");
    if (category == nullptr || (*category != "task" && *category != "not run")) continue;
    std::uint64_t const first = number_in(event, "element");
    for (std::uint64_t i = 0; i < number_in(event, "elements"); ++i) {
      ++seen[{number_in(event, "task"), first + i}];
    }
  }
  return seen;
}

void expect_each_once(std::vector<object> const& events, std::size_t elements) {
  auto const seen = elements_of(events);
  EXPECT_EQ(seen.size(), elements);
  for (auto const& [element, times] : seen) {
    EXPECT_EQ(times, 1) << "task " << element.first << ", element " << element.second;
  }
}

class TraceTest : public testing::Test {
 protected:
  TraceTest() { fs::create_directories(folder_); }
  ~TraceTest() override {
    ::unsetenv("PROCPOOL_TRACE");
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  fs::path const folder_ =
      fs::path(testing::TempDir()) / ("procpool_trace_" + std::to_string(::getpid()));
  std::string const file_ = folder_ / "trace.json";
};

TEST_F(TraceTest, HasEachElementOnceOnTheRowOfItsWorker) {
  std::string const label = "say \"\xc3\xbc\" \\ \xff";
  {
    procpool::ProcessPool pool{{.workers = 2, .name = "traced", .trace = file_}};
    pool.start(2).get();
    pool.with({.label = label}).map<square>(tasks::numbers(3'000));
    pool.with({.chunk = 1}).map<square>(tasks::numbers(50));
    for (int i = 0; i < 20; ++i) EXPECT_EQ(pool.call<square>(i), i * i);
  }
  auto const events = events_of(file_);
  expect_each_once(events, 3'070);
  auto rows = rows_of(events);
  EXPECT_EQ(rows.size(), 3u);
  std::map<std::int64_t, double> ends;
  for (object const& event : some(events, "ph", "X")) {
    auto const row = event.at("tid").to_number<std::int64_t>();
    EXPECT_TRUE(rows[row] == "traced/0" || rows[row] == "traced/1") << rows[row];
    EXPECT_EQ(event.at("pid").to_number<int>(), ::getpid());
    EXPECT_EQ(event.at("args").at("outcome"), "value");
    EXPECT_EQ(number_in(event, "attempt"), 1u);
    EXPECT_GT(number_in(event, "worker_pid"), 0u);
    double const begin = event.at("ts").to_number<double>();
    double const length = event.at("dur").to_number<double>();
    EXPECT_GE(length, 0);
    EXPECT_GE(event.at("args").at("waited_us").to_number<double>(), 0);
    // A viewer draws what overlaps wrongly. The sum of two numbers may be rounded.
    EXPECT_GE(begin, ends[row] - 0.01);
    ends[row] = begin + length;
  }
  // A byte that is no UTF-8 would not be JSON.
  EXPECT_FALSE(some(events, "name", "say \"\xc3\xbc\" \\ ?").empty());
  EXPECT_FALSE(some(events, "name", "tasks::square").empty());
  EXPECT_EQ(some(events, "name", "worker_started").size(), 2u);
  EXPECT_FALSE(some(events, "name", "message").empty());
  // Nothing waits at the end.
  auto const counted = some(events, "name", "traced: waiting");
  ASSERT_FALSE(counted.empty());
  EXPECT_EQ(number_in(counted.back(), "elements"), 0u);
}

TEST_F(TraceTest, HasDeathsAttemptsAndReplacements) {
  pid_t worker = 0;
  {
    procpool::ProcessPool pool{{.workers = 1, .trace = file_}};
    worker = pool.call<tasks::who>();
    EXPECT_THROW(pool.call<crash>(1), procpool::WorkerDied);
    EXPECT_EQ(pool.call<square>(3), 9);
    procpool::CallOptions twice;
    twice.retries = {.times = 1,
                     .backoff = std::chrono::milliseconds(1),
                     .also_on = procpool::thrown<std::out_of_range>()};
    EXPECT_THROW(pool.with(twice).call<fail>(1), std::out_of_range);
    EXPECT_THROW(pool.with(twice).call<crash>(1), procpool::WorkerDied);
  }
  auto const events = events_of(file_);
  auto const deaths = some(events, "name", "worker_died");
  ASSERT_EQ(deaths.size(), 3u);
  EXPECT_EQ(number_in(deaths[0], "signal"), static_cast<unsigned>(SIGKILL));
  EXPECT_EQ(number_in(deaths[0], "worker_pid"), static_cast<std::uint64_t>(worker));
  EXPECT_EQ(rows_of(events)[deaths[0].at("tid").to_number<std::int64_t>()], "pool/0");
  EXPECT_GE(some(events, "name", "worker_started").size(), 3u);
  EXPECT_EQ(some(events, "name", "task_retried").size(), 2u);
  std::vector<std::string> crashes;
  for (object const& event : some(events, "name", "tasks::crash")) {
    crashes.push_back(std::string(event.at("args").at("outcome").as_string()) +
                      std::to_string(number_in(event, "attempt")));
    EXPECT_FALSE(event.at("args").as_object().contains("ran_us"));
  }
  EXPECT_EQ(crashes, (std::vector<std::string>{"died1", "died1", "died2"}));
  std::vector<std::string> failures;
  for (object const& event : some(events, "name", "tasks::fail")) {
    failures.push_back(std::string(event.at("args").at("outcome").as_string()) +
                       std::to_string(number_in(event, "attempt")));
  }
  EXPECT_EQ(failures, (std::vector<std::string>{"exception1", "exception2"}));
}

TEST_F(TraceTest, HasWhatIsRevokedAndWhatNeverRuns) {
  {
    support::Gate gate;
    procpool::ProcessPool pool{{.workers = 1, .trace = file_}};
    auto first = pool.submit<wait_at>(gate.path());
    ASSERT_TRUE(support::until([&] { return pool.worker_stats()[0].running.has_value(); }));
    auto behind = pool.with({.chunk = 1}).map_async<square>(tasks::numbers(20));
    behind.cancel();
    gate.open();
    first.get();
  }
  auto const events = events_of(file_);
  expect_each_once(events, 21);
  std::uint64_t not_run = 0;
  for (object const& event : some(events, "cat", "not run")) {
    EXPECT_EQ(event.at("args").at("outcome"), "cancelled");
    not_run += number_in(event, "elements");
  }
  EXPECT_EQ(not_run, 20u);
  std::uint64_t back = 0;
  for (object const& event : some(events, "name", "revoked")) back += number_in(event, "elements");
  // The worker had been given one ahead.
  EXPECT_GE(back, 1u);
}

TEST_F(TraceTest, HasActorsUnderTheirNames) {
  {
    procpool::ProcessPool pool{{.workers = 1, .name = "stage", .trace = file_}};
    auto actor = pool.actor<Adder>(procpool::ActorOptions{.name = "hamlet"});
    EXPECT_EQ(actor.call<&Adder::add>(5).get(), 5);
  }
  auto const events = events_of(file_);
  expect_each_once(events, 1);
  std::set<std::string> names;
  for (auto const& [row, name] : rows_of(events)) names.insert(name);
  EXPECT_TRUE(names.contains("stage/hamlet"));
}

TEST_F(TraceTest, PoolsOfAProcessShareAFile) {
  {
    procpool::ProcessPool one{{.workers = 1, .name = "one", .trace = file_}};
    procpool::ProcessPool two{{.workers = 1, .name = "two", .trace = file_}};
    one.call<tasks::nothing>();
    two.call<tasks::nothing>();
  }
  // And one that comes later.
  procpool::ProcessPool{{.workers = 1, .name = "three", .trace = file_}}.call<tasks::nothing>();
  auto const events = events_of(file_);
  expect_each_once(events, 3);
  std::set<std::string> names;
  for (auto const& [row, name] : rows_of(events)) names.insert(name);
  EXPECT_EQ(names, (std::set<std::string>{"one", "one/0", "two", "two/0", "three", "three/0"}));
}

// Rows are known by process and number, and counters by process and name.
TEST_F(TraceTest, PoolsWithEqualNamesHaveRowsAndCountersOfTheirOwn) {
  {
    std::vector<procpool::ProcessPool> pools;
    for (std::string const name : {"twin", "twin#2", "twin", "t\xff", "t\xfe"}) {
      auto& pool =
          pools.emplace_back(procpool::PoolOptions{.workers = 1, .name = name, .trace = file_});
      pool.with({.chunk = 1}).map<square>(tasks::numbers(20));
      auto actor = pool.actor<Adder>(procpool::ActorOptions{.name = "hamlet"});
      EXPECT_EQ(actor.call<&Adder::add>(5).get(), 5);
    }
  }
  auto const events = events_of(file_);
  std::map<std::string, std::set<std::int64_t>> numbers;
  for (auto const& [row, name] : rows_of(events)) numbers[name].insert(row);
  for (auto const& [name, rows] : numbers) EXPECT_EQ(rows.size(), 1u) << name;
  EXPECT_EQ(numbers.size(), 5u * 4) << "a pool, its worker, its actors, an actor";
  for (std::string const name : {"twin", "twin#2", "twin#3", "t?", "t?#2", "twin#3/0",
                                 "twin/actors", "twin/actors#2", "twin/hamlet#2"}) {
    EXPECT_TRUE(numbers.contains(name)) << name;
  }
  std::map<std::string, std::set<std::int64_t>> counters;
  for (object const& event : some(events, "ph", "C")) {
    counters[std::string(event.at("name").as_string())].insert(
        event.at("tid").to_number<std::int64_t>());
  }
  for (auto const& [name, rows] : counters) EXPECT_EQ(rows.size(), 1u) << name;
  EXPECT_TRUE(counters.contains("twin: waiting"));
  EXPECT_TRUE(counters.contains("twin#3: waiting"));
}

TEST_F(TraceTest, AFileThatCannotBeWrittenIsAnErrorOfTheConstructor) {
  auto const error_of = [](std::string const& path) -> std::string {
    try {
      procpool::ProcessPool pool{{.workers = 1, .name = "sad", .trace = path}};
    } catch (procpool::SetupError const& error) {
      return error.what();
    }
    return "";
  };
  std::string const nowhere = folder_ / "none" / "trace.json";
  EXPECT_EQ(error_of(nowhere),
            "pool \"sad\": its trace cannot be written to \"" + nowhere +
                "\": it cannot be opened for writing: No such file or directory");
  EXPECT_NE(error_of(folder_).find("cannot be written"), std::string::npos);
  EXPECT_EQ(error_of("/dev/null"),
            "pool \"sad\": its trace cannot be written to \"/dev/null\": it is no regular file");
}

TEST_F(TraceTest, TheEnvironmentAsksForOneAndAFileThatCannotBeWrittenIsLogged) {
  ::setenv("PROCPOOL_TRACE", file_.c_str(), 1);
  {
    procpool::ProcessPool{1}.call<tasks::nothing>();
  }
  expect_each_once(events_of(file_), 1);
  ::setenv("PROCPOOL_TRACE", (folder_ / "none" / "trace.json").c_str(), 1);
  std::vector<std::string> lines;
  procpool::PoolOptions options{.workers = 1};
  options.log = [&](std::string_view line) { lines.emplace_back(line); };
  {
    procpool::ProcessPool pool{options};
    for (int i = 0; i < 3; ++i) pool.call<tasks::nothing>();
  }
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("its trace cannot be written to"), std::string::npos) << lines[0];
  // The option is the stronger one.
  options.trace = folder_ / "%p.json";
  procpool::ProcessPool{options}.call<tasks::nothing>();
  expect_each_once(events_of(folder_ / (std::to_string(::getpid()) + ".json")), 1);
  EXPECT_EQ(lines.size(), 1u);
}

std::vector<fs::path> files_in(fs::path const& folder) {
  std::vector<fs::path> files;
  for (auto const& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

TEST_F(TraceTest, EachProcessWithAPoolHasAFileOfItsOwn) {
  ::setenv("PROCPOOL_TRACE", file_.c_str(), 1);
  support::Program program(PROCPOOL_TEST_PROGRAMS "/traced", {"nested"});
  ASSERT_TRUE(program.wait());
  EXPECT_EQ(program.end(), "exit 0") << program.output();
  auto const files = files_in(folder_);
  ASSERT_EQ(files.size(), 2u);
  std::set<std::string> names;
  for (fs::path const& file : files) {
    auto const events = events_of(file);
    expect_each_once(events, 1);
    for (auto const& [row, name] : rows_of(events)) names.insert(name);
  }
  EXPECT_EQ(names, (std::set<std::string>{"outer", "outer/0", "inner", "inner/0"}));
  EXPECT_TRUE(fs::exists(file_));
}

TEST_F(TraceTest, CanBeReadWhenTheProgramWasKilled) {
  ::setenv("PROCPOOL_TRACE", file_.c_str(), 1);
  support::Program program(PROCPOOL_TEST_PROGRAMS "/traced", {"endless"});
  ASSERT_TRUE(support::until([&] {
    std::error_code none;
    return fs::exists(file_) && fs::file_size(file_, none) > 100'000;
  })) << program.output();
  program.kill(SIGKILL);
  EXPECT_TRUE(program.output_ended(std::chrono::seconds(20)));
  auto const events = events_of(file_);
  EXPECT_GT(some(events, "name", "endless").size(), 10u);
}

}  // namespace
}  // namespace trace_test
