// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// On which CPUs a thread may run, and who is told that something has bound it.
#include "os/affinity.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

#include <atomic>
#include <optional>
#include <procpool.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

namespace os = procpool::os;

int first_cpu() {
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (os::may_run_on(cpu)) return cpu;
  }
  return -1;
}

// The calling thread, to one CPU.
void bind_here() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(first_cpu()), &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
}

class Affinity : public testing::Test {
 protected:
  void SetUp() override {
    if (procpool::cpu_count() < 2) GTEST_SKIP() << "there is one CPU, to which all are bound";
    for (char const* const name : {"GOMP_CPU_AFFINITY", "KMP_AFFINITY", "OMP_PROC_BIND"}) {
      ::unsetenv(name);
    }
  }
};

TEST_F(Affinity, AFreeThreadIsNotCalledBound) { EXPECT_EQ(os::bound_thread(), std::nullopt); }

TEST_F(Affinity, ABoundThreadIsCalledSo) {
  std::thread([] {
    bind_here();
    auto const said = os::bound_thread();
    ASSERT_TRUE(said);
    EXPECT_NE(said->find("another thread"), std::string::npos) << *said;
  }).join();
}

TEST_F(Affinity, TheEnvironmentOfOpenMpIsNamedWhereAllAreBound) {
  // In a child with one thread, which is bound before anything else looks.
  EXPECT_EXIT(
      {
        bind_here();
        bool right = !os::bound_thread();
        ::setenv("OMP_PROC_BIND", "false", 1);
        right = right && !os::bound_thread();
        ::setenv("OMP_PROC_BIND", "close", 1);
        auto const said = os::bound_thread();
        right = right && said && said->find("OMP_PROC_BIND") != std::string::npos;
        ::_exit(right ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(Affinity, TheLogOfAPoolSaysSoOnce) {
  std::atomic<int> said{0};
  std::thread([&said] {
    bind_here();
    procpool::PoolOptions options;
    options.workers = 1;
    options.log = [&said](std::string_view text) {
      said += text.find("may run on 1 of") != std::string_view::npos;
    };
    procpool::ProcessPool pool{options};
    for (int i = 0; i < 3; ++i) pool.call([] {});
    EXPECT_EQ(said.load(), 1);
  }).join();
}

TEST_F(Affinity, TheLogOfAPoolThatSaysSoMayUseThePool) {
  std::thread([] {
    bind_here();
    procpool::ProcessPool* used = nullptr;
    std::vector<procpool::Future<void>> futures;
    procpool::PoolOptions options;
    options.workers = 1;
    options.log = [&](std::string_view) {
      if (futures.empty()) futures.push_back(used->submit([] {}));
    };
    procpool::ProcessPool pool{options};
    used = &pool;
    pool.call([] {});
    ASSERT_EQ(futures.size(), 1u);
    futures.front().get();
  }).join();
}

}  // namespace
