// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Programs that may have only little of something: processes, memory, files, /dev/shm. The pool
// works, or it says in a typed error what it lacks; it never hangs, and no worker says a word of
// its own.

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "support/build.hpp"
#include "support/processes.hpp"
#include "support/program.hpp"
#include "support/seed.hpp"
#include "support/until.hpp"

using namespace std::chrono_literals;

namespace {

constexpr char const* worked = "exit 0";
constexpr char const* refused = "exit 10";
constexpr char const* not_permitted = "exit 77";

// How it ended, in time; what it wrote is in `output`.
std::string end_of(support::Program& program) {
  program.end_input();
  return program.wait() ? program.end() : "it hangs";
}

bool has(support::Program& program, std::string const& text) {
  return program.output().find(text) != std::string::npos;
}

}  // namespace

TEST(ScarceHost, MayHaveFewProcesses) {
  // The program, the dispatcher's thread; a worker and its watch; a thread for callbacks.
  constexpr int enough_for_one_worker = 5;
  // The thread sanitizer has a thread of its own in each process.
  constexpr int most = support::thread_sanitized ? 16 : 8;
  bool some_worked = false;
  for (int count = 1; count <= most; ++count) {
    support::Program program(support::program_path("few_processes"), {std::to_string(count)});
    std::string const end = end_of(program);
    if (end == not_permitted) GTEST_SKIP() << "it cannot become another user here";
    EXPECT_TRUE(end == worked || end == refused) << count << " processes: " << end << "\n"
                                                 << program.output();
    EXPECT_TRUE(end != refused || has(program, "Resource temporarily unavailable"))
        << count << " processes\n"
        << program.output();
    EXPECT_TRUE(support::sanitized || !has(program, "terminate called")) << program.output();
    EXPECT_TRUE(support::sanitized || count < enough_for_one_worker || end == worked)
        << count << " processes: " << end << "\n"
        << program.output();
    some_worked |= end == worked;
  }
  EXPECT_TRUE(some_worked);
}

TEST(ScarceHost, MayHaveLittleMemory) {
  if (support::sanitized) GTEST_SKIP() << "sanitizers need more of it than any of these limits";
  for (std::string const what : {"data", "address_space"}) {
    // Late: once it has its workers, only the program itself is poor.
    for (std::string const when : {"early", "late"}) {
      for (std::string const kibibytes : {"64", "1000", "12000", "30000", "60000", "400000"}) {
        support::Program program(support::program_path("little_memory"), {what, kibibytes, when});
        std::string const end = end_of(program);
        std::string const which = what + ", " + kibibytes + " KiB, " + when;
        EXPECT_TRUE(end == worked || end == refused) << which << ": " << end << "\n"
                                                     << program.output();
        EXPECT_FALSE(has(program, "terminate called")) << which << "\n" << program.output();
        EXPECT_TRUE(kibibytes != "64" || end == refused) << which;
        EXPECT_TRUE(kibibytes != "400000" || end == worked) << which << "\n" << program.output();
      }
    }
  }
}

// No matter which thread needed the memory, one of the program or one of the pool: a call ends with
// an error that tells of it, and the next one works. (What is small has its trials in
// tests/faults.)
TEST(ScarceHost, IsRefusedMemoryNowAndThen) {
  if (support::sanitized) GTEST_SKIP() << "sanitizers have an operator new of their own";
  unsigned const seed = support::new_seed();
  support::Program program(support::program_path("failing_new"),
                           {"16384", "3", "20", std::to_string(seed)});
  EXPECT_EQ(end_of(program), worked) << program.output();
  EXPECT_TRUE(has(program, "were refused")) << program.output();
  EXPECT_FALSE(has(program, " 0 were refused")) << program.output();
}

// The kernel refuses memory too where files may have only so many bytes, and sends a signal along.
TEST(ScarceHost, MayHaveOnlySmallFiles) {
  for (std::string const when : {"early", "late"}) {
    for (std::string const kibibytes : {"0", "16", "64", "600", "2000", "16000"}) {
      support::Program program(support::program_path("small_files"), {kibibytes, when});
      std::string const end = end_of(program);
      std::string const which = kibibytes + " KiB, " + when;
      EXPECT_EQ(end, kibibytes == "16000" ? worked : refused) << which << "\n" << program.output();
      EXPECT_TRUE(end != refused || has(program, "File too large")) << program.output();
    }
  }
}

// No name of ours is ever there, so that nothing depends on it.
TEST(ScarceHost, HasNoSharedMemoryFolder) {
  auto const before = support::shared_memory_names();
  for (std::string const how : {"full", "read_only", "absent"}) {
    support::Program program(support::program_path("no_shm"), {how});
    std::string const end = end_of(program);
    if (end == not_permitted) GTEST_SKIP() << "no mount namespaces here";
    EXPECT_EQ(end, worked) << how << "\n" << program.output();
  }
  EXPECT_TRUE(support::no_names_but(before));
}
