// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// An error of a host is the same error at the client, with its host and the numbers of the client.

#include <gtest/gtest.h>
#include <signal.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <utility>

#include "cluster/failure_wire.hpp"
#include "engine/crash_report.hpp"

namespace procpool::cluster {
namespace {

FailurePlace place() { return {"my pool", "node2", 10, 5, 77, "parse", {"it died before"}, 1}; }

template <class E>
Failure there(E error) {
  return Failure(
      decode_failure(encode_failure(std::make_exception_ptr(std::move(error))), place()));
}

TEST(FailureWire, ADeathHasItsStackItsHostAndThePlaceInThePool) {
  detail::CrashReport::Told told;
  told.signal = SIGSEGV;
  told.code = 1;
  told.fault_address = 8;
  told.peak = 4096;
  told.stack = {{"parse(int)", "/lib/libparse.so", 16}, {"", "/bin/app", 32}};
  WorkerDeath death;
  death.pool = "as the host calls it";
  death.worker = 3;
  death.pid = 4711;
  death.signal = SIGSEGV;
  death.crash = detail::CrashReport::of(told);
  death.peak_memory = 4096;
  death.output = "the last line\n";
  Failure const failure = there(WorkerDied(death));
  auto const* const died = failure.as<WorkerDied>();
  ASSERT_NE(died, nullptr);
  EXPECT_EQ(failure.kind(), FailureKind::died);
  EXPECT_EQ(died->worker(), 13);
  EXPECT_EQ(died->host(), "node2");
  EXPECT_EQ(died->pid(), 4711);
  EXPECT_EQ(died->signal(), SIGSEGV);
  EXPECT_EQ(died->task(), 5u);
  EXPECT_EQ(died->element(), 77u);
  EXPECT_EQ(died->label(), "parse");
  EXPECT_EQ(died->attempts(), 2u);
  EXPECT_EQ(died->fault_address(), 8u);
  EXPECT_EQ(died->peak_memory(), 4096u);
  EXPECT_EQ(died->output(), "the last line\n");
  ASSERT_EQ(died->stack().size(), 2u);
  EXPECT_EQ(died->stack()[0].function, "parse(int)");
  EXPECT_EQ(died->stack()[1].offset, 32u);
  std::string const text = died->what();
  EXPECT_NE(text.find("pool \"my pool\""), std::string::npos) << text;
  EXPECT_NE(text.find("on host node2"), std::string::npos) << text;
  EXPECT_NE(text.find("at address 0x8"), std::string::npos) << text;
  EXPECT_NE(text.find("it died before"), std::string::npos) << text;
}

TEST(FailureWire, ErrorsOfThePoolKeepTheirType) {
  EXPECT_EQ(there(TaskTimeout("late")).kind(), FailureKind::timed_out);
  EXPECT_EQ(there(TaskCancelled("cancelled")).kind(), FailureKind::cancelled);
  EXPECT_EQ(there(BadMessage("what")).kind(), FailureKind::bad_message);
  EXPECT_EQ(there(SetupError("no memory")).kind(), FailureKind::not_sent);
  EXPECT_EQ(there(PoolClosed("closed")).kind(), FailureKind::refused);
  EXPECT_EQ(there(SerializationError("a handle")).kind(), FailureKind::not_sent);
  Failure const late = there(TaskTimeout("late", 1, 2));
  EXPECT_STREQ(late.what(), "late");
  EXPECT_EQ(late.as<TaskTimeout>()->element(), 77u);
}

TEST(FailureWire, TheTextNamesTheTaskOfTheClient) {
  auto const text = [](std::string const& before) {
    auto const error = std::make_exception_ptr(TaskTimeout(before));
    return std::string(Failure(decode_failure(encode_failure(error, 12, 5), place())).what());
  };
  EXPECT_EQ(text("task 12, element 3: late"), "task 5, element 3: late");
  EXPECT_EQ(text("task 12 \"label\" was late"), "task 5 \"label\" was late");
  EXPECT_EQ(text("task 123, element 3: late"), "task 123, element 3: late");
  EXPECT_EQ(text("a task 12, late"), "a task 12, late");
}

TEST(FailureWire, ExceptionsOfATaskKeepTheirOrigin) {
  Origin origin;
  origin.worker = 1;
  origin.pid = 12;
  origin.type = "my::Error";
  Failure const failure =
      there(FromWorker<std::out_of_range>(std::out_of_range("x"), "not here", origin));
  auto const* const error = failure.as<std::out_of_range>();
  ASSERT_NE(error, nullptr);
  EXPECT_STREQ(error->what(), "not here");
  auto const* const where = failure.as<Origin>();
  ASSERT_NE(where, nullptr);
  EXPECT_EQ(where->worker, 11);
  EXPECT_EQ(where->host, "node2");
  EXPECT_EQ(where->type, "my::Error");
  EXPECT_EQ(where->element, 77u);
}

TEST(FailureWire, BytesThatCannotBeAreABadMessage) {
  WorkerDeath death;
  death.signal = SIGKILL;
  detail::Bytes const bytes = encode_failure(std::make_exception_ptr(WorkerDied(death)));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    Failure const failure(decode_failure(std::span(bytes).first(size), place()));
    EXPECT_EQ(failure.kind(), FailureKind::bad_message) << size;
  }
  detail::Bytes unknown(64, std::byte{0xff});
  EXPECT_EQ(Failure(decode_failure(unknown, place())).kind(), FailureKind::bad_message);
}

}  // namespace
}  // namespace procpool::cluster
