// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Texts of workers are bounded, and fit for a terminal and a log: texts of errors, attempts,
// refusals, output.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/start.hpp"

namespace {

using procpool::Start;

constexpr char const* rude = "\x1b]0;title\x07\nprocpool: a forged line\xc2\x9b"
                             "31m\xff";

int throws_rudely(int) { throw std::runtime_error(rude); }
void handler_throws_rudely() { throw std::runtime_error(rude); }
int prints_rudely_and_dies(int) {
  std::fputs(rude, stdout);
  std::fflush(stdout);
  ::raise(SIGKILL);
  return 0;
}
int throws_at_length(int) { throw std::runtime_error(std::string(std::size_t{30} << 20, 'x')); }

// Of this process so far, in bytes.
std::size_t peak() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

bool is_clean(std::string const& text) {
  return std::ranges::none_of(
             text,
             [](unsigned char c) { return (c < ' ' && c != '\n') || c == 0x7f || c == 0xff; }) &&
         text.find("\xc2\x9b") == std::string::npos;
}

class WorkerWords : public testing::TestWithParam<Start> {};

TEST_P(WorkerWords, AreCleanInDescriptions) {
  procpool::ProcessPool pool{{.workers = 1,
                              .start = {.method = GetParam()},
                              .output = {.mode = procpool::Output::capture}}};
  auto const thrown = pool.outcomes().map<throws_rudely>(std::vector{1}).at(0).error();
  std::string const line = thrown.describe();
  EXPECT_TRUE(is_clean(line)) << line;
  EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  // The text itself is what it was.
  EXPECT_STREQ(support::thrown_by<std::runtime_error>([&] { thrown.rethrow(); }).what(), rude);
  std::string const death =
      pool.outcomes().map<prints_rudely_and_dies>(std::vector{1}).at(0).error().describe();
  EXPECT_TRUE(is_clean(death)) << death;
  EXPECT_NE(death.find("| procpool: a forged line"), std::string::npos) << death;
}

TEST_P(WorkerWords, AreCleanInTheLog) {
  std::mutex mutex;
  std::vector<std::string> lines;
  {
    procpool::ProcessPool pool{
        {.workers = 1,
         .start = {.method = GetParam(), .exit_handler = procpool::bound<handler_throws_rudely>()},
         .log = [&](std::string_view text) {
           std::lock_guard const lock(mutex);
           lines.emplace_back(text);
         }}};
    pool.call([](int x) { return x; }, 1);
  }
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("a forged line"), std::string::npos) << lines[0];
  EXPECT_TRUE(is_clean(lines[0])) << lines[0];
  EXPECT_EQ(lines[0].find('\n'), std::string::npos) << lines[0];
}

TEST_P(WorkerWords, OfManyAttemptsTakeLittleMemory) {
  procpool::ProcessPool pool{{.workers = 1, .start = {.method = GetParam()}}};
  pool.call([](int x) { return x; }, 1);
  procpool::Retries const retries{.times = support::rounds(20, 6),
                                  .also_on = procpool::thrown<std::runtime_error>()};
  std::size_t const before = peak();
  auto const error = support::thrown_by<procpool::FromWorker<std::runtime_error>>(
      [&] { pool.with({.retries = retries}).call<throws_at_length>(1); });
  std::size_t bytes = std::string(error.what()).size();
  for (std::string const& cause : error.causes) bytes += cause.size();
  EXPECT_LE(bytes, 80u * 1024);
  ASSERT_EQ(error.causes.size(), 5u);
  EXPECT_TRUE(error.causes[0].ends_with(" attempts before those that follow")) << error.causes[0];
  EXPECT_TRUE(error.causes[4].starts_with("an earlier attempt: std::runtime_error: xxx"));
  EXPECT_LE(error.causes[4].size(), 600u);
  // Less than one text.
  if (!support::sanitized) {
    EXPECT_LT(peak() - before, std::size_t{16} << 20);
  }
}

INSTANTIATE_TEST_SUITE_P(Starts, WorkerWords, testing::Values(Start::spawn, Start::forkserver),
                         support::start_name);

}  // namespace
