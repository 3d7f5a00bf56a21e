// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// StartOptions::worker_environment: variables of the worker at each place.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/processes.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using procpool::Start;
using Variables = std::map<std::string, std::string>;

std::string value_of(char const* name) {
  char const* const value = std::getenv(name);
  return value != nullptr ? value : "none";
}

std::string const in_static_initialisation = value_of("TEST_DEVICE");
std::string in_initializer;

struct Seen {
  int worker = -1;
  pid_t pid = 0;
  std::string device, at_initialisation, at_initializer, mode;
  int entries = 0;  // of that name
};
Seen look(int) {
  Seen seen{procpool::worker_index(),
            ::getpid(),
            value_of("TEST_DEVICE"),
            in_static_initialisation,
            in_initializer,
            value_of("TEST_MODE"),
            0};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    seen.entries += std::string_view(*entry).starts_with("TEST_DEVICE=") ? 1 : 0;
  }
  return seen;
}

Variables device_of(int worker) { return {{"TEST_DEVICE", "gpu" + std::to_string(worker)}}; }

procpool::PoolOptions with_devices(int workers, Start start) {
  procpool::PoolOptions options;
  options.workers = workers;
  options.start.method = start;
  options.log = [](std::string_view) {};
  options.start.worker_environment = device_of;
  options.start.environment = {{"TEST_DEVICE", "of all"}, {"TEST_MODE", "fast"}};
  options.start.initializer = procpool::bound([] { in_initializer = value_of("TEST_DEVICE"); });
  return options;
}

class PlaceEnvironment : public testing::TestWithParam<Start> {
 protected:
  void SetUp() override {
    if (support::thread_sanitized && GetParam() == Start::forkserver) {
      GTEST_SKIP() << "this sanitizer starts a thread of its own";
    }
  }
};

}  // namespace

TEST_P(PlaceEnvironment, IsThatOfThePlaceAlsoForReplacements) {
  procpool::ProcessPool pool{with_devices(3, GetParam())};
  for (int round = 0; round < 2; ++round) {
    for (int const key : {0, 1, 2}) {
      Seen const seen = pool.with({.retries = {.times = 5}, .key = key}).call<look>(0);
      std::string const device = "gpu" + std::to_string(seen.worker);
      EXPECT_EQ(seen.device, device);
      EXPECT_EQ(seen.at_initializer, device);
      EXPECT_EQ(seen.mode, "fast");
      EXPECT_EQ(seen.entries, 1);
      bool const spawned = GetParam() == Start::spawn;
      EXPECT_EQ(seen.at_initialisation, spawned ? device : "of all");
      ::kill(seen.pid, SIGKILL);
      ASSERT_TRUE(support::until([&] { return !support::alive(seen.pid); }));
    }
  }
}

TEST_P(PlaceEnvironment, IsAskedForOncePerPlaceByTheThreadThatMakesThePlaces) {
  std::vector<int> asked;
  std::vector<std::thread::id> by;
  auto options = with_devices(2, GetParam());
  options.start.worker_environment = [&](int worker) {
    asked.push_back(worker);
    by.push_back(std::this_thread::get_id());
    return device_of(worker);
  };
  procpool::ProcessPool pool{options};
  EXPECT_EQ(asked, (std::vector<int>{0, 1}));
  pool.call<look>(0);
  pool.resize(4);
  pool.resize(1);
  pool.resize(4);
  EXPECT_EQ(asked, (std::vector<int>{0, 1, 2, 3}));
  for (int const key : {0, 1, 2, 3}) {
    Seen const seen = pool.with({.key = key}).call<look>(0);
    EXPECT_EQ(seen.device, "gpu" + std::to_string(seen.worker));
  }
  EXPECT_EQ(asked.size(), 4u);
  EXPECT_EQ(by, std::vector(4, std::this_thread::get_id()));
}

INSTANTIATE_TEST_SUITE_P(Each, PlaceEnvironment, testing::Values(Start::spawn, Start::forkserver),
                         [](auto const& test) {
                           return test.param == Start::spawn ? "Spawned" : "Forked";
                         });

TEST(PlaceEnvironmentErrors, AreThoseOfWhoeverMakesThePlaces) {
  auto options = with_devices(2, Start::spawn);
  options.start.worker_environment = [](int worker) {
    if (worker == 2) throw std::out_of_range("there are two devices");
    return device_of(worker);
  };
  procpool::ProcessPool pool{options};
  auto const error = support::thrown_by<procpool::SetupError>([&] { pool.resize(3); });
  EXPECT_TRUE(support::says(error, "failed for worker 2"));
  EXPECT_TRUE(support::says(error, "there are two devices"));
  EXPECT_EQ(pool.size(), 2u);
  EXPECT_EQ(pool.call<look>(0).mode, "fast");
  options.workers = 3;
  EXPECT_THROW(procpool::ProcessPool{options}, procpool::SetupError);
  options.start.worker_environment = [](int) { return Variables{{"A=B", "1"}}; };
  EXPECT_THROW(procpool::ProcessPool{options}, std::invalid_argument);
}

TEST(PlaceEnvironmentErrors, ItIsNotAskedForWithoutWorkers) {
  auto options = with_devices(2, Start::in_process);
  options.start.worker_environment = [](int) -> Variables { throw std::out_of_range("never"); };
  procpool::ProcessPool pool{options};
  EXPECT_EQ(pool.call<look>(0).worker, -1);
}
