// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// TraceFile: whole lines in each page, whatever is lost or refused.
#include "parent/trace_file.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace procpool::parent {
namespace {

namespace fs = std::filesystem;

class TraceFileTest : public testing::Test {
 protected:
  TraceFileTest() { fs::create_directories(folder_); }
  ~TraceFileTest() override { fs::remove_all(folder_); }

  std::string text() const {
    std::ifstream in(file_);
    std::ostringstream all;
    all << in.rdbuf();
    return all.str();
  }
  // Without the sign that begins a line. Fails unless each line is an event or blank.
  std::vector<std::string> events() const {
    std::vector<std::string> events;
    std::istringstream lines(text());
    for (std::string line; std::getline(lines, line);) {
      if (line.find_first_not_of(' ') == std::string::npos) continue;
      EXPECT_EQ(line[0], events.empty() ? '[' : ',');
      EXPECT_EQ(line.back(), '}') << line;
      events.push_back(line.substr(1));
    }
    return events;
  }

  // This process continues a file of a name that it had before.
  fs::path const folder_ = fs::path(testing::TempDir()) /
                           ("procpool_" + std::to_string(::getpid()) +
                            testing::UnitTest::GetInstance()->current_test_info()->name());
  std::string const file_ = folder_ / "trace.json";
};

std::string event_of(std::size_t number, std::size_t bytes) {
  std::string event = "{" + std::to_string(number);
  event.resize(bytes - 1, 'x');
  return event + "}";
}

TEST_F(TraceFileTest, NoLineGoesAcrossAPage) {
  std::size_t added = 0;
  {
    auto const file = TraceFile::open(file_);
    for (; added < 2'000; ++added) file->add(event_of(added, 20 + added * 37 % 900));
    file->add(event_of(added++, TraceFile::max_line));
    file->add(event_of(added, TraceFile::max_line + 1));  // left out
    file->flush();
  }
  std::string const all = text();
  for (std::size_t at = TraceFile::page; at < all.size(); at += TraceFile::page) {
    EXPECT_EQ(all[at - 1], '\n') << at;
  }
  auto const events = this->events();
  ASSERT_EQ(events.size(), added);
  for (std::size_t i = 0; i + 1 < added; ++i) EXPECT_EQ(events[i], event_of(i, 20 + i * 37 % 900));
}

TEST_F(TraceFileTest, ManyThreadsLoseNothingButWhatIsCounted) {
  constexpr std::size_t threads = 4;
  constexpr std::size_t each = 20'000;
  {
    auto const file = TraceFile::open(file_);
    std::vector<std::thread> adding;
    for (std::size_t t = 0; t < threads; ++t) {
      adding.emplace_back([&file] {
        for (std::size_t i = 0; i < each; ++i) file->add(event_of(i, 500));
      });
    }
    for (auto& thread : adding) thread.join();
  }
  std::size_t found = 0;
  std::size_t lost = 0;
  for (std::string const& event : events()) {
    std::string const told = R"("args":{"events":)";
    std::size_t const at = event.find(told);
    if (at == std::string::npos) {
      ++found;
    } else {
      lost += std::stoul(event.substr(at + told.size()));
    }
  }
  EXPECT_EQ(found + lost, threads * each);
}

TEST_F(TraceFileTest, AFileThatGrowsNoMoreEndsWithAWholeLine) {
  struct rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 10 * TraceFile::page + 100;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  {
    auto const file = TraceFile::open(file_);
    EXPECT_FALSE(file->failure());
    for (std::size_t i = 0; i < 1'000; ++i) file->add(event_of(i, 100));
    file->flush();
    EXPECT_TRUE(file->failure());
    file->add(event_of(0, 100));  // goes nowhere
    file->flush();
  }
  EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(fs::file_size(file_), 10 * TraceFile::page);
  EXPECT_GT(events().size(), 300u);
}

TEST_F(TraceFileTest, AFileThatAnotherProcessWritesToIsLeftAlone) {
  std::ofstream(file_) << "theirs";
  // A lock belongs to an open file, so this one is as good as another process's.
  os::UniqueFd const theirs(::open(file_.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::flock(theirs.get(), LOCK_EX), 0);
  std::string const own = folder_ / ("trace." + std::to_string(::getpid()) + ".json");
  {
    auto const file = TraceFile::open(file_);
    EXPECT_EQ(file->path(), own);
    file->add("{}");
  }
  EXPECT_EQ(text(), "theirs");
  std::ifstream in(own);
  std::string line;
  std::getline(in, line);
  EXPECT_EQ(line, "[{}");
}

TEST_F(TraceFileTest, TheNumberOfTheProcessIsPutIntoTheName) {
  auto const file = TraceFile::open((folder_ / "a%p.b%p").string());
  std::string const pid = std::to_string(::getpid());
  EXPECT_EQ(file->path(), folder_ / ("a" + pid + ".b" + pid));
}

TEST_F(TraceFileTest, AFileIsContinuedByThisProcessAndBegunAnewByAnother) {
  std::ofstream(file_) << "left by another process\n";
  unsigned first = 0;
  {
    auto const file = TraceFile::open(file_);
    auto const same = TraceFile::open(file_);
    EXPECT_EQ(file, same);
    first = file->next_pool();
    file->add("{1}");
  }
  {
    auto const file = TraceFile::open(file_);
    EXPECT_EQ(file->next_pool(), first + 1);
    file->add("{2}");
  }
  EXPECT_EQ(events(), (std::vector<std::string>{"{1}", "{2}"}));
  fs::remove(file_);
  TraceFile::open(file_)->add("{3}");
  EXPECT_EQ(text(), "[{3}\n");
}

TEST_F(TraceFileTest, WhatIsNoFileIsRefused) {
  EXPECT_THROW(TraceFile::open(folder_.string()), std::system_error);
  EXPECT_THROW(TraceFile::open("/dev/null"), std::runtime_error);
  EXPECT_THROW(TraceFile::open((folder_ / "none" / "trace.json").string()), std::system_error);
  EXPECT_THROW(TraceFile::open(""), std::system_error);
}

}  // namespace
}  // namespace procpool::parent
