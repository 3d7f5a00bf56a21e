// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Output::lines: what workers print comes out of the program line by line, whole, whoever prints at
// the same time; and a program whose own output is stuck goes on.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <procpool.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/errors.hpp"
#include "support/gate.hpp"
#include "support/tasks.hpp"
#include "support/until.hpp"

namespace {

using namespace std::chrono_literals;
using procpool::Output;
using procpool::PoolOptions;
using procpool::Start;
using tasks::square;

constexpr int lines_each = 200;

// A line in many pieces: "12 begin xxxx end 12".
void print_line(std::ostream& to, int number) {
  to << number << " begin";
  for (int i = 0; i < number % 40; ++i) to << " x";
  to << " end " << number << '\n';
}
int print_lines(int which) {
  for (int i = 0; i < lines_each; ++i)
    print_line(i % 2 == 0 ? std::cout : std::cerr, 1'000 * which + i);
  return which;
}
// All at the same time.
int print_to_cout(int which, std::string const& gate) {
  support::wait_at(gate);
  for (int i = 0; i < 10 * lines_each; ++i) print_line(std::cout, 10'000 * which + i);
  return which;
}
// Its exit takes longer than the pool needs to see that it leaves.
int print_at_exit(int x) {
  std::atexit([] {
    std::this_thread::sleep_for(100ms);
    std::puts("at the exit");
  });
  return x;
}

bool is_whole(std::string const& line) {
  std::istringstream words(line);
  int begin = -1;
  int end = -2;
  std::string word;
  if (!(words >> begin >> word) || word != "begin") return false;
  int count = 0;
  while (words >> word && word == "x") ++count;
  return word == "end" && words >> end && begin == end && count == begin % 40;
}
int whole_lines(std::string const& text) {
  std::istringstream lines(text);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_TRUE(is_whole(line)) << line;
  return count;
}

// The standard output and error of this program in files.
struct Captured {
  std::string out;
  std::string error;
};
template <class Use>
Captured captured(Use const& use) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  use();
  return {testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

int print_without_an_end(int x) {
  std::printf("no end");
  return x;
}
int print_and_die(int) {
  std::printf("the last words");
  std::fflush(stdout);
  return ::raise(SIGKILL);
}
int print_much(int lines) {
  std::string const line(99, 'm');
  for (int i = 0; i < lines; ++i) std::printf("%s\n", line.c_str());
  return lines;
}
int print_long(int length) {
  std::puts(std::string(static_cast<std::size_t>(length), 'l').c_str());
  return length;
}

int print_series(char mark) {
  std::string const line(7000, mark);
  for (int i = 0; i < lines_each; ++i) (mark == 'o' ? std::cout : std::cerr) << line << '\n';
  return 0;
}

// Standard output, and with `both` also the standard error, is a pipe that nobody reads, until it is told to.
class StuckOutput {
 public:
  explicit StuckOutput(bool both = false) {
    std::fflush(stdout);
    before_ = ::dup(STDOUT_FILENO);
    if (::pipe(ends_) != 0) throw std::runtime_error("no pipe");
    ::dup2(ends_[1], STDOUT_FILENO);
    if (both) {
      error_before_ = ::dup(STDERR_FILENO);
      ::dup2(ends_[1], STDERR_FILENO);
    }
    ::close(ends_[1]);
  }
  StuckOutput(StuckOutput const&) = delete;
  StuckOutput& operator=(StuckOutput const&) = delete;
  ~StuckOutput() { restore(); }

  void read_from_now_on() {
    reader_ = std::thread([this] {
      char buffer[4096];  // a pipe with little room is written to in parts of lines
      for (ssize_t got = 0; (got = ::read(ends_[0], buffer, sizeof buffer)) > 0;) {
        text_.append(buffer, static_cast<std::size_t>(got));
      }
    });
  }
  // All that was written by then.
  std::string restore() {
    if (before_ < 0) return {};
    std::fflush(stdout);
    ::dup2(before_, STDOUT_FILENO);
    ::close(before_);
    before_ = -1;
    if (error_before_ >= 0) {
      ::dup2(error_before_, STDERR_FILENO);
      ::close(error_before_);
      error_before_ = -1;
    }
    if (reader_.joinable()) reader_.join();
    ::close(ends_[0]);
    return text_;
  }

 private:
  int before_ = -1;
  int error_before_ = -1;
  int ends_[2] = {-1, -1};
  std::thread reader_;
  std::string text_;
};

class OutputLines : public testing::TestWithParam<Start> {
 protected:
  PoolOptions options_{
      .workers = 3, .start = {.method = GetParam()}, .output = {.mode = Output::lines}};
};

}  // namespace

TEST_P(OutputLines, AreWhole) {
  std::vector<int> const inputs{1, 2, 3, 4, 5, 6};
  Captured const text = captured([&] {
    procpool::ProcessPool pool{options_};
    EXPECT_EQ(pool.with({.chunk = 1}).map<print_lines>(inputs), inputs);
  });
  EXPECT_EQ(whole_lines(text.out), 6 * lines_each / 2);
  EXPECT_EQ(whole_lines(text.error), 6 * lines_each / 2);
}

TEST_P(OutputLines, GetAnEndWithTheirWorker) {
  Captured const text = captured([&] {
    options_.workers = 1;
    procpool::ProcessPool pool{options_};
    pool.call<print_without_an_end>(1);
    pool.call<print_without_an_end>(2);
  });
  EXPECT_EQ(text.out, "no endno end\n");
}

TEST_P(OutputLines, OfAWorkerThatDiesAreThereWithItsError) {
  procpool::ProcessPool pool{options_};
  Captured const text =
      captured([&] { EXPECT_THROW(pool.call<print_and_die>(1), procpool::WorkerDied); });
  EXPECT_EQ(text.out, "the last words\n");
}

TEST_P(OutputLines, OfTheExitOfAReplacedWorkerAreNotLost) {
  Captured const text = captured([&] {
    options_.lifetime.max_tasks = 1;
    procpool::ProcessPool pool{options_};
    for (int i = 0; i < 3; ++i) EXPECT_EQ(pool.call<print_at_exit>(i), i);
  });
  EXPECT_EQ(text.out, "at the exit\nat the exit\nat the exit\n");
}

TEST_P(OutputLines, AsLongAsABufferAreWhole) {
  Captured const text = captured([&] {
    procpool::ProcessPool pool{options_};
    pool.map<print_long>(std::vector<int>(6, 60'000));
  });
  std::istringstream lines(text.out);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_EQ(line.size(), 60'000u);
  EXPECT_EQ(count, 6);
}

TEST_P(OutputLines, OfProcessesAreWhole) {
  Captured const text = captured([&] {
    std::vector<procpool::Process<int>> processes;
    for (int i = 1; i <= 4; ++i) {
      processes.push_back(
          procpool::start_process<print_lines>({.start = GetParam(), .output = Output::lines}, i));
    }
    for (auto& process : processes) process.join();
  });
  EXPECT_EQ(whole_lines(text.out), 4 * lines_each / 2);
  EXPECT_EQ(whole_lines(text.error), 4 * lines_each / 2);
}

// Nobody reads what the program prints. Workers that print wait for that, and nobody else does.
TEST_P(OutputLines, HoldUpNobodyWhenTheProgramsOutputIsStuck) {
  constexpr int much = 20'000;  // lines, 2 MB
  StuckOutput stuck;
  {
    procpool::ProcessPool pool{options_};
    auto printing = pool.submit<print_much>(much);
    EXPECT_FALSE(printing.wait_for(500ms));
    for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.call<square>(i), i * i);
    EXPECT_THROW(pool.with({.timeout = 50ms}).call<tasks::sleep_ms>(60'000), procpool::TaskTimeout);
    stuck.read_from_now_on();
    EXPECT_EQ(printing.get(), much);
  }
  std::string const text = stuck.restore();
  EXPECT_EQ(text.size(), much * 100u);
}

TEST_P(OutputLines, OfBothStreamsInOnePipeAreWhole) {
  StuckOutput output(true);
  {
    procpool::ProcessPool pool{options_};
    auto to_output = pool.submit<print_series>('o');
    auto to_error = pool.submit<print_series>('e');
    EXPECT_FALSE(to_output.wait_for(50ms)) << "the pipe is full, with a part of a line";
    output.read_from_now_on();
    to_output.get();
    to_error.get();
  }
  std::istringstream lines(output.restore());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_TRUE(line == std::string(7000, 'o') || line == std::string(7000, 'e')) << line.size();
  }
  EXPECT_EQ(count, 2 * lines_each);
}

TEST_P(OutputLines, ThatNobodyReadsAreCountedInTheLogWhenThePoolEnds) {
  StuckOutput stuck;
  std::vector<std::string> log;
  options_.log = [&](std::string_view line) { log.emplace_back(line); };
  {
    procpool::ProcessPool pool{options_};
    // More than a pipe has room for, and less than the pool keeps.
    EXPECT_EQ(pool.call<print_much>(2'000), 2'000);
  }
  ASSERT_FALSE(log.empty());
  EXPECT_NE(log.back().find(" bytes of what its workers wrote are lost"), std::string::npos)
      << log.back();
}

// The end of the pool does not wait for ever for somebody to read.
TEST_P(OutputLines, EndWithAPoolThatIsKilled) {
  StuckOutput stuck;
  support::Stopwatch watch;
  {
    procpool::ProcessPool pool{options_};
    auto const printing = pool.submit<print_much>(20'000);
    EXPECT_FALSE(printing.wait_for(100ms));
    pool.terminate();
  }
  EXPECT_LT(watch.passed(), 15s);
}

// ---- Output::relay

int print_two_and_a_half(int x) {
  std::printf("one\n\nhalf");
  std::fflush(stdout);
  std::fprintf(stderr, "error\n");
  return x;
}
int finish_the_half(int x) {
  std::printf(" whole\n");
  return x;
}

TEST_P(OutputLines, AreTaggedWithTheirWorkerByRelay) {
  Captured const text = captured([&] {
    options_.workers = 1;
    options_.name = "p";
    options_.output.mode = Output::relay;
    procpool::ProcessPool pool{options_};
    pool.call<print_two_and_a_half>(1);
    pool.call<finish_the_half>(1);
  });
  EXPECT_EQ(text.out, "[p/0] one\n[p/0] \n[p/0] half whole\n");
  EXPECT_EQ(text.error, "[p/0] error\n");
}

TEST_P(OutputLines, OfManyWorkersAreTaggedAndWholeByRelay) {
  std::vector<int> const inputs{1, 2, 3, 4, 5, 6};
  Captured const text = captured([&] {
    options_.name = "p";
    options_.output.mode = Output::relay;
    procpool::ProcessPool pool{options_};
    EXPECT_EQ(pool.with({.chunk = 1}).map<print_lines>(inputs), inputs);
  });
  std::istringstream lines(text.out);
  std::map<std::string, int> of;
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    ++of[line.substr(0, 6)];
    EXPECT_TRUE(line.size() > 6 && is_whole(line.substr(6))) << line;
  }
  EXPECT_EQ(count, 6 * lines_each / 2);
  for (auto const& [tag, lines_of_it] : of) {
    EXPECT_TRUE(tag == "[p/0] " || tag == "[p/1] " || tag == "[p/2] ") << tag;
  }
}

// A line that comes in pieces is tagged once, and the end of a worker ends it.
TEST_P(OutputLines, OfALineInPiecesAreTaggedOnceByRelay) {
  Captured const text = captured([&] {
    options_.workers = 1;
    options_.name = "p";
    options_.output.mode = Output::relay;
    procpool::ProcessPool pool{options_};
    pool.call<print_long>(300'000);
    pool.call<print_without_an_end>(1);
  });
  EXPECT_EQ(text.out, "[p/0] " + std::string(300'000, 'l') + "\n[p/0] no end\n");
}

INSTANTIATE_TEST_SUITE_P(Each, OutputLines, testing::Values(Start::spawn, Start::forkserver),
                         [](auto const& test) {
                           return test.param == Start::spawn ? "Spawned" : "Forked";
                         });

// Without an option: each line of std::cout is one write.
TEST(ProcessOutput, OfSeveralIsInWholeLines) {
  Captured const text = captured([&] {
    support::Gate gate;
    std::vector<procpool::Process<int>> processes;
    for (int i = 1; i <= 4; ++i) {
      processes.push_back(procpool::start_process<print_to_cout>(i, gate.path()));
    }
    gate.open();
    for (auto& process : processes) process.join();
  });
  EXPECT_EQ(whole_lines(text.out), 4 * 10 * lines_each);
}
