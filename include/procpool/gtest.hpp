// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// GoogleTest in tasks: a failed EXPECT_*, ASSERT_* or ADD_FAILURE in a worker fails the test of the
// program in which it runs, with its file, line and text. One source of the test program includes
// this header, and nothing else is needed. <procpool.hpp> does not include it, and only this header
// needs GoogleTest.
//
// The failure is kept when the assertion returns, so it counts whatever becomes of the task and of
// its worker afterwards. The program reports what it has when a test ends, a suite ends, and all
// tests have ended. A failure that comes later belongs to the next of these. A worker that cannot
// reach the program (PoolOptions::harden takes its environment away) throws
// testing::AssertionException from the assertion, which is an error of the task.
//
// How: the program has a memory file, to which workers append. They open it by its path, which is
// in the environment. What a worker wrote there is checked before it is used.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include <procpool/entry.hpp>
#include <procpool/this_task.hpp>

namespace procpool::inline v0_1::detail {

inline constexpr char const* failures_variable = "PROCPOOL_GTEST_FAILURES";

// In front of each failure in the file; the name of a source and a text follow.
struct FailureHeader {
  static constexpr std::uint64_t mark = 0x6c69'6166'7473'6574;
  static constexpr std::uint32_t longest = 1u << 20;

  std::uint64_t magic = mark;
  std::int32_t fatal = 0;
  std::int32_t line = 0;
  std::uint32_t file_bytes = 0;
  std::uint32_t text_bytes = 0;
};

// In a worker: appends failures.
class FailureWriter final : public testing::EmptyTestEventListener {
  void OnTestPartResult(testing::TestPartResult const& result) override {
    if (!result.failed()) return;
    if (!append(result)) throw testing::AssertionException(result);
  }

  static bool append(testing::TestPartResult const& result) {
    char const* const path = std::getenv(failures_variable);
    if (path == nullptr) return false;
    int const file = ::open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0) return false;
    std::string const record = record_of(result);
    // One call, so that records of several workers do not mix.
    bool const written =
        ::write(file, record.data(), record.size()) == static_cast<ssize_t>(record.size());
    ::close(file);
    return written;
  }

  static std::string record_of(testing::TestPartResult const& result) {
    std::string const source = result.file_name() != nullptr ? result.file_name() : "";
    std::string text = result.message();
    if (text.size() > FailureHeader::longest / 2) text.resize(FailureHeader::longest / 2);
    text +=
        "\nin worker " + std::to_string(worker_index()) + ", process " + std::to_string(::getpid());
    if (this_task::running()) text += ", element " + std::to_string(this_task::index());
    FailureHeader header;
    header.fatal = result.fatally_failed() ? 1 : 0;
    header.line = result.line_number();
    header.file_bytes = static_cast<std::uint32_t>(source.size());
    header.text_bytes = static_cast<std::uint32_t>(text.size());
    std::string record(sizeof header, '\0');
    std::memcpy(record.data(), &header, sizeof header);
    return record + source + text;
  }
};

// In the program: owns the file, and reports what has come.
class FailureReader final : public testing::EmptyTestEventListener {
 public:
  FailureReader() : file_(::memfd_create("procpool-gtest-failures", MFD_CLOEXEC)) {
    if (file_ < 0) return;
    std::string const path = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file_);
    ::setenv(failures_variable, path.c_str(), 1);
  }
  FailureReader(FailureReader const&) = delete;
  FailureReader& operator=(FailureReader const&) = delete;
  ~FailureReader() override {
    if (file_ >= 0) ::close(file_);
  }

  // Once, before the threads of the program.
  static FailureReader* instance(FailureReader* made = nullptr) {
    static FailureReader* const reader = made;
    return reader;
  }

  void report() {
    struct stat status{};
    if (file_ < 0 || ::getpid() != owner_ || ::fstat(file_, &status) != 0) return;
    while (reported_ < status.st_size && report_one(status.st_size - reported_)) {
    }
    // Nothing is read twice, so its memory goes.
    ::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, reported_);
  }

 private:
  void OnTestEnd(testing::TestInfo const&) override { report(); }
  void OnTestSuiteEnd(testing::TestSuite const&) override { report(); }
  void OnTestIterationEnd(testing::UnitTest const&, int) override { report(); }

  // False: what is left is no failure.
  bool report_one(off_t remaining) {
    FailureHeader header;
    std::string source;
    std::string text;
    off_t at = reported_;
    auto const read = [&](void* to, std::size_t bytes) {
      bool const all = ::pread(file_, to, bytes, at) == static_cast<ssize_t>(bytes);
      at += static_cast<off_t>(bytes);
      return all;
    };
    bool whole = read(&header, sizeof header) && header.magic == FailureHeader::mark &&
                 header.file_bytes <= FailureHeader::longest &&
                 header.text_bytes <= FailureHeader::longest;
    if (whole) {
      source.resize(header.file_bytes);
      text.resize(header.text_bytes);
      whole = read(source.data(), source.size()) && read(text.data(), text.size());
    }
    if (!whole) {
      reported_ += remaining;
      ADD_FAILURE() << "procpool: a worker wrote something that is no failure of an assertion "
                       "where failures of assertions are kept";
      return false;
    }
    reported_ = at;
    add(header, source, text);
    return true;
  }

  // Apart: a fatal failure returns.
  static void add(FailureHeader const& header, std::string const& source, std::string const& text) {
    if (header.fatal != 0) {
      GTEST_FAIL_AT(source.c_str(), header.line) << text;
    } else {
      ADD_FAILURE_AT(source.c_str(), header.line) << text;
    }
  }

  int const file_;
  pid_t const owner_ = ::getpid();
  off_t reported_ = 0;
};

inline bool follow_failures() {
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (in_worker()) {
    // The program prints what is reported there.
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailureWriter);
  } else {
    auto* const reader = new FailureReader;
    FailureReader::instance(reader);
    listeners.Append(reader);
  }
  return true;
}

inline bool const failures_are_followed = follow_failures();

}  // namespace procpool::inline v0_1::detail

namespace procpool::inline v0_1 {

/// Adds to the running test the failures that workers have had so far. Each test does so at its end
/// by itself. Within a test it serves `if (HasFailure())` and EXPECT_NONFATAL_FAILURE. For the
/// thread of the test. Does not block; throws nothing.
inline void report_worker_failures() {
  if (auto* const reader = detail::FailureReader::instance()) reader->report();
}

}  // namespace procpool::inline v0_1
