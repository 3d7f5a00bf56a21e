// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The progress bar: its text, its rate, no output without a terminal.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <procpool/progress.hpp>

namespace procpool {
namespace {

using namespace std::chrono_literals;

Progress at(std::uint64_t done, std::chrono::nanoseconds elapsed) {
  Progress progress;
  progress.done = done;
  progress.elapsed = elapsed;
  return progress;
}

TEST(ProgressLine, SaysDoneTotalRateAndRemainingTime) {
  Progress progress = at(500, 10s);
  EXPECT_EQ(detail::progress_line("", progress), "500, 50/s");
  progress.total = 2'000;
  EXPECT_EQ(detail::progress_line("files", progress), "files: 500 of 2000 (25%), 50/s, 0:30 left");
  progress.failed = 3;
  progress.cancelled = 2;
  EXPECT_EQ(detail::progress_line("", progress),
            "500 of 2000 (25%), 50/s, 0:30 left, 3 failed, 2 cancelled");
}

TEST(ProgressLine, HasSensibleUnits) {
  Progress progress = at(3, 2s);
  EXPECT_EQ(detail::progress_line("", progress), "3, 1.5/s");
  progress = at(25'000'000, 10s);
  EXPECT_EQ(detail::progress_line("", progress), "25000000, 2.5M/s");
  progress = at(1, 1h);
  progress.total = 3;
  EXPECT_EQ(detail::progress_line("", progress), "1 of 3 (33%), 0.0/s, 2:00:00 left");
}

TEST(ProgressLine, OfNothing) {
  Progress progress = at(0, 0s);
  EXPECT_EQ(detail::progress_line("", progress), "0");
  progress.total = 0;
  progress.finished = true;
  EXPECT_EQ(detail::progress_line("", progress), "0 of 0");
}

struct Written {
  ~Written() {
    std::fclose(stream);
    std::free(buffer);
  }
  std::string text() {
    std::fflush(stream);
    return {buffer, size};
  }
  char* buffer = nullptr;
  std::size_t size = 0;
  std::FILE* stream = ::open_memstream(&buffer, &size);
};

TEST(ProgressBar, ShowsAtMostTenUpdatesASecondAndTheExactEnd) {
  Written written;
  {
    ProgressCallback const bar = detail::progress_bar_on(written.stream, "x", true);
    auto const begin = std::chrono::steady_clock::now();
    std::uint64_t done = 0;
    while (std::chrono::steady_clock::now() - begin < 900ms) {
      Progress progress = at(++done, std::chrono::steady_clock::now() - begin);
      progress.total = 1'000'000'000;
      bar(progress);
      std::this_thread::sleep_for(1ms);
    }
    Progress last = at(1'000'000'000, 1s);
    last.total = 1'000'000'000;
    last.finished = true;
    bar(last);
  }
  std::string const text = written.text();
  auto const updates = std::ranges::count(text, '\r');
  EXPECT_GE(updates, 2);
  EXPECT_LE(updates, 10);
  EXPECT_EQ(text.back(), '\n');
  std::string const end = text.substr(text.rfind('\r') + 1);
  EXPECT_EQ(end.substr(0, end.find_last_not_of(" \n") + 1),
            "x: 1000000000 of 1000000000 (100%), 1.0G/s, 0:01");
}

TEST(ProgressBar, ALaterLineCoversALongerOne) {
  Written written;
  ProgressCallback const bar = detail::progress_bar_on(written.stream, "", true);
  Progress progress = at(10, 1h);
  progress.total = 100'000;
  bar(progress);
  progress = at(11, 1s);
  progress.finished = true;
  bar(progress);
  std::string const text = written.text();
  std::size_t const second = text.rfind('\r');
  EXPECT_EQ(text.size() - second - 1, second);  // as wide, but with a line's end for the first \r
}

TEST(ProgressBar, IsQuietWhereThereIsNoTerminal) {
  Written written;
  ProgressCallback bar = detail::progress_bar_on(written.stream, "", false);
  Progress progress = at(1, 1s);
  progress.finished = true;
  bar(progress);
  EXPECT_EQ(written.text(), "");
}

}  // namespace
}  // namespace procpool
